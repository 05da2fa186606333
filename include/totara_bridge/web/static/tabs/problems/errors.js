// @ts-check
// Failed and dead items by what went wrong: how many, since when, what to do about it, and the buttons that do it.
import { C, R, html } from "../../lib/html.js";
import { change } from "../../lib/http.js";
import { useFrame } from "../../lib/frame.js";
import { linkTo } from "../../lib/place.js";
import { counted } from "../../lib/written.js";
import { Action } from "../../parts/action.js";
import { Empty } from "../../parts/loaded.js";
import { Number } from "../../parts/number.js";
import { State } from "../../parts/state.js";
import { When } from "../../parts/when.js";
import { Field } from "../overview/fields.js";

/**
 * @typedef {{destination: string, fingerprint: string, error_class: string, error_code: string | null, sample: string | null,
 *   sample_item: number, failed: number, dead: number, first_at: string, last_at: string, what_to_do: string}} Group
 */

/** @param {{groups: Group[]}} props */
export function Errors({ groups }) {
  if (!groups.length) return html`<${Empty} title="No item is failed or dead" />`;
  return html`
    <${C.Stack} gap=${3}>
      ${groups.map((group) => html`<${Card} key=${`${group.destination} ${group.fingerprint}`} group=${group} />`)}
    <//>
  `;
}

/** @param {{group: Group}} props */
function Card({ group }) {
  const { destination, fingerprint, error_class, error_code, sample } = group;
  const states = /** @type {const} */ (["dead", "failed"]).filter((state) => group[state]);
  const queue = (/** @type {any} */ state) => linkTo({ tab: "queue", state, destination, error: fingerprint });
  return html`
    <${C.Box} as="article" borderWidth="1px" borderRadius="md" p=${3} aria-label=${`${error_class} at ${destination}`} data-error=${fingerprint}>
      <${C.Flex} wrap="wrap" gap=${3} align="center" mb=${2}>
        ${states.map((state) => html`<${C.HStack} key=${state} gap=${1}><${Number} of=${group[state]} to=${queue(state)} /><${State} of=${state} /><//>`)}
        <${C.Heading} as="h3" size="sm">${error_class}${error_code ? ` · ${error_code}` : ""}<//>
        <${C.Text} color="fg.muted" fontSize="sm">${destination} · <${C.Code} size="sm">${fingerprint}<//><//>
      <//>
      ${sample ? html`<${C.Text} as="blockquote" borderStartWidth="3px" ps=${3} mb=${2} overflowWrap="anywhere">${sample}<//>` : null}
      <${C.Text} mb=${2} maxW="80ch"><b>What to do: </b>${group.what_to_do}<//>
      <${C.Flex} wrap="wrap" gap=${3} align="center" justify="space-between">
        <${C.Text} as="div" fontSize="sm" color="fg.muted">
          First <${When} at=${group.first_at} />, last <${When} at=${group.last_at} />;${" "}
          <${C.Link} asChild variant="underline"><${R.Link} to=${linkTo({ tab: "queue", item: group.sample_item })}>the newest of them<//><//>
        <//>
        <${Actions} group=${group} states=${states} />
      <//>
    <//>
  `;
}

/** @param {{group: Group, states: string[]}} props */
function Actions({ group, states }) {
  const { destinations } = useFrame();
  const { destination, fingerprint } = group;
  const known = destinations.some((each) => each.code === destination);
  const of = (/** @type {string} */ action) => ({
    name: "requeue",
    dag: "requeue_completions",
    conf: (/** @type {any} */ { reason }) => ({
      action, states, destinations: [destination], fingerprint, reason: reason.trim() || null, dry_run: false,
    }),
    initial: { reason: "" },
    disabled: known ? false : `bridge.toml does not name ${destination}.`,
  });
  return html`
    <${C.HStack} wrap="wrap" align="start">
      <${Action} ...${of("requeue")} label="Requeue" title="Have the items of this group sent again" done=${done("requeued")}
        form=${reason("Reason", "Kept in the trace of each item. No names of learners, please.")} testid="requeue-group" />
      <${Action} ...${of("cancel")} label="Cancel items" title="Cancel the items of this group" tone="danger" count=${counting}
        done=${done("cancelled")} form=${reason("Reason, needed", "Kept in the trace of each item. No names of learners, please.")}
        testid="cancel-group" />
    <//>
  `;
}

/** @param {string} label @param {string} help @returns {(at: import("../../parts/action.js").FormProps) => any} */
const reason = (label, help) => (at) => html`<${Field} at=${at} name="reason" label=${label} help=${help} />`;

/** Without a reason the server refuses to cancel, and would be asked in vain. @param {Record<string, any>} conf */
const counting = (conf) =>
  conf.reason ? change("actions/requeue/count", { conf }) : Promise.resolve({ sentence: "Say why, and they are counted.", items: 0 });

/** @param {string} verb @returns {(counts: Record<string, number>) => string} */
const done = (verb) => (counts) => {
  const left = counts.refused ? ` ${counted(counts.refused, "other")} stayed as they were: their traces say why.` : "";
  return `${counted(counts.done, "item was", "items were")} ${verb}.${left}`;
};
