// @ts-check
// The bridge's DAGs as Airflow has them: whether they are paused, their last run and their next.
import { C, R, html } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { runPage } from "../../lib/place.js";
import { ofAirflow } from "../../lib/runs.js";
import { Loaded } from "../../parts/loaded.js";
import { RunState } from "../../parts/state.js";
import { Symbol } from "../../parts/symbol.js";
import { Table } from "../../parts/table.js";
import { Ago, When } from "../../parts/when.js";
import { Section } from "../../parts/section.js";

const EVERY = 15; // seconds
const DAGS = "totara-bridge"; // the tag that all of them have
const FIRST = ["extract_completions", "push_completions", "watch_delivery", "reconcile_completions", "purge_completions"];

/** @param {{sites: {code: string, extracted_at: string | null}[]}} props */
export function Dags({ sites }) {
  const found = useData(ofAirflow("dags"), { tags: DAGS, limit: 50, exclude_stale: true }, { every: EVERY });
  return html`
    <${Section} title="DAG runs" testid="dags">
      <${Loaded} from=${found}>${(/** @type {any} */ { dags }) => html`<${All} dags=${inOrder(dags)} />`}<//>
      <${C.Text} fontSize="sm" color="fg.muted" mt=${2}>
        ${sites.map(
          (site) => html`
            <${C.Box} as="span" key=${site.code} mr=${4} data-testid=${`extracted-${site.code}`}>
              ${site.extracted_at ? html`<${C.Box} as="span">Site ${site.code} was extracted <${Ago} at=${site.extracted_at} />.<//>` : `Site ${site.code} was never extracted.`}
            <//>
          `,
        )}
      <//>
    <//>
  `;
}

/** Those that run by themselves first. @param {any[]} dags */
function inOrder(dags) {
  const place = (/** @type {any} */ dag) => (FIRST.includes(dag.dag_id) ? FIRST.indexOf(dag.dag_id) : FIRST.length);
  return [...dags].sort((one, other) => place(one) - place(other) || one.dag_id.localeCompare(other.dag_id));
}

/** @param {{dags: any[]}} props */
function All({ dags }) {
  if (!dags.length) return html`<${C.Text}>Airflow has no DAG of the bridge yet, or you may not see any: its DAG processor reads them within half a minute.<//>`;
  const columns = [
    { name: "dag", title: "DAG", show: (/** @type {any} */ dag) => html`<${Inside} to=${`/dags/${encodeURIComponent(dag.dag_id)}`}>${dag.dag_id}<//>` },
    { name: "last", title: "Last run", show: (/** @type {any} */ dag) => html`<${Last} dag=${dag.dag_id} />` },
    { name: "next", title: "Next run", show: (/** @type {any} */ dag) => html`<${Next} dag=${dag} />` },
  ];
  return html`<${Table} columns=${columns} rows=${dags} rowKey=${(/** @type {any} */ dag) => dag.dag_id} caption="The bridge's DAGs" />`;
}

/** @param {{dag: string}} props */
function Last({ dag }) {
  const path = ofAirflow(`dags/${encodeURIComponent(dag)}/dagRuns`);
  const { data, error } = useData(path, { order_by: "-run_after", limit: 1 }, { every: EVERY });
  if (error && !data) return html`<${C.Text} as="span" color="fg.muted">${error.message}<//>`;
  if (!data) return null;
  const [run] = data.dag_runs;
  if (!run) return "never ran";
  return html`
    <${C.HStack} gap=${2} data-run=${run.state}>
      <${RunState} of=${run.state} /><${Inside} to=${runPage(dag, run.dag_run_id)}><${Ago} at=${run.end_date ?? run.start_date ?? run.run_after} /><//>
    <//>
  `;
}

/** @param {{dag: any}} props */
function Next({ dag }) {
  if (dag.is_paused) {
    return html`<${C.HStack} gap=${1} color="fg.warning" data-testid="paused"><${Symbol} name="pause" /><${C.Text} as="span">paused: nothing runs<//><//>`;
  }
  if (!dag.next_dagrun_run_after) return dag.timetable_description ? "when something asks for it" : "–";
  return html`<${When} at=${dag.next_dagrun_run_after} />`;
}

/** @param {{to: string, children: any}} props */
const Inside = ({ to, children }) => html`<${C.Link} asChild variant="underline"><${R.Link} to=${to}>${children}<//><//>`;
