// @ts-check
// The time zone that a person has chosen in Airflow, as it changes; and a clock for what is said relative to now.
import { useSyncExternalStore } from "./html.js";

/** The zone's name, such as Asia/Tokyo. The host keeps it as JSON, and nothing where nobody has chosen. */
function chosen() {
  try {
    const zone = JSON.parse(localStorage.getItem("timezone") ?? "null");
    if (typeof zone === "string" && zone) {
      inZone("2026-01-01T00:00:00Z", zone);
      return zone;
    }
  } catch {
    // what somebody else wrote there, or a zone that this browser does not know
  }
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** @param {() => void} listener */
function subscribe(listener) {
  // the host's own event tells this window, the browser's the others
  for (const event of ["local-storage", "storage"]) addEventListener(event, listener);
  return () => {
    for (const event of ["local-storage", "storage"]) removeEventListener(event, listener);
  };
}

/** The zone in which times are shown; who uses it is drawn anew when it changes. */
export const useZone = () => useSyncExternalStore(subscribe, chosen);

const BEAT = 10_000; // milliseconds
/** @type {Set<() => void>} */
const waiting = new Set();
let now = Date.now();
let timer = 0;

/** @param {() => void} listener */
function beat(listener) {
  if (!waiting.size) {
    now = Date.now();
    timer = setInterval(() => {
      now = Date.now();
      for (const each of waiting) each();
    }, BEAT);
  }
  waiting.add(listener);
  return () => {
    waiting.delete(listener);
    if (!waiting.size) clearInterval(timer);
  };
}

/** Now, in milliseconds, to some seconds; one timer for the whole page. */
export const useNow = () => useSyncExternalStore(beat, () => now);

const PARTS = /** @type {const} */ ({ year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });

/** A time as an input of date and time has it: "2026-11-22T11:16". @param {string} iso @param {string} zone */
export function inZone(iso, zone) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const parts = new Intl.DateTimeFormat("en", { ...PARTS, hourCycle: "h23", timeZone: zone }).formatToParts(at);
  const [year, month, day, hour, minute] = ["year", "month", "day", "hour", "minute"].map(
    (kind) => parts.find((part) => part.type === kind)?.value ?? "",
  );
  return `${year.padStart(4, "0")}-${month}-${day}T${hour}:${minute}`;
}

/**
 * The moment that an input of date and time means: in UTC, "2026-11-22T02:16:00Z"; "" for none.
 * In the hour that a clock skips or has twice it is the one of the two that comes out.
 * @param {string} local @param {string} zone
 */
export function fromZone(local, zone) {
  const wanted = Date.parse(`${local}Z`);
  if (Number.isNaN(wanted)) return "";
  let at = wanted;
  for (let turn = 0; turn < 2; turn += 1) at += wanted - Date.parse(`${inZone(new Date(at).toISOString(), zone)}Z`);
  return new Date(at).toISOString().replace(".000Z", "Z");
}
