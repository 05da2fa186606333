// @ts-check
// Settings: a manager's switches with who set them, tokens of the Pull API, and where the Connections lead.
import { C, html } from "../lib/html.js";
import { useData } from "../lib/data.js";
import { useFrame } from "../lib/frame.js";
import { usePlace } from "../lib/place.js";
import { Loaded } from "../parts/loaded.js";
import { TabList } from "../parts/tab_list.js";
import { Connections } from "./settings/connections.js";
import { Reload } from "./settings/saving.js";
import { SECTIONS } from "./settings/sections.js";
import { SettingRow } from "./settings/setting.js";
import { Tokens } from "./settings/tokens.js";

/** What stands below the settings of a section. @type {Record<string, () => any>} */
const BELOW = { pull: Tokens, connections: Connections };

export function Settings() {
  const { manages } = useFrame();
  const place = usePlace();
  const found = useData("settings", {}, { every: 30 });
  const asked = place.get("section");
  const now = SECTIONS.some((each) => each.name === asked) ? asked : SECTIONS[0].name;
  return html`
    <${Reload.Provider} value=${found.reload}>
      ${manages ? null : html`<${OnlyLooking} />`}
      <${C.Tabs.Root} value=${now} variant="subtle" size="sm" lazyMount unmountOnExit
        onValueChange=${(/** @type {any} */ to) => place.set({ section: to.value })}>
        <${TabList} tabs=${SECTIONS.map(({ name, title: label }) => ({ name, label }))} now=${now} label="Sections of the settings" />
        ${SECTIONS.map(
          (each) => html`
            <${C.Tabs.Content} key=${each.name} value=${each.name} data-testid=${`section-${each.name}`}>
              <${Section} section=${each} found=${found} />
            <//>
          `,
        )}
      <//>
    <//>
  `;
}

/** @param {{section: import("./settings/sections.js").Section, found: ReturnType<typeof useData>}} props */
function Section({ section, found }) {
  const Below = BELOW[section.name];
  return html`
    <${C.Box}>
      ${section.words ? html`<${C.Text} color="fg.muted">${section.words}<//>` : null}
      ${section.settings.length ? html`<${Loaded} from=${found}>${(/** @type {any} */ data) => html`<${Rows} section=${section} settings=${data.settings} />`}<//>` : null}
      ${Below ? html`<${Below} />` : null}
    <//>
  `;
}

/** @param {{section: import("./settings/sections.js").Section, settings: import("./settings/kinds.js").Setting[]}} props */
function Rows({ section, settings }) {
  const known = new Map(settings.map((each) => [each.name, each]));
  return html`
    <${C.Box}>
      ${section.settings.map(([name, title]) =>
        known.has(name) ? html`<${SettingRow} key=${name} setting=${known.get(name)} title=${title} />` : null,
      )}
    <//>
  `;
}

function OnlyLooking() {
  return html`
    <${C.Alert.Root} status="info" mb=${3} data-testid="only-looking">
      <${C.Alert.Indicator} />
      <${C.Alert.Title}>
        You see how everything is set. To change it takes the permission to trigger requeue_completions: ask whoever administers Airflow.
      <//>
    <//>
  `;
}
