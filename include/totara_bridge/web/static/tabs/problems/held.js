// @ts-check
// Held items by what they wait for: nobody can have them sent before it is there, so here is where it comes from.
import { C, R, html } from "../../lib/html.js";
import { linkTo } from "../../lib/place.js";
import { counted, number } from "../../lib/written.js";
import { Empty } from "../../parts/loaded.js";
import { Number } from "../../parts/number.js";
import { Ago } from "../../parts/when.js";

/**
 * @typedef {{destination: string, held_for: string[], waits_for: string, items: number, learners: number, courses: number,
 *   course_names: string[], since: string, what_to_do: string, mappings: boolean}} Group
 */

/** @param {{groups: Group[]}} props */
export function Held({ groups }) {
  if (!groups.length) return html`<${Empty} title="No item is held" />`;
  return html`
    <${C.Stack} gap=${3}>
      ${groups.map((group) => html`<${Card} key=${`${group.destination} ${group.held_for}`} group=${group} />`)}
    <//>
  `;
}

/** @param {{group: Group}} props */
function Card({ group }) {
  const { destination, items, waits_for, course_names } = group;
  const more = group.courses - course_names.length;
  return html`
    <${C.Box} as="article" borderWidth="1px" borderRadius="md" p=${3} aria-label=${`held for ${waits_for}`} data-held=${group.held_for.join(" ")}>
      <${C.Heading} as="h3" size="sm" mb=${2}>
        <${Number} of=${items} label=${items === 1 ? "item waits" : "items wait"} to=${linkTo({ tab: "queue", state: "held", destination })} />
        ${" "}for ${waits_for}
      <//>
      <${C.Text} mb=${2} maxW="80ch"><b>What to do: </b>${group.what_to_do}<//>
      <${C.Flex} wrap="wrap" gap=${3} align="center" justify="space-between">
        <${C.Text} as="div" fontSize="sm" color="fg.muted">
          ${destination} · ${counted(group.learners, "learner")} · ${counted(group.courses, "course")}: ${course_names.join(", ")}
          ${more > 0 ? ` and ${number(more)} more` : ""} · the oldest queued <${Ago} at=${group.since} />
        <//>
        ${
          group.mappings
            ? html`<${C.Button} asChild size="sm" variant="outline"><${R.Link} to="/dags/load_mappings">Open load_mappings<//><//>`
            : null
        }
      <//>
    <//>
  `;
}
