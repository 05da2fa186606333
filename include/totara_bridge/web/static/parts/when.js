// @ts-check
// A moment: in the zone chosen in Airflow, and in UTC for whoever points at it or comes to it by keyboard.
import { C, createContext, html, useContext } from "../lib/html.js";
import { NOTHING, ago, inUtc, useZone, when } from "../lib/written.js";
import { useNow } from "../lib/zone.js";

/** Among many, in a table, a moment is no stop on the way of the keyboard, and costs no tooltip of its own. */
export const AmongMany = createContext(false);

/** @param {{at: string | null | undefined}} props */
export function When({ at }) {
  const zone = useZone();
  return html`<${Moment} at=${at} words=${when(at, zone)} more="" />`;
}

/** @param {{at: string | null | undefined}} props */
export function Ago({ at }) {
  const zone = useZone();
  const now = useNow();
  return html`<${Moment} at=${at} words=${at ? ago(at, now) : NOTHING} more=${`${when(at, zone)} · `} />`;
}

/** @param {{at: string | null | undefined, words: string, more: string}} props */
function Moment({ at, words, more }) {
  const many = useContext(AmongMany);
  if (!at || words === NOTHING) return html`<${C.Text} as="span">${NOTHING}<//>`;
  const utc = more + inUtc(at);
  if (many) return html`<${C.Text} as="time" dateTime=${at} title=${utc} whiteSpace="nowrap">${words}<//>`;
  return html`
    <${C.Tooltip.Root} openDelay=${200} closeDelay=${0} lazyMount unmountOnExit>
      <${C.Tooltip.Trigger} asChild>
        <${C.Text} as="time" dateTime=${at} tabIndex=${0} whiteSpace="nowrap">${words}<//>
      <//>
      <${C.Portal}>
        <${C.Tooltip.Positioner}><${C.Tooltip.Content}>${utc}<//><//>
      <//>
    <//>
  `;
}
