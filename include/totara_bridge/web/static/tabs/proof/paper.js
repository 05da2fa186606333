// @ts-check
// The proof as a page to print: only the document, whatever the host's page looks like and in which colours.
import { C, R, html, useEffect, useRef } from "../../lib/html.js";
import { inUtc, number } from "../../lib/written.js";
import { Legend, nameOf, shownParts } from "./numbers.js";

const STYLE = `
  @page { margin: 15mm; }
  @media print {
    body > *:not([data-paper]) { display: none !important; }
    html, body { height: auto !important; overflow: visible !important; background: white !important; }
    [data-paper] { position: static !important; overflow: visible !important; padding: 0 !important; }
    [data-paper] .screen { display: none !important; }
    [data-paper] thead { display: table-header-group; }
    [data-paper] tr { break-inside: avoid; }
  }
  [data-paper] table { border-collapse: collapse; width: 100%; font-size: 12px; }
  [data-paper] th, [data-paper] td { border-bottom: 1px solid #bbb; padding: 3px 6px; text-align: end; vertical-align: bottom; }
  [data-paper] th:first-child, [data-paper] td:first-child { text-align: start; }
`;

/** @param {{proof: any, back: string}} props */
export function Paper({ proof, back }) {
  const begin = useAlone();
  return html`
    <${C.Portal}>
      <${C.Theme} appearance="light" data-paper="" position="fixed" inset="0" zIndex="modal" overflow="auto" p=${8} bg="white" color="black">
        <style>${STYLE}</style>
        <${C.HStack} className="screen" mb=${6}>
          <${C.Button} ref=${begin} size="sm" onClick=${() => window.print()}>Print<//>
          <${C.Button} asChild size="sm" variant="outline"><${R.Link} to=${back}>Back<//><//>
        <//>
        <${C.Box} as="main" data-testid="paper"><${Document} proof=${proof} /><//>
      <//>
    <//>
  `;
}

/** Whoever goes by keyboard stays on the paper, and begins at its first button. */
function useAlone() {
  const begin = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const others = [...document.body.children].filter((each) => !each.hasAttribute("data-paper") && !each.hasAttribute("inert"));
    for (const each of others) each.setAttribute("inert", "");
    begin.current?.focus();
    return () => others.forEach((each) => each.removeAttribute("inert"));
  }, []);
  return begin;
}

/** @param {{proof: any}} props */
function Document({ proof }) {
  const { heading, sums, closes, gap } = proof;
  const facts = [
    ["Destination", heading.destination],
    ["Site", heading.site ?? "all"],
    ["Completed", `${heading.from ?? "from the beginning"} – ${heading.to ?? "until now"} (${heading.timezone})`],
    ["Made", `${inUtc(heading.made_at)} by ${heading.made_by}, Totara Bridge ${heading.bridge_version}`],
  ];
  const all = `${number(sums.staged)} staged completions are`;
  const verdict = closes ? `All ${all} accounted for.` : `${number(gap)} of ${all} not accounted for.`;
  return html`
    <${C.Stack} gap=${4}>
      <${C.Heading} as="h1" size="xl">Proof of delivery<//>
      <dl style=${{ display: "grid", gridTemplateColumns: "max-content 1fr", gap: "2px 16px" }}>
        ${facts.map(([name, value]) => [html`<dt key=${name}>${name}</dt>`, html`<dd key=${`${name} is`}>${value}</dd>`])}
      </dl>
      <${C.Text} fontWeight="bold">${verdict}<//>
      <${Lines} proof=${proof} />
      <${Legend} proof=${proof} />
    <//>
  `;
}

const IN_TOTARA = [
  { name: "in_totara", label: "In Totara" },
  { name: "not_staged", label: "Not staged" },
];

/** @param {{proof: any}} props */
function Lines({ proof }) {
  const totara = "in_totara" in proof.sums ? IN_TOTARA : [];
  const columns = [...totara, { name: "staged", label: "Staged" }, ...shownParts(proof)];
  const several = new Set(proof.rows.map((/** @type {any} */ line) => line.site)).size > 1;
  const cells = (/** @type {any} */ line) => columns.map((column) => html`<td key=${column.name}>${number(line[column.name])}</td>`);
  return html`
    <table>
      <thead>
        <tr>
          <th scope="col">${proof.heading.by === "month" ? "Month" : "Course"}</th>
          ${columns.map((column) => html`<th key=${column.name} scope="col">${column.label}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${proof.rows.map(
          (/** @type {any} */ line) => html`
            <tr key=${line.month ?? `${line.site}-${line.course_id}`}>
              <td>${nameOf(line)}${several ? ` (${line.site})` : ""}</td>${cells(line)}
            </tr>
          `,
        )}
        <tr style=${{ fontWeight: "bold" }}><td>All</td>${cells(proof.sums)}</tr>
      </tbody>
    </table>
  `;
}
