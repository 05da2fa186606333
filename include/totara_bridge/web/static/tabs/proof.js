// @ts-check
// Proof of delivery: of all completions that are staged, what became of each; every number leads to what it counts.
import { C, R, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { linkTo, usePlace } from "../lib/place.js";
import { counted } from "../lib/written.js";
import { Download } from "../parts/download.js";
import { ChoiceFilter, DateFilter, Filters } from "../parts/fields.js";
import { Empty, Loaded } from "../parts/loaded.js";
import { List } from "./proof/list.js";
import { Paper } from "./proof/paper.js";
import { Legend, Numbers } from "./proof/numbers.js";

const ASKED = ["destination", "site", "from", "to", "by"];
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
        Each completion that is staged is counted in exactly one column. Those without a date count by when they were first seen.
      <//>
      <${ProofFilters} />
      <${Loaded} from=${found}>
        ${(/** @type {any} */ proof) => html`
          <${C.Box}>
            <${Verdict} proof=${proof} to=${to} />
            <${C.Flex} wrap="wrap" gap=${2} my=${3}>
              <${C.Button} asChild size="sm" variant="outline"><${R.Link} to=${to({ print: "proof" })}>Page to print<//><//>
              <${Download} path="proof.csv" query=${asked} label="CSV" /><${Download} path="proof.json" query=${asked} label="JSON" />
              <${C.Button} size="sm" variant="ghost" loading=${found.loading} onClick=${found.reload}>Count anew<//>
            <//>
            ${proof.rows.length ? html`<${Numbers} proof=${proof} to=${to} />` : html`<${Nothing} />`}
            ${proof.rows.length ? html`<${Legend} proof=${proof} />` : null}
            ${listed.part ? html`<${List} proof=${proof} asked=${asked} listed=${listed} to=${to} />` : null}
            ${printed ? html`<${Paper} proof=${proof} back=${to({})} />` : null}
          <//>
        `}
      <//>
    <//>
  `;
}

const Nothing = () => html`<${Empty} title="No completion is staged" words="Nothing that was extracted lies in this period." />`;

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
    <//>
  `;
}

/** @param {{proof: any, to: (more: Record<string, any>) => string}} props */
function Verdict({ proof, to }) {
  const { sums, closes, gap } = proof;
  const title = closes
    ? `Everything is accounted for: ${counted(sums.staged, "completion")}, each in one column.`
    : `${counted(gap, "completion is", "completions are")} not accounted for.`;
  const means = proof.parts.find((/** @type {any} */ part) => part.name === "unaccounted").means;
  return html`
    <${C.Alert.Root} status=${closes ? "success" : "error"} data-testid="verdict" data-closes=${closes}>
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>${title}<//>
        ${
          closes
            ? null
            : html`
                <${C.Alert.Description}>
                  ${means}${" "}<${C.Link} asChild variant="underline"><${R.Link} to=${to({ part: "unaccounted" })}>Show which<//><//>
                <//>
              `
        }
      <//>
    <//>
  `;
}
