// @ts-check
// Fields of an action's form: what is wrong with one stands beside it.
import { C, html } from "../lib/html.js";

/** @typedef {import("./action.js").FormProps} FormProps */

/** @param {{at: FormProps, name: string, label: string, help?: string, type?: string, most?: number}} props `most`: letters */
export function Field({ at, name, label, help, type = "text", most }) {
  const wrong = at.errors[name];
  const kind = type === "number" ? { inputMode: "numeric", width: "8rem" } : { type, max: type === "date" ? "9999-12-31" : undefined };
  return html`
    <${C.Field.Root} invalid=${Boolean(wrong)} width=${type === "date" ? "auto" : undefined}>
      <${C.Field.Label}>${label}<//>
      <${C.Input} size="sm" name=${name} autoComplete="off" maxLength=${most} value=${at.values[name]} ...${kind}
        onChange=${(/** @type {any} */ event) => at.set(name, event.target.value)} />
      ${wrong ? html`<${C.Field.ErrorText} color="red.fg">${wrong}<//>` : null}
      ${help ? html`<${C.Field.HelperText}>${help}<//>` : null}
    <//>
  `;
}

/** @param {{at: FormProps, name: string, of: string, label: string, choices: string[]}} props `of`: the field of the conf */
export function Choose({ at, name, of, label, choices }) {
  if (choices.length < 2) return null;
  return html`
    <${C.Field.Root} invalid=${Boolean(at.errors[of])}>
      <${C.Field.Label}>${label}<//>
      <${C.NativeSelect.Root} size="sm">
        <${C.NativeSelect.Field} name=${name} value=${at.values[name]} onChange=${(/** @type {any} */ event) => at.set(name, event.target.value)}>
          <option value="">All</option>
          ${choices.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
        <//>
        <${C.NativeSelect.Indicator} />
      <//>
      ${at.errors[of] ? html`<${C.Field.ErrorText} color="red.fg">${at.errors[of]}<//>` : null}
    <//>
  `;
}

/** @param {{at: FormProps, name: string, label: string}} props */
export const Check = ({ at, name, label }) => html`
  <${C.Checkbox.Root} size="sm" checked=${at.values[name]} onCheckedChange=${(/** @type {any} */ to) => at.set(name, to.checked === true)}>
    <${C.Checkbox.HiddenInput} name=${name} /><${C.Checkbox.Control} /><${C.Checkbox.Label}>${label}<//>
  <//>
`;

/** What is no whole number goes to the bridge as it is, which says what to write; nothing is none. @param {string} text */
export const whole = (text) => (/^\s*\d+\s*$/.test(text) ? Number(text) : text.trim() || null);
