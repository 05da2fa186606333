// @ts-check
// The row of tabs; in a narrow window it scrolls, and begins with the chosen one in view.
import { C, html, useEffect, useRef } from "../lib/html.js";

/** @param {{tabs: {name: string, label: string}[], now: string, label?: string}} props `label`: read out */
export function TabList({ tabs, now, label }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [now]); // in braces: newer browsers answer with a promise, which React would call to clean up
  return html`
    <${C.Tabs.List} ref=${list} overflowX="auto" maxW="100%" aria-label=${label}>
      ${tabs.map((each) => html`<${C.Tabs.Trigger} key=${each.name} value=${each.name} flexShrink=${0} whiteSpace="nowrap">${each.label}<//>`)}
    <//>
  `;
}
