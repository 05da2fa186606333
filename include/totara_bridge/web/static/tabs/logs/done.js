// @ts-check
// What somebody had done, as the audit log has it: of a setting the old and the new value, else what was asked for.
import { C, html } from "../../lib/html.js";
import { number } from "../../lib/written.js";
import { Code } from "../../parts/copy.js";
import { Dialog } from "../../parts/dialog.js";
import { When } from "../../parts/when.js";
import { inWords } from "../settings/length.js";
import { Facts } from "./facts.js";

/** A value for people: what is not set stands for its default. @param {any} value @returns {string} */
function written(value) {
  if (value === null || value === undefined) return "default";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return value;
  const plain = Array.isArray(value) && value.every((each) => typeof each === "string");
  return plain ? value.join(", ") : JSON.stringify(value);
}

/** A setting's value: a length of time in words, too. @param {any} value */
const set = (value) => (typeof value === "string" ? inWords(value) : written(value));

/** In one line, cut where it is long. @param {{row: any}} props */
export function Details({ row }) {
  return html`<${C.Text} lineClamp=${1} maxW="28rem" overflowWrap="anywhere">${inOneLine(row)}<//>`;
}

/** @param {any} row */
function inOneLine({ action, details }) {
  if (action === "setting") {
    const where = details.scope && details.scope !== "bridge" ? ` (${details.scope})` : "";
    return "to" in details ? `${set(details.from)} → ${set(details.to)}${where}` : "not shown here";
  }
  const told = Object.entries(details).filter(([, value]) => !nothing(value));
  return told.map(([name, value]) => `${name.replaceAll("_", " ")}: ${written(value)}`).join(", ");
}

/** @param {unknown} value */
const nothing = (value) => value === null || value === "" || (Array.isArray(value) && !value.length);

/** @param {{row: any, words?: Record<string, string>, onClose: () => void}} props */
export function DoneDialog({ row, words = {}, onClose }) {
  if (!row) return null;
  const facts = [
    ["When", html`<${When} at=${row.at} />`],
    ["Who", row.actor],
    ["Of what", row.subject],
  ];
  return html`
    <${Dialog} open title=${words[row.action] ?? row.action} onClose=${onClose} size="lg"
      footer=${html`<${C.Button} variant="outline" onClick=${onClose}>Close<//>`}>
      <${C.Box} data-testid="done">
        <${Facts} facts=${facts} />
        <${Code} text=${JSON.stringify(row.details, null, 2)} label="Details" wrap />
      <//>
    <//>
  `;
}
