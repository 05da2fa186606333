// @ts-check
// What happened to an item, in order of time; each attempt with what was answered.
import { C, html, useState } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { NOTHING, counted, number } from "../../lib/written.js";
import { Code } from "../../parts/copy.js";
import { Loaded } from "../../parts/loaded.js";
import { Outcome } from "../../parts/state.js";
import { When } from "../../parts/when.js";
import { indented } from "./indented.js";

/** What each verb is called. */
const CALLED = /** @type {Record<string, string>} */ ({
  extract: "First seen in Totara",
  revise: "Changed in Totara",
  archive: "Archived in Totara",
  end: "Lost in Totara",
  erase: "Learner erased",
  enqueue: "Queued",
  shadow: "Shown in shadow mode",
  claim: "Being sent",
  acknowledge: "Sent",
  late: "Sent, heard of late",
  retry: "Failed",
  reject: "Dead",
  release: "Put back",
  split: "Sent in smaller requests",
  hold: "Held",
  unhold: "Held no more",
  requeue: "Requeued",
  cancel: "Cancelled",
  resend: "To be sent again",
});

/** @param {{of: any[]}} props */
export function Entries({ of }) {
  return html`
    <${C.Box} as="ol" listStyleType="none" data-testid="entries">
      ${of.map(
        (entry, at) => html`
          <${C.Box} as="li" key=${`${entry.at} ${entry.what} ${at}`} borderLeftWidth="2px" ps=${3} pb=${3}>
            <${C.HStack} wrap="wrap" gap=${2}>
              <${C.Text} as="span" fontWeight="medium">${CALLED[entry.what] ?? entry.what}<//>
              <${C.Text} as="span" fontSize="sm" color="fg.muted"><${When} at=${entry.at} /> · ${entry.actor}<//>
            <//>
            ${entry.words ? html`<${C.Text} fontSize="sm" overflowWrap="anywhere">${entry.words}<//>` : null}
            ${entry.request ? html`<${Request} made=${entry.request} />` : null}
          <//>
        `,
      )}
    <//>
  `;
}

/** @param {{made: any}} props */
function Request({ made }) {
  const [open, setOpen] = useState(false);
  const status = made.http_status === null ? "no answer" : `HTTP ${made.http_status}`;
  return html`
    <${C.Box} fontSize="sm" mt=${1}>
      <${C.HStack} wrap="wrap" gap=${2}>
        <${Outcome} of=${made.outcome} />
        <${C.Text} as="span">${status}, ${number(made.duration_ms)} ms, ${counted(made.items, "item")} in the request<//>
        ${made.body_kept ? html`<${C.Button} size="xs" variant="outline" aria-expanded=${open} onClick=${() => setOpen(!open)}>Request and answer<//>` : null}
      <//>
      ${made.error ? html`<${C.Text} overflowWrap="anywhere">${made.error}<//>` : null}
      ${made.request_id ? html`<${C.Text} color="fg.muted">The destination calls the request ${made.request_id}.<//>` : null}
      ${open ? html`<${Bodies} id=${made.id} />` : null}
    <//>
  `;
}

/** @param {{id: number}} props */
function Bodies({ id }) {
  const found = useData(`requests/${id}`);
  return html`
    <${Loaded} from=${found}>
      ${(/** @type {any} */ request) =>
        request.body
          ? html`
              <${C.Box}>
                <${Code} text=${indented(request.body.request)} label="Request, without what names a learner" wrap />
                <${Code} text=${indented(request.body.answer ?? NOTHING)} label="Answer, without what names a learner" wrap />
              <//>
            `
          : html`<${C.Text} color="fg.muted">They were purged meanwhile.<//>`}
    <//>
  `;
}
