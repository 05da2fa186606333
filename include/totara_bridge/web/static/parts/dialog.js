// @ts-check
// A question or a form above the page: focus stays inside and goes back to where it was, Escape closes.
import { C, html, useRef } from "../lib/html.js";

// where somebody begins: the first field, or the button that changes nothing
const FIELD = "input:not([disabled]):not([type=hidden]), select:not([disabled]), textarea:not([disabled])";

/**
 * @param {{open: boolean, title: any, onClose: () => void, footer?: any, children: any, busy?: boolean, size?: string}} props
 *   `busy`: it cannot be closed now
 */
export function Dialog({ open, title, onClose, footer, children, busy = false, size = "md" }) {
  const content = useRef(/** @type {HTMLElement | null} */ (null));
  const first = () => content.current?.querySelector(FIELD) ?? content.current?.querySelector("button:not([disabled])") ?? null;
  return html`
    <${C.Dialog.Root} role="alertdialog" open=${open} size=${size} scrollBehavior="inside" lazyMount unmountOnExit
      initialFocusEl=${first} closeOnEscape=${!busy} closeOnInteractOutside=${false}
      onOpenChange=${(/** @type {any} */ to) => (to.open || busy ? undefined : onClose())}>
      <${C.Portal}>
        <${C.Dialog.Backdrop} />
        <${C.Dialog.Positioner} p=${2}>
          <${C.Dialog.Content} ref=${content} data-testid="dialog">
            <${C.Dialog.Header}><${C.Dialog.Title}>${title}<//><//>
            <${C.Dialog.Body}>${children}<//>
            ${footer ? html`<${C.Dialog.Footer} flexWrap="wrap">${footer}<//>` : null}
            <${C.Dialog.CloseTrigger} asChild disabled=${busy}><${C.CloseButton} size="sm" aria-label="Close" /><//>
          <//>
        <//>
      <//>
    <//>
  `;
}
