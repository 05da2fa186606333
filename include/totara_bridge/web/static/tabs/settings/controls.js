// @ts-check
// The control of each kind of setting. A label and a mistake come from the field around it.
import { C, html } from "../../lib/html.js";
import { UNITS } from "./length.js";

/** @typedef {{setting: import("./kinds.js").Setting, form: any, edit: (form: any) => void, disabled: boolean, label: string}} ControlProps */

/** @param {ControlProps} props */
function Whole({ setting, form, edit, disabled }) {
  return html`
    <${C.Input} type="number" inputMode="numeric" size="sm" width="10rem" min=${setting.lowest} max=${setting.highest} value=${form}
      disabled=${disabled} onChange=${(/** @type {any} */ event) => edit(event.target.value)} />
  `;
}

/** @param {ControlProps} props */
function Share({ form, edit, disabled }) {
  return html`
    <${C.HStack}>
      <${C.Input} type="number" inputMode="decimal" size="sm" width="7rem" min=${0} max=${100} step="any" value=${form}
        disabled=${disabled} onChange=${(/** @type {any} */ event) => edit(event.target.value)} />
      <${C.Text}>%<//>
    <//>
  `;
}

/** @param {ControlProps} props */
function Length({ form, edit, disabled, label }) {
  return html`
    <${C.HStack}>
      <${C.Input} type="number" inputMode="decimal" size="sm" width="6rem" min=${0} step="any" value=${form.amount} disabled=${disabled}
        onChange=${(/** @type {any} */ event) => edit({ ...form, amount: event.target.value })} />
      <${Choices} label=${`${label}: unit`} value=${form.unit} disabled=${disabled}
        choices=${UNITS.map(([letter, , name]) => [letter, `${name}s`])} choose=${(/** @type {string} */ unit) => edit({ ...form, unit })} />
    <//>
  `;
}

/** @param {ControlProps} props */
function Choice({ setting, form, edit, disabled, label }) {
  return html`
    <${Choices} label=${label} value=${form} disabled=${disabled} choices=${setting.choices.map((each) => [each, each])} choose=${edit} />
  `;
}

/** @param {{label: string, value: string, disabled?: boolean, choices: string[][], choose: (value: string) => void}} props */
export function Choices({ label, value, disabled = false, choices, choose }) {
  return html`
    <${C.NativeSelect.Root} size="sm" width="auto" minW="7rem" disabled=${disabled}>
      <${C.NativeSelect.Field} aria-label=${label} value=${value} onChange=${(/** @type {any} */ event) => choose(event.target.value)}>
        ${choices.map(([each, words]) => html`<option key=${each} value=${each}>${words}</option>`)}
      <//>
      <${C.NativeSelect.Indicator} />
    <//>
  `;
}

/** @type {Record<string, (props: ControlProps) => any>} */
export const CONTROLS = { integer: Whole, share: Share, duration: Length, choice: Choice };

/** @param {{on: boolean, label: string, said: string, disabled: boolean, turn: (on: boolean) => void}} props */
export function OnOff({ on, label, said, disabled, turn }) {
  return html`
    <${C.Switch.Root} checked=${on} disabled=${disabled} onCheckedChange=${(/** @type {any} */ to) => turn(to.checked)}>
      <${C.Switch.HiddenInput} aria-label=${label} />
      <${C.Switch.Control}><${C.Switch.Thumb} /><//>
      <${C.Switch.Label}>${said}<//>
    <//>
  `;
}
