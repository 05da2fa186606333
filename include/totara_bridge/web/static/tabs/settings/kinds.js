// @ts-check
// Of each kind of setting: how its value stands in a form, how it is told to the bridge, and how it is read aloud.
import { number, percent } from "../../lib/written.js";
import { entered, inWords as lengthInWords, iso } from "./length.js";

/**
 * @typedef {{value: any, wrong: string | null, changed_at: string, changed_by: string}} Own
 * @typedef {{name: string, kind: "bool" | "integer" | "share" | "duration" | "choice" | "channels", help: string, allowed: string,
 *   only_for_all: boolean, default: any, lowest: number | null, highest: number | null, choices: string[],
 *   everywhere: Own | null, destinations: Record<string, Own>}} Setting
 * @typedef {{connection: string, form: string, to: string}} ChannelRow
 */

/** @param {string} text */
const asNumber = (text) => (/^-?\d+$/.test(text.trim()) ? Number(text) : text);

/** @param {string} text in percent */
const asShare = (text) => (text.trim() && Number.isFinite(Number(text)) ? Number((Number(text) / 100).toFixed(6)) : text);

/** @param {string} text */
const asList = (text) => text.split(/[\s,;]+/).filter(Boolean);

/** @type {Record<string, {toForm: (value: any) => any, fromForm: (form: any) => any, words: (value: any) => string}>} */
const KINDS = {
  bool: { toForm: Boolean, fromForm: Boolean, words: (value) => (value ? "on" : "off") },
  integer: { toForm: String, fromForm: asNumber, words: number },
  share: { toForm: (value) => String(Number((value * 100).toFixed(4))), fromForm: asShare, words: percent },
  duration: { toForm: entered, fromForm: iso, words: lengthInWords },
  choice: { toForm: String, fromForm: String, words: String },
  channels: {
    toForm: (value) => value.map((/** @type {any} */ each) => ({ ...each, to: addresses(each.to) })),
    fromForm: (form) => form.map((/** @type {ChannelRow} */ each) => ({ ...each, to: asList(each.to) })),
    words: (value) => (value.length ? value.map(channelInWords).join(", ") : "none"),
  },
};

/** Who may not manage is told how many addresses there are, and not which. @param {any} channel */
function channelInWords({ connection, to }) {
  const many = Array.isArray(to) ? to.length : to;
  return many ? `${connection} (${number(many)} e-mail ${many === 1 ? "address" : "addresses"})` : connection;
}

/** @param {Setting} setting @param {any} value */
export const toForm = (setting, value) => KINDS[setting.kind].toForm(value);

/** @param {Setting} setting @param {any} form */
export const fromForm = (setting, form) => KINDS[setting.kind].fromForm(form);

/** @param {Setting} setting @param {any} value */
export const inWords = (setting, value) => KINDS[setting.kind].words(value);

/** The addresses; who may only look is told how many there are. @param {string[] | number} to */
function addresses(to) {
  return Array.isArray(to) ? to.join(", ") : to ? `${to} not shown` : "";
}
