// @ts-check
// The tab of a DAG run: what a run of ours has done, in numbers, and where in the page what it touched is seen.
import { C, R, html } from "./lib/html.js";
import { useData } from "./lib/data.js";
import { linkTo } from "./lib/place.js";
import { ofAirflow, useReturned } from "./lib/runs.js";
import { Boundary } from "./parts/boundary.js";
import { Failed, Loaded } from "./parts/loaded.js";
import { Number } from "./parts/number.js";
import { RunState } from "./parts/state.js";
import { When } from "./parts/when.js";

const queued = { tab: "queue", words: "What was queued meanwhile" };
const requests = { tab: "logs", log: "requests", words: "Requests to the destinations meanwhile" };
const audited = { tab: "logs", log: "audit", words: "What people did meanwhile, this run included" };
const problems = { tab: "problems", always: true, words: "Problems and alerts as they are now" };
const overview = { tab: "overview", always: true, words: "How things stand now" };

/** By DAG: what a run of it does, and where that is seen. */
const OURS = /** @type {Record<string, {does: string, links: any[]}>} */ ({
  extract_completions: { does: "It reads what is new in Totara and queues what the destinations want.", links: [queued] },
  push_completions: { does: "It sends what is due.", links: [requests, problems] },
  requeue_completions: { does: "It has items sent again, or cancels them.", links: [audited, queued] },
  backfill_completions: { does: "It queues the past from a date.", links: [audited, queued] },
  purge_completions: { does: "It deletes what is finished and was kept long enough.", links: [audited] },
  load_mappings: { does: "It reads which learner and course of Totara is which of Oracle.", links: [audited, queued] },
  reconcile_completions: { does: "It compares Totara, what is staged and what was delivered.", links: [problems] },
  watch_delivery: { does: "It looks whether the promises are kept, and raises alerts.", links: [overview, problems] },
  erase_learner: { does: "It erases what is stored of a learner.", links: [audited] },
});

/** @param {{dagId?: string, runId?: string}} props */
function Run({ dagId = "", runId = "" }) {
  if (!(dagId in OURS)) {
    return html`<${C.Text} p=${4} color="fg.muted">This DAG is no part of the Oracle Integration: there is nothing to show here.<//>`;
  }
  return html`<${OurRun} dag=${dagId} run=${runId} />`;
}

/** @param {{dag: string, run: string}} props */
function OurRun({ dag, run }) {
  const address = ofAirflow(`dags/${encodeURIComponent(dag)}/dagRuns/${encodeURIComponent(run)}`);
  const found = useData(address, {}, { every: 10 });
  return html`<${Loaded} from=${found}>${(/** @type {any} */ of) => html`<${Told} dag=${dag} run=${run} of=${of} />`}<//>`;
}

/** @param {{dag: string, run: string, of: any}} props */
function Told({ dag, run, of }) {
  const { does, links } = OURS[dag];
  const period = { from: of.start_date, to: of.end_date };
  return html`
    <${C.Stack} gap=${4} p=${4} id="oracle-run" data-testid="oracle-run">
      <${C.Text}>${does}<//>
      <${C.HStack} wrap="wrap" gap=${3}>
        <${RunState} of=${of.state} />
        <${C.Text}>from <${When} at=${of.start_date} /> to <${When} at=${of.end_date} /><//>
        ${of.triggering_user_name ? html`<${C.Text}>started by ${of.triggering_user_name}<//>` : null}
      <//>
      <${Returned} dag=${dag} run=${run} state=${of.state} />
      <${C.List.Root} as="ul" ps=${5}>
        ${links.map(({ words, always, ...to }) =>
          always || of.start_date
            ? html`
                <${C.List.Item} key=${words}>
                  <${C.Link} asChild variant="underline"><${R.Link} to=${linkTo(always ? to : { ...to, ...period })}>${words}<//><//>
                <//>
              `
            : null,
        )}
      <//>
    <//>
  `;
}

/** @param {{dag: string, run: string, state: string}} props */
function Returned({ dag, run, state }) {
  const { counts, error } = useReturned(dag, run, state);
  if (error) return html`<${Failed} error=${error} />`;
  if (counts === undefined) return null;
  const told = Object.entries(counts ?? {});
  if (!told.length) return html`<${C.Text} color="fg.muted">Its tasks returned no numbers; their logs say more.<//>`;
  return html`
    <${C.DataList.Root} orientation="horizontal" maxW="30rem" aria-label="What its tasks returned">
      ${told.map(
        ([name, count]) => html`
          <${C.DataList.Item} key=${name}>
            <${C.DataList.ItemLabel} minW="12rem">${name.replaceAll("_", " ")}<//>
            <${C.DataList.ItemValue}><${Number} of=${count} to=${counted(name)} /><//>
          <//>
        `,
      )}
    <//>
  `;
}

/** A kind of error has a place of its own in the queue. @param {string} name of a number that a task returned */
function counted(name) {
  const [kind, fingerprint] = name.split("_");
  return kind === "error" && fingerprint ? linkTo({ tab: "queue", error: fingerprint }) : undefined;
}

/** @type {any} */ (globalThis)["Oracle Integration"] = (/** @type {any} */ props) => html`<${Boundary}><${Run} ...${props} /><//>`;
