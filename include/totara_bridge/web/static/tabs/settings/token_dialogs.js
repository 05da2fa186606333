// @ts-check
// Giving, replacing and taking back a token; a new one is shown once, until its dialog is closed.
import { C, html, useEffect, useRef, useState } from "../../lib/html.js";
import { refresh } from "../../lib/data.js";
import { change } from "../../lib/http.js";
import { Code } from "../../parts/copy.js";
import { Dialog } from "../../parts/dialog.js";
import { When } from "../../parts/when.js";
import { Choices } from "./controls.js";

/**
 * @typedef {import("./tokens.js").Token} Token
 * @typedef {{scopes: string[], days: number, overlap_hours: number}} Begin what a form begins with
 * @typedef {{id: number, caller: string, token: string, expires_at: string | null, old_until?: string}} New
 */

/** Asking once, and what came of it. @param {(answer: any) => void} [done] */
function useAsked(done) {
  const [at, setAt] = useState(/** @type {{busy?: boolean, error?: Error, answer?: any}} */ ({}));
  const send = async (/** @type {string} */ path, /** @type {any} */ body) => {
    setAt({ busy: true });
    try {
      const answer = await change(path, body);
      setAt({ answer });
      done?.(answer);
    } catch (error) {
      setAt({ error: /** @type {Error} */ (error) });
    }
    refresh("tokens"); // after a failure too: the answer may have been lost on its way
  };
  return { ...at, send };
}

/** @param {{begin: Begin, onClose: () => void}} props */
export function IssueToken({ begin, onClose }) {
  const asked = useAsked();
  const [form, setForm] = useState({ caller: "", scopes: begin.scopes, networks: "", days: String(begin.days), ends: true });
  const set = (/** @type {any} */ news) => setForm({ ...form, ...news });
  const send = () =>
    asked.send("tokens", {
      caller: form.caller.trim(),
      scopes: form.scopes,
      networks: form.networks.split(/[\s,;]+/).filter(Boolean),
      days: form.ends ? whole(form.days) : null,
    });
  return html`
    <${Asking} title="Issue a token" verb="Issue" asked=${asked} onClose=${onClose} send=${send}>
      <${C.Stack} gap=${4}>
        <${Line} label="Caller" help="The name of the system that fetches: letters, digits, dots, hyphens and underscores.">
          <${C.Input} size="sm" value=${form.caller} autoComplete="off" onChange=${(/** @type {any} */ event) => set({ caller: event.target.value })} />
        <//>
        <${Scopes} known=${begin.scopes} chosen=${form.scopes} choose=${(/** @type {string[]} */ scopes) => set({ scopes })} />
        <${Line} label="From these networks" help="As 10.1.0.0/16 or 192.0.2.7, one per line. Empty: from anywhere.">
          <${C.Textarea} size="sm" rows=${2} value=${form.networks} onChange=${(/** @type {any} */ event) => set({ networks: event.target.value })} />
        <//>
        <${Line} label="Lives for">
          <${C.HStack}>
            <${C.Input} size="sm" type="number" width="6rem" min=${1} value=${form.days} disabled=${!form.ends} aria-label="Days that it lives"
              onChange=${(/** @type {any} */ event) => set({ days: event.target.value })} />
            <${Choices} label="Lives for" value=${form.ends ? "days" : "ever"} choices=${[["days", "days"], ["ever", "until it is revoked"]]}
              choose=${(/** @type {string} */ to) => set({ ends: to === "days" })} />
          <//>
        <//>
      <//>
    <//>
  `;
}

/** @param {{token: Token, begin: Begin, onClose: () => void}} props */
export function RotateToken({ token, begin, onClose }) {
  const asked = useAsked();
  const [hours, setHours] = useState(String(begin.overlap_hours));
  const send = () => asked.send(`tokens/${encodeURIComponent(token.caller)}/rotate`, { overlap_hours: whole(hours) });
  return html`
    <${Asking} title=${`Rotate the token of ${token.caller}`} verb="Rotate" asked=${asked} onClose=${onClose} send=${send}>
      <${C.Stack} gap=${4}>
        <${C.Text}>${token.caller} gets a new token with the same scopes and networks. The old one lives on for a while, so that nothing stops.<//>
        <${Line} label="Hours that the old one lives on" help="0: it ends at once.">
          <${C.Input} size="sm" type="number" width="8rem" min=${0} value=${hours} onChange=${(/** @type {any} */ event) => setHours(event.target.value)} />
        <//>
      <//>
    <//>
  `;
}

/** @param {{token: Token, onClose: () => void}} props */
export function RevokeToken({ token, onClose }) {
  const asked = useAsked(onClose);
  return html`
    <${Asking} title=${`Revoke token ${token.id} of ${token.caller}?`} verb="Revoke" tone="danger" asked=${asked} onClose=${onClose}
      send=${() => asked.send(`tokens/${token.id}/revoke`, {})}>
      <${C.Text}>Whoever uses ${token.hint}… is refused from now on, and that cannot be taken back. What was fetched and acknowledged stays.<//>
    <//>
  `;
}

/** @param {{made: New}} props */
function ShownOnce({ made }) {
  const begin = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => void begin.current?.focus(), []); // what had the focus is gone
  return html`
    <${C.Box}>
      <${C.Text} ref=${begin} tabIndex=${-1} outline="none">Copy it now: it is shown this once, and nobody can read it again.<//>
      <${C.Box} data-testid="new-token"><${Code} text=${made.token} label="The new token" wrap /><//>
      <${C.Text} fontSize="sm" color="fg.muted">
        ${made.expires_at ? html`<${C.Box} as="span">It lives until <${When} at=${made.expires_at} />.<//>` : "It lives until it is revoked."}
        ${made.old_until ? html`<${C.Box} as="span"> The old one lets nobody in from <${When} at=${made.old_until} /> on.<//>` : null}
      <//>
    <//>
  `;
}

/**
 * @param {{title: string, verb: string, tone?: string, asked: ReturnType<typeof useAsked>, onClose: () => void, send: () => void, children: any}} props
 */
function Asking({ title, verb, tone = "brand", asked, onClose, send, children }) {
  const made = asked.answer?.token ? /** @type {New} */ (asked.answer) : null;
  if (made) {
    const stored = html`<${C.Button} onClick=${onClose}>I have stored it<//>`;
    // neither Escape nor a cross takes away what nobody can see again
    return html`<${Dialog} open busy title=${`Token ${made.id} of ${made.caller}`} onClose=${onClose} footer=${stored}><${ShownOnce} made=${made} /><//>`;
  }
  const footer = html`
    <${C.HStack}>
      <${C.Button} variant="outline" disabled=${asked.busy} onClick=${onClose}>Cancel<//>
      <${C.Button} colorPalette=${tone} loading=${asked.busy} onClick=${send} data-testid="confirm">${verb}<//>
    <//>
  `;
  return html`
    <${Dialog} open title=${title} onClose=${onClose} busy=${asked.busy} footer=${footer}>
      ${children}
      ${asked.error ? html`<${C.Text} role="alert" mt=${3} color="red.fg">${asked.error.message}<//>` : null}
    <//>
  `;
}

/** @param {{known: string[], chosen: string[], choose: (scopes: string[]) => void}} props */
function Scopes({ known, chosen, choose }) {
  return html`
    <${C.Fieldset.Root} size="sm">
      <${C.Fieldset.Legend}>May<//>
      <${C.HStack} gap=${4}>
        ${known.map(
          (each) => html`
            <${C.Checkbox.Root} key=${each} checked=${chosen.includes(each)}
              onCheckedChange=${(/** @type {any} */ to) => choose(known.filter((scope) => (scope === each ? to.checked : chosen.includes(scope))))}>
              <${C.Checkbox.HiddenInput} /><${C.Checkbox.Control} /><${C.Checkbox.Label}>${each}<//>
            <//>
          `,
        )}
      <//>
    <//>
  `;
}

/** @param {{label: string, help?: string, children: any}} props */
function Line({ label, help, children }) {
  return html`
    <${C.Field.Root}>
      <${C.Field.Label}>${label}<//>
      ${children}
      ${help ? html`<${C.Field.HelperText}>${help}<//>` : null}
    <//>
  `;
}

/** What is no number is told to the bridge as it is, which says what to write. @param {string} text */
const whole = (text) => (/^-?\d+$/.test(text.trim()) ? Number(text) : text);
