// @ts-check
// A part of the page under its own heading, with what belongs to all of it at the heading's end.
import { C, html, useId } from "../lib/html.js";

/** @param {{title: string, aside?: any, children: any, testid?: string}} props */
export function Section({ title, aside, children, testid }) {
  const id = useId();
  return html`
    <${C.Box} as="section" aria-labelledby=${id} data-testid=${testid}>
      <${C.Flex} wrap="wrap" justify="space-between" align="center" gap=${2} mb=${2}>
        <${C.Heading} as="h2" size="md" id=${id}>${title}<//>
        ${aside ?? null}
      <//>
      ${children}
    <//>
  `;
}
