// @ts-check
// What one number of the proof counts, page by page: completions, each with the way to its items; or days of courses.
import { C, R, html, useEffect, useRef } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { linkTo } from "../../lib/place.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { Number } from "../../parts/number.js";
import { State } from "../../parts/state.js";
import { Table } from "../../parts/table.js";
import { When } from "../../parts/when.js";
import { nameOf } from "./numbers.js";

/** @typedef {Record<string, string>} Words */

/** @param {{proof: any, asked: Words, listed: Words, to: (more: Record<string, any>) => string}} props */
export function List({ proof, asked, listed, to }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  const { after, ...of } = listed;
  const page = useData("proof/list", queried(proof, asked, listed));
  const which = JSON.stringify(of);
  useEffect(() => void heading.current?.focus(), [which]);
  const at = (/** @type {any} */ next) => to({ ...of, after: next });
  return html`
    <${C.Box} as="section" mt=${6} data-testid="proof-list">
      <${C.Flex} wrap="wrap" justify="space-between" align="center" gap=${2} mb=${2}>
        <${C.Heading} as="h2" size="md" ref=${heading} tabIndex=${-1}>${titled(proof, listed)}<//>
        <${C.Button} asChild size="sm" variant="ghost"><${R.Link} to=${to({})} preventScrollReset>Close the list<//><//>
      <//>
      <${Loaded} from=${page}>
        ${(/** @type {any} */ found) => html`<${Page} found=${found} deep=${Boolean(after)} at=${at} />`}
      <//>
    <//>
  `;
}

/** @param {{found: any, deep: boolean, at: (after: any) => string}} props */
function Page({ found, deep, at }) {
  const go = (/** @type {string} */ label, /** @type {any} */ after) => html`
    <${C.Button} asChild size="sm" variant="outline"><${R.Link} to=${at(after)} preventScrollReset>${label}<//><//>
  `;
  return html`
    <${C.Box}>
      ${
        found.rows.length
          ? html`<${Table} ...${found.by_day ? DAYS : COMPLETIONS} rows=${found.rows} />`
          : html`<${Empty} title=${found.more ? "None among those that were looked through" : "No more completions"} />`
      }
      <${C.HStack} as="nav" aria-label="Pages" my=${2} justify="end">
        ${deep ? go("First page", "") : null}${found.more ? go("Next page", found.cursor) : null}
      <//>
    <//>
  `;
}

/** @param {any} row */
const inQueue = (row) => html`
  <${C.Link} asChild variant="underline" fontFamily="mono"><${R.Link} to=${linkTo({ tab: "queue", key: row.record_key })}>${row.record_key}<//><//>
`;

const COLUMNS = /** @type {import("../../parts/table.js").Column[]} */ ([
  { name: "key", title: "Record key", show: inQueue },
  { name: "learner", title: "Learner", show: (row) => row.username ?? `user ${row.user_id}` },
  { name: "course", title: "Course", show: (row) => row.course ?? `course ${row.course_id}` },
  { name: "site", title: "Site", show: (row) => row.site },
  { name: "completed", title: "Completed", show: (row) => html`<${When} at=${row.time_completed} />` },
  { name: "state", title: "Item", show: (row) => (row.state ? html`<${State} of=${row.state} />` : "none in the queue") },
]);

const COMPLETIONS = {
  caption: "Completions that this number counts, in the order in which they were staged",
  columns: COLUMNS,
  rowKey: (/** @type {any} */ row) => row.record_key,
};

/** Of what is not staged nobody knows which completions these are. */
const DAYS = {
  caption: "How many completions this number counts of each course and day",
  columns: /** @type {import("../../parts/table.js").Column[]} */ ([
    { name: "course", title: "Course", show: (row) => row.course ?? `course ${row.course_id}` },
    { name: "site", title: "Site", show: (row) => row.site },
    { name: "day", title: "Completed on", show: (row) => row.day },
    { name: "count", title: "Completions", align: "end", show: (row) => html`<${Number} of=${row.count} />` },
  ]),
  rowKey: (/** @type {any} */ row) => `${row.site}-${row.course_id}-${row.day}`,
};

/** @param {any} proof @param {Words} listed */
function titled(proof, listed) {
  const part = proof.parts.find((/** @type {any} */ each) => each.name === listed.part)?.label ?? listed.part;
  const line = proof.rows.find((/** @type {any} */ each) =>
    each.month ? each.month === listed.of_month : each.site === listed.of_site && String(each.course_id) === listed.of_course,
  );
  return line ? `${part}: ${nameOf(line)}` : part;
}

/** @param {any} proof @param {Words} asked @param {Words} listed */
function queried(proof, { destination, site, from, to }, listed) {
  const query = { destination, site, from, to, against: proof.heading.against, part: listed.part, after: listed.after };
  if (listed.of_course) return { ...query, site: listed.of_site, course: listed.of_course };
  if (!listed.of_month) return query;
  const [year, month] = listed.of_month.split("-").map(globalThis.Number);
  const first = `${listed.of_month}-01`;
  const last = new Date(Date.UTC(year, month, 0)).toISOString().slice(0, 10);
  return { ...query, from: later(first, from), to: to && to < last ? to : last };
}

/** @param {string} one @param {string} other days as they sort */
const later = (one, other) => (other > one ? other : one);
