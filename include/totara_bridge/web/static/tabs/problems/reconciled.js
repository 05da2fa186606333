// @ts-check
// Where each Totara, what is staged and what was delivered differ, as the last comparison found it.
import { C, R, html, useState } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { linkTo } from "../../lib/place.js";
import { counted, number } from "../../lib/written.js";
import { Action } from "../../parts/action.js";
import { Fact } from "../../parts/alerts.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { StatBox } from "../../parts/stat.js";
import { Table } from "../../parts/table.js";
import { Ago } from "../../parts/when.js";

const EVERY = 30; // seconds
const DAG = "reconcile_completions";

/**
 * @typedef {{at: string, by: string, repaired: boolean, missing: number, extra: number, different: number, pending: number}} Compared
 * @typedef {{site: string, compared: Compared | null}} Site
 */

export function Reconciled() {
  const found = useData("reconciled", {}, { every: EVERY });
  return html`
    <${Loaded} from=${found}>
      ${(/** @type {{sites: Site[]}} */ { sites }) => html`
        <${C.Stack} gap=${6}>
          ${sites.map((each) => html`<${OfSite} key=${each.site} ...${each} reload=${found.reload} />`)}
        <//>
      `}
    <//>
  `;
}

/** @param {Site & {reload: () => void}} props */
function OfSite({ site, compared, reload }) {
  return html`
    <${C.Box} as="article" aria-label=${`differences of site ${site}`} data-testid=${`reconciled-${site}`}>
      <${C.Flex} wrap="wrap" justify="space-between" align="center" gap=${2} mb=${3}>
        <${C.Text}><b>Site ${site}</b> ${compared ? html`<${Made} of=${compared} />` : "was never compared with its Totara."}<//>
        <${C.HStack} gap=${2}>
          <${Run} site=${site} after=${reload} /><${Run} site=${site} after=${reload} repair />
        <//>
      <//>
      ${compared ? html`<${Numbers} of=${compared} />` : null}
      ${compared ? html`<${Differences} site=${site} of=${compared} />` : null}
    <//>
  `;
}

/** @param {{of: Compared}} props */
const Made = ({ of }) => html`
  <${C.Box} as="span">
    was compared with its Totara <${Ago} at=${of.at} />${of.repaired ? ", after a repair" : ""}, asked for by ${of.by}.
  <//>
`;

/** @param {{of: Compared}} props */
const Numbers = ({ of }) => html`
  <${C.SimpleGrid} columns=${{ base: 2, md: 4 }} gap=${3} mb=${3}>
    <${StatBox} label="Missing" value=${of.missing} help="Totara has it; it is not staged, or not where it should be delivered" />
    <${StatBox} label="Extra" value=${of.extra} help="Here or at a destination; Totara has it no more" />
    <${StatBox} label="Different" value=${of.different} help="Both have it, not alike" />
    <${StatBox} label="Pending" value=${of.pending} help="Changed in Totara since the last extract: the next one reads it" />
  <//>
`;

/** @param {{site: string, of: Compared}} props */
function Differences({ site, of }) {
  const [after, setAfter] = useState({ at: of.at, number: 0 });
  const total = of.missing + of.extra + of.different;
  const from = after.at === of.at ? after.number : 0; // another comparison has other numbers
  const page = useData("reconciled/differences", { site, after: from || "" }, { every: EVERY });
  if (!total) return html`<${Fact} on words="Nothing differs" testid=${`alike-${site}`} />`;
  const go = (/** @type {string} */ label, /** @type {number} */ to) => html`
    <${C.Button} size="sm" variant="outline" onClick=${() => setAfter({ at: of.at, number: to })}>${label}<//>
  `;
  return html`
    <${Loaded} from=${page}>
      ${(/** @type {any} */ found) => html`
        ${
          found.rows.length
            ? html`<${Table} caption=${`Differences of site ${site}`} columns=${COLUMNS} rows=${found.rows} rowKey=${(/** @type {any} */ row) => row.number} />`
            : html`<${Empty} title="None of them is kept any more" />`
        }
        <${C.HStack} my=${2} justify="space-between">
          <${C.Text} fontSize="sm" color="fg.muted">${total > KEPT ? `Of ${number(total)} the first ${number(KEPT)} are kept.` : ""}<//>
          <${C.HStack}>${from ? go("First page", 0) : null}${found.more ? go("Next page", found.cursor) : null}<//>
        <//>
      `}
    <//>
  `;
}

const KEPT = 1000;

/** @param {any} row */
const keyOf = (row) =>
  row.record_key
    ? html`<${C.Link} asChild variant="underline" fontFamily="mono"><${R.Link} to=${linkTo({ tab: "queue", key: row.record_key })}>${row.record_key}<//><//>`
    : "–";

const COLUMNS = /** @type {import("../../parts/table.js").Column[]} */ ([
  { name: "kind", title: "Kind", show: (row) => row.kind },
  { name: "place", title: "Where", show: (row) => row.place },
  { name: "user", title: "Learner", show: (row) => `user ${row.user_id}` },
  { name: "course", title: "Course", show: (row) => row.course ?? `course ${row.course_id}` },
  { name: "totara", title: "Totara says", show: (row) => row.totara },
  { name: "here", title: "Here is", show: (row) => row.here },
  { name: "key", title: "Record key", show: keyOf },
]);

/** @param {{site: string, after: () => void, repair?: boolean}} props */
function Run({ site, after, repair = false }) {
  const does = repair
    ? "Its site is extracted whole, what destinations should have been told is queued, and all is compared again."
    : "All that its Totara has is compared with what is here. Nothing is changed.";
  const told = (/** @type {any} */ found) =>
    `${counted(found.missing, "completion is", "completions are")} missing, ${number(found.extra)} extra and ${number(found.different)} different.`;
  return html`
    <${Action} name="reconcile" label=${repair ? "Repair" : "Compare now"} title=${repair ? `Repair site ${site}` : `Compare site ${site}`}
      dag=${DAG} task=${`reconcile_${site}`} conf=${() => ({ sites: [site], repair })} after=${after} done=${told}
      count=${() => Promise.resolve({ sentence: does, items: null })} testid=${`action-${repair ? "repair" : "reconcile"}-${site}`} />
  `;
}
