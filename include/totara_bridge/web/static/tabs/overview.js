// @ts-check
// What a manager opens every morning: whether all is well, what waits where, what was delivered, and what to do about it.
import { C, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { usePlace } from "../lib/place.js";
import { Chart } from "../parts/chart.js";
import { Loaded } from "../parts/loaded.js";
import { Actions } from "./overview/actions.js";
import { Alerts, Fact } from "../parts/alerts.js";
import { Connections } from "./overview/connections.js";
import { Dags } from "./overview/dags.js";
import { ExportQueue } from "./overview/export_queue.js";
import { QuickSetup } from "./overview/quick_setup.js";
import { Section } from "../parts/section.js";

const PERIODS = [
  { name: "24h", label: "24 hours" },
  { name: "7d", label: "7 days" },
  { name: "30d", label: "30 days" },
];
const EVERY = 15; // seconds

export function Overview() {
  const place = usePlace();
  const asked = place.get("period");
  const period = PERIODS.some(({ name }) => name === asked) ? asked : PERIODS[0].name;
  const found = useData("overview", { period }, { every: EVERY });
  return html`<${Loaded} from=${found}>${(/** @type {any} */ seen) => html`<${Page} seen=${seen} period=${period} />`}<//>`;
}

/** @param {{seen: any, period: string}} props */
function Page({ seen, period }) {
  const { manages, enabled } = useFrame();
  return html`
    <${C.Stack} gap=${6} pt=${2}>
      <${C.Flex} wrap="wrap" gap=${6} data-testid="status">
        <${Fact} on=${enabled} words=${`Integration switched ${enabled ? "on" : "off"}`} testid="status-enabled" />
        <${Fact} on=${seen.pull.enabled} words=${`Pull API switched ${seen.pull.enabled ? "on" : "off"}`} testid="status-pull" />
        <${Alerts} alerts=${seen.alerts} />
      <//>
      <${ExportQueue} seen=${seen} period=${period} />
      <${Course} chart=${seen.chart} period=${period} />
      ${manages ? html`<${Actions} destinations=${seen.destinations} />` : null}
      <${Connections} seen=${seen} />
      <${Dags} sites=${seen.sites} />
      ${manages ? html`<${QuickSetup} pull=${seen.pull} />` : null}
    <//>
  `;
}

/** @param {{chart: any, period: string}} props */
function Course({ chart, period }) {
  const place = usePlace();
  const { label } = PERIODS.find(({ name }) => name === period) ?? PERIODS[0];
  const choices = html`
    <${C.ButtonGroup} size="xs" variant="outline" attached role="group" aria-label="Period">
      ${PERIODS.map(({ name, label: words }) => {
        const on = name === period;
        return html`
          <${C.Button} key=${name} aria-pressed=${on} variant=${on ? "solid" : "outline"} data-testid=${`period-${name}`}
            onClick=${() => place.set({ period: name })}>${words}<//>
        `;
      })}
    <//>
  `;
  const series = [
    { name: "extracted", label: "Extracted", tone: "blue", values: chart.extracted },
    { name: "sent", label: "Sent", tone: "green", values: chart.sent },
    { name: "failed", label: "Failed or died", tone: "red", values: chart.failed },
  ];
  const by = chart.step_seconds > 3600 ? `${chart.step_seconds / 3600} hours` : "hour";
  return html`
    <${Section} title="Extracted, sent and failed" aside=${choices}>
      <${Chart} series=${series} hours=${chart.hours} label=${`Extracted, sent and failed by ${by} in the last ${label}`} />
    <//>
  `;
}
