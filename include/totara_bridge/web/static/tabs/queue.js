// @ts-check
// The Queue tab: items by what a person looks for, page by page; chosen ones, or all of them, are requeued or cancelled.
import { C, html, useState } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { usePlace } from "../lib/place.js";
import { Download } from "../parts/download.js";
import { Empty, Loaded } from "../parts/loaded.js";
import { Pager } from "../parts/pager.js";
import { Table } from "../parts/table.js";
import { Chosen } from "./queue/chosen.js";
import { columns } from "./queue/columns.js";
import { ItemFilters, useAsked } from "./queue/filters.js";
import { howMany } from "./queue/many.js";
import { Story } from "./queue/story.js";

const EVERY = 15; // seconds

export function Queue() {
  const place = usePlace();
  const asked = useAsked();
  const page = useData("items", { ...asked, after: place.get("after") }, { every: EVERY });
  const count = useData("items/count", asked, { every: EVERY });
  const chosen = useChosen(JSON.stringify(asked));
  return html`
    <${C.Box}>
      <${ItemFilters} />
      <${C.Flex} wrap="wrap" gap=${3} align="center" justify="space-between" my=${2}>
        <${C.Text} role="status" data-testid="how-many">${count.data ? howMany(count.data) : "Counting …"}<//>
        <${Download} path="items.csv" query=${asked} label="CSV of all of them" />
      <//>
      <${Chosen} chosen=${chosen} count=${count.data} />
      <${Loaded} from=${page}>
        ${(/** @type {any} */ found) => html`<${Items} found=${found} chosen=${chosen} place=${place} />`}
      <//>
      <${Story} />
    <//>
  `;
}

/** @type {{filter: string, ids: number[], all: boolean}} kept here, as the host takes the page down and up again */
let last = { filter: "", ids: [], all: false };

/**
 * Which items are chosen: by their numbers, or all that match; with another filter none are.
 * @param {string} filter
 * @returns {{ids: number[], all: boolean, choose: (ids: number[]) => void, chooseAll: () => void, clear: () => void}}
 */
function useChosen(filter) {
  const [held, setHeld] = useState(last);
  const { ids, all } = held.filter === filter ? held : { ids: [], all: false };
  const hold = (/** @type {number[]} */ them, every = false) => setHeld((last = { filter, ids: them, all: every }));
  return { ids, all, choose: (them) => hold(them), chooseAll: () => hold([], true), clear: () => hold([]) };
}

/** @param {{found: any, chosen: ReturnType<typeof useChosen>, place: ReturnType<typeof usePlace>}} props */
function Items({ found, chosen, place }) {
  const { manages, destinations } = useFrame();
  const pager = html`<${Pager} more=${found.more} cursor=${found.cursor} />`;
  if (!found.items.length) {
    return html`<${C.Box}><${Nothing} more=${found.more} deep=${Boolean(place.get("after"))} />${pager}<//>`;
  }
  const here = found.items.map((/** @type {any} */ item) => item.id);
  const choosing = manages && { selected: chosen.all ? here : chosen.ids, onSelect: chosen.choose };
  return html`
    <${C.Box}>
      <${Table} caption="Items of the export queue, newest first" columns=${columns(destinations.length > 1)} rows=${found.items}
        rowKey=${(/** @type {any} */ item) => item.id} nameRow=${(/** @type {any} */ item) => `item ${item.id}`}
        onOpen=${(/** @type {any} */ item) => place.set({ item: item.id })} opened=${Number(place.get("item")) || null}
        ...${choosing || {}} />
      ${pager}
    <//>
  `;
}

/** @param {{more: boolean, deep: boolean}} props */
function Nothing({ more, deep }) {
  const [title, words] = more ? LATER : deep ? NO_OLDER : NONE;
  return html`<${Empty} title=${title} words=${words} />`;
}

const LATER = ["None among those that were looked through", "One page looks through 50 000 items: Older looks through the next."];
const NO_OLDER = ["No older items", "Newest leads back to the first page."];
const NONE = ["No items", "Nothing in the queue is what the filters ask for. What was purged is not here any more."];
