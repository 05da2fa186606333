// @ts-check
// One request to a destination: what it came to, and the bodies where they were kept.
import { C, R, html } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { linkTo } from "../../lib/place.js";
import { number } from "../../lib/written.js";
import { Code, Copy } from "../../parts/copy.js";
import { Dialog } from "../../parts/dialog.js";
import { Loaded } from "../../parts/loaded.js";
import { Outcome } from "../../parts/state.js";
import { When } from "../../parts/when.js";
import { indented } from "../queue/indented.js";
import { Facts } from "./facts.js";

/** @param {{number: string, onClose: () => void}} props `number`: of the request in the log; empty: none is shown */
export function RequestDialog({ number: which, onClose }) {
  if (!which) return null;
  return html`
    <${Dialog} open title=${`Request ${which}`} onClose=${onClose} size="xl"
      footer=${html`<${C.Button} variant="outline" onClick=${onClose}>Close<//>`}>
      <${Request} which=${which} />
    <//>
  `;
}

/** @param {{which: string}} props */
function Request({ which }) {
  const found = useData(`requests/${encodeURIComponent(which)}`);
  return html`<${Loaded} from=${found}>${(/** @type {any} */ request) => html`<${Told} request=${request} />`}<//>`;
}

/** @param {{request: any}} props */
function Told({ request }) {
  const facts = [
    ["When", html`<${When} at=${request.at} />`],
    ["Destination", request.destination],
    ["Outcome", html`<${C.HStack} wrap="wrap"><${Outcome} of=${request.outcome} /><${C.Text}>${request.means ?? ""}<//><//>`],
    ["HTTP status", request.http_status ?? "there was no answer"],
    ["Items", number(request.items)],
    ["Took", `${number(request.duration_ms)} ms`],
    ["What was said", request.error],
    ["Oracle's name for it", request.request_id && html`<${C.HStack}><${C.Code}>${request.request_id}<//><${Copy} text=${request.request_id} /><//>`],
    ["Batch", html`<${C.Code}>${request.batch}<//>`],
  ];
  return html`
    <${C.Box} data-testid="request">
      <${Facts} facts=${facts} />
      ${request.body ? html`<${Bodies} body=${request.body} />` : html`<${NotKept} />`}
    <//>
  `;
}

/** @param {{body: {request: string, answer: string | null}}} props */
function Bodies({ body }) {
  return html`
    <${C.Box} mt=${4}>
      <${C.Text} color="fg.muted">What names a learner was taken out before these were kept.<//>
      <${C.Heading} as="h3" size="sm" mt=${3}>What was sent<//>
      <${Code} text=${indented(body.request)} label="What was sent" wrap />
      <${C.Heading} as="h3" size="sm" mt=${3}>What was answered<//>
      ${body.answer === null
        ? html`<${C.Text}>Nothing.<//>`
        : html`<${Code} text=${indented(body.answer)} label="What was answered" wrap />`}
    <//>
  `;
}

function NotKept() {
  return html`
    <${C.Text} mt=${4} color="fg.muted">
      Its bodies were not kept. Which are kept is set by${" "}
      <${C.Link} asChild variant="underline"><${R.Link} to=${linkTo({ tab: "settings", section: "push" })}>Keep bodies, in Settings<//><//>.
    <//>
  `;
}
