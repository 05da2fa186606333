// @ts-check
import { C, html } from "../lib/html.js";

export function Settings() {
  return html`<${C.Text}>Settings<//>`;
}
