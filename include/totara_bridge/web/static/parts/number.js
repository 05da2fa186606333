// @ts-check
// A number of something, grouped; a link to what it counts where there is such a place.
import { C, R, html } from "../lib/html.js";
import { number } from "../lib/written.js";

/** @param {{of: number | null | undefined, label?: string, to?: string}} props */
export function Number({ of, label, to }) {
  const words = label ? `${number(of)} ${label}` : number(of);
  const shown = { fontVariantNumeric: "tabular-nums", whiteSpace: "nowrap" };
  if (!to) return html`<${C.Text} as="span" ...${shown}>${words}<//>`;
  return html`<${C.Link} asChild colorPalette="brand" variant="underline" ...${shown}><${R.Link} to=${to}>${words}<//><//>`;
}
