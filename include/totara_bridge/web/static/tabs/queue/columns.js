// @ts-check
// What a row of the queue shows.
import { C, html } from "../../lib/html.js";
import { NOTHING, number } from "../../lib/written.js";
import { State } from "../../parts/state.js";
import { When } from "../../parts/when.js";

const END = /** @type {const} */ ("end");

/** @param {boolean} several destinations there are */
export const columns = (several) => [
  { name: "id", title: "Item", align: END, show: (/** @type {any} */ item) => item.id },
  { name: "state", title: "State", show: (/** @type {any} */ item) => html`<${State} of=${item.state} />` },
  { name: "learner", title: "Learner", show: learner },
  { name: "course", title: "Course", show: (/** @type {any} */ item) => item.course ?? NOTHING },
  { name: "trouble", title: "Trouble", show: trouble },
  ...(several ? [{ name: "destination", title: "Destination", show: (/** @type {any} */ item) => item.destination }] : []),
  { name: "kind", title: "Kind", show: kind },
  { name: "lane", title: "Lane", show: (/** @type {any} */ item) => item.lane },
  { name: "attempts", title: "Attempts", align: END, show: (/** @type {any} */ item) => number(item.attempts) },
  { name: "next", title: "Next attempt", show: (/** @type {any} */ item) => html`<${When} at=${item.next_attempt_at} />` },
  { name: "queued", title: "Queued", show: (/** @type {any} */ item) => html`<${When} at=${item.queued_at} />` },
  { name: "sent", title: "Sent", show: (/** @type {any} */ item) => html`<${When} at=${item.sent_at} />` },
];

/** @param {any} item */
const learner = (item) => (item.erased ? html`<${C.Text} as="span" color="fg.muted">erased<//>` : (item.learner ?? NOTHING));

/** @param {any} item */
const kind = (item) => (item.kind === "completion" ? item.kind : `${item.kind}, revision ${item.revision}`);

/** Why it is not sent, in one line; the whole of it is in its story. @param {any} item */
function trouble(item) {
  const words = item.state === "held" ? `waits for ${item.held_for}` : errorWords(item);
  if (!words) return NOTHING;
  return html`<${C.Text} as="span" display="block" maxW="22rem" truncate title=${words}>${words}<//>`;
}

/** @param {any} item */
export const errorWords = (item) => [item.error_code ?? item.error_class, item.error_words].filter(Boolean).join(": ");
