// @ts-check
// Two logs to look through: the requests to each destination, and who had what done.
import { C, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { usePlace } from "../lib/place.js";
import { length } from "../lib/written.js";
import { Download } from "../parts/download.js";
import { ChoiceFilter, DateFilter, Filters, TextFilter } from "../parts/fields.js";
import { Empty, Loaded } from "../parts/loaded.js";
import { Number } from "../parts/number.js";
import { Pager } from "../parts/pager.js";
import { Outcome } from "../parts/state.js";
import { Table } from "../parts/table.js";
import { When } from "../parts/when.js";
import { Details, DoneDialog } from "./logs/done.js";
import { RequestDialog } from "./logs/request.js";

const LOGS = [
  { name: "requests", label: "Requests to Oracle", show: Requests },
  { name: "audit", label: "Who did what", show: Audit },
];

export function Logs() {
  const place = usePlace();
  const now = LOGS.find((log) => log.name === place.get("log")) ?? LOGS[0];
  return html`
    <${C.Box}>
      <${C.ButtonGroup} size="sm" variant="outline" attached role="group" aria-label="Which log" mb=${2}>
        ${LOGS.map(
          (log) => html`
            <${C.Button} key=${log.name} aria-pressed=${log === now} variant=${log === now ? "solid" : "outline"}
              onClick=${() => place.go({ tab: "logs", log: log.name })}>${log.label}<//>
          `,
        )}
      <//>
      <${now.show} key=${now.name} />
    <//>
  `;
}

const REQUEST_FILTERS = ["destination", "outcome", "status", "since", "until"];

const STATUSES = [
  { value: "2xx", label: "2xx" },
  { value: "3xx", label: "3xx" },
  { value: "4xx", label: "4xx" },
  { value: "429", label: "429" },
  { value: "5xx", label: "5xx" },
  { value: "none", label: "No answer" },
];

const REQUEST_COLUMNS = [
  { name: "at", title: "When", show: (/** @type {any} */ row) => html`<${When} at=${row.at} />` },
  { name: "destination", title: "Destination", show: (/** @type {any} */ row) => row.destination },
  { name: "outcome", title: "Outcome", show: (/** @type {any} */ row) => html`<${Outcome} of=${row.outcome} />` },
  { name: "status", title: "HTTP", align: /** @type {const} */ ("end"), show: (/** @type {any} */ row) => row.http_status ?? "–" },
  { name: "items", title: "Items", align: /** @type {const} */ ("end"), show: (/** @type {any} */ row) => html`<${Number} of=${row.items} />` },
  { name: "took", title: "Took", align: /** @type {const} */ ("end"), show: (/** @type {any} */ row) => took(row.duration_ms) },
  { name: "error", title: "What was said", show: (/** @type {any} */ row) => html`<${Said} words=${row.error} />` },
];

/** A request is soon over: in milliseconds where a second says too little. @param {number} milliseconds */
export const took = (milliseconds) => (milliseconds < 1000 ? `${milliseconds} ms` : length(milliseconds / 1000));

/** @param {{words: string | null}} props */
const Said = ({ words }) => html`<${C.Text} lineClamp=${2} maxW="30rem" overflowWrap="anywhere">${words ?? ""}<//>`;

function Requests() {
  const place = usePlace();
  const { destinations } = useFrame();
  const words = useData("logs");
  const query = { ...asked(place, ["destination", "since", "until"]), outcome: place.all("outcome"), status: place.all("status") };
  const page = useData("requests", { ...query, after: place.get("after") }, { every: 30 });
  const outcomes = Object.keys(words.data?.outcomes ?? {});
  return html`
    <${C.Box} data-testid="log-requests">
      <${Filters} names=${REQUEST_FILTERS}>
        <${ChoiceFilter} name="destination" label="Destination" choices=${destinations.map((each) => each.code)} />
        <${ChoiceFilter} name="outcome" label="Outcome" choices=${outcomes.map(plain)} />
        <${ChoiceFilter} name="status" label="HTTP status" choices=${STATUSES} multiple />
        <${DateFilter} name="since" label="From" />
        <${DateFilter} name="until" label="Before" />
        <${Download} path="requests.csv" query=${query} label="All of these as CSV" />
      <//>
      <${Page} from=${page} columns=${REQUEST_COLUMNS} caption="Requests to destinations, the newest first"
        nothing="No such request" onOpen=${(/** @type {any} */ row) => place.set({ request: row.id })} />
      <${RequestDialog} number=${place.get("request")} onClose=${() => place.set({ request: "" })} />
    <//>
  `;
}

/** A word of the logs, for people. @param {string} word */
const plain = (word) => ({ value: word, label: word.replaceAll("_", " ") });

const AUDIT_COLUMNS = [
  { name: "at", title: "When", show: (/** @type {any} */ row) => html`<${When} at=${row.at} />` },
  { name: "actor", title: "Who", show: (/** @type {any} */ row) => row.actor },
  { name: "action", title: "Did what", show: (/** @type {any} */ row) => plain(row.action).label },
  { name: "subject", title: "Of what", show: (/** @type {any} */ row) => row.subject },
  { name: "details", title: "Details", show: (/** @type {any} */ row) => html`<${Details} row=${row} />` },
];

function Audit() {
  const place = usePlace();
  const words = useData("logs");
  const query = asked(place, ["actor", "action", "subject", "since", "until"]);
  const page = useData("audit", { ...query, after: place.get("after") }, { every: 30 });
  const rows = page.data?.rows ?? [];
  const actions = Object.keys(words.data?.actions ?? {});
  return html`
    <${C.Box} data-testid="log-audit">
      <${Filters} names=${Object.keys(query)}>
        <${TextFilter} name="actor" label="Who" placeholder="any part of the name" />
        <${ChoiceFilter} name="action" label="Did what" choices=${actions.map(plain)} />
        <${TextFilter} name="subject" label="Of what" placeholder="a setting, a destination …" />
        <${DateFilter} name="since" label="From" />
        <${DateFilter} name="until" label="Before" />
        <${Download} path="audit.csv" query=${query} label="All of these as CSV" />
      <//>
      <${Page} from=${page} columns=${AUDIT_COLUMNS} caption="What people had done, the newest first"
        nothing="No such entry" onOpen=${(/** @type {any} */ row) => place.set({ row: row.id })} />
      <${DoneDialog} row=${rows.find((/** @type {any} */ each) => String(each.id) === place.get("row"))} words=${words.data?.actions}
        onClose=${() => place.set({ row: "" })} />
    <//>
  `;
}

/** What the address asks for. @param {ReturnType<typeof usePlace>} place @param {string[]} names */
const asked = (place, names) => Object.fromEntries(names.map((name) => [name, place.get(name)]));

/** @param {{from: any, columns: any[], caption: string, nothing: string, onOpen: (row: any) => void}} props */
function Page({ from, columns, caption, nothing, onOpen }) {
  return html`
    <${Loaded} from=${from}>
      ${(/** @type {any} */ page) => html`
        <${C.Box}>
          ${page.rows.length
            ? html`<${Table} columns=${columns} rows=${page.rows} rowKey=${(/** @type {any} */ row) => row.id} caption=${caption} onOpen=${onOpen} />`
            : html`<${Empty} title=${page.more ? "None among those looked through" : nothing} words=${elsewhere(page.more)} />`}
          <${Pager} more=${page.more} cursor=${page.cursor} />
        <//>
      `}
    <//>
  `;
}

/** @param {boolean} more */
const elsewhere = (more) =>
  more ? "Twenty thousand were looked through: press Older to go on." : "Change the filters, or wait: this page refreshes by itself.";
