// @ts-check
// The numbers of a proof: a line for each course or month, a column for each part that has any, and the sums.
import { C, html } from "../../lib/html.js";
import { locale, number } from "../../lib/written.js";
import { Number } from "../../parts/number.js";
import { Table } from "../../parts/table.js";

const MOST = 500; // lines that a page shows

/** @typedef {(more: Record<string, any>) => string} To */

/** The parts that have any, in their order; what is delivered and what is not accounted for are always told. @param {any} proof */
export const shownParts = (proof) =>
  proof.parts.filter((/** @type {any} */ part) => proof.sums[part.name] || ["delivered", "unaccounted"].includes(part.name));

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
    ...("in_totara" in proof.sums ? [plain("in_totara", "In Totara"), plain("not_staged", "Not staged")] : []),
    plain("staged", "Staged"),
    ...shownParts(proof).map((/** @type {any} */ part) => counted(part, to)),
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

/** @param {string} name @param {string} title */
const plain = (name, title) => ({
  name,
  title,
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
function listOf(part, line) {
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
