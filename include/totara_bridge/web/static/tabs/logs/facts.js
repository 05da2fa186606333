// @ts-check
// Names with what they stand for; what is not known is left out.
import { C, html } from "../../lib/html.js";

/** @param {{facts: any[][]}} props each a name and what is shown for it */
export function Facts({ facts }) {
  const known = facts.filter(([, shown]) => shown !== null && shown !== undefined && shown !== "");
  return html`
    <${C.DataList.Root} orientation="horizontal" gap=${2}>
      ${known.map(
        ([name, shown]) => html`
          <${C.DataList.Item} key=${name} alignItems="start">
            <${C.DataList.ItemLabel} minW="10rem">${name}<//>
            <${C.DataList.ItemValue} overflowWrap="anywhere" minW=${0}>${shown}<//>
          <//>
        `,
      )}
    <//>
  `;
}
