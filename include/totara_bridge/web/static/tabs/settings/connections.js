// @ts-check
// The Connections that bridge.toml names: where each leads, what is wrong with it, a test, and the way to edit it.
import { C, R, html, useState } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { useFrame } from "../../lib/frame.js";
import { change } from "../../lib/http.js";
import { length, number } from "../../lib/written.js";
import { Empty, Loaded } from "../../parts/loaded.js";

/** @typedef {Record<string, any> & {role: string, code: string, queue: string | null, connection: string, type: string | null,
 *   has_secret: boolean, wrong: string | null}} Connection */

/** What is shown of each type, under the words of Airflow's own form. @type {Record<string, [string, string][]>} */
const FIELDS = {
  totara: [
    ["Source", "source"],
    ["Server URL", "server_url"],
    ["Database host", "database_host"],
    ["Database", "database"],
    ["Table prefix", "table_prefix"],
  ],
  oracle_completions: [
    ["Base URL", "base_url"],
    ["Path", "path"],
    ["Token URL", "token_url"],
    ["Client ID", "client_id"],
    ["Scope", "scope"],
  ],
};

const SECRETS = /** @type {Record<string, string>} */ ({ totara: "Credentials", oracle_completions: "Client secret" });

export function Connections() {
  const found = useData("connections");
  return html`
    <${Loaded} from=${found}>
      ${(/** @type {{connections: Connection[]}} */ data) =>
        data.connections.length
          ? html`
              <${C.SimpleGrid} columns=${{ base: 1, lg: 2 }} gap=${4} pt=${4}>
                ${data.connections.map((each) => html`<${One} key=${`${each.role} ${each.code}`} at=${each} />`)}
              <//>
            `
          : html`<${Empty} title="No site and no destination" words="bridge.toml names none: docs/connections.md says how." />`}
    <//>
  `;
}

/** @param {{at: Connection}} props */
function One({ at }) {
  const { manages } = useFrame();
  const fields = FIELDS[at.type ?? ""] ?? [];
  return html`
    <${C.Box} as="section" borderWidth="1px" borderRadius="md" p=${4} aria-label=${`${at.role} ${at.code}`} data-testid=${`connection-${at.role}-${at.code}`}>
      <${C.HStack} wrap="wrap" justify="space-between">
        <${C.Heading} as="h2" size="sm">${at.role === "site" ? "Site" : "Destination"} ${at.code}<//>
        ${at.active === false ? html`<${C.Badge} colorPalette="warning">○ not active<//>` : null}
      <//>
      <${C.Text} fontSize="sm" color="fg.muted" mb=${2}>
        Connection <${C.Code}>${at.connection}<//>${at.queue ? `; its tasks run on the queue ${at.queue}` : ""}
      <//>
      ${
        at.wrong
          ? html`
              <${C.Alert.Root} status="error" size="sm" mb=${2}>
                <${C.Alert.Indicator} /><${C.Alert.Title} overflowWrap="anywhere">${at.wrong}<//>
              <//>
            `
          : null
      }
      <${C.DataList.Root} orientation="horizontal" size="sm" gap=${1}>
        ${fields.map(([label, name]) => html`<${Line} key=${name} label=${label} value=${at[name]} />`)}
        ${at.type && SECRETS[at.type] ? html`<${Line} label=${SECRETS[at.type]} value=${at.has_secret ? "stored, never shown" : "none"} />` : null}
        ${at.timeout_ms ? html`<${Line} label="Timeout" value=${timeout(at.timeout_ms)} />` : null}
      <//>
      <${C.HStack} wrap="wrap" mt=${3} gap=${3}>
        ${manages && at.type ? html`<${Test} at=${at} />` : null}
        ${
          manages
            ? html`
                <${C.Link} asChild fontSize="sm" variant="underline" color="fg.info">
                  <${R.Link} to=${`/connections?name_pattern=${encodeURIComponent(at.connection)}`}>${at.type ? "Edit" : "Create"} in Airflow's Connections<//>
                <//>
              `
            : null
        }
      <//>
    <//>
  `;
}

/** @param {number} milliseconds */
const timeout = (milliseconds) => (milliseconds % 1000 ? `${number(milliseconds)} ms` : length(milliseconds / 1000));

/** @param {{label: string, value: any}} props */
function Line({ label, value }) {
  return html`
    <${C.DataList.Item}>
      <${C.DataList.ItemLabel}>${label}<//>
      <${C.DataList.ItemValue} overflowWrap="anywhere">${value === null || value === undefined || value === "" ? "–" : value}<//>
    <//>
  `;
}

/** @param {{at: Connection}} props */
export function Test({ at }) {
  const [test, setTest] = useState(/** @type {{busy?: boolean, ok?: boolean, sentence?: string, took_ms?: number}} */ ({}));
  const run = async () => {
    setTest({ busy: true });
    try {
      setTest(await change(`connections/${encodeURIComponent(at.connection)}/test`, {}));
    } catch (error) {
      setTest({ ok: false, sentence: /** @type {Error} */ (error).message });
    }
  };
  return html`
    <${C.Stack} gap=${1} flex="1" minW="14rem">
      <${C.Button} size="sm" variant="outline" alignSelf="start" loading=${test.busy} onClick=${run} aria-label=${`Test ${at.connection}`}>Test<//>
      <${C.Box} aria-live="polite" fontSize="sm">
        ${
          test.sentence
            ? html`
                <${C.Text} color=${test.ok ? "green.fg" : "red.fg"} overflowWrap="anywhere" data-testid="tested">
                  ${test.ok ? "✓" : "✕"} ${test.sentence} ${test.took_ms === undefined ? "" : `(${number(test.took_ms)} ms)`}
                <//>
              `
            : null
        }
        ${test.sentence && at.queue ? html`<${C.Text} color="fg.muted">Tested from the API server; the tasks' own workers may reach more, or less.<//>` : null}
      <//>
    <//>
  `;
}
