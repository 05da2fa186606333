// @ts-check
// What the Queue tab can look for; all of it is in the address.
import { C, html } from "../../lib/html.js";
import { useFrame } from "../../lib/frame.js";
import { usePlace } from "../../lib/place.js";
import { ChoiceFilter, DateFilter, Filters, TextFilter } from "../../parts/fields.js";
import { ALL_STATES } from "../../parts/state.js";

const SEVERAL = ["state", "destination", "site", "kind", "lane"];
const ONE = ["learner", "course", "key", "error", "from", "to"];

/** What is asked for, as the server takes it. @returns {Record<string, string | string[]>} */
export function useAsked() {
  const place = usePlace();
  const several = SEVERAL.map((name) => [name, place.all(name)]);
  const one = ONE.map((name) => [name, place.get(name)]);
  return Object.fromEntries([...several, ...one]);
}

export function ItemFilters() {
  const { destinations, sites } = useFrame();
  return html`
    <${C.Box}>
      <${Filters} names=${[...SEVERAL, ...ONE]}>
        <${ChoiceFilter} name="state" label="State" choices=${ALL_STATES} multiple />
        <${TextFilter} name="learner" label="Learner" placeholder="anna, or ann*" />
        <${TextFilter} name="course" label="Course" placeholder="SAFETY-1, or SAFETY-*" />
        <${TextFilter} name="key" label="Key" placeholder="TBK3…, or TBK3*" />
        <${TextFilter} name="error" label="Error" placeholder="Class or fingerprint" />
        <${DateFilter} name="from" label="Queued from" />
        <${DateFilter} name="to" label="Queued until" />
        ${several("destination", "Destination", destinations)} ${several("site", "Site", sites)}
        <${ChoiceFilter} name="kind" label="Kind" choices=${["completion", "correction", "withdrawal"]} />
        <${ChoiceFilter} name="lane" label="Lane" choices=${["fresh", "retry", "backfill"]} />
      <//>
      <${C.Text} fontSize="xs" color="fg.muted">
        Learner: username, e-mail address or id number. Course: short name or id number. Key: record key or idempotency key. With * at the
        end: all that begin so.
      <//>
    <//>
  `;
}

/** A choice where there is one. @param {string} name @param {string} label @param {{code: string}[]} them */
function several(name, label, them) {
  if (them.length < 2) return null;
  return html`<${ChoiceFilter} name=${name} label=${label} choices=${them.map((each) => each.code)} multiple />`;
}
