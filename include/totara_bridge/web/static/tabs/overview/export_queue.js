// @ts-check
// The export queue of each destination: how much is in each state, what waits longest, and how soon things arrive.
import { C, html } from "../../lib/html.js";
import { linkTo } from "../../lib/place.js";
import { length, number, percent } from "../../lib/written.js";
import { StatBox } from "../../parts/stat.js";
import { State } from "../../parts/state.js";
import { Ago, When } from "../../parts/when.js";
import { Section } from "../../parts/section.js";

const STATES = /** @type {{state: string, help: string, tone?: string}[]} */ ([
  { state: "queued", help: "wait for their first attempt" },
  { state: "sending", help: "are on their way now" },
  { state: "failed", help: "are tried again by themselves", tone: "up_for_retry" },
  { state: "dead", help: "wait for a person", tone: "failed" },
  { state: "held", help: "lack a mapping or a date", tone: "deferred" },
  { state: "cancelled", help: "are not sent" },
  { state: "sent", help: "are there, and kept here for some time" },
]);
const IN_WORDS = /** @type {Record<string, string>} */ ({ "24h": "24 hours", "7d": "7 days", "30d": "30 days" });

/** @param {{seen: any, period: string}} props */
export function ExportQueue({ seen, period }) {
  const many = seen.destinations.length > 1;
  return html`
    <${Section} title="Export queue" testid="export-queue">
      <${C.Stack} gap=${5}>
        ${many ? html`<${Everywhere} totals=${seen.totals} />` : null}
        ${seen.destinations.map(
          (/** @type {any} */ each) => html`<${Destination} key=${each.code} of=${each} period=${period} named=${many} />`,
        )}
      <//>
    <//>
  `;
}

/** @param {{totals: any}} props */
const Everywhere = ({ totals }) => html`
  <${C.Box} data-testid="queue-all">
    <${C.Heading} as="h3" size="sm" mb=${2}>All destinations<//>
    <${C.Flex} wrap="wrap" gap=${3}><${Counts} counts=${totals.counts} /><//>
    <${C.Flex} wrap="wrap" gap=${3} mt=${3}><${Delivered} of=${totals} /><//>
  <//>
`;

/** @param {{of: any, period: string, named: boolean}} props */
function Destination({ of, period, named }) {
  return html`
    <${C.Box} data-testid=${`queue-${of.code}`}>
      ${named ? html`<${C.Heading} as="h3" size="sm" mb=${2}>${of.code}${of.connection ? "" : " (no more in bridge.toml)"}<//>` : null}
      <${Resting} of=${of} />
      <${C.Flex} wrap="wrap" gap=${3}>
        <${Counts} counts=${of.counts} backfill=${of.by_lane.backfill} destination=${named ? of.code : undefined} />
      <//>
      <${C.Flex} wrap="wrap" gap=${3} mt=${3}>
        <${Oldest} oldest=${of.oldest_waiting} promise=${of.promise_seconds} />
        <${Delivered} of=${of} />
        <${Delay} of=${of} period=${period} />
      <//>
    <//>
  `;
}

/** @param {{counts: Record<string, number>, backfill?: Record<string, number>, destination?: string}} props */
function Counts({ counts, backfill, destination }) {
  return STATES.map(({ state, help, tone }) => {
    const past = backfill?.[state];
    return html`
      <${StatBox} key=${state} label=${state[0].toUpperCase() + state.slice(1)} value=${counts[state]}
        help=${past && state !== "sent" ? `${help}; ${past === counts[state] ? "all" : number(past)} of a backfill` : help}
        tone=${counts[state] ? tone : undefined} to=${linkTo({ tab: "queue", state, destination })} testid=${`count-${state}`} />
    `;
  });
}

/** @param {{oldest: {since: string, state: string} | null, promise: number}} props */
function Oldest({ oldest, promise }) {
  if (!oldest) return html`<${StatBox} label="Waits longest" value="Nothing waits" help="a backfill aside" testid="oldest" />`;
  const seconds = Math.max(0, (Date.now() - Date.parse(oldest.since)) / 1000);
  const late = seconds > promise;
  const help = html`
    <${C.Stack} gap=${0.5} align="start">
      <${C.Box}>since <${When} at=${oldest.since} /><//>
      <${C.Box}><${State} of=${oldest.state} /> promised: within ${length(promise)}<//>
    <//>
  `;
  return html`
    <${StatBox} label="Waits longest" value=${length(seconds)} help=${help} tone=${late ? "failed" : undefined} testid="oldest" />
  `;
}

/** @param {{of: any}} props */
function Delivered({ of }) {
  return [
    html`<${StatBox} key="hour" label="Delivered in the last hour" value=${of.sent_last_hour} testid="sent-hour" />`,
    html`<${StatBox} key="day" label="Delivered in the last 24 hours" value=${of.sent_last_day} testid="sent-day" />`,
  ];
}

/** @param {{of: any, period: string}} props */
function Delay({ of, period }) {
  const label = `95 % took at most, last ${IN_WORDS[period]}`;
  const promise = length(of.promise_seconds);
  if (!of.delay) {
    return html`<${StatBox} label=${label} value="–" help=${`nothing new was delivered; promised: ${promise}`} testid="delay" />`;
  }
  const { p50, p95, share_in_time: share, promised_share: goal } = of.delay;
  const kept = share >= goal;
  const help = `half within ${length(p50)}; promised: ${percent(goal)} within ${promise}, ${kept ? "kept" : "not kept"}: ${percent(share)} were`;
  return html`<${StatBox} label=${label} value=${length(p95)} help=${help} tone=${kept ? undefined : "failed"} testid="delay" />`;
}

/** @param {{of: any}} props */
function Resting({ of }) {
  if (!of.down_since && !of.resting_until && !of.shadow) return null;
  const because = of.reason ? `: it ${of.reason}` : "";
  return html`
    <${C.Alert.Root} status="warning" size="sm" mb=${3} data-testid="resting">
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        ${of.down_since ? html`<${C.Text}>${of.code} has stored nothing since <${Ago} at=${of.down_since} />${because}.<//>` : null}
        ${
          of.resting_until
            ? html`<${C.Text}>Nothing is sent to ${of.code} until <${When} at=${of.resting_until} />${of.down_since ? "" : because}.<//>`
            : null
        }
        ${of.shadow ? html`<${C.Text}>${of.code} is in shadow mode: the log shows what would be sent, and nothing is.<//>` : null}
      <//>
    <//>
  `;
}
