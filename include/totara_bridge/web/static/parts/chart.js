// @ts-check
// Numbers over time as lines; each has its own dashes besides its colour, and all of them can be read as a table.
import { C, html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { number, tick, useZone, when } from "../lib/written.js";
import { When } from "./when.js";
import { Table } from "./table.js";

const HEIGHT = 220;
const EDGE = { top: 10, right: 12, bottom: 24, left: 52 };
const DASHES = ["", "6 3", "2 3", "9 3 2 3"];

/** @typedef {{name: string, label: string, tone: string, values: number[]}} Series `tone`: a palette, such as "green" */

/** @param {{series: Series[], hours: string[], label: string}} props */
export function Chart({ series, hours, label }) {
  const box = useRef(null);
  const width = useWidth(box);
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const tones = Object.fromEntries(
    series.map(({ name, tone }) => [`--series-${name}`, { base: `colors.${tone}.600`, _dark: `colors.${tone}.300` }]),
  );
  const shown = at === null || at >= hours.length ? null : at;
  return html`
    <${C.Box} css=${tones} data-testid="chart">
      <${Legend} series=${series} hours=${hours} at=${shown} />
      <${C.Box} ref=${box} height=${`${HEIGHT}px`} overflow="hidden">
        ${width ? html`<${Drawing} series=${series} hours=${hours} label=${label} width=${width} at=${shown} onAt=${setAt} />` : null}
      <//>
      <${AsTable} series=${series} hours=${hours} label=${label} />
    <//>
  `;
}

/** @param {{current: HTMLElement | null}} box */
function useWidth(box) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!box.current) return undefined;
    const seen = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    seen.observe(box.current);
    return () => seen.disconnect();
  }, []);
  return width;
}

/** @param {{series: Series[], hours: string[], at: number | null}} props */
function Legend({ series, hours, at }) {
  const zone = useZone();
  return html`
    <${C.Flex} wrap="wrap" gap=${4} fontSize="sm" minH="1.6em" aria-live="polite">
      ${series.map(
        (each, place) => html`
          <${C.HStack} key=${each.name} gap=${1.5}>
            <svg width="26" height="8" aria-hidden="true"><${Line} name=${each.name} place=${place} d="M0 4H26" /></svg>
            <${C.Text} as="span">${each.label}${at === null ? "" : `: ${number(each.values[at])}`}<//>
          <//>
        `,
      )}
      ${at === null ? null : html`<${C.Text} as="span" color="fg.muted">from ${when(hours[at], zone)}<//>`}
    <//>
  `;
}

/** @param {{name: string, place: number, d: string}} props */
const Line = ({ name, place, d }) =>
  html`<path d=${d} fill="none" stroke=${`var(--series-${name})`} strokeWidth="2" strokeDasharray=${DASHES[place % DASHES.length]} />`;

/** @param {{series: Series[], hours: string[], label: string, width: number, at: number | null, onAt: (at: number | null) => void}} props */
function Drawing({ series, hours, label, width, at, onAt }) {
  const id = useId();
  const last = Math.max(hours.length - 1, 1);
  const top = roundTop(Math.max(1, ...series.flatMap((each) => each.values)));
  const x = (/** @type {number} */ place) => EDGE.left + (place / last) * (width - EDGE.left - EDGE.right);
  const y = (/** @type {number} */ value) => HEIGHT - EDGE.bottom - (value / top) * (HEIGHT - EDGE.top - EDGE.bottom);
  const nearest = (/** @type {any} */ event) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const place = Math.round(((left - EDGE.left) / (width - EDGE.left - EDGE.right)) * last);
    onAt(Math.min(Math.max(place, 0), hours.length - 1));
  };
  return html`
    <${C.Box} as="svg" width=${width} height=${HEIGHT} role="img" aria-labelledby=${id} tabIndex=${0} display="block"
      onPointerMove=${nearest} onPointerLeave=${() => onAt(null)} onBlur=${() => onAt(null)}
      onKeyDown=${(/** @type {any} */ event) => step(event, at, hours.length, onAt)}
      _focusVisible=${{ outline: "2px solid", outlineColor: "brand.focusRing" }}>
      <title id=${id}>${label}: ${series.map((each) => `${each.label} ${number(sum(each.values))}`).join(", ")}</title>
      <${Axes} hours=${hours} top=${top} width=${width} x=${x} y=${y} />
      ${series.map((each, place) => html`<${Line} key=${each.name} name=${each.name} place=${place} d=${path(each.values, x, y)} />`)}
      ${at === null ? null : html`<${Cursor} series=${series} at=${at} x=${x} y=${y} />`}
    <//>
  `;
}

/** @param {{series: Series[], at: number, x: (n: number) => number, y: (n: number) => number}} props */
const Cursor = ({ series, at, x, y }) => html`
  <g>
    <line x1=${x(at)} x2=${x(at)} y1=${EDGE.top} y2=${HEIGHT - EDGE.bottom} stroke="currentColor" strokeOpacity="0.4" />
    ${series.map(
      (each) => html`<circle key=${each.name} cx=${x(at)} cy=${y(each.values[at] ?? 0)} r="3.5" fill=${`var(--series-${each.name})`} />`,
    )}
  </g>
`;

/** @param {{hours: string[], top: number, width: number, x: (n: number) => number, y: (n: number) => number}} props */
function Axes({ hours, top, width, x, y }) {
  const zone = useZone();
  const days = hours.length > 1 && Date.parse(hours[hours.length - 1]) - Date.parse(hours[0]) > 2 * 86_400_000;
  const room = Math.max(2, Math.floor((width - EDGE.left) / 80));
  const words = hours.map((hour) => tick(hour, zone, days));
  // a day is named where it begins, and once
  const marks = words.map((_, place) => place).filter((place) => !days || (place && words[place] !== words[place - 1]));
  const every = Math.max(1, Math.ceil(marks.length / room));
  const quarters = top < 4 ? [0, 1] : [0, 0.25, 0.5, 0.75, 1];
  return html`
    <g style=${{ fontSize: 11 }} fill="currentColor" aria-hidden="true">
      ${quarters.map(
        (part) => html`
          <g key=${part}>
            <line x1=${EDGE.left} x2=${width - EDGE.right} y1=${y(part * top)} y2=${y(part * top)} stroke="currentColor" strokeOpacity="0.15" />
            <text x=${EDGE.left - 6} y=${y(part * top) + 4} textAnchor="end">${number(part * top)}</text>
          </g>
        `,
      )}
      ${marks
        .filter((_, nth) => nth % every === 0)
        .map((place) => html`<text key=${hours[place]} x=${x(place)} y=${HEIGHT - 6} textAnchor="middle">${words[place]}</text>`)}
    </g>
  `;
}

/** @param {{series: Series[], hours: string[], label: string}} props */
function AsTable({ series, hours, label }) {
  const [open, setOpen] = useState(false);
  const rows = hours.map((hour, at) => ({ hour, at })).reverse();
  const columns = [
    { name: "hour", title: "From", show: (/** @type {any} */ row) => html`<${When} at=${row.hour} />` },
    ...series.map((each) => ({
      name: each.name,
      title: each.label,
      align: /** @type {const} */ ("end"),
      show: (/** @type {any} */ row) => number(each.values[row.at]),
    })),
  ];
  return html`
    <${C.Box} mt=${1}>
      <${C.Button} size="xs" variant="ghost" aria-expanded=${open} onClick=${() => setOpen(!open)}>
        ${open ? "Hide the table" : "Show as a table"}
      <//>
      ${open ? html`<${Table} columns=${columns} rows=${rows} rowKey=${(/** @type {any} */ row) => row.hour} caption=${label} />` : null}
    <//>
  `;
}

/** @param {any} event @param {number | null} at @param {number} count @param {(at: number | null) => void} onAt */
function step(event, at, count, onAt) {
  const last = count - 1;
  const to = { ArrowLeft: (at ?? count) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: last }[/** @type {string} */ (event.key)];
  if (to === undefined) return;
  event.preventDefault();
  onAt(Math.min(Math.max(to, 0), last));
}

/** @param {number[]} values @param {(n: number) => number} x @param {(n: number) => number} y */
const path = (values, x, y) => values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** A round number that is no less and whose quarters are whole. @param {number} value */
function roundTop(value) {
  if (value < 4) return value;
  const size = 10 ** Math.floor(Math.log10(value));
  const found = [1, 2, 4, 6, 8, 10].map((each) => each * size).find((each) => each >= value && each % 4 === 0);
  return found ?? Math.ceil(value / 4) * 4;
}
