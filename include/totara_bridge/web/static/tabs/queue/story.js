// @ts-check
// One item's whole story, beside the queue: what it is and says, why it was not sent, and all that ever happened to it.
import { C, html } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { useFrame } from "../../lib/frame.js";
import { usePlace } from "../../lib/place.js";
import { counted, number } from "../../lib/written.js";
import { Code, Copy } from "../../parts/copy.js";
import { Loaded } from "../../parts/loaded.js";
import { State } from "../../parts/state.js";
import { When } from "../../parts/when.js";
import { Actions } from "./chosen.js";
import { errorWords } from "./columns.js";
import { Entries } from "./entries.js";
import { indented } from "./indented.js";

export function Story() {
  const place = usePlace();
  const id = place.get("item");
  return html`
    <${C.Drawer.Root} open=${Boolean(id)} size="lg" lazyMount unmountOnExit
      onOpenChange=${(/** @type {any} */ to) => (to.open ? undefined : place.set({ item: "" }))}>
      <${C.Portal}>
        <${C.Drawer.Backdrop} />
        <${C.Drawer.Positioner}>
          <${C.Drawer.Content} data-testid="story">
            <${C.Drawer.Header}><${C.Drawer.Title}>Item ${id}<//><//>
            <${C.Drawer.Body}>${id ? html`<${Told} key=${id} id=${id} />` : null}<//>
            <${C.Drawer.CloseTrigger} asChild><${C.CloseButton} size="sm" aria-label="Close" /><//>
          <//>
        <//>
      <//>
    <//>
  `;
}

/** @param {{id: string}} props */
function Told({ id }) {
  const found = useData(`items/${encodeURIComponent(id)}`, {}, { every: 15 });
  return html`
    <${Loaded} from=${found}>
      ${(/** @type {any} */ story) => html`
        <${C.Stack} gap=${5}>
          <${Now} story=${story} />
          <${Section} title="What happened">
            <${Entries} of=${story.entries} />
          <//>
          <${Section} title="Payload"><${Payload} item=${story.item} /><//>
          <${Section} title="Send it by hand"><${Curl} curl=${story.curl} /><//>
        <//>
      `}
    <//>
  `;
}

/** @param {{title: string, children: any}} props */
const Section = ({ title, children }) => html`
  <${C.Box} as="section" aria-label=${title}><${C.Heading} as="h3" size="sm" mb=${2}>${title}<//>${children}<//>
`;

/** @param {{story: any}} props */
function Now({ story }) {
  const { item, why } = story;
  const { manages } = useFrame();
  return html`
    <${C.Stack} gap=${3}>
      <${C.HStack} wrap="wrap"><${State} of=${item.state} /><${C.Text}>${item.kind}, revision ${item.revision}, for ${item.destination}<//><//>
      <${C.Text} data-testid="why">${why}<//>
      ${manages ? html`<${Actions} ids=${[item.id]} />` : null}
      <${C.DataList.Root} orientation="horizontal" size="sm">
        ${facts(item).map(
          ([label, value]) => html`
            <${C.DataList.Item} key=${label}>
              <${C.DataList.ItemLabel} minW="9rem">${label}<//>
              <${C.DataList.ItemValue} overflowWrap="anywhere" flexWrap="wrap" gap=${2}>${value}<//>
            <//>
          `,
        )}
      <//>
    <//>
  `;
}

/** @param {any} item @returns {[string, any][]} */
function facts(item) {
  const course = item.course ? `${item.course}${item.course_name ? ` – ${item.course_name}` : ""}` : `${item.course_id} of ${item.site}`;
  const all = /** @type {[string, any][]} */ ([
    ["Learner", item.erased ? "erased" : (item.learner ?? `${item.user_id} of ${item.site}`)],
    ["Course", course],
    ["Completed", item.time_completed && html`<${When} at=${item.time_completed} />`],
    ["Record key", html`<${C.HStack} wrap="wrap"><${C.Text} fontFamily="mono">${item.record_key}<//><${Copy} text=${item.record_key} /><//>`],
    ["Idempotency key", item.idempotency_key === item.record_key ? null : item.idempotency_key],
    ["Attempts", `${number(item.attempts)} that counted; ${counted(item.failures, "failed request")}`],
    ["Next attempt", item.next_attempt_at && html`<${When} at=${item.next_attempt_at} />`],
    ["Last error", errorWords(item)],
    ["Waits for", item.held_for],
    ["Lane", item.lane],
    ["Template", item.template],
    ["Queued", html`<${When} at=${item.queued_at} />`],
    ["First posted", item.first_posted_at && html`<${When} at=${item.first_posted_at} />`],
    ["Sent", item.sent_at && html`<${When} at=${item.sent_at} />`],
    ["Oracle's reference", item.reference],
  ]);
  return all.filter(([, value]) => value);
}

/** @param {{item: any}} props */
function Payload({ item }) {
  if (!item.payload) return html`<${C.Text} color="fg.muted">Its learner was erased, and the payload with them.<//>`;
  return html`<${Code} text=${indented(item.payload)} label="Payload as JSON" wrap />`;
}

/** @param {{curl: {text: string | null, sentence: string | null}}} props */
function Curl({ curl }) {
  if (!curl.text) return html`<${C.Text} color="fg.muted">${curl.sentence}<//>`;
  return html`
    <${C.Box}>
      <${C.Text} fontSize="sm">
        Copied as cURL it sends this item for real, with a token in $TOKEN; the destination tells it by its keys from a second item.
        The bridge does not hear the answer. It names the learner.
      <//>
      <${Code} text=${curl.text} label="cURL" />
    <//>
  `;
}
