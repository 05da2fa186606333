// @ts-check
// Small drawings that say the same as a colour does, for whoever does not see it.
import { C, html } from "../lib/html.js";

const DRAWN = /** @type {Record<string, string>} */ ({
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M8 5v3.2l2.2 1.5",
  arrow: "M2.5 8h10M8.7 4.2 12.5 8l-3.8 3.8",
  check: "M3 8.6l3.2 3.2L13 4.8",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.6v2.6h-2.6",
  cross: "M4 4l8 8M12 4l-8 8",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  slash: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M4.2 11.8l7.6-7.6",
  half: "M3 8h4M9 8h.01M13 8h.01",
  warn: "M8 2.5 14 13H2zM8 6.6v3M8 11.3v.2",
  shadow: "M2.5 8s2-3.8 5.5-3.8S13.5 8 13.5 8s-2 3.8-5.5 3.8S2.5 8 2.5 8M8 6.9a1.1 1.1 0 1 0 0 2.2a1.1 1.1 0 0 0 0-2.2",
  dot: "M8 6.5a1.5 1.5 0 1 0 0 3a1.5 1.5 0 0 0 0-3",
});

/** @param {{name: string, size?: string}} props */
export function Symbol({ name, size = "3" }) {
  return html`
    <${C.Icon} asChild boxSize=${size} aria-hidden="true">
      <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round">
        <path d=${DRAWN[name] ?? DRAWN.dot} />
      </svg>
    <//>
  `;
}
