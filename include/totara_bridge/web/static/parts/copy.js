// @ts-check
// Text to take along: a button that copies it, and a block of code with such a button.
import { C, html, useState } from "../lib/html.js";
import { toast } from "./toasts.js";

/** Browsers give the clipboard only to pages that came over TLS; the old way works for the others. @param {string} text */
async function toClipboard(text) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  // inside of an open dialog, or its focus trap takes the selection away
  const place = document.activeElement?.parentElement ?? document.body;
  place.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("refused");
}

/** @param {{text: string, label?: string}} props */
export function Copy({ text, label = "Copy" }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await toClipboard(text);
      setCopied(true);
    } catch {
      toast("error", "Not copied", "The browser does not let this page write to the clipboard: select the text and copy it.");
    }
  };
  return html`
    <${C.Button} size="xs" variant="outline" onClick=${copy} onBlur=${() => setCopied(false)}>
      <${C.Box} as="span" aria-live="polite">${copied ? "Copied" : label}<//>
    <//>
  `;
}

/** @param {{text: string, label?: string, wrap?: boolean}} props `label`: what the block is, for who does not see it */
export function Code({ text, label = "Code", wrap = false }) {
  return html`
    <${C.Box} borderWidth="1px" borderRadius="md" bg="bg.subtle" my=${2} maxW="100%">
      <${C.Flex} justify="end" p=${1}><${Copy} text=${text} /><//>
      <${C.Box} as="pre" role="region" aria-label=${label} tabIndex=${0} px=${3} pb=${3} overflow="auto" maxH="30rem"
        fontSize="sm" fontFamily="mono" whiteSpace=${wrap ? "pre-wrap" : "pre"}>${text}<//>
    <//>
  `;
}
