// @ts-check
// The promises that are broken now; that none is, is said too.
import { C, R, html } from "../lib/html.js";
import { runPage } from "../lib/place.js";
import { Symbol } from "./symbol.js";
import { Ago } from "./when.js";

/** @typedef {{name: string, subject: string, words: string, since: string, run_id: string | null}} Alert */

/** @param {{alerts: Alert[]}} props */
export function Alerts({ alerts }) {
  if (!alerts.length) return html`<${Fact} on words="No alert is open" testid="no-alerts" />`;
  return html`
    <${C.Stack} gap=${2} data-testid="alerts">
      ${alerts.map((alert) => html`<${Open} key=${`${alert.name} ${alert.subject}`} alert=${alert} />`)}
    <//>
  `;
}

/** Whether something is as it should be, as a symbol and in words. @param {{on: boolean, words: string, testid?: string}} props */
export const Fact = ({ on, words, testid }) => html`
  <${C.HStack} gap=${2} color=${on ? "fg" : "fg.warning"} data-testid=${testid}>
    <${Symbol} name=${on ? "check" : "slash"} size="4" /><${C.Text}>${words}<//>
  <//>
`;

/** @param {{alert: Alert}} props */
function Open({ alert }) {
  const [dag] = alert.subject.split(".");
  return html`
    <${C.Alert.Root} status="warning" data-alert=${alert.name}>
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>${capital(alert.name.replaceAll("_", " "))}: ${alert.subject}<//>
        <${C.Alert.Description}>
          ${alert.words} Raised <${Ago} at=${alert.since} />.
          ${" "}What to do: docs/operations.md, under “${alert.name}”.
          ${alert.run_id ? html`<${RunLink} dag=${dag} run=${alert.run_id} />` : null}
        <//>
      <//>
    <//>
  `;
}

/** @param {{dag: string, run: string}} props */
const RunLink = ({ dag, run }) => html`
  <${C.Link} asChild variant="underline" ml=${1}><${R.Link} to=${runPage(dag, run)}>Open the run<//><//>
`;

/** @param {string} words */
const capital = (words) => words[0].toUpperCase() + words.slice(1);
