// @ts-check
// The Problems tab: what does not go by itself and what to do about it; and the proof that nothing is lost.
import { C, R, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { linkTo, usePlace } from "../lib/place.js";
import { counted, number } from "../lib/written.js";
import { Loaded } from "../parts/loaded.js";
import { Alerts } from "../parts/alerts.js";
import { Section } from "../parts/section.js";
import { Errors } from "./problems/errors.js";
import { Held } from "./problems/held.js";
import { Reconciled } from "./problems/reconciled.js";
import { Proof } from "./proof.js";

const EVERY = 30; // seconds

export function Problems() {
  const proof = usePlace().get("view") === "proof";
  return html`
    <${C.Box}>
      <${C.HStack} as="nav" aria-label="Views of this tab" gap=${2} mb=${4}>
        <${View} to=${linkTo({ tab: "problems" })} on=${!proof} label="What is wrong" />
        <${View} to=${linkTo({ tab: "problems", view: "proof" })} on=${proof} label="Proof of delivery" />
      <//>
      ${proof ? html`<${Proof} />` : html`<${Wrong} />`}
    <//>
  `;
}

/** @param {{to: string, on: boolean, label: string}} props */
const View = ({ to, on, label }) => html`
  <${C.Button} asChild size="sm" variant=${on ? "solid" : "outline"}>
    <${R.Link} to=${to} aria-current=${on ? "page" : undefined}>${label}<//>
  <//>
`;

function Wrong() {
  const found = useData("problems", {}, { every: EVERY });
  return html`
    <${Loaded} from=${found}>
      ${(/** @type {any} */ said) => html`
        <${C.Stack} gap=${8}>
          <${Section} title="Open alerts" testid="problem-alerts"><${Alerts} alerts=${said.alerts} /><//>
          <${Section} title="Failed and dead items" testid="problem-errors">
            <${NotAll} said=${said} states=${["failed", "dead"]} which="newest" /><${Errors} groups=${said.errors} />
          <//>
          <${Section} title="Held items" testid="problem-held">
            <${NotAll} said=${said} states=${["held"]} which="oldest" /><${Held} groups=${said.held} />
          <//>
          <${Section} title="Differences found by reconcile" testid="problem-reconciled"><${Reconciled} /><//>
        <//>
      `}
    <//>
  `;
}

/** Of very many items some are looked at: that is said. @param {{said: any, states: string[], which: string}} props */
function NotAll({ said, states, which }) {
  const cut = said.examined.filter((/** @type {any} */ each) => states.includes(each.state));
  if (!cut.length) return null;
  return html`
    <${C.Alert.Root} status="info" mb=${3} data-testid="not-all">
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>These groups are of the ${which} items only<//>
        <${C.Alert.Description}>
          ${cut.map((/** @type {any} */ each) => looked(each, which)).join(" ")} What is done to a group is done to all items of its kind.
        <//>
      <//>
    <//>
  `;
}

/** @param {{destination: string, state: string, examined: number, items: number}} each @param {string} which */
const looked = (each, which) =>
  `Of ${counted(each.items, `${each.state} item`)} for ${each.destination} the ${which} ${number(each.examined)} were looked at.`;
