// @ts-check
// The box "Oracle" on Airflow's home page: what waits, what is stuck and what was delivered, each a way into the page.
import { C, R, html } from "./lib/html.js";
import { HttpError } from "./lib/http.js";
import { useData } from "./lib/data.js";
import { PAGE, linkTo } from "./lib/place.js";
import { Boundary } from "./parts/boundary.js";
import { Loaded } from "./parts/loaded.js";
import { StatBox } from "./parts/stat.js";

const STATES = [
  { state: "queued", label: "Queued" },
  { state: "failed", label: "Failed", help: "tried again by themselves" },
  { state: "dead", label: "Dead", help: "wait for a person", tone: "failed" },
  { state: "held", label: "Held", help: "a mapping or a date is missing", tone: "deferred" },
];

function Delivery() {
  const overview = useData("overview", { period: "24h" }, { every: 60 });
  const refused = overview.error instanceof HttpError && overview.error.status === 403;
  if (refused) return null; // who may not look is not told that there is something
  return html`
    <${C.Box} as="section" order=${4} id="oracle-delivery" aria-labelledby="oracle-delivery-title" data-testid="oracle-delivery">
      <${C.Flex} justify="space-between" color="fg.muted" my=${2}>
        <${C.Heading} id="oracle-delivery-title" as="h2" size="xs">Oracle<//>
        <${C.Link} asChild fontSize="xs" color="fg.info"><${R.Link} to=${PAGE}>Open the Oracle Integration<//><//>
      <//>
      <${Loaded} from=${overview}>${(/** @type {any} */ found) => html`<${Numbers} ...${found} />`}<//>
    <//>
  `;
}

/** @param {{totals: any, alerts: any[], destinations: any[]}} props */
function Numbers({ totals, alerts, destinations }) {
  const off = destinations.length > 0 && destinations.every((each) => !each.enabled);
  return html`
    <${C.Box}>
      ${off ? html`<${C.Text} fontSize="sm" color="fg.warning" mb=${2}>The integration is switched off: nothing is sent.<//>` : null}
      <${C.Flex} wrap="wrap" gap=${3}>
        ${STATES.map(({ state, label, help, tone }) => {
          const value = totals.counts[state] ?? 0;
          return html`
            <${StatBox} key=${state} label=${label} value=${value} help=${help} tone=${value ? tone : undefined}
              to=${linkTo({ tab: "queue", state })} testid=${`oracle-${state}`} />
          `;
        })}
        <${StatBox} label="Delivered" value=${totals.sent_last_day} help="in the last 24 hours" to=${linkTo({ tab: "overview" })}
          testid="oracle-sent" />
        <${StatBox} label="Open alerts" value=${alerts.length} help=${alerts[0]?.subject} tone=${alerts.length ? "warning" : undefined}
          to=${linkTo({ tab: "overview" })} testid="oracle-alerts" />
      <//>
    <//>
  `;
}

/** @type {any} */ (globalThis)["Oracle delivery"] = () => html`<${Boundary}><${Delivery} /><//>`;
