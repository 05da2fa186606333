// @ts-check
// A length of time as people enter it, a number and a unit; kept as an ISO 8601 duration.
import { counted } from "../../lib/written.js";

/** @typedef {{amount: string, unit: string}} Entered */

/** The largest first: letter in ISO 8601, seconds, name. */
export const UNITS = /** @type {[string, number, string][]} */ ([
  ["D", 86_400, "day"],
  ["H", 3_600, "hour"],
  ["M", 60, "minute"],
  ["S", 1, "second"],
]);

// years are written by the bridge for 365 days, months for 30
const ISO = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;
const PARTS = [365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1];

/** @param {string} iso */
function seconds(iso) {
  const found = ISO.exec(iso);
  return found ? PARTS.reduce((sum, size, at) => sum + size * Number(found[at + 1] ?? 0), 0) : NaN;
}

/** In the largest unit that it is a whole number of. @param {string} iso @returns {Entered} */
export function entered(iso) {
  const all = seconds(iso);
  if (Number.isNaN(all)) return { amount: "", unit: "D" };
  const [unit, size] = UNITS.find(([, each]) => all % each === 0) ?? UNITS[UNITS.length - 1];
  return { amount: String(all / size), unit };
}

/** What is no number is told to the bridge as it is, which says what to write instead. @param {Entered} length */
export function iso({ amount, unit }) {
  const text = amount.trim();
  const [, size] = /** @type {[string, number, string]} */ (UNITS.find(([each]) => each === unit));
  if (/^\d+$/.test(text)) return unit === "D" ? `P${text}D` : `PT${text}${unit}`;
  return text && Number.isFinite(Number(text)) ? `PT${Number(text) * size}S` : text;
}

/** "26 hours". @param {string} value */
export function inWords(value) {
  const { amount, unit } = entered(value);
  const [, , name] = /** @type {[string, number, string]} */ (UNITS.find(([each]) => each === unit));
  return amount === "" ? value : counted(Number(amount), name);
}
