// @ts-check
// What is asked for besides when a person requeues or cancels items, and what is said when it is done.
import { html } from "../../lib/html.js";
import { change } from "../../lib/http.js";
import { counted } from "../../lib/written.js";
import { Field } from "../../parts/form_fields.js";

const MOST = 500; // letters that a run takes

/** @param {boolean} [needed] @returns {(at: import("../../parts/action.js").FormProps) => any} */
export const reason = (needed = false) => (at) => html`
  <${Field} at=${at} name="reason" label=${needed ? "Reason, needed" : "Reason"} most=${MOST}
    help="Kept in the trace of each item. No names of learners, please." />
`;

/** Without a reason the server refuses to cancel, and would be asked in vain. @param {Record<string, any>} conf */
export const countCancel = (conf) =>
  conf.reason ? change("actions/requeue/count", { conf }) : Promise.resolve({ sentence: "Say why, and they are counted.", items: 0 });

/** @param {"requeued" | "cancelled"} verb @returns {(counts: Record<string, number>) => string} */
export const done = (verb) => (counts) => {
  const left = counts.refused ? ` ${counted(counts.refused, "other")} stayed as ${counts.refused === 1 ? "it was" : "they were"}.` : "";
  return `${counted(counts.done, "item was", "items were")} ${verb}.${left}`;
};
