// @ts-check
// What was fetched, kept outside of React: the host takes our tree down and up again, and nobody is to see a spinner then.
import { ask, address } from "./http.js";
import { useCallback, useEffect, useMemo, useSyncExternalStore } from "./html.js";

/** @typedef {{data: any, error: Error | null, loading: boolean, at: number}} Kept */

/** @type {Map<string, {kept: Kept, listeners: Set<() => void>, running: AbortController | null}>} */
const entries = new Map();
const MOST = 200;
const NOTHING = Object.freeze({ data: undefined, error: null, loading: true, at: 0 });

/** @param {string} key */
function entry(key) {
  let found = entries.get(key);
  if (!found) {
    found = { kept: NOTHING, listeners: new Set(), running: null };
    entries.set(key, found);
    for (const [old, each] of entries) {
      if (entries.size <= MOST) break;
      if (!each.listeners.size) entries.delete(old);
    }
  }
  return found;
}

/** @param {string} key @param {Partial<Kept>} news */
function keep(key, news) {
  const found = entry(key);
  found.kept = { ...found.kept, ...news };
  for (const listener of found.listeners) listener();
}

/** @param {string} path @param {Record<string, any>} query */
async function load(path, query) {
  const key = address(path, query);
  const found = entry(key);
  found.running?.abort();
  const running = (found.running = new AbortController());
  keep(key, { loading: true });
  try {
    const data = await ask(path, query, running.signal);
    if (found.running === running) keep(key, { data, error: null, loading: false, at: Date.now() });
  } catch (error) {
    if (found.running === running) keep(key, { error: /** @type {Error} */ (error), loading: false });
  }
}

/**
 * What the bridge answers at an address: fetched once, again every so many seconds while somebody looks, and on reload.
 * What was there before stays in `data` while it is fetched anew, and when that fails.
 * @param {string} path
 * @param {Record<string, any>} [query]
 * @param {{every?: number}} [options] seconds; none: only when asked
 * @returns {Kept & {reload: () => Promise<void>}}
 */
export function useData(path, query = {}, { every } = {}) {
  const key = address(path, query);
  const subscribe = useCallback((/** @type {() => void} */ listener) => {
    const { listeners } = entry(key);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, [key]);
  const kept = useSyncExternalStore(subscribe, () => entry(key).kept);
  const reload = useCallback(() => load(path, query), [key]);
  useEffect(() => {
    const old = Date.now() - entry(key).kept.at;
    if (old > 2_000) reload();
    if (!every) return undefined;
    // what is on its way is waited for: asked anew each time, an answer slower than this would never be heard
    const again = () => document.visibilityState === "visible" && !entry(key).kept.loading && reload();
    const timer = setInterval(again, every * 1000);
    document.addEventListener("visibilitychange", again);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [key, every]);
  return useMemo(() => ({ ...kept, reload }), [kept, reload]);
}

/** Fetch again what is shown, after something was changed. @param {string} [path] only what begins with it */
export function refresh(path = "") {
  const prefix = address(path);
  for (const [key, each] of entries) {
    if (!key.startsWith(prefix)) continue;
    if (!each.listeners.size) entries.delete(key);
    else {
      const url = new URL(key);
      const query = /** @type {Record<string, any>} */ ({});
      for (const name of new Set(url.searchParams.keys())) query[name] = url.searchParams.getAll(name);
      load(url.origin + url.pathname, query);
    }
  }
}
