// @ts-check
import { C, html } from "../lib/html.js";

export function Guide() {
  return html`<${C.Text}>Guide<//>`;
}
