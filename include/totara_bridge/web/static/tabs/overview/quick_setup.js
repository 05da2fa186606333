// @ts-check
// Letting another system fetch: Pull switched on, and a token for it, which is shown once.
import { C, R, html, useState } from "../../lib/html.js";
import { refresh, useData } from "../../lib/data.js";
import { change } from "../../lib/http.js";
import { linkTo } from "../../lib/place.js";
import { toast } from "../../parts/toasts.js";
import { IssueToken } from "../settings/token_dialogs.js";
import { Section } from "../../parts/section.js";

/** @param {{pull: {enabled: boolean}}} props */
export function QuickSetup({ pull }) {
  return html`
    <${Section} title="Quick setup" testid="quick-setup">
      <${C.HStack} wrap="wrap" gap=${6}><${PullSwitch} on=${pull.enabled} /><${Token} /><${Guide} /><//>
    <//>
  `;
}

/** @param {{on: boolean}} props */
function PullSwitch({ on }) {
  const settings = useData("settings");
  const [busy, setBusy] = useState(false);
  const own = settings.data?.settings.find((/** @type {any} */ each) => each.name === "pull")?.everywhere;
  const set = async (/** @type {any} */ to) => {
    setBusy(true);
    try {
      await change("settings/bridge/pull", { value: to.checked, was: own?.value ?? null }, "PUT");
      toast("success", to.checked ? "Pull is switched on" : "Pull is switched off");
    } catch (error) {
      toast("error", "Pull was not switched", /** @type {Error} */ (error).message);
    }
    for (const path of ["overview", "frame"]) refresh(path);
    await settings.reload(); // the next click says what there was before
    setBusy(false);
  };
  return html`
    <${C.Switch.Root} checked=${on} disabled=${busy || !settings.data} onCheckedChange=${set} data-testid="pull-switch">
      <${C.Switch.HiddenInput} /><${C.Switch.Control}><${C.Switch.Thumb} /><//>
      <${C.Switch.Label}>Pull API ${on ? "on" : "off"}<//>
    <//>
  `;
}

function Token() {
  const known = useData("tokens");
  const [open, setOpen] = useState(false);
  return html`
    <${C.Box}>
      <${C.Button} size="sm" variant="outline" disabled=${!known.data} aria-haspopup="dialog" onClick=${() => setOpen(true)} data-testid="quick-token">
        Issue a token
      <//>
      ${open && known.data ? html`<${IssueToken} begin=${known.data} onClose=${() => setOpen(false)} />` : null}
    <//>
  `;
}

const Guide = () => html`
  <${C.Link} asChild fontSize="sm" variant="underline"><${R.Link} to=${linkTo({ tab: "guide" })}>How another system fetches: the API guide<//><//>
`;
