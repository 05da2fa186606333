// @ts-check
// The API guide: how other systems fetch from this bridge, and what Oracle must provide. The server makes it of what is true.
import { C, R, html, useEffect, useRef } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { linkTo, usePlace } from "../lib/place.js";
import { Copy } from "../parts/copy.js";
import { Loaded } from "../parts/loaded.js";
import { Block, Words } from "./guide/block.js";

/** @typedef {{name: string, title: string, blocks: any[]}} Section */
/** @typedef {{address: string, halves: {title: string, sections: Section[]}[]}} Whole */

export function Guide() {
  const guide = useData("guide");
  return html`<${Loaded} from=${guide}>${(/** @type {Whole} */ whole) => html`<${Read} whole=${whole} />`}<//>`;
}

/** @param {{whole: Whole}} props */
function Read({ whole }) {
  const place = usePlace();
  const sections = whole.halves.flatMap((half) => half.sections);
  const now = sections.find((section) => section.name === place.get("part")) ?? sections[0];
  return html`
    <${C.Box} data-testid="guide">
      <${Address} address=${whole.address} />
      <${C.Flex} direction=${{ base: "column", md: "row" }} gap=${{ base: 4, md: 8 }} align="start">
        <${Contents} halves=${whole.halves} now=${now} />
        <${Choice} halves=${whole.halves} now=${now} />
        <${Shown} key=${now.name} section=${now} asked=${place.get("part") !== ""} />
      <//>
    <//>
  `;
}

/** @param {{address: string}} props */
function Address({ address }) {
  return html`
    <${C.Flex} wrap="wrap" gap=${3} align="center" my=${3} p=${3} borderWidth="1px" borderRadius="md">
      <${C.Text} fontWeight="medium">The Pull API is at<//>
      <${C.Code} overflowWrap="anywhere">${address}<//>
      <${Copy} text=${address} label="Copy address" />
      <${C.Box} flex="1" />
      <${C.Button} asChild size="sm" colorPalette="brand">
        <${R.Link} to=${linkTo({ tab: "overview" })}>Issue a token: Quick setup<//>
      <//>
    <//>
  `;
}

/** @param {{halves: Whole["halves"], now: Section}} props */
function Contents({ halves, now }) {
  return html`
    <${C.Box} as="nav" aria-label="Parts of the guide" minW="14rem" hideBelow="md" position=${{ md: "sticky" }} top=${{ md: 4 }}>
      ${halves.map(
        (half) => html`
          <${C.Box} key=${half.title} mb=${4}>
            <${C.Text} fontWeight="semibold" fontSize="sm" color="fg.muted" mb=${1}>${half.title}<//>
            <${C.Stack} as="ul" gap=${0} listStyleType="none" m=${0} p=${0}>
              ${half.sections.map((section) => html`<${Entry} key=${section.name} section=${section} on=${section === now} />`)}
            <//>
          <//>
        `,
      )}
    <//>
  `;
}

/** The same for a narrow window. @param {{halves: Whole["halves"], now: Section}} props */
function Choice({ halves, now }) {
  const place = usePlace();
  return html`
    <${C.NativeSelect.Root} hideFrom="md" size="sm">
      <${C.NativeSelect.Field} aria-label="Part of the guide" value=${now.name}
        onChange=${(/** @type {any} */ event) => place.set({ part: event.target.value })}>
        ${halves.map(
          (half) => html`
            <optgroup key=${half.title} label=${half.title}>
              ${half.sections.map((section) => html`<option key=${section.name} value=${section.name}>${section.title}</option>`)}
            </optgroup>
          `,
        )}
      <//>
      <${C.NativeSelect.Indicator} />
    <//>
  `;
}

/** @param {{section: Section, on: boolean}} props */
function Entry({ section, on }) {
  const style = on
    ? { borderColor: "brand.solid", fontWeight: "semibold" }
    : { borderColor: "border", color: "fg.muted", _hover: { color: "fg" } };
  return html`
    <${C.Box} as="li">
      <${C.Link} asChild display="block" px=${3} py=${1} borderLeftWidth="2px" borderRadius=${0} fontSize="sm" ...${style}>
        <${R.Link} to=${linkTo({ tab: "guide", part: section.name })} aria-current=${on ? "true" : undefined}>${section.title}<//>
      <//>
    <//>
  `;
}

/** @param {{section: Section, asked: boolean}} props `asked`: somebody chose it, and is to begin with its title */
function Shown({ section, asked }) {
  const title = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (asked) title.current?.focus();
  }, []);
  return html`
    <${C.Box} as="article" flex="1" minW=${0} maxW="60rem" width="100%" data-part=${section.name}>
      <${C.Heading} ref=${title} tabIndex=${-1} as="h2" size="lg" mb=${2} outline="none"><${Words} text=${section.title} /><//>
      ${section.blocks.map((block, at) => html`<${Block} key=${at} block=${block} />`)}
    <//>
  `;
}
