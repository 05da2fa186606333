// @ts-check
// The page "Oracle Integration": its tabs, and what stands above all of them.
import { C, R, html, useEffect } from "./lib/html.js";
import { FrameContext } from "./lib/frame.js";
import { useData } from "./lib/data.js";
import { usePlace } from "./lib/place.js";
import { Boundary } from "./parts/boundary.js";
import { Loaded, Loading } from "./parts/loaded.js";
import { TabList } from "./parts/tab_list.js";
import { Toasts } from "./parts/toasts.js";
import { Guide } from "./tabs/guide.js";
import { Logs } from "./tabs/logs.js";
import { Overview } from "./tabs/overview.js";
import { Problems } from "./tabs/problems.js";
import { Queue } from "./tabs/queue.js";
import { Settings } from "./tabs/settings.js";

const TITLE = "Oracle Integration";

const TABS = [
  { name: "overview", label: "Overview", show: Overview },
  { name: "queue", label: "Queue", show: Queue },
  { name: "problems", label: "Problems", show: Problems },
  { name: "logs", label: "Logs", show: Logs },
  { name: "guide", label: "API guide", show: Guide, managers: true },
  { name: "settings", label: "Settings", show: Settings },
];

let settled = false;

/**
 * Whether what is shown now stays. The host takes down and up again whatever it loaded at its first change of address: let
 * that be now, before there is anything that somebody could type into.
 */
function useSettled() {
  const navigate = R.useNavigate();
  const at = R.useLocation();
  const stays = settled;
  useEffect(() => {
    if (settled) return;
    settled = true;
    navigate(at.pathname + at.search + at.hash, { replace: true, preventScrollReset: true });
  }, []);
  return stays;
}

function Panel() {
  const stays = useSettled();
  const frame = useData("frame", {}, { every: 30 });
  useEffect(() => {
    const before = document.title;
    document.title = `${TITLE} - Airflow`;
    return () => void (document.title = before);
  }, []);
  return html`
    <${C.Box} id="panel-root" p=${4} as="section" aria-labelledby="panel-title">
      <${C.Heading} id="panel-title" as="h1" size="xl" mb=${3}>${TITLE}<//>
      ${
        stays
          ? html`
              <${Loaded} from=${frame}>
                ${(/** @type {any} */ found) => html`<${FrameContext.Provider} value=${found}><${Tabs} frame=${found} /><//>`}
              <//>
            `
          : html`<${Loading} />`
      }
      <${Toasts} />
    <//>
  `;
}

/** @param {{frame: import("./lib/frame.js").Frame}} props */
function Tabs({ frame }) {
  const place = usePlace();
  const shown = TABS.filter((tab) => !tab.managers || frame.manages);
  const asked = place.get("tab");
  const now = shown.some((tab) => tab.name === asked) ? asked : shown[0].name;
  return html`
    <${C.Box}>
      ${frame.enabled ? null : html`<${SwitchedOff} />`}
      <${C.Tabs.Root} value=${now} lazyMount unmountOnExit onValueChange=${(/** @type {any} */ to) => place.go({ tab: to.value })}>
        <${TabList} tabs=${shown} now=${now} />
        ${shown.map(
          (tab) => html`
            <${C.Tabs.Content} key=${tab.name} value=${tab.name} data-testid=${`tab-${tab.name}`}>
              <${Boundary} key=${tab.name}><${tab.show} /><//>
            <//>
          `,
        )}
      <//>
    <//>
  `;
}

function SwitchedOff() {
  return html`
    <${C.Alert.Root} status="warning" mb=${3} data-testid="switched-off">
      <${C.Alert.Indicator} />
      <${C.Alert.Content}>
        <${C.Alert.Title}>The integration is switched off<//>
        <${C.Alert.Description}>
          Nothing is extracted or sent, and what is due waits; nothing is lost. Whoever may manage can switch it on in Settings.
        <//>
      <//>
    <//>
  `;
}

/** @type {any} */ (globalThis)["Oracle"] = () => html`<${Boundary}><${Panel} /><//>`;
