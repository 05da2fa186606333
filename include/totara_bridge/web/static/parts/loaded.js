// @ts-check
// What is shown of something fetched: that it is on its way, that it failed and how to try again, or itself.
import { C, html } from "../lib/html.js";

/** @param {{words?: string}} props */
export function Loading({ words = "Loading" }) {
  return html`
    <${C.HStack} p=${4} color="fg.muted" role="status" data-testid="loading"><${C.Spinner} size="sm" /><${C.Text}>${words} …<//><//>
  `;
}

/** @param {{error: Error, retry?: () => void}} props */
export function Failed({ error, retry }) {
  return html`
    <${C.Alert.Root} status="error" my=${2} data-testid="failed">
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>${error.message}<//>
        ${retry ? html`<${C.Button} mt=${2} size="sm" variant="outline" alignSelf="start" onClick=${retry}>Try again<//>` : null}
      <//>
    <//>
  `;
}

/** @param {{title: string, words?: string}} props */
export function Empty({ title, words }) {
  return html`
    <${C.EmptyState.Root} size="sm" data-testid="empty">
      <${C.EmptyState.Content}>
        <${C.EmptyState.Title} as="p">${title}<//>
        ${words ? html`<${C.EmptyState.Description}>${words}<//>` : null}
      <//>
    <//>
  `;
}

/**
 * What `useData` gives, once it is there; an error while older data is shown stands above it.
 * @param {{from: ReturnType<typeof import("../lib/data.js").useData>, children: (data: any) => any}} props
 */
export function Loaded({ from, children }) {
  if (from.data === undefined) {
    return from.error ? html`<${Failed} error=${from.error} retry=${from.reload} />` : html`<${Loading} />`;
  }
  return html`
    <${C.Box}>
      ${from.error ? html`<${Failed} error=${from.error} retry=${from.reload} />` : null}
      ${children(from.data)}
    <//>
  `;
}
