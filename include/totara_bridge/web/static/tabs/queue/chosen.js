// @ts-check
// What can be done with the items that are chosen: a run requeues or cancels them. Who may not manage sees none of it.
import { C, html, useEffect, useRef } from "../../lib/html.js";
import { useFrame } from "../../lib/frame.js";
import { counted } from "../../lib/written.js";
import { Action } from "../../parts/action.js";
import { howMany } from "./many.js";
import { countCancel, done, reason } from "./requeued.js";

const MOST = 10_000; // numbers that one run takes

/** @param {{chosen: any, count: any}} props */
export function Chosen({ chosen, count }) {
  const { manages } = useFrame();
  const some = chosen.all || chosen.ids.length > 0;
  const box = useFocusKept(`${some} ${chosen.all}`);
  if (!manages) return null;
  const all = `All that match${count ? `: ${lower(howMany(count))}` : ""}`;
  const which = chosen.all ? all : `${counted(chosen.ids.length, "item")} selected`;
  return html`
    <${C.Flex} wrap="wrap" gap=${3} align="center" my=${2} minH="9" ref=${box} tabIndex=${-1} outline="none" data-testid="chosen">
      <${C.Text} role="status" color=${some ? "fg" : "fg.muted"}>${some ? which : "Select items to requeue or cancel them."}<//>
      ${chosen.all ? null : html`<${Quiet} disabled=${!count?.items} onClick=${chosen.chooseAll}>Select all that match<//>`}
      ${some ? html`<${Quiet} onClick=${chosen.clear}>Select none<//>` : null}
      ${some ? html`<${Actions} ids=${chosen.all ? null : chosen.ids} runs=${count?.runs} after=${chosen.clear} />` : null}
    <//>
  `;
}

/** Whose button has gone, with what it was pressed for, goes on from here. @param {string} shown */
function useFocusKept(shown) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const before = useRef(shown);
  useEffect(() => {
    if (before.current !== shown && document.activeElement === document.body) box.current?.focus();
    before.current = shown;
  }, [shown]);
  return box;
}

/** @param {any} props */
const Quiet = (props) => html`<${C.Button} size="sm" variant="ghost" ...${props} />`;

/** @param {string} words */
const lower = (words) => words.charAt(0).toLowerCase() + words.slice(1);

/**
 * The two buttons.
 * @param {{ids: number[] | null, runs?: Record<string, any>, after?: () => void}} props
 *   `ids`: none: all that match, as the server says it in `runs`; `after`: what is done once a run was started
 */
export function Actions({ ids, runs, after }) {
  const one = ids?.length === 1;
  const too = ids && ids.length > MOST ? "One run takes 10 000 items: select all that match instead, or fewer." : "";
  const asked = (/** @type {string} */ action) => (ids ? { action, item_ids: ids, dry_run: false } : { ...runs?.[action] });
  const none = (/** @type {string} */ action) => (ids || runs?.[action] ? "" : NOT_FOR_THEM[action]);
  const of = (/** @type {string} */ action) => ({
    name: "requeue",
    dag: "requeue_completions",
    task: "requeue",
    conf: (/** @type {any} */ { reason: why }) => ({ ...asked(action), ...(why.trim() ? { reason: why.trim() } : {}) }),
    initial: { reason: "" },
    disabled: too || none(action),
    after,
  });
  return html`
    <${C.HStack} wrap="wrap" align="start">
      <${Action} ...${of("requeue")} label="Requeue" title=${one ? "Have this item sent again" : "Have these items sent again"}
        form=${reason()} done=${done("requeued")} testid="requeue-chosen" />
      <${Action} ...${of("cancel")} label=${one ? "Cancel item" : "Cancel items"} tone="danger"
        title=${one ? "Cancel this item" : "Cancel these items"} form=${reason(true)}
        count=${countCancel} done=${done("cancelled")} testid="cancel-chosen" />
    <//>
  `;
}

const NOT_FOR_THEM = /** @type {Record<string, string>} */ ({
  requeue: "Only what is failed, dead, cancelled or held can be requeued; a backfill sends again what was sent.",
  cancel: "Only what is queued, failed, dead or held can be cancelled.",
});
