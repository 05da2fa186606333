// @ts-check
// The proof as a page to print: only the document, whatever the host's page looks like and in which colours.
import { C, R, html, useEffect, useRef } from "../../lib/html.js";
import { inUtc, number } from "../../lib/written.js";
import { Legend, columnsOf, listOf, nameOf, ofTotara } from "./numbers.js";

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
  [data-paper] td a { text-decoration: underline; }
  [data-paper] dd { overflow-wrap: anywhere; }
  [data-paper] th:first-child, [data-paper] td:first-child { text-align: start; }
`;

/** @typedef {import("./numbers.js").To} To */

/** @param {{proof: any, to: To}} props */
export function Paper({ proof, to }) {
  const begin = useAlone();
  return html`
    <${C.Portal}>
      <${C.Theme} appearance="light" data-paper="" position="fixed" inset="0" zIndex="modal" overflow="auto" p=${8} bg="white" color="black">
        <style>${STYLE}</style>
        <${C.HStack} className="screen" mb=${6}>
          <${C.Button} ref=${begin} size="sm" onClick=${() => window.print()}>Print<//>
          <${C.Button} asChild size="sm" variant="outline"><${R.Link} to=${to({})}>Back<//><//>
        <//>
        <${C.Box} as="main" data-testid="paper"><${Document} proof=${proof} to=${to} /><//>
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

/** What stands above the numbers: name and value. @param {any} proof @returns {string[][]} */
function factsOf(proof) {
  const { heading } = proof;
  return [
    ["Destination", heading.destination],
    ["Site", heading.site ?? "all"],
    ["Completed", `${heading.from ?? "from the beginning"} – ${heading.to ?? "until now"} (${heading.timezone})`],
    ["Adds up to", ofTotara(proof) ? "Totara's own numbers" : "what is staged"],
    ...heading.compared.map((/** @type {any} */ each) => [`Site ${each.site}`, each.words.join(" ")]),
    ...proof.notes.map((/** @type {string} */ words) => ["Note", words]),
    ["Made", `${inUtc(heading.made_at)} by ${heading.made_by}, Totara Bridge ${heading.bridge_version}`],
    ["SHA-256 of the lines", proof.digest],
  ];
}

/** @param {{proof: any, to: To}} props */
function Document({ proof, to }) {
  return html`
    <${C.Stack} gap=${4}>
      <${C.Heading} as="h1" size="xl">Proof of delivery<//>
      <dl style=${{ display: "grid", gridTemplateColumns: "max-content 1fr", gap: "2px 16px" }}>
        ${factsOf(proof).map(([name, value], at) => [html`<dt key=${at}>${name}</dt>`, html`<dd key=${`${at} is`}>${value}</dd>`])}
      </dl>
      <${C.Text} fontWeight="bold">${proof.verdict}<//>
      <${Lines} proof=${proof} to=${to} />
      <${Legend} proof=${proof} />
    <//>
  `;
}

/** The sums lead to what they count. @param {{proof: any, to: To}} props */
function Lines({ proof, to }) {
  const columns = columnsOf(proof);
  const sum = (/** @type {any} */ column) => {
    const shown = number(proof.sums[column.name]);
    return column.means && proof.sums[column.name] ? html`<${R.Link} to=${to(listOf(column.name, { all: true }))}>${shown}<//>` : shown;
  };
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
        <tr style=${{ fontWeight: "bold" }}><td>All</td>${columns.map((column) => html`<td key=${column.name}>${sum(column)}</td>`)}</tr>
      </tbody>
    </table>
  `;
}
