// @ts-check
// Short messages at the corner of the page: what was done, or why not.
import { C, html } from "../lib/html.js";

const toaster = C.createToaster({ placement: "top-end", pauseOnPageIdle: true });

/** @param {"success" | "error" | "warning" | "info"} type @param {string} title @param {string} [description] */
export const toast = (type, title, description) => toaster.create({ type, title, description });

export function Toasts() {
  return html`
    <${C.Portal}>
      <${C.Toaster} toaster=${toaster} insetInline=${{ mdDown: "4" }}>
        ${(/** @type {any} */ each) => html`
          <${C.Toast.Root} width=${{ md: "sm" }}>
            <${C.Toast.Indicator} />
            <${C.Stack} gap="1" flex="1" maxWidth="100%">
              <${C.Toast.Title}>${each.title}<//>
              ${each.description ? html`<${C.Toast.Description} opacity="1">${each.description}<//>` : null}
            <//>
            <${C.Toast.CloseTrigger} />
          <//>
        `}
      <//>
    <//>
  `;
}
