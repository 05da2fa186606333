// @ts-check
// Numbers, shares, lengths and times as people read them, in the language that Airflow shows itself in.
import { useZone } from "./zone.js";

export { useZone };

/** What stands where nothing is known. */
export const NOTHING = "–";

/** The host's language, with the region that the browser has for it: en → en-GB. */
export function locale() {
  const language = document.documentElement.lang || "en";
  return navigator.languages?.find((each) => each === language || each.split("-")[0] === language) ?? language;
}

/** A whole number, grouped. @param {number | null | undefined} value */
export const number = (value) => (known(value) ? new Intl.NumberFormat(locale()).format(/** @type {number} */ (value)) : NOTHING);

/** A share of 1, rounded down: only all of it is 100 %, and only nothing of it 0. @param {number | null | undefined} share */
export function percent(share) {
  if (!known(share)) return NOTHING;
  const form = new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 });
  const value = /** @type {number} */ (share);
  if (value > 0 && value < 0.001) return `< ${form.format(0.001)}`;
  return form.format(Math.floor(value * 1000 + 1e-9) / 1000);
}

const UNITS = /** @type {[number, string][]} */ ([[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]]);

/** A length of time by its two largest units: "3 h 20 min". @param {number | null | undefined} seconds */
export function length(seconds) {
  if (!known(seconds)) return NOTHING;
  const whole = Math.round(/** @type {number} */ (seconds));
  if (whole < 1) return seconds === 0 ? "0 s" : "under 1 s";
  const first = UNITS.findIndex(([size]) => whole >= size);
  const [size, name] = UNITS[first];
  const second = UNITS[first + 1];
  const left = second ? Math.floor((whole % size) / second[0]) : 0;
  return `${number(Math.floor(whole / size))} ${name}${left ? ` ${left} ${second[1]}` : ""}`;
}

const FULL = /** @type {const} */ ({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

/**
 * A moment in a zone, to the second; the month in letters, as orders of day and month differ.
 * @param {string | null | undefined} iso @param {string} zone @param {string} [language]
 */
export function when(iso, zone, language = locale()) {
  if (!iso || Number.isNaN(Date.parse(iso))) return NOTHING;
  const form = new Intl.DateTimeFormat(language, { ...FULL, second: "2-digit", hourCycle: "h23", timeZone: zone });
  return form.format(new Date(iso));
}

/** The hour, or at midnight the day, for the foot of a chart. @param {string} iso @param {string} zone @param {boolean} days */
export function tick(iso, zone, days) {
  const form = /** @type {Intl.DateTimeFormatOptions} */ (
    days ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
  );
  return new Intl.DateTimeFormat(locale(), { ...form, timeZone: zone }).format(new Date(iso));
}

/** The same moment in UTC: "2026-11-22 11:16:33 UTC". @param {string} iso */
export const inUtc = (iso) => `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;

const STEPS = /** @type {[number, Intl.RelativeTimeFormatUnit][]} */ ([[86_400, "day"], [3_600, "hour"], [60, "minute"]]);

/** How long ago, or in how long: "3 minutes ago", in the page's own language. @param {string} iso @param {number} now milliseconds */
export function ago(iso, now) {
  const seconds = (Date.parse(iso) - now) / 1000;
  const form = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const step = STEPS.find(([size]) => Math.abs(seconds) >= size);
  if (!step) return seconds > 0 ? "in less than a minute" : "less than a minute ago";
  return form.format(Math.trunc(seconds / step[0]), step[1]);
}

/** "1 item", "12 items". @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** @param {unknown} value */
const known = (value) => typeof value === "number" && Number.isFinite(value);
