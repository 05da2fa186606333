// @ts-check
// To newer and older pages, by a cursor in the address; each page costs the same, so none has a number.
import { C, R, html } from "../lib/html.js";
import { usePlace } from "../lib/place.js";

/** Where one came from to a cursor, by the rest of the address: after a reload it is not known, and leads to the newest. */
const before = /** @type {Map<string, string>} */ (new Map());

/** @param {{more: boolean, cursor?: string | number | null, name?: string}} props `name`: of the cursor in the address */
export function Pager({ more, cursor, name = "after" }) {
  const place = usePlace();
  const rest = new URLSearchParams(R.useLocation().search);
  rest.delete(name);
  const now = place.get(name);
  const key = (/** @type {any} */ at) => `${rest} ${at}`;
  const older = () => {
    before.set(key(cursor), now);
    place.set({ [name]: cursor });
  };
  const newer = () => place.set({ [name]: before.get(key(now)) ?? "" });
  if (!now && !more) return null;
  return html`
    <${C.HStack} as="nav" aria-label="Pages" my=${2} justify="end">
      <${C.Button} size="sm" variant="outline" disabled=${!now} onClick=${() => place.set({ [name]: "" })}>Newest<//>
      <${C.Button} size="sm" variant="outline" disabled=${!now} onClick=${newer}>Newer<//>
      <${C.Button} size="sm" variant="outline" disabled=${!more} onClick=${older}>Older<//>
    <//>
  `;
}
