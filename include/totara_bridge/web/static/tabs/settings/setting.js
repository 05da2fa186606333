// @ts-check
// One setting: what it does, its value for all, and beside that those of destinations that have their own.
import { C, html, useState } from "../../lib/html.js";
import { useFrame } from "../../lib/frame.js";
import { Value } from "./value.js";

/** @typedef {import("./kinds.js").Setting} Setting */

/** @param {{setting: Setting, title: string}} props */
export function SettingRow({ setting, title }) {
  const { manages } = useFrame();
  return html`
    <${C.Grid} templateColumns=${{ base: "1fr", md: "minmax(16rem, 1fr) 2fr" }} gap=${{ base: 2, md: 6 }} py=${4} borderBottomWidth="1px"
      as="section" aria-label=${title} data-testid=${`setting-${setting.name}`}>
      <${C.Box}>
        <${C.Heading} as="h2" size="sm">${title}<//>
        <${C.Text} fontSize="sm" color="fg.muted">${setting.help}<//>
        ${setting.kind === "bool" ? null : html`<${C.Text} fontSize="xs" color="fg.muted">Takes ${setting.allowed}.<//>`}
      <//>
      <${C.Stack} gap=${3}>
        <${Value} setting=${setting} title=${title} scope="bridge" own=${setting.everywhere} inherited=${setting.default} may=${manages} />
        ${setting.only_for_all ? null : html`<${Destinations} setting=${setting} title=${title} />`}
      <//>
    <//>
  `;
}

/** @param {{setting: Setting, title: string}} props */
function Destinations({ setting, title }) {
  const { destinations, manages } = useFrame();
  const [added, setAdded] = useState(/** @type {string[]} */ ([]));
  const codes = destinations.map((each) => each.code);
  const gone = Object.keys(setting.destinations).filter((code) => !codes.includes(code));
  // a switch has room for every destination; of other kinds only what differs is worth a line
  const apart = codes.filter((code) => setting.kind === "bool" || setting.destinations[code] || (manages && added.includes(code)));
  const rest = manages ? codes.filter((code) => !apart.includes(code)) : [];
  const forAll = setting.everywhere?.value ?? setting.default;
  if (!apart.length && !gone.length && !rest.length) return null;
  return html`
    <${C.Stack} gap=${3} ps=${3} borderStartWidth="2px">
      ${[...apart, ...gone].map(
        (code) => html`
          <${C.Box} key=${code}>
            ${gone.includes(code) ? html`<${C.Text} fontSize="sm" color="fg.warning">${code} is no longer in bridge.toml.<//>` : null}
            ${
              setting.name === "enabled" && !forAll
                ? html`<${C.Text} fontSize="sm" color="fg.muted">All is switched off, so nothing is sent to it either way.<//>`
                : null
            }
            <${Value} setting=${setting} title=${title} scope=${code} own=${setting.destinations[code] ?? null} inherited=${forAll} may=${manages} />
          <//>
        `,
      )}
      ${
        rest.length
          ? html`
              <${C.HStack} wrap="wrap">
                ${rest.map(
                  (code) => html`
                    <${C.Button} key=${code} size="xs" variant="ghost" onClick=${() => setAdded([...added, code])}
                      aria-label=${`${title}: another value for ${code}`}>Another value for ${code}<//>
                  `,
                )}
              <//>
            `
          : null
      }
    <//>
  `;
}
