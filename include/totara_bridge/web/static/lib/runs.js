// @ts-check
// DAG runs: started with the person's own permission, followed to their end, and what their tasks returned.
import { airflow } from "./http.js";
import { useData } from "./data.js";
import { useEffect, useState } from "./html.js";

const PAUSE = 1_500; // milliseconds between two looks, at first
const LONGEST_PAUSE = 15_000; // of a run that waits, for a paused DAG perhaps
const ENDED = new Set(["success", "failed"]);

/** An address of Airflow's API for `useData`. @param {string} path such as "dags/push_completions" */
export const ofAirflow = (path) => new URL(`api/v2/${path}`, document.baseURI).href;

/** @param {string} dag @param {string} [run] */
const runs = (dag, run) => `dags/${encodeURIComponent(dag)}/dagRuns${run ? `/${encodeURIComponent(run)}` : ""}`;

/** Start a run. @param {string} dag @param {Record<string, any>} conf @returns {Promise<string>} the run's id */
export async function trigger(dag, conf) {
  const started = await airflow("POST", runs(dag), { logical_date: null, conf });
  return started.dag_run_id;
}

/**
 * Look again and again until the run has ended.
 * @param {string} dag @param {string} run
 * @param {(state: string) => void} [seen] each time it was looked
 * @returns {Promise<"success" | "failed">}
 */
export async function follow(dag, run, seen = () => {}) {
  let misses = 0;
  for (let pause = PAUSE; ; pause = Math.min(pause * 1.1, LONGEST_PAUSE)) {
    try {
      const { state } = await airflow("GET", runs(dag, run));
      misses = 0;
      seen(state);
      if (ENDED.has(state)) return state;
    } catch (error) {
      misses += 1; // the API server may be starting anew: the run goes on without it
      if (misses > 20) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * What the tasks of a run returned, added up by name; null: none returned anything.
 * @param {string} dag @param {string} run @param {string | string[]} [tasks] only these
 * @returns {Promise<Record<string, number> | null>}
 */
export async function returned(dag, run, tasks) {
  const only = tasks === undefined ? null : [tasks].flat();
  const { task_instances: found } = await airflow("GET", `${runs(dag, run)}/taskInstances?limit=100`);
  const ended = found.filter((/** @type {any} */ each) => each.state === "success" && (!only || only.includes(each.task_id)));
  const answers = await Promise.all(ended.map((/** @type {any} */ each) => value(dag, run, each)));
  const counts = /** @type {Record<string, number>} */ ({});
  for (const answer of answers) {
    for (const [name, count] of Object.entries(answer ?? {})) {
      if (typeof count === "number") counts[name] = (counts[name] ?? 0) + count;
    }
  }
  return answers.some(Boolean) ? counts : null;
}

/** @param {string} dag @param {string} run @param {{task_id: string, map_index: number}} task */
async function value(dag, run, { task_id: task, map_index: index }) {
  const path = `${runs(dag, run)}/taskInstances/${encodeURIComponent(task)}/xcomEntries/return_value?map_index=${index}`;
  try {
    const found = (await airflow("GET", path)).value;
    return typeof found === "string" ? JSON.parse(found) : found;
  } catch {
    return null; // it returned nothing
  }
}

/**
 * What the tasks of a run have returned so far; asked anew when the run's state changes. `counts`: undefined on its way.
 * @param {string} dag @param {string} run @param {string} state
 */
export function useReturned(dag, run, state) {
  const [told, setTold] = useState(/** @type {{counts?: Record<string, number> | null, error?: Error}} */ ({}));
  useEffect(() => {
    let wanted = true;
    returned(dag, run).then((counts) => wanted && setTold({ counts }), (error) => wanted && setTold({ error }));
    return () => void (wanted = false);
  }, [dag, run, state]);
  return told;
}

/** What Airflow knows of a DAG: `data.is_paused`, `data.next_dagrun_run_after` … @param {string} dag @param {{every?: number}} [options] */
export const useDag = (dag, options) => useData(ofAirflow(`dags/${encodeURIComponent(dag)}`), {}, options);

/** Whether a DAG is paused, so that its runs wait; undefined: not known (yet). @param {string} dag @returns {boolean | undefined} */
export const usePaused = (dag) => useDag(dag, { every: 10 }).data?.is_paused;
