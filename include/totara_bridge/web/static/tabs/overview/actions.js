// @ts-check
// What a manager can have done to many items at once: each is counted first, then a run of its DAG does it.
import { C, html } from "../../lib/html.js";
import { counted, number } from "../../lib/written.js";
import { Action } from "../../parts/action.js";
import { done, reason } from "../queue/requeued.js";
import { Check, Choose, Field, whole } from "../../parts/form_fields.js";
import { Section } from "../../parts/section.js";

/** @typedef {import("../../parts/action.js").FormProps} FormProps @typedef {Record<string, any>} Values */
/** @typedef {{code: string, connection: string | null}} Destination */

const BEGIN = new Date(Date.now() - 30 * 86_400_000).toISOString().slice(0, 10); // a month ago

/** @param {{destinations: Destination[]}} props */
export function Actions({ destinations }) {
  const codes = destinations.filter((each) => each.connection).map((each) => each.code);
  return html`
    <${Section} title="Actions" testid="actions">
      <${C.Flex} wrap="wrap" gap=${3}>
        <${Requeue} codes=${codes} /><${Backfill} codes=${codes} /><${PurgeSent} /><${PurgeLogs} />
      <//>
    <//>
  `;
}

/** @param {{codes: string[]}} props */
function Requeue({ codes }) {
  const conf = (/** @type {Values} */ { failed, dead, destination, reason: why }) => ({
    action: "requeue",
    states: [failed && "failed", dead && "dead"].filter(Boolean),
    destinations: destination ? [destination] : null,
    reason: why.trim() || null,
    dry_run: false,
  });
  const form = (/** @type {FormProps} */ at) => html`
    <${C.Stack} gap=${4}>
      <${C.HStack} gap=${6}><${Check} at=${at} name="failed" label="Failed" /><${Check} at=${at} name="dead" label="Dead" /><//>
      <${Choose} at=${at} name="destination" of="destinations" label="Destination" choices=${codes} />
      ${reason()(at)}
    <//>
  `;
  return html`
    <${Action} name="requeue" label="Requeue failed and dead" title="Send failed and dead items again" dag="requeue_completions"
      initial=${{ failed: true, dead: true, destination: "", reason: "" }} conf=${conf} form=${form} testid="action-requeue"
      done=${done("requeued")} />
  `;
}

/** @param {{codes: string[]}} props */
function Backfill({ codes }) {
  const conf = (/** @type {Values} */ { from_date, to_date, destination, resend }) => ({
    from_date,
    to_date: to_date || null,
    destinations: destination ? [destination] : null,
    resend,
    dry_run: false,
  });
  const form = (/** @type {FormProps} */ at) => html`
    <${C.Stack} gap=${4}>
      <${C.HStack} align="start" wrap="wrap">
        <${Field} at=${at} name="from_date" label="From" type="date" help="Completed on this day (UTC) or later." />
        <${Field} at=${at} name="to_date" label="To" type="date" help="Empty: up to now." />
      <//>
      <${Choose} at=${at} name="destination" of="destinations" label="Destination" choices=${codes} />
      <${Check} at=${at} name="resend" label="Send again what was delivered, too" />
    <//>
  `;
  const told = (/** @type {any} */ found) =>
    `${counted(found.queued_now, "completion was", "completions were")} queued, ${number(found.held_now)} held, ` +
    `${number(found.resent_now)} queued to be sent again.`;
  return html`
    <${Action} name="backfill" label="Backfill" title="Queue past completions" dag="backfill_completions" testid="action-backfill"
      initial=${{ from_date: BEGIN, to_date: "", destination: "", resend: false }} conf=${conf} form=${form} done=${told} />
  `;
}

const PurgeSent = () => html`
  <${Purge} name="sent_days" only=${["items"]} label="Purge sent items" title="Delete items that were sent long ago" days=${90}
    field="Sent more than so many days ago" help="That they were delivered stays known; nothing else is deleted." />
`;

const PurgeLogs = () => html`
  <${Purge} name="log_days" only=${["log_rows", "kept_bodies"]} label="Purge logs" title="Delete old rows of the export log"
    days=${30} field="Made more than so many days ago" help="Requests, with the bodies kept of them; nothing else is deleted." />
`;

/** @param {{name: string, only: string[], label: string, title: string, field: string, days: number, help: string}} props */
function Purge({ name, only, label, title, field, days, help }) {
  const conf = (/** @type {Values} */ values) => ({ [name]: whole(values[name]), only, dry_run: false });
  const form = (/** @type {FormProps} */ at) => html`<${Field} at=${at} name=${name} label=${field} type="number" help=${help} />`;
  const told = (/** @type {any} */ found) =>
    only[0] === "items"
      ? `${counted(found.items, "item was", "items were")} deleted.`
      : `Deleted from the export log: ${counted(found.log_rows, "row")} and ${counted(found.kept_bodies, "kept body", "kept bodies")}.`;
  return html`
    <${Action} name="purge" label=${label} title=${title} dag="purge_completions" tone="danger" testid=${`action-purge-${name}`}
      initial=${{ [name]: String(days) }} conf=${conf} form=${form} done=${told} />
  `;
}
