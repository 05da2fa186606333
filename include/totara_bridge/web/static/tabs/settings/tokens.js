// @ts-check
// Tokens of the Pull API: who has one, until when, and giving, replacing and taking back.
import { C, html, useState } from "../../lib/html.js";
import { useData } from "../../lib/data.js";
import { useFrame } from "../../lib/frame.js";
import { number } from "../../lib/written.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { Table } from "../../parts/table.js";
import { Ago, When } from "../../parts/when.js";
import { IssueToken, RevokeToken, RotateToken } from "./token_dialogs.js";

/**
 * @typedef {{id: number, caller: string, hint: string, scopes: string[], networks: string[], created_at: string, created_by: string,
 *   expires_at: string | null, last_used_at: string | null, revoked_at: string | null, revoked_by: string | null,
 *   state: "live" | "expired" | "revoked"}} Token
 * @typedef {{verb: "issue" | "rotate" | "revoke", token?: Token}} Opened
 */

/** @type {Record<Opened["verb"], (props: any) => any>} */
const DIALOGS = { issue: IssueToken, rotate: RotateToken, revoke: RevokeToken };
const PILLS = { live: ["success", "● live"], expired: ["gray", "○ expired"], revoked: ["gray", "✕ revoked"] };

export function Tokens() {
  const { manages } = useFrame();
  const found = useData("tokens", {}, { every: 30 });
  const [opened, setOpened] = useState(/** @type {Opened | null} */ (null));
  const Dialog = opened && DIALOGS[opened.verb];
  return html`
    <${C.Box} as="section" aria-label="Tokens" pt=${5} data-testid="tokens">
      <${C.HStack} justify="space-between" wrap="wrap" mb=${2}>
        <${C.Heading} as="h2" size="sm">Tokens<//>
        ${
          manages
            ? html`<${C.Button} size="sm" disabled=${!found.data} onClick=${() => setOpened({ verb: "issue" })}>Issue a token<//>`
            : null
        }
      <//>
      <${Loaded} from=${found}>
        ${(/** @type {{tokens: Token[]}} */ data) => html`<${Listed} tokens=${data.tokens} open=${manages ? setOpened : null} />`}
      <//>
      ${
        Dialog && found.data
          ? html`<${Dialog} token=${opened.token} begin=${found.data} onClose=${() => setOpened(null)} />`
          : null
      }
    <//>
  `;
}

/** @param {{tokens: Token[], open: ((opened: Opened) => void) | null}} props */
function Listed({ tokens, open }) {
  const [all, setAll] = useState(false);
  const ended = tokens.filter((each) => each.state !== "live").length;
  const rows = all ? tokens : tokens.filter((each) => each.state === "live");
  return html`
    <${C.Stack} gap=${2}>
      ${
        rows.length
          ? html`<${Table} caption="Tokens of the Pull API" rows=${rows} rowKey=${(/** @type {Token} */ row) => row.id} columns=${columns(open)} />`
          : html`<${Empty} title="No live token" words=${`Nobody can fetch completions${open ? ": issue a token for each system that is to" : ""}.`} />`
      }
      ${
        ended
          ? html`
              <${C.Button} size="xs" variant="ghost" alignSelf="start" aria-pressed=${all} onClick=${() => setAll(!all)}>
                ${all ? "Hide" : "Show"} ${number(ended)} that ended
              <//>
            `
          : null
      }
    <//>
  `;
}

/** @param {((opened: Opened) => void) | null} open none: for who may only look */
function columns(open) {
  const shown = [
    { name: "caller", title: "Caller", show: (/** @type {Token} */ row) => row.caller },
    { name: "hint", title: "Token", show: (/** @type {Token} */ row) => html`<${C.Code} size="sm">${row.hint}…<//>` },
    { name: "state", title: "State", show: (/** @type {Token} */ row) => html`<${Pill} token=${row} />` },
    { name: "scopes", title: "May", show: (/** @type {Token} */ row) => row.scopes.join(", ") },
    { name: "networks", title: "From", show: (/** @type {Token} */ row) => row.networks.join(", ") || "anywhere" },
    {
      name: "expires",
      title: "Expires",
      show: (/** @type {Token} */ row) => (row.expires_at ? html`<${When} at=${row.expires_at} />` : "never"),
    },
    {
      name: "used",
      title: "Last used",
      show: (/** @type {Token} */ row) => (row.last_used_at ? html`<${Ago} at=${row.last_used_at} />` : "never"),
    },
    {
      name: "issued",
      title: "Issued",
      show: (/** @type {Token} */ row) => html`<${C.Text} as="span"><${When} at=${row.created_at} /> by ${row.created_by}<//>`,
    },
  ];
  if (!open) return shown;
  return [...shown, { name: "do", title: "", show: (/** @type {Token} */ row) => html`<${Buttons} token=${row} open=${open} />` }];
}

/** @param {{token: Token}} props */
function Pill({ token }) {
  const [palette, words] = PILLS[token.state];
  const by = token.revoked_by ? ` by ${token.revoked_by}` : "";
  return html`<${C.Badge} colorPalette=${palette} variant="subtle" borderRadius="full" whiteSpace="nowrap">${words}${by}<//>`;
}

/** @param {{token: Token, open: (opened: Opened) => void}} props */
function Buttons({ token, open }) {
  if (token.state !== "live") return null;
  const whose = `token ${token.id} of ${token.caller}`;
  return html`
    <${C.HStack} gap=${1} justify="end">
      <${C.Button} size="xs" variant="outline" aria-label=${`Rotate ${whose}`} onClick=${() => open({ verb: "rotate", token })}>Rotate<//>
      <${C.Button} size="xs" variant="outline" colorPalette="danger" aria-label=${`Revoke ${whose}`} onClick=${() => open({ verb: "revoke", token })}>
        Revoke
      <//>
    <//>
  `;
}
