// @ts-check
import { C, html } from "../lib/html.js";

export function Problems() {
  return html`<${C.Text}>Problems<//>`;
}
