// @ts-check
// Where a person is: tab and filters are in the address, so they survive a reload and can be sent to somebody.
import { R, useCallback, useMemo } from "./html.js";

export const PAGE = "/plugin/oracle-integration";

/** A link to a place of this page, for the router. @param {Record<string, any>} at */
export const linkTo = (at) => `${PAGE}?${written(at)}`;

/** The page of a DAG run in Airflow, for the router. @param {string} dag @param {string} run */
export const runPage = (dag, run) => `/dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`;

/** @param {Record<string, any>} at */
function written(at) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(at)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") query.append(name, String(each));
    }
  }
  return query;
}

/**
 * The place, and how to go elsewhere. `set` changes what it names and leaves the rest; what is empty goes away.
 * One call per event: the router does not add up several.
 */
export function usePlace() {
  const [query, setQuery] = R.useSearchParams();
  const get = useCallback((/** @type {string} */ name) => query.get(name) ?? "", [query]);
  const all = useCallback((/** @type {string} */ name) => query.getAll(name), [query]);
  const set = useCallback(
    (/** @type {Record<string, any>} */ changes, { replace = false } = {}) => {
      const now = /** @type {Record<string, any>} */ ({});
      const here = new URLSearchParams(location.search); // not as last drawn: somebody may be quicker than that
      for (const name of new Set(here.keys())) now[name] = here.getAll(name);
      setQuery(written({ ...now, ...changes }), { replace, preventScrollReset: true });
    },
    [setQuery],
  );
  const go = useCallback((/** @type {Record<string, any>} */ at) => setQuery(written(at)), [setQuery]);
  return useMemo(() => ({ get, all, set, go }), [get, all, set, go]);
}
