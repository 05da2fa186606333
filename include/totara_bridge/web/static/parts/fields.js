// @ts-check
// Filters that live in the address: whoever gets the link sees the same, and a reload changes nothing.
import { C, createContext, html, useContext, useEffect, useId, useRef, useState } from "../lib/html.js";
import { usePlace } from "../lib/place.js";
import { fromZone, inZone, useZone } from "../lib/zone.js";

const REST = 300; // milliseconds without a key before it is looked for
const LAST = { date: "9999-12-31", "datetime-local": "9999-12-31T23:59" }; // without it browsers take years of six digits

/** The cursors that mean nothing any more once a filter has changed. */
const Cursors = createContext(/** @type {string[]} */ (["after"]));

/**
 * @param {{onClear?: () => void, names?: string[], cursors?: string[], children: any}} props
 *   `names`: of the filters that "Clear filters" empties, where `onClear` does not say otherwise
 */
export function Filters({ onClear, names = [], cursors = ["after"], children }) {
  const place = usePlace();
  const clear = onClear ?? (() => place.set(Object.fromEntries([...names, ...cursors].map((name) => [name, ""]))));
  const filtered = !names.length || names.some((name) => place.get(name));
  return html`
    <${Cursors.Provider} value=${cursors}>
      <${C.Flex} wrap="wrap" gap=${3} align="end" my=${3} role="search">
        ${children}
        ${filtered ? html`<${C.Button} size="sm" variant="ghost" onClick=${clear}>Clear filters<//>` : null}
      <//>
    <//>
  `;
}

/** The filter's value, and how to change it; whatever page was shown, it begins with the first again. @param {string} name */
function useFilter(name) {
  const place = usePlace();
  const cursors = useContext(Cursors);
  const put = (/** @type {any} */ to, how = {}) =>
    place.set({ ...Object.fromEntries(cursors.map((each) => [each, ""])), [name]: to }, how);
  return { value: place.get(name), values: place.all(name), put };
}

/**
 * What somebody types, told once the typing rests; what comes from elsewhere meanwhile takes no letter away.
 * @param {string} held @param {(text: string) => void} tell
 */
function useTyped(held, tell) {
  const [text, setText] = useState(held);
  const latest = useRef(tell);
  latest.current = tell;
  const timer = useRef(0);
  const type = (/** @type {any} */ event) => {
    const typed = event.target.value;
    setText(typed);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      timer.current = 0;
      latest.current(typed.trim());
    }, REST);
  };
  useEffect(() => setText((now) => (timer.current || now.trim() === held ? now : held)), [held]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return { value: text, onChange: type };
}

/** @param {{name: string, label: string, placeholder?: string, width?: string}} props */
export function TextFilter({ name, label, placeholder, width = "12rem" }) {
  const { value, put } = useFilter(name);
  const typed = useTyped(value, (text) => put(text, { replace: true }));
  return html`
    <${Labelled} label=${label} width=${width}>
      ${(/** @type {string} */ id) => html`
        <${C.Input} id=${id} size="sm" type="search" name=${name} placeholder=${placeholder} autoComplete="off" spellCheck=${false}
          ...${typed} />
      `}
    <//>
  `;
}

/**
 * @param {{name: string, label: string, choices: (string | {value: string, label: any})[], multiple?: boolean, any?: string}} props
 */
export function ChoiceFilter({ name, label, choices, multiple = false, any = "Any" }) {
  const { value, values, put } = useFilter(name);
  const offered = choices.map((each) => (typeof each === "string" ? { value: each, label: each } : each));
  if (multiple) return html`<${Chips} name=${name} label=${label} offered=${offered} values=${values} put=${put} />`;
  return html`
    <${Labelled} label=${label} width="auto">
      ${(/** @type {string} */ id) => html`
        <${C.NativeSelect.Root} size="sm" width="auto" minW="8rem">
          <${C.NativeSelect.Field} id=${id} name=${name} value=${value} onChange=${(/** @type {any} */ event) => put(event.target.value)}>
            <option value="">${any}</option>
            ${offered.map((each) => html`<option key=${each.value} value=${each.value}>${each.label}</option>`)}
          <//>
          <${C.NativeSelect.Indicator} />
        <//>
      `}
    <//>
  `;
}

/** The values with one more or one less, as the address has them now. @param {string} name @param {string} value */
function turned(name, value) {
  const here = new URLSearchParams(location.search).getAll(name);
  return here.includes(value) ? here.filter((each) => each !== value) : [...here, value];
}

/**
 * @param {{name: string, label: string, offered: {value: string, label: any}[], values: string[], put: (to: string[]) => void}} props
 */
function Chips({ name, label, offered, values, put }) {
  const id = useId();
  return html`
    <${C.Box} role="group" aria-labelledby=${id}>
      <${C.Text} id=${id} fontSize="sm" fontWeight="medium" mb=${1}>${label}<//>
      <${C.Flex} wrap="wrap" gap=${1} minH="9" align="center">
        ${offered.map((each) => {
          const on = values.includes(each.value);
          return html`
            <${C.Button} key=${each.value} size="xs" borderRadius="full" variant=${on ? "solid" : "outline"} aria-pressed=${on}
              onClick=${() => put(turned(name, each.value))}>${on ? "✓ " : ""}${each.label}<//>
          `;
        })}
      <//>
    <//>
  `;
}

/**
 * A moment, typed in the zone chosen in Airflow and kept in UTC; with `day` only a day, kept as it is.
 * @param {{name: string, label: string, day?: boolean}} props
 */
export function DateFilter({ name, label, day = false }) {
  const zone = useZone();
  const { value, put } = useFilter(name);
  const type = day ? "date" : "datetime-local";
  const typed = useTyped(day ? value : inZone(value, zone), (text) =>
    put(day ? text : fromZone(text, zone), { replace: true }),
  );
  return html`
    <${Labelled} label=${day ? label : `${label} (${zone})`} width="auto">
      ${(/** @type {string} */ id) => html`
        <${C.Input} id=${id} size="sm" name=${name} type=${type} max=${LAST[type]} width="auto" ...${typed} />
      `}
    <//>
  `;
}

/** @param {{label: string, width: string, children: (id: string) => any}} props */
function Labelled({ label, width, children }) {
  const id = useId();
  return html`
    <${C.Box} width=${width} maxW="100%">
      <${C.Text} as="label" htmlFor=${id} display="block" fontSize="sm" fontWeight="medium" mb=${1}>${label}<//>
      ${children(id)}
    <//>
  `;
}
