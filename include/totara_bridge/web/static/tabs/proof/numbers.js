// @ts-check
// The numbers of a proof: a line for each course or month, a column for each count that has any, and the sums.
import { C, html } from "../../lib/html.js";
import { locale, number } from "../../lib/written.js";
import { Number } from "../../parts/number.js";
import { Table } from "../../parts/table.js";

const MOST = 500; // lines that a page shows

/** @typedef {(more: Record<string, any>) => string} To */

const ALWAYS = ["in_totara", "delivered", "unaccounted", "not_staged"];

/** Whether the parts are to add up to Totara's own numbers. @param {any} proof */
export const ofTotara = (proof) => proof.heading.against === "totara";

/** The parts that any line has some of, in their order; those that an auditor looks for are always told. @param {any} proof */
export const shownParts = (proof) =>
  proof.parts.filter(
    (/** @type {any} */ part) => ALWAYS.includes(part.name) || proof.rows.some((/** @type {any} */ line) => line[part.name]),
  );

/** The columns of numbers; what is no part has no list of its own. @param {any} proof @returns {{name: string, label: string, means?: string}[]} */
export function columnsOf(proof) {
  const parts = shownParts(proof);
  const staged = { name: "staged", label: "Staged" };
  if (!ofTotara(proof)) return [staged, ...parts];
  const [total, ...rest] = parts;
  return [total, staged, ...rest, { name: "gap", label: "Gap" }];
}

/** What a line is of, in words. @param {any} line */
export function nameOf(line) {
  if (!line.month) return line.course ?? `course ${line.course_id}`;
  const form = new Intl.DateTimeFormat(locale(), { year: "numeric", month: "long", timeZone: "UTC" });
  return form.format(new Date(`${line.month}-01`));
}

/** @param {{proof: any, to: To}} props */
export function Numbers({ proof, to }) {
  const month = proof.heading.by === "month";
  const rows = [...proof.rows.slice(0, MOST), { ...proof.sums, all: true }];
  const columns = [
    { name: "name", title: month ? "Month" : "Course", show: (/** @type {any} */ line) => (line.all ? html`<b>All</b>` : nameOf(line)) },
    ...(month ? [] : [{ name: "site", title: "Site", show: (/** @type {any} */ line) => line.site }]),
    ...columnsOf(proof).map((column) => (column.means ? counted(column, to) : plain(column))),
  ];
  return html`
    <${C.Box}>
      <${Table} caption=${`Proof of delivery by ${proof.heading.by}`} columns=${columns} rows=${rows} rowKey=${keyOf} />
      ${
        proof.rows.length > MOST
          ? html`<${C.Text} fontSize="sm" mt=${1}>The first ${number(MOST)} of ${number(proof.rows.length)} lines; the sums are of all. The CSV has all.<//>`
          : null
      }
    <//>
  `;
}

/** @param {any} line */
const keyOf = (line) => (line.all ? "all" : (line.month ?? `${line.site}-${line.course_id}`));

/** @param {{name: string, label: string}} column */
const plain = ({ name, label }) => ({
  name,
  title: label,
  align: /** @type {const} */ ("end"),
  show: (/** @type {any} */ line) => html`<${Number} of=${line[name]} />`,
});

/** @param {{name: string, label: string}} part @param {To} to */
const counted = (part, to) => ({
  name: part.name,
  title: part.label,
  align: /** @type {const} */ ("end"),
  show: (/** @type {any} */ line) => html`<${Number} of=${line[part.name]} to=${line[part.name] ? to(listOf(part.name, line)) : undefined} />`,
});

/** Where the completions of a number are. @param {string} part @param {any} line */
export function listOf(part, line) {
  if (line.all) return { part };
  return line.month ? { part, of_month: line.month } : { part, of_site: line.site, of_course: line.course_id };
}

/** What the columns mean. @param {{proof: any}} props */
export function Legend({ proof }) {
  const none = proof.parts.filter((/** @type {any} */ part) => !shownParts(proof).includes(part));
  return html`
    <${C.Box} fontSize="sm" mt=${3}>
      <dl style=${{ display: "grid", gridTemplateColumns: "max-content 1fr", gap: "2px 16px" }}>
        ${shownParts(proof).map((/** @type {any} */ part) => [
          html`<${C.Box} as="dt" key=${part.name} fontWeight="medium">${part.label}<//>`,
          html`<${C.Box} as="dd" key=${`${part.name} means`}>${part.means}<//>`,
        ])}
      </dl>
      ${none.length ? html`<${C.Text} mt=${2}>None: ${none.map((/** @type {any} */ part) => part.label).join(", ")}.<//>` : null}
    <//>
  `;
}
