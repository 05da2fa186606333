// @ts-check
// Failed and dead items by what went wrong: how many, since when, what to do about it, and the buttons that do it.
import { C, R, html, useState } from "../../lib/html.js";
import { useFrame } from "../../lib/frame.js";
import { linkTo } from "../../lib/place.js";
import { Action } from "../../parts/action.js";
import { Empty } from "../../parts/loaded.js";
import { Number } from "../../parts/number.js";
import { State } from "../../parts/state.js";
import { When } from "../../parts/when.js";
import { countCancel, done, reason } from "../queue/requeued.js";

/**
 * @typedef {{destination: string, fingerprint: string, error_class: string, error_code: string | null, sample: string | null,
 *   sample_item: number, failed: number, dead: number, first_at: string, last_at: string, what_to_do: string}} Group
 */

/** @param {Group} group */
const keyOf = (group) => `${group.destination} ${group.fingerprint}`;

/** @param {{groups: Group[]}} props */
export function Errors({ groups }) {
  // a requeued group is gone at the next look, and would take the open dialog and what it says along
  const [acting, setActing] = useState(/** @type {Group | null} */ (null));
  const gone = acting && !groups.some((each) => keyOf(each) === keyOf(acting));
  const shown = gone ? [acting, ...groups] : groups;
  if (!shown.length) return html`<${Empty} title="No item is failed or dead" />`;
  return html`
    <${C.Stack} gap=${3}>
      ${shown.map(
        (group) => html`<${Card} key=${keyOf(group)} group=${group} opened=${(/** @type {boolean} */ open) => setActing(open ? group : null)} />`,
      )}
    <//>
  `;
}

/** @param {{group: Group, opened: (open: boolean) => void}} props */
function Card({ group, opened }) {
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
        <${Actions} group=${group} states=${states} opened=${opened} />
      <//>
    <//>
  `;
}

/** @param {{group: Group, states: string[], opened: (open: boolean) => void}} props */
function Actions({ group, states, opened }) {
  const { destinations } = useFrame();
  const { destination, fingerprint } = group;
  const known = destinations.some((each) => each.code === destination);
  const of = (/** @type {string} */ action) => ({
    name: "requeue",
    dag: "requeue_completions",
    conf: (/** @type {any} */ { reason: why }) => ({
      action, states, destinations: [destination], fingerprint, reason: why.trim() || null, dry_run: false,
    }),
    initial: { reason: "" },
    opened,
    disabled: known ? false : `bridge.toml does not name ${destination}.`,
  });
  return html`
    <${C.HStack} wrap="wrap" align="start">
      <${Action} ...${of("requeue")} label="Requeue" title="Have the items of this group sent again" done=${done("requeued")}
        form=${reason()} testid="requeue-group" />
      <${Action} ...${of("cancel")} label="Cancel items" title="Cancel the items of this group" tone="danger" count=${countCancel}
        done=${done("cancelled")} form=${reason(true)} testid="cancel-group" />
    <//>
  `;
}
