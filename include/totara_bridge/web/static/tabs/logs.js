// @ts-check
import { C, html } from "../lib/html.js";

export function Logs() {
  return html`<${C.Text}>Logs<//>`;
}
