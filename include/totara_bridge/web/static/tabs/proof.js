// @ts-check
// Proof of delivery: of all completions that Totara has, what became of each; every number leads to what it counts.
import { C, R, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { linkTo, usePlace } from "../lib/place.js";
import { Download } from "../parts/download.js";
import { ChoiceFilter, DateFilter, Filters } from "../parts/fields.js";
import { Empty, Loaded } from "../parts/loaded.js";
import { List } from "./proof/list.js";
import { Paper } from "./proof/paper.js";
import { Legend, Numbers } from "./proof/numbers.js";

const ASKED = ["destination", "site", "from", "to", "by", "against"];
const LISTED = ["part", "of_site", "of_course", "of_month", "after"];

/** What is asked for, and the address of the same with something else. */
function useAsked() {
  const place = usePlace();
  const asked = Object.fromEntries(ASKED.map((name) => [name, place.get(name)]));
  const listed = Object.fromEntries(LISTED.map((name) => [name, place.get(name)]));
  const to = (/** @type {Record<string, any>} */ more) => linkTo({ tab: "problems", view: "proof", ...asked, ...more });
  return { asked, listed, to, printed: place.get("print") === "proof" };
}

export function Proof() {
  const { asked, listed, to, printed } = useAsked();
  const found = useData("proof", asked);
  return html`
    <${C.Box} data-testid="proof">
      <${C.Text} maxW="80ch" mb=${2}>
        Each completion is counted in exactly one part, and the parts add up to Totara's own number. Those without a date count by when
        they were first seen.
      <//>
      <${ProofFilters} />
      <${Loaded} from=${found}>
        ${(/** @type {any} */ proof) => html`
          <${C.Box}>
            <${Verdict} proof=${proof} to=${to} />
            <${OfWhat} proof=${proof} />
            <${C.Flex} wrap="wrap" gap=${2} my=${3}>
              <${C.Button} asChild size="sm" variant="outline"><${R.Link} to=${to({ print: "proof" })}>Page to print<//><//>
              <${Download} path="proof.csv" query=${asked} label="CSV" /><${Download} path="proof.json" query=${asked} label="JSON" />
              <${C.Button} size="sm" variant="ghost" loading=${found.loading} onClick=${found.reload}>Count anew<//>
            <//>
            ${proof.rows.length ? html`<${Numbers} proof=${proof} to=${to} />` : html`<${Nothing} />`}
            ${proof.rows.length ? html`<${Legend} proof=${proof} />` : null}
            ${listed.part ? html`<${List} proof=${proof} asked=${asked} listed=${listed} to=${to} />` : null}
            ${printed ? html`<${Paper} proof=${proof} to=${to} />` : null}
          <//>
        `}
      <//>
    <//>
  `;
}

const Nothing = () => html`<${Empty} title="There is no completion" words="Nothing lies in this period." />`;

function ProofFilters() {
  const { destinations, sites } = useFrame();
  const codes = destinations.map((each) => each.code);
  const by = [{ value: "month", label: "Month" }];
  return html`
    <${Filters} names=${ASKED} cursors=${LISTED}>
      ${codes.length > 1 ? html`<${ChoiceFilter} name="destination" label="Destination" choices=${codes.slice(1)} any=${codes[0]} />` : null}
      ${sites.length > 1 ? html`<${ChoiceFilter} name="site" label="Site" choices=${sites.map((each) => each.code)} any="All" />` : null}
      <${DateFilter} name="from" label="Completed from" day /><${DateFilter} name="to" label="Completed until" day />
      <${ChoiceFilter} name="by" label="By" choices=${by} any="Course" />
      <${ChoiceFilter} name="against" label="Adds up to" choices=${AGAINST} any="Totara's, if it was asked" />
    <//>
  `;
}

const AGAINST = [
  { value: "totara", label: "Totara's own number" },
  { value: "staging", label: "What is staged" },
];

/** Of which moment Totara's numbers are and what limits them; or that it was not asked. @param {{proof: any}} props */
function OfWhat({ proof: { heading, notes } }) {
  return html`
    <${C.Box} fontSize="sm" mt=${2} data-testid="of-what">
      ${heading.compared.map((/** @type {any} */ each) => html`<${C.Text} key=${each.site}>${each.site}: ${each.words.join(" ")}<//>`)}
      ${notes.map((/** @type {string} */ words) => html`<${C.Text} key=${words}>${words}<//>`)}
      ${heading.not_compared.length ? html`<${ToTheDag} />` : null}
    <//>
  `;
}

const ToTheDag = () => html`
  <${C.Link} asChild variant="underline"><${R.Link} to="/dags/reconcile_completions">To reconcile_completions<//><//>
`;

/** @param {{proof: any, to: (more: Record<string, any>) => string}} props */
function Verdict({ proof, to }) {
  const { sums, closes, missing, surplus, verdict } = proof;
  const faults = [sums.unaccounted && "unaccounted", (missing || surplus) && "not_staged"].filter(Boolean);
  const why = proof.parts.filter((/** @type {any} */ part) => faults.includes(part.name));
  return html`
    <${C.Alert.Root} status=${closes ? "success" : "error"} data-testid="verdict" data-closes=${closes}>
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>${verdict}<//>
        ${why.map(
          (/** @type {any} */ part) => html`
            <${C.Alert.Description} key=${part.name}>
              ${part.means}${" "}<${C.Link} asChild variant="underline"><${R.Link} to=${to({ part: part.name })}>Show which<//><//>
            <//>
          `,
        )}
      <//>
    <//>
  `;
}
