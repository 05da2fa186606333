// @ts-check
// A setting's value in one scope, for all or for a destination: what it is, who set it, changing it and setting it back.
import { C, html } from "../../lib/html.js";
import { When } from "../../parts/when.js";
import { Channels } from "./channels.js";
import { CONTROLS, OnOff } from "./controls.js";
import { inWords } from "./kinds.js";
import { WHOLE, useEdited } from "./saving.js";

/**
 * @typedef {import("./kinds.js").Setting} Setting
 * @typedef {import("./kinds.js").Own} Own
 * @typedef {{setting: Setting, title: string, scope: string, own: Own | null, inherited: any, may: boolean}} ValueProps
 *   `inherited`: what holds without a value of its own
 */

/** @param {ValueProps} props */
export function Value({ setting, title, scope, own, inherited, may }) {
  const edited = useEdited(setting, scope, own, inherited);
  const label = scope === "bridge" ? title : `${title} of ${scope}`;
  const whole = edited.errors[WHOLE];
  return html`
    <${C.Stack} gap=${1} data-testid=${`value-${scope}-${setting.name}`}>
      <${C.Field.Root} invalid=${Boolean(whole)}>
        <${C.HStack} wrap="wrap" gap=${3} width="full">
          ${scope === "bridge" ? null : html`<${C.Text} fontSize="sm" fontWeight="medium" minW="6rem">${scope}<//>`}
          ${may ? html`<${Control} setting=${setting} label=${label} edited=${edited} />` : html`<${C.Text} fontWeight="medium">${inWords(setting, edited.holds)}<//>`}
          ${edited.edited && may && setting.kind !== "bool" ? html`<${Buttons} edited=${edited} label=${label} />` : null}
          ${own || edited.edited ? null : html`<${C.Badge} variant="outline" size="sm">${scope === "bridge" ? "default" : "as for all"}<//>`}
        <//>
        <${C.Field.ErrorText} color="red.fg">${whole}<//>
      <//>
      ${
        edited.changedMeanwhile
          ? html`<${C.Text} fontSize="sm" color="fg.warning">Changed meanwhile; it is now ${inWords(setting, edited.holds)}. Yours is not saved yet.<//>`
          : null
      }
      ${own ? html`<${Origin} setting=${setting} own=${own} forAll=${scope === "bridge"} inherited=${inherited} may=${may} edited=${edited} label=${label} />` : null}
    <//>
  `;
}

/** @param {{setting: Setting, label: string, edited: ReturnType<typeof useEdited>}} props */
function Control({ setting, label, edited }) {
  const { form, edit, saving } = edited;
  if (setting.kind === "bool") {
    return html`<${OnOff} on=${form} label=${label} said=${inWords(setting, form)} disabled=${saving} turn=${edited.save} />`;
  }
  if (setting.kind === "channels") {
    return html`<${Channels} form=${form} edit=${edit} disabled=${saving} errors=${edited.errors} />`;
  }
  return html`
    <${C.Box}>
      <${C.VisuallyHidden}><${C.Field.Label}>${label}<//><//>
      <${CONTROLS[setting.kind]} setting=${setting} form=${form} edit=${edit} disabled=${saving} label=${label} />
    <//>
  `;
}

/** @param {{edited: ReturnType<typeof useEdited>, label: string}} props */
function Buttons({ edited, label }) {
  return html`
    <${C.HStack}>
      <${C.Button} size="xs" loading=${edited.saving} onClick=${() => edited.save()} aria-label=${`Save: ${label}`}>Save<//>
      <${C.Button} size="xs" variant="ghost" disabled=${edited.saving} onClick=${edited.undo} aria-label=${`Undo: ${label}`}>Undo<//>
    <//>
  `;
}

/** @param {Omit<ValueProps, "title" | "scope" | "own"> & {own: Own, forAll: boolean, edited: ReturnType<typeof useEdited>, label: string}} props */
function Origin({ setting, own, forAll, inherited, may, edited, label }) {
  const back = forAll ? "Back to the default" : "Back to the value for all";
  return html`
    <${C.HStack} wrap="wrap" gap=${2} fontSize="sm" color="fg.muted">
      ${own.wrong ? html`<${C.Text} color="red.fg">${own.wrong}<//>` : null}
      <${C.Text}>Set by ${own.changed_by}, <${When} at=${own.changed_at} /><//>
      ${
        may
          ? html`
              <${C.Button} size="xs" variant="outline" disabled=${edited.saving} onClick=${edited.back} aria-label=${`${back}: ${label}`}>
                ${back} (${inWords(setting, inherited)})
              <//>
            `
          : null
      }
    <//>
  `;
}
