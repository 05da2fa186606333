// @ts-check
import { C, html } from "../lib/html.js";

export function Queue() {
  return html`<${C.Text}>Queue<//>`;
}
