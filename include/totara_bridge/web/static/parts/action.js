// @ts-check
// A button that starts a DAG run, after it was asked what the run would do; nobody sees it who may not press it.
import { C, html, useId, useState } from "../lib/html.js";
import { change } from "../lib/http.js";
import { useFrame } from "../lib/frame.js";
import { RunDialog } from "./run_dialog.js";

/**
 * @typedef {{sentence: string, items: number | null, counts?: Record<string, number>}} Counted
 * @typedef {{values: any, set: (name: string | Record<string, any>, value?: any) => void, errors: Record<string, string>}} FormProps
 *   `set("days", 30)` or `set({days: 30, …})`; `errors`: a sentence by the name of the conf's field
 *
 * @typedef {object} ActionProps
 * @property {string} name of the count at the server: requeue, purge or backfill
 * @property {any} label of the button
 * @property {string} title of the dialog: what is asked
 * @property {string} dag
 * @property {string | string[]} [task] whose returned counts are told; none: those of all
 * @property {(values: any) => Record<string, any>} conf of the run
 * @property {(conf: Record<string, any>) => Promise<Counted>} [count] none: as the server counts what the run would do
 * @property {(props: FormProps) => any} [form]
 * @property {Record<string, any>} [initial] values of the form
 * @property {string} [tone] a palette, such as "danger"
 * @property {string} [variant]
 * @property {string} [size]
 * @property {boolean | string} [disabled] as a string: why
 * @property {(counts: Record<string, number>) => string} [done] what has happened, as a sentence
 * @property {(open: boolean) => void} [opened] told when the dialog opens and closes
 * @property {() => void} [after] what is done once the dialog is closed in which a run was started
 * @property {string} [testid]
 */

/** @param {ActionProps} props */
export function Action(props) {
  const { manages, enabled } = useFrame();
  const { name, label, tone = "brand", variant = "outline", size = "sm", disabled = false } = props;
  const [opening, setOpening] = useState({ turn: 0, open: false });
  const why = useId();
  if (!manages) return null;
  const reason = enabled ? disabled : "The integration is switched off.";
  const open = () => {
    setOpening(({ turn }) => ({ turn: turn + 1, open: true }));
    props.opened?.(true);
  };
  const close = () => {
    setOpening((now) => ({ ...now, open: false }));
    props.opened?.(false);
  };
  return html`
    <${C.Stack} gap=${1} align="start" display="inline-flex">
      <${C.Button} size=${size} variant=${variant} colorPalette=${tone} disabled=${Boolean(reason)} onClick=${open}
        aria-haspopup="dialog" aria-describedby=${typeof reason === "string" ? why : undefined}
        data-testid=${props.testid ?? `action-${name}`}>
        ${label}
      <//>
      ${typeof reason === "string" ? html`<${enabled ? Why : C.VisuallyHidden} id=${why}>${reason}<//>` : null}
      ${
        opening.turn
          ? html`
              <${RunDialog} key=${opening.turn} action=${{ count: (/** @type {any} */ conf) => counted(name, conf), ...props }}
                open=${opening.open} onClose=${close} />
            `
          : null
      }
    <//>
  `;
}

/** That all is switched off is seen above the tabs already. @param {any} props */
const Why = (props) => html`<${C.Text} fontSize="xs" color="fg.muted" ...${props} />`;

/** What a run with this very conf would do. @param {string} name @param {Record<string, any>} conf @returns {Promise<Counted>} */
const counted = (name, conf) => change(`actions/${name}/count`, { conf });
