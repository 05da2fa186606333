// @ts-check
import { C, html } from "../lib/html.js";

export function Overview() {
  return html`<${C.Text}>Overview<//>`;
}
