// @ts-check
// A state as a pill: its word, a symbol, and the host's colour for what is most like it.
import { C, html } from "../lib/html.js";
import { Symbol } from "./symbol.js";

const STATES = /** @type {Record<string, [palette: string, symbol: string, words?: string]>} */ ({
  queued: ["queued", "clock"],
  sending: ["running", "arrow"],
  sent: ["success", "check"],
  failed: ["up_for_retry", "again"],
  dead: ["failed", "cross"],
  held: ["deferred", "pause"],
  cancelled: ["removed", "slash"],
});

const OUTCOMES = /** @type {typeof STATES} */ ({
  sent: ["success", "check"],
  partly: ["up_for_retry", "half", "partly sent"],
  none_sent: ["failed", "cross", "none sent"],
  refused: ["up_for_retry", "half"],
  rejected: ["failed", "cross"],
  too_large: ["up_for_retry", "half", "too large"],
  in_flight: ["up_for_retry", "again", "in flight"],
  unavailable: ["up_for_retry", "again"],
  not_json: ["upstream_failed", "warn", "no JSON"],
  unclear: ["upstream_failed", "warn"],
  unreachable: ["up_for_retry", "again"],
  timeout: ["up_for_retry", "again"],
  reset: ["up_for_retry", "again"],
  garbled: ["upstream_failed", "warn"],
  token: ["up_for_retry", "again", "no token"],
  problem: ["failed", "warn"],
  shadow: ["deferred", "shadow"],
});

const RUNS = /** @type {typeof STATES} */ ({
  queued: ["queued", "clock"],
  running: ["running", "arrow"],
  success: ["success", "check"],
  failed: ["failed", "cross"],
});

/** Every state of an item, for filters. */
export const ALL_STATES = Object.keys(STATES);

/** @param {{of: string}} props a state of an item */
export const State = ({ of }) => html`<${Pill} as=${STATES[of]} word=${of} />`;

/** @param {{of: string}} props the outcome of a request */
export const Outcome = ({ of }) => html`<${Pill} as=${OUTCOMES[of]} word=${of} />`;

/** @param {{of: string}} props the state of a DAG run */
export const RunState = ({ of }) => html`<${Pill} as=${RUNS[of]} word=${of} />`;

/** @param {{as?: [palette: string, symbol: string, words?: string], word: string}} props */
function Pill({ as = ["none", "dot"], word }) {
  const [palette, symbol, words] = as;
  return html`
    <${C.Badge} colorPalette=${palette} variant="subtle" borderRadius="full" px=${2} gap=${1} whiteSpace="nowrap" data-state=${word}>
      <${Symbol} name=${symbol} />${words ?? word}
    <//>
  `;
}
