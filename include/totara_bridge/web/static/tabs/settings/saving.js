// @ts-check
// Saving one setting: never over what somebody else has set meanwhile, and what was wrong is said beside its field.
import { createContext, useContext } from "../../lib/html.js";
import { refresh } from "../../lib/data.js";
import { HttpError, change } from "../../lib/http.js";
import { toast } from "../../parts/toasts.js";
import { useDraft } from "./drafts.js";
import { fromForm, toForm } from "./kinds.js";

/** How the settings are fetched anew. */
export const Reload = createContext(/** @type {() => Promise<void>} */ (async () => {}));

/** Where a mistake is that is of the field as a whole. */
export const WHOLE = "value";

/**
 * A setting in one scope, being edited.
 * @param {import("./kinds.js").Setting} setting @param {string} scope @param {import("./kinds.js").Own | null} own
 * @param {any} inherited what holds without a value of its own
 */
export function useEdited(setting, scope, own, inherited) {
  const reload = useContext(Reload);
  const { draft, put } = useDraft(`${scope}.${setting.name}`);
  const stored = own ? own.value : null;
  const holds = stored ?? inherited;
  const form = draft?.form ?? toForm(setting, holds);
  const was = draft ? draft.was : stored;

  /** @param {string} method @param {any} body @param {any} entered @param {string} said */
  const send = async (method, body, entered, said) => {
    put({ form: entered, was, saving: true });
    try {
      await change(`settings/${scope}/${setting.name}`, body, method);
      await reload();
      put(null);
      refresh("frame");
      toast("success", said);
    } catch (error) {
      const meanwhile = error instanceof HttpError && error.status === 409;
      if (meanwhile) await reload();
      // a switch that was not saved is shown as it is
      put({ form: setting.kind === "bool" ? undefined : entered, was: meanwhile ? LOOK_AGAIN : was, errors: mistakes(error) });
    }
  };

  const expected = was === LOOK_AGAIN ? stored : was;
  return {
    form,
    holds,
    saving: Boolean(draft?.saving),
    edited: Boolean(draft),
    errors: draft?.errors ?? {},
    changedMeanwhile: draft?.form !== undefined && !draft.saving && (was === LOOK_AGAIN || !same(was, stored)),
    edit: (/** @type {any} */ to) => put({ form: to, was: expected }),
    undo: () => put(null),
    save: (/** @type {any} */ entered = form) =>
      send("PUT", { value: fromForm(setting, entered), was: expected }, entered, "Saved"),
    back: () => send("DELETE", { was: stored }, draft?.form, "Set back"),
  };
}

/** @param {any} one @param {any} other */
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** After a refusal what is stored now was seen, and may be written over. */
const LOOK_AGAIN = Symbol("look again");

/** @param {any} error @returns {Record<string, string>} */
function mistakes(error) {
  const placed = error instanceof HttpError ? error.errors : [];
  if (!placed.length) return { [WHOLE]: error.message };
  return Object.fromEntries(placed.map(({ pointer = WHOLE, detail }) => [pointer, detail]));
}
