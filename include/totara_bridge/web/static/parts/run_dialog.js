// @ts-check
// From the form of an action to its end: what the run would do, whether to start it, how it goes, what it has done.
import { C, R, html, useEffect, useRef, useState } from "../lib/html.js";
import { HttpError } from "../lib/http.js";
import { refresh } from "../lib/data.js";
import { runPage } from "../lib/place.js";
import { follow, ofAirflow, returned, trigger, usePaused } from "../lib/runs.js";
import { number } from "../lib/written.js";
import { Dialog } from "./dialog.js";
import { RunState } from "./state.js";
import { toast } from "./toasts.js";

const REST = 300; // milliseconds without a change of the form before it is counted
const FAILED =
  "The run failed. Its page leads to the log of the task that failed, whose last line says why and what to do. What it had done " +
  "until then stays done; started again, it goes on with the rest.";

/**
 * @typedef {import("./action.js").ActionProps & {count: NonNullable<import("./action.js").ActionProps["count"]>}} Asked
 * @typedef {{phase: "asking" | "starting" | "running" | "ended", run?: string, state?: string, sentence?: string, error?: Error}} At
 */

/** @param {{action: Asked, open: boolean, onClose: () => void}} props */
export function RunDialog({ action, open, onClose }) {
  const [values, setValues] = useState(action.initial ?? {});
  const conf = action.conf(values);
  const found = useCount(action.count, conf, open);
  const { at, start } = useRun(action, open);
  const set = (/** @type {any} */ name, /** @type {any} */ value) =>
    setValues((/** @type {any} */ now) => ({ ...now, ...(typeof name === "string" ? { [name]: value } : name) }));
  const asking = at.phase === "asking" || at.phase === "starting";
  const ready = at.phase === "asking" && !found.loading && found.told && found.told.items !== 0;
  const close = () => {
    onClose();
    if (!asking) action.after?.();
  };
  const footer = html`
    <${C.HStack} wrap="wrap" justify="end">
      <${C.Button} variant="outline" disabled=${at.phase === "starting"} onClick=${close}>${asking ? "Cancel" : "Close"}<//>
      ${
        asking
          ? html`
              <${C.Button} colorPalette=${action.tone ?? "brand"} disabled=${!ready} loading=${at.phase === "starting"}
                loadingText="Starting" onClick=${() => start(conf)} data-testid="confirm">${action.label}<//>
            `
          : null
      }
    <//>
  `;
  return html`
    <${Dialog} open=${open} title=${action.title} onClose=${close} busy=${at.phase === "starting"} footer=${footer}>
      ${asking ? html`<${Asking} action=${action} values=${values} set=${set} found=${found} error=${at.error} />` : null}
      ${asking ? null : html`<${Going} dag=${action.dag} at=${at} />`}
    <//>
  `;
}

/**
 * What the server says the run would do, once the form rests; the latest question alone is answered.
 * @param {Asked["count"]} count @param {Record<string, any>} conf @param {boolean} open
 */
function useCount(count, conf, open) {
  const asked = JSON.stringify(conf);
  const [told, setTold] = useState(/** @type {{asked?: string, told?: import("./action.js").Counted, error?: Error}} */ ({}));
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!open) return undefined;
    let wanted = true;
    const keep = (/** @type {any} */ what) => wanted && setTold({ asked, ...what });
    const timer = setTimeout(
      () => count(JSON.parse(asked)).then((answer) => keep({ told: answer }), (error) => keep({ error })),
      told.asked === undefined ? 0 : REST,
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [asked, open, turn]);
  const loading = told.asked !== asked;
  const again = () => {
    setTold({});
    setTurn(turn + 1);
  };
  return { again, loading, told: loading ? undefined : told.told, error: loading ? undefined : told.error };
}

/** @param {Asked} action @param {boolean} open */
function useRun(action, open) {
  const [at, setAt] = useState(/** @type {At} */ ({ phase: "asking" }));
  const started = useRef(false);
  const seen = useRef(open);
  seen.current = open;
  useEffect(() => () => void (seen.current = false), []);
  const start = async (/** @type {Record<string, any>} */ conf) => {
    if (started.current) return; // pressed twice
    started.current = true;
    setAt({ phase: "starting" });
    try {
      const run = await trigger(action.dag, conf);
      setAt({ phase: "running", run, state: "queued" });
      await toTheEnd(action, run, setAt, () => seen.current);
    } catch (error) {
      started.current = false;
      setAt({ phase: "asking", error: unsure(/** @type {Error} */ (error), action.dag) });
    }
  };
  return { at, start };
}

/** @param {Asked} action @param {string} run @param {(at: At) => void} setAt @param {() => boolean} seen */
async function toTheEnd({ dag, task, done }, run, setAt, seen) {
  /** @type {At} */
  let at;
  try {
    const state = await follow(dag, run, (now) => setAt({ phase: "running", run, state: now }));
    const counts = state === "success" ? await returned(dag, run, task) : null;
    at = { phase: "ended", run, state, sentence: state === "failed" ? FAILED : outcome(counts, done) };
  } catch (error) {
    at = { phase: "ended", run, state: "unknown", sentence: `${/** @type {Error} */ (error).message} The run goes on without this page.` };
  }
  setAt(at);
  const well = at.state === "success";
  if (!seen()) toast(well ? "success" : "error", `${dag}: ${well ? "done" : "not done"}`, at.sentence);
  refresh();
  refresh(ofAirflow(""));
}

/** @param {Record<string, number> | null} counts @param {((counts: Record<string, number>) => string) | undefined} done */
function outcome(counts, done) {
  if (!counts) return "The run has ended and says nothing of what it did: the logs of its tasks do.";
  if (done) return done(counts);
  const told = Object.entries(counts).filter(([, count]) => count);
  return told.length ? `${told.map(([each, count]) => `${number(count)} ${each.replaceAll("_", " ")}`).join(", ")}.` : "There was nothing to do.";
}

/** Without an answer the run may have begun all the same. @param {Error} error @param {string} dag */
function unsure(error, dag) {
  if (!(error instanceof HttpError) || error.status) return error;
  return new Error(`${error.message} The run may have been started all the same: look at the runs of ${dag} before you start it again.`);
}

/** @param {{action: Asked, values: any, set: any, found: ReturnType<typeof useCount>, error?: Error}} props */
function Asking({ action, values, set, found, error }) {
  const errors = beside(found.error);
  return html`
    <${C.Stack} gap=${4}>
      ${action.form ? html`<${C.Box}>${action.form({ values, set, errors })}<//>` : null}
      <${WouldDo} found=${found} marked=${Object.keys(errors).filter((name) => name in values)} />
      <${PausedNote} dag=${action.dag} />
      ${error ? html`<${Note} status="error" title="The run was not started" testid="not-started">${error.message}<//>` : null}
    <//>
  `;
}

/** What is wrong, by the name of the field. @param {Error | undefined} error @returns {Record<string, string>} */
function beside(error) {
  const errors = error instanceof HttpError ? error.errors : [];
  return Object.fromEntries(errors.map((each) => [name(each.pointer ?? each.parameter ?? ""), each.detail]));
}

/** "conf.sent_days", "/conf/sent_days" and "sent_days.0" are all of sent_days. @param {string} pointer */
const name = (pointer) => pointer.replace(/^[#/]*(conf[./])?/, "").split(/[./]/)[0];

/** @param {{found: ReturnType<typeof useCount>, marked: string[]}} props */
function WouldDo({ found, marked }) {
  const { again, loading, told, error } = found;
  const marks = error instanceof HttpError && marked.length === error.errors.length ? marked.length : 0;
  return html`
    <${C.Box} role="status" aria-live="polite" minH="1.5em" fontWeight="medium" data-testid="would-do" data-loading=${loading}>
      ${loading ? html`<${C.HStack} color="fg.muted"><${C.Spinner} size="xs" /><${C.Text}>Counting …<//><//>` : null}
      ${told ? html`<${C.Text}>${told.sentence}<//>` : null}
      ${error ? html`<${C.Text} color="red.fg">${marks ? "Correct what is marked above, then it is counted." : error.message}<//>` : null}
      ${error && !marks ? html`<${C.Button} mt=${2} size="sm" variant="outline" onClick=${again}>Try again<//>` : null}
    <//>
  `;
}

/** @param {{dag: string}} props */
function PausedNote({ dag }) {
  if (!usePaused(dag)) return null;
  return html`
    <${Note} status="warning" title=${`${dag} is paused`} testid="paused">
      The run waits until somebody unpauses it: <${C.Link} asChild variant="underline"><${R.Link} to=${`/dags/${dag}`}>open ${dag}<//><//>.
    <//>
  `;
}

/** @param {{dag: string, at: At}} props */
function Going({ dag, at }) {
  const { run = "", state = "queued", sentence } = at;
  const well = state === "success";
  const link = html`<${C.Link} asChild variant="underline"><${R.Link} to=${runPage(dag, run)} data-testid="run-link">Open the run<//><//>`;
  return html`
    <${C.Stack} gap=${4} role="status" aria-live="polite" data-testid="going" data-state=${state}>
      <${C.HStack} wrap="wrap">
        ${at.phase === "running" ? html`<${C.Spinner} size="sm" />` : null}<${C.Text}>${dag}<//><${RunState} of=${state} />${link}
      <//>
      ${sentence ? html`<${Note} status=${well ? "success" : "error"} title=${well ? "Done" : "Not done"} testid="outcome">${sentence}<//>` : null}
      ${at.phase === "running" ? html`<${C.Text} color="fg.muted">It goes on if this is closed; a message says when it has ended.<//>` : null}
      ${at.phase === "running" && state === "queued" ? html`<${PausedNote} dag=${dag} />` : null}
    <//>
  `;
}

/** @param {{status: string, title: string, testid: string, children: any}} props */
const Note = ({ status, title, testid, children }) => html`
  <${C.Alert.Root} status=${status} data-testid=${testid}>
    <${C.Alert.Indicator} />
    <${C.Alert.Content}><${C.Alert.Title}>${title}<//><${C.Alert.Description}>${children}<//><//>
  <//>
`;
