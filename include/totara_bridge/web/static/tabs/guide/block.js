// @ts-check
// What the guide is made of: paragraphs, tables, code, and commands with what they answer.
import { C, html } from "../../lib/html.js";
import { Code } from "../../parts/copy.js";

/** Text in which what stands between two backticks is code. @param {{text: string}} props */
export function Words({ text }) {
  const parts = text.split("`");
  return html`
    <${C.Box} as="span">
      ${parts.map((part, at) => (at % 2 ? html`<${C.Code} key=${at} overflowWrap="anywhere">${part}<//>` : part))}
    <//>
  `;
}

/** @param {{block: any}} props */
export function Block({ block }) {
  if (block.kind === "table") return html`<${Grid} block=${block} />`;
  if (block.kind === "words") return html`<${C.Text} my=${3} lineHeight="tall"><${Words} text=${block.text} /><//>`;
  return html`
    <${C.Box} my=${4} data-testid=${block.kind}>
      <${C.Heading} as="h3" size="sm">${block.title}<//>
      <${Code} text=${block.text} label=${block.title} wrap=${block.kind === "command"} />
      ${block.answer ? html`<${Answer} block=${block} />` : null}
    <//>
  `;
}

/** @param {{block: {title: string, answer: string}}} props */
function Answer({ block }) {
  return html`
    <${C.Box}>
      <${C.Text} fontSize="sm" color="fg.muted">It answers<//>
      <${Code} text=${block.answer} label=${`${block.title}: what it answers`} />
    <//>
  `;
}

/** @param {{block: {title: string, columns: string[], rows: string[][]}}} props */
function Grid({ block }) {
  return html`
    <${C.Box} my=${4}>
      <${C.Heading} as="h3" size="sm" mb=${2}>${block.title}<//>
      <${C.Table.ScrollArea} borderWidth="1px" borderRadius="md" maxW="100%" role="region" aria-label=${block.title} tabIndex=${0}>
        <${C.Table.Root} size="sm">
          <${C.Table.Header}>
            <${C.Table.Row}>
              ${block.columns.map((name) => html`<${C.Table.ColumnHeader} key=${name} scope="col">${begun(name)}<//>`)}
            <//>
          <//>
          <${C.Table.Body}>
            ${block.rows.map(
              (row, at) => html`
                <${C.Table.Row} key=${at}>
                  ${row.map((cell, column) => html`<${Cell} key=${column} text=${cell} />`)}
                <//>
              `,
            )}
          <//>
        <//>
      <//>
    <//>
  `;
}

const SHORT = { whiteSpace: "nowrap" };
const LONG = { whiteSpace: "normal", minW: "12rem" };

/** @param {{text: string}} props */
const Cell = ({ text }) => html`
  <${C.Table.Cell} verticalAlign="top" ...${text.length > 24 ? LONG : SHORT}><${Words} text=${text} /><//>
`;

/** As a title begins. @param {string} words */
const begun = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);
