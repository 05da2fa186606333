// @ts-check
// A file to download, such as what a table shows as CSV.
import { C, html } from "../lib/html.js";
import { address } from "../lib/http.js";

/** @param {{path: string, query?: Record<string, any>, label?: string}} props */
export function Download({ path, query = {}, label = "CSV" }) {
  return html`
    <${C.Button} asChild size="sm" variant="outline"><a href=${address(path, query)} download="">${label}</a><//>
  `;
}
