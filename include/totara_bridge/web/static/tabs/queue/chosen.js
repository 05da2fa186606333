// @ts-check
// What can be done with the items that are chosen: a run requeues or cancels them. Who may not manage sees none of it.
import { C, html } from "../../lib/html.js";
import { change } from "../../lib/http.js";
import { useFrame } from "../../lib/frame.js";
import { counted } from "../../lib/written.js";
import { Action } from "../../parts/action.js";
import { howMany } from "./many.js";

const MOST = 10_000; // numbers that one run takes

/** @param {{chosen: any, count: any}} props */
export function Chosen({ chosen, count }) {
  const { manages } = useFrame();
  if (!manages) return null;
  const some = chosen.all || chosen.ids.length > 0;
  const all = `All that match${count ? `: ${lower(howMany(count))}` : ""}`;
  const which = chosen.all ? all : `${counted(chosen.ids.length, "item")} selected`;
  return html`
    <${C.Flex} wrap="wrap" gap=${3} align="center" my=${2} data-testid="chosen">
      <${C.Text} role="status" color=${some ? "fg" : "fg.muted"}>${some ? which : "Select items to requeue or cancel them."}<//>
      ${chosen.all ? null : html`<${Quiet} disabled=${!count?.items} onClick=${chosen.chooseAll}>Select all that match<//>`}
      ${some ? html`<${Quiet} onClick=${chosen.clear}>Select none<//>` : null}
      ${some ? html`<${Actions} ids=${chosen.all ? null : chosen.ids} runs=${count?.runs} />` : null}
    <//>
  `;
}

/** @param {any} props */
const Quiet = (props) => html`<${C.Button} size="sm" variant="ghost" ...${props} />`;

/** @param {string} words */
const lower = (words) => words.charAt(0).toLowerCase() + words.slice(1);

/**
 * The two buttons.
 * @param {{ids: number[] | null, runs?: Record<string, any>}} props `ids`: none: all that match, as the server says it in `runs`
 */
export function Actions({ ids, runs }) {
  const one = ids?.length === 1;
  const too = ids && ids.length > MOST ? "One run takes 10 000 items: select all that match instead, or fewer." : "";
  const asked = (/** @type {string} */ action) => (ids ? { action, item_ids: ids, dry_run: false } : { ...runs?.[action] });
  const none = (/** @type {string} */ action) => (ids || runs?.[action] ? "" : NOT_FOR_THEM[action]);
  const of = (/** @type {string} */ action) => ({
    name: "requeue",
    dag: "requeue_completions",
    task: "requeue",
    conf: (/** @type {any} */ { reason }) => ({ ...asked(action), ...(reason ? { reason } : {}) }),
    initial: { reason: "" },
    disabled: too || none(action),
  });
  return html`
    <${C.HStack} wrap="wrap" align="start">
      <${Action} ...${of("requeue")} label="Requeue" title=${one ? "Have this item sent again" : "Have these items sent again"}
        form=${reasonForm("Why (kept with each item)")} done=${done("requeued")} testid="requeue-chosen" />
      <${Action} ...${of("cancel")} label=${one ? "Cancel item" : "Cancel items"} tone="danger"
        title=${one ? "Cancel this item" : "Cancel these items"} form=${reasonForm("Why (needed, kept with each item)")}
        count=${counting} done=${done("cancelled")} testid="cancel-chosen" />
    <//>
  `;
}

const NOT_FOR_THEM = /** @type {Record<string, string>} */ ({
  requeue: "Only what is failed, dead, cancelled or held can be requeued; a backfill sends again what was sent.",
  cancel: "Only what is queued, failed, dead or held can be cancelled.",
});

/** Asked only once there is a reason: without one the server would refuse it. @param {Record<string, any>} conf */
const counting = (conf) =>
  conf.reason ? change("actions/requeue/count", { conf }) : Promise.resolve({ sentence: "Say why, and they are counted.", items: 0 });

/** @param {string} verb @returns {(counts: Record<string, number>) => string} */
const done = (verb) => (counts) => {
  const left = counts.refused ? ` ${counted(counts.refused, "other")} stayed as they were: it does not fit them any more.` : "";
  return `${counted(counts.done, "item")} ${counts.done === 1 ? "was" : "were"} ${verb}.${left}`;
};

/** @param {string} label @returns {(props: import("../../parts/action.js").FormProps) => any} */
const reasonForm = (label) => ({ values, set, errors }) => html`
  <${C.Field.Root} invalid=${Boolean(errors.reason)}>
    <${C.Field.Label}>${label}<//>
    <${C.Input} name="reason" value=${values.reason} maxLength=${500} autoComplete="off"
      onChange=${(/** @type {any} */ event) => set("reason", event.target.value)} />
    <${C.Field.HelperText}>No names of learners, please.<//>
    ${errors.reason ? html`<${C.Field.ErrorText}>${errors.reason}<//>` : null}
  <//>
`;
