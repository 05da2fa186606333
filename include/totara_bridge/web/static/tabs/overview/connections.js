// @ts-check
// What the bridge is connected to: Pull's address, where each Connection leads, and whether it works.
import { C, R, html } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { useFrame } from "../../lib/frame.js";
import { linkTo } from "../../lib/place.js";
import { Copy } from "../../parts/copy.js";
import { Loaded } from "../../parts/loaded.js";
import { Symbol } from "../../parts/symbol.js";
import { Test } from "../settings/connections.js";
import { Fact } from "../../parts/alerts.js";
import { Section } from "../../parts/section.js";

const ADDRESSES = /** @type {[string, string][]} */ ([
  ["Base URL", "base_url"],
  ["Token URL", "token_url"],
  ["Server URL", "server_url"],
  ["Database", "database_host"],
]);

/** @param {{seen: any}} props */
export function Connections({ seen }) {
  const found = useData("connections", {}, { every: 60 });
  const address = new URL(seen.pull.path.slice(1), document.baseURI).href;
  return html`
    <${Section} title="Connections" testid="connections">
      <${C.Stack} gap=${2}>
        <${Row} title="Pull API" testid="pull">
          ${seen.pull.enabled ? null : html`<${Fact} on=${false} words="switched off: whoever fetches is refused" />`}
          <${C.HStack} wrap="wrap" gap=${2}><${Address} text=${address} /><${Copy} text=${address} label="Copy the address" /><//>
        <//>
        <${Loaded} from=${found}>
          ${(/** @type {any} */ { connections }) => html`
            <${C.Stack} gap=${2}>
              ${connections.map(
                (/** @type {any} */ each) => html`
                  <${Connected} key=${`${each.role} ${each.code}`} at=${each} off=${isOff(seen, each)} />
                `,
              )}
            <//>
          `}
        <//>
      <//>
    <//>
  `;
}

/** Whether its own switch is off. @param {any} seen @param {any} connection */
const isOff = (seen, { role, code }) =>
  role === "destination" && seen.destinations.some((/** @type {any} */ each) => each.code === code && !each.enabled);

/** @param {{at: any, off: boolean}} props */
function Connected({ at, off }) {
  const { manages } = useFrame();
  const aside = manages && at.type ? html`<${Test} at=${at} />` : null;
  return html`
    <${Row} title=${`${at.role === "site" ? "Site" : "Destination"} ${at.code}`} aside=${aside} testid=${`health-${at.connection}`}>
      ${at.wrong ? html`<${C.HStack} align="start" color="red.fg"><${Symbol} name="warn" size="4" /><${C.Text} fontSize="sm" overflowWrap="anywhere">${at.wrong}<//><//>` : null}
      ${at.active === false ? html`<${Fact} on=${false} words="not active: its tasks stop" />` : null}
      ${off ? html`<${Fact} on=${false} words="switched off: what is due waits" />` : null}
      ${ADDRESSES.filter(([, name]) => at[name]).map(
        ([label, name]) => html`<${C.Text} key=${name} fontSize="sm" color="fg.muted">${label} <${Address} text=${at[name]} /><//>`,
      )}
      <${C.Text} fontSize="sm" color="fg.muted">
        Connection ${at.connection}, <${C.Link} asChild variant="underline"><${R.Link} to=${linkTo({ tab: "settings", section: "connections" })}>see all of it in Settings<//><//>
      <//>
    <//>
  `;
}

/** @param {{title: string, aside?: any, children: any, testid: string}} props */
function Row({ title, aside, children, testid }) {
  return html`
    <${C.Flex} wrap="wrap" gap=${4} borderWidth="1px" borderRadius="md" p=${3} data-testid=${testid}>
      <${C.Heading} as="h3" size="sm" width="11rem">${title}<//>
      <${C.Stack} gap=${1} flex="2" minW="14rem">${children}<//>
      ${aside ? html`<${C.Box} flex="1" minW="14rem">${aside}<//>` : null}
    <//>
  `;
}

/** @param {{text: string}} props */
const Address = ({ text }) => html`<${C.Text} as="span" fontFamily="mono" fontSize="sm" color="fg" overflowWrap="anywhere">${text}<//>`;
