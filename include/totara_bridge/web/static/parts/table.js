// @ts-check
// A table that scrolls inside of itself; rows are opened by a click or Enter and chosen by check boxes.
import { C, html, useEffect, useRef } from "../lib/html.js";
import { AmongMany } from "./when.js";

/**
 * @typedef {{name: string, title: any, show: (row: any) => any, align?: "start" | "end", width?: string}} Column
 * @typedef {{columns: Column[], rows: any[], rowKey: (row: any) => any, caption: string, onOpen?: (row: any) => void,
 *   opened?: any, selected?: Iterable<any>, onSelect?: (keys: any[]) => void, nameRow?: (row: any) => string}} TableProps
 *   `selected` and what `onSelect` is told are keys of rows, those of other pages too; `caption` and `nameRow` are
 *   read out and not seen; `opened` is the key of the row that stands open
 */

/** @param {TableProps} props */
export function Table(props) {
  const { columns, rows, rowKey, caption, onSelect } = props;
  const chosen = new Set(props.selected ?? []);
  const keys = rows.map(rowKey);
  return html`
    <${AmongMany.Provider} value=${true}>
      <${C.Table.ScrollArea} borderWidth="1px" borderRadius="md" maxW="100%" role="region" aria-label=${caption} tabIndex=${0}>
        <${C.Table.Root} size="sm" interactive=${Boolean(props.onOpen)}>
          <caption style=${HIDDEN}>${caption}</caption>
          <${C.Table.Header}>
            <${C.Table.Row}>
              ${onSelect ? html`<${C.Table.ColumnHeader} width="1"><${ChooseAll} keys=${keys} chosen=${chosen} onSelect=${onSelect} /><//>` : null}
              ${columns.map(
                (column) => html`
                  <${C.Table.ColumnHeader} key=${column.name} scope="col" textAlign=${column.align} width=${column.width} whiteSpace="nowrap">
                    ${column.title}
                  <//>
                `,
              )}
            <//>
          <//>
          <${C.Table.Body}>
            ${rows.map((row, at) => html`<${Row} key=${keys[at]} row=${row} own=${keys[at]} chosen=${chosen} table=${props} />`)}
          <//>
        <//>
      <//>
    <//>
  `;
}

const HIDDEN = /** @type {const} */ ({ position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)" });

/** @param {{row: any, own: any, chosen: Set<any>, table: TableProps}} props */
function Row({ row, own, chosen, table }) {
  const { columns, onOpen, onSelect, nameRow } = table;
  const open = onOpen && {
    tabIndex: 0,
    cursor: "pointer",
    onClick: (/** @type {any} */ event) => meant(event) && onOpen(row),
    onKeyDown: (/** @type {any} */ event) => onKey(event, () => onOpen(row)),
    "aria-selected": table.opened === undefined ? undefined : table.opened === own,
  };
  return html`
    <${C.Table.Row} data-row=${own} ...${open || {}} _focusVisible=${FOCUSED}>
      ${
        onSelect
          ? html`
              <${C.Table.Cell}>
                <${Check} on=${chosen.has(own)} label=${`Select ${nameRow ? nameRow(row) : own}`}
                  onChange=${() => onSelect(turned(chosen, [own], !chosen.has(own)))} />
              <//>
            `
          : null
      }
      ${columns.map((column) => html`<${C.Table.Cell} key=${column.name} textAlign=${column.align}>${column.show(row)}<//>`)}
    <//>
  `;
}

const FOCUSED = { outline: "2px solid", outlineColor: "colorPalette.focusRing", outlineOffset: "-2px" };

/** Nobody meant the row who pressed something in it, or was marking its text. @param {any} event */
function meant(event) {
  return !event.target.closest("a, button, input, label, [role=dialog]") && !String(getSelection());
}

/** @param {any} event @param {() => void} open */
function onKey(event, open) {
  if (event.target !== event.currentTarget) return;
  const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[/** @type {string} */ (event.key)];
  if (event.key === "Enter") open();
  else if (next) event.currentTarget[next]?.focus();
  else return;
  event.preventDefault();
}

/** @param {{keys: any[], chosen: Set<any>, onSelect: (keys: any[]) => void}} props */
function ChooseAll({ keys, chosen, onSelect }) {
  const here = keys.filter((key) => chosen.has(key)).length;
  const all = here > 0 && here === keys.length;
  return html`
    <${Check} on=${all} some=${here > 0 && !all} disabled=${!keys.length} label="Select all rows of this page"
      onChange=${() => onSelect(turned(chosen, keys, !all))} />
  `;
}

/** @param {Set<any>} chosen @param {any[]} keys @param {boolean} on */
function turned(chosen, keys, on) {
  const now = new Set(chosen);
  for (const key of keys) on ? now.add(key) : now.delete(key);
  return [...now];
}

/** @param {{on: boolean, some?: boolean, disabled?: boolean, label: string, onChange: () => void}} props */
function Check({ on, some = false, disabled = false, label, onChange }) {
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    if (box.current) box.current.indeterminate = some;
  }, [some]);
  return html`
    <${C.Box} as="input" type="checkbox" ref=${box} aria-label=${label} checked=${on} disabled=${disabled} onChange=${onChange}
      boxSize="4" verticalAlign="middle" accentColor="brand.solid" cursor="pointer" />
  `;
}
