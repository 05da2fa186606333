// @ts-check
// The list of alert channels: an Airflow Connection each, and for e-mail who gets it.
import { C, html, useId } from "../../lib/html.js";
import { Choices } from "./controls.js";

const FORMS = [["json", "JSON"], ["slack", "Slack"], ["teams", "Teams"]];
const EMPTY = { connection: "", form: "json", to: "" };

/** @typedef {import("./kinds.js").ChannelRow} ChannelRow */

/** @param {{form: ChannelRow[], edit: (form: ChannelRow[]) => void, disabled: boolean, errors: Record<string, string>}} props */
export function Channels({ form, edit, disabled, errors }) {
  const put = (/** @type {number} */ at, /** @type {Partial<ChannelRow>} */ news) =>
    edit(form.map((each, place) => (place === at ? { ...each, ...news } : each)));
  return html`
    <${C.Stack} gap=${3} width="full">
      ${form.length ? null : html`<${C.Text} color="fg.muted">None: alerts are shown in the panel only.<//>`}
      ${form.map(
        (each, at) => html`
          <${Channel} key=${at} at=${at} channel=${each} disabled=${disabled} errors=${errors}
            put=${(/** @type {any} */ news) => put(at, news)} remove=${() => edit(form.filter((_, place) => place !== at))} />
        `,
      )}
      <${C.Button} size="xs" variant="outline" alignSelf="start" disabled=${disabled} onClick=${() => edit([...form, EMPTY])}>
        Add a channel
      <//>
    <//>
  `;
}

/**
 * @param {{at: number, channel: ChannelRow, disabled: boolean, errors: Record<string, string>,
 *   put: (news: Partial<ChannelRow>) => void, remove: () => void}} props
 */
function Channel({ at, channel, disabled, errors, put, remove }) {
  const place = `value.${at}`;
  const others = Object.keys(errors).filter((each) => within(each, place) && !NAMED.some((name) => within(each, `${place}.${name}`)));
  return html`
    <${C.Box} borderWidth="1px" borderRadius="md" p=${3} role="group" aria-label=${`Channel ${at + 1}`}>
      <${C.Flex} gap=${3} wrap="wrap" align="start">
        <${Line} label="Airflow Connection" error=${mistake(errors, `${place}.connection`)} width="13rem">
          <${C.Input} size="sm" value=${channel.connection} disabled=${disabled} placeholder="ops_mail" autoComplete="off"
            onChange=${(/** @type {any} */ event) => put({ connection: event.target.value })} />
        <//>
        <${Line} label="Form (for webhooks)" error=${mistake(errors, `${place}.form`)} width="10rem">
          <${Choices} label="Form (for webhooks)" value=${channel.form} choices=${FORMS} disabled=${disabled}
            choose=${(/** @type {string} */ form) => put({ form })} />
        <//>
        <${Line} label="E-mail to (for SMTP)" error=${mistake(errors, `${place}.to`)} width="16rem">
          <${C.Input} size="sm" value=${channel.to} disabled=${disabled} placeholder="ops@example.com, …" autoComplete="off"
            onChange=${(/** @type {any} */ event) => put({ to: event.target.value })} />
        <//>
        <${C.Button} size="xs" variant="ghost" mt=${7} disabled=${disabled} onClick=${remove} aria-label=${`Remove channel ${at + 1}`}>
          Remove
        <//>
      <//>
      ${others.map((each) => html`<${C.Text} key=${each} color="red.fg" fontSize="sm">${errors[each]}<//>`)}
    <//>
  `;
}

const NAMED = ["connection", "form", "to"];

/** @param {string} pointer @param {string} place */
const within = (pointer, place) => pointer === place || pointer.startsWith(`${place}.`);

/** The first mistake there or within. @param {Record<string, string>} errors @param {string} place */
const mistake = (errors, place) => Object.entries(errors).find(([pointer]) => within(pointer, place))?.[1];

/** @param {{label: string, error?: string, width: string, children: any}} props */
function Line({ label, error, width, children }) {
  const id = useId();
  return html`
    <${C.Field.Root} invalid=${Boolean(error)} width=${width} maxW="100%" ids=${{ control: id }}>
      <${C.Field.Label}>${label}<//>
      ${children}
      <${C.Field.ErrorText} color="red.fg">${error}<//>
    <//>
  `;
}
