// @ts-check
// One number that a manager looks for, with what it is and what to know about it; the whole box leads to what it counts.
import { C, R, html } from "../lib/html.js";
import { number } from "../lib/written.js";

/**
 * @param {{label: any, value: number | string | null | undefined, help?: any, to?: string, tone?: string, testid?: string}} props
 *   `tone`: a palette of the host, such as "failed"; it only underlines what the words say
 */
export function StatBox({ label, value, help, to, tone, testid }) {
  const words = typeof value === "string" ? value : number(value);
  const edge = tone ? { boxShadow: `inset 0 3px 0 0 {colors.${tone}.solid}` } : {}; // no border: it would move the words
  return html`
    <${C.LinkBox} borderWidth="1px" borderRadius="md" p=${3} minW="8rem" flex="1" data-testid=${testid} ...${edge}
      _hover=${to ? { bg: "bg.subtle" } : {}}>
      <${C.Text} fontSize="sm" color="fg.muted">${label}<//>
      <${C.Text} fontSize="2xl" fontWeight="semibold" fontVariantNumeric="tabular-nums">
        ${to ? html`<${C.LinkOverlay} asChild><${R.Link} to=${to} aria-label=${spoken(label, words)}>${words}<//><//>` : words}
      <//>
      ${help ? html`<${C.Text} as="div" fontSize="xs" color="fg.muted">${help}<//>` : null}
    <//>
  `;
}

/** @param {any} label @param {string} words */
const spoken = (label, words) => (typeof label === "string" ? `${label}: ${words}` : words);
