// @ts-check
// What was entered and not saved yet, kept outside of React: neither fresh data nor another tab takes a letter away.
import { useCallback, useSyncExternalStore } from "../../lib/html.js";

/**
 * @typedef {{form: any, was: any, saving?: boolean, errors?: Record<string, string>}} Draft
 *   `form`: none: nothing but a mistake is kept; `was`: the value that was stored when somebody began; `errors`: a sentence by its place
 */

/** @type {Map<string, Draft>} */
const drafts = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {() => void} listener */
function subscribe(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** @param {string} key @param {Draft | null} draft */
function keep(key, draft) {
  if (draft) drafts.set(key, draft);
  else drafts.delete(key);
  for (const listener of listeners) listener();
}

/** @param {string} key of a setting in a scope */
export function useDraft(key) {
  const draft = useSyncExternalStore(subscribe, () => drafts.get(key) ?? null);
  const put = useCallback((/** @type {Draft | null} */ to) => keep(key, to), [key]);
  return { draft, put };
}
