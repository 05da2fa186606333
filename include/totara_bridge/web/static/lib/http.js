// @ts-check
// Asking the bridge and asking Airflow: both answer this page's own origin, with the login's cookie.

const OURS = new URL("../../../api/", import.meta.url);
const AIRFLOWS = new URL("api/v2/", document.baseURI);
const PATIENCE = 30_000; // milliseconds

/** What was refused or failed; its message is a sentence for people. */
export class HttpError extends Error {
  /** @param {number} status @param {string} message @param {{pointer?: string, parameter?: string, detail: string}[]} [errors] */
  constructor(status, message, errors = []) {
    super(message);
    this.status = status; // 0: there was no answer
    this.errors = errors; // what is wrong where, for forms
  }
}

/** The address of something of the bridge's, such as a download. @param {string} path @param {Record<string, any>} [query] */
export function address(path, query = {}) {
  const url = new URL(path, OURS);
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") url.searchParams.append(name, String(each));
    }
  }
  return url.href;
}

/** What the bridge answers. @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export const ask = (path, query, signal) => fetched("GET", address(path, query), undefined, signal);

/** Have the bridge change something. @param {string} path @param {any} body @param {string} [method] */
export const change = (path, body, method = "POST") => fetched(method, address(path), body);

/** What Airflow answers, with this person's own permissions. @param {string} method @param {string} path @param {any} [body] */
export const airflow = (method, path, body) => fetched(method, new URL(path, AIRFLOWS).href, body);

/** @param {string} method @param {string} url @param {any} [body] @param {AbortSignal} [signal] */
async function fetched(method, url, body, signal) {
  const patience = AbortSignal.timeout(PATIENCE);
  /** @type {RequestInit} */
  const options = { method, credentials: "same-origin", signal: signal ? AbortSignal.any([signal, patience]) : patience };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  let answer, said;
  try {
    answer = await fetch(url, options);
    said = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new HttpError(0, "Airflow does not answer. Look whether its API server runs, then try again.");
  }
  if (!answer.ok) throw refused(answer.status, said);
  try {
    return said ? JSON.parse(said) : null;
  } catch {
    throw new HttpError(0, "What came was no JSON: something between this page and Airflow answers in its place.");
  }
}

/** @param {number} status @param {string} said */
function refused(status, said) {
  let told = /** @type {any} */ ({});
  try {
    told = JSON.parse(said);
  } catch {
    // a proxy's page: its status says what there is to know
  }
  const detail = typeof told.detail === "string" ? told.detail : "";
  if (status === 401 || (status === 403 && detail === "Invalid JWT token")) logInAgain();
  const errors = Array.isArray(told.errors) ? told.errors : [];
  return new HttpError(status, sentence(status, detail, told), errors);
}

/** @param {number} status @param {string} detail @param {any} told */
function sentence(status, detail, told) {
  if (status === 401) return "The session has ended: log in again.";
  if (status === 403 && (!detail || detail === "Forbidden")) return "You may not do this: ask whoever administers Airflow.";
  if (status === 422 && Array.isArray(told.detail)) return told.detail.map((/** @type {any} */ each) => each.msg).join("; ");
  return detail || `Airflow answered with the status ${status}: try again, and look into the API server's log if it stays so.`;
}

/** As the host's own pages do: to the login form, and back to this very address. */
function logInAgain() {
  const login = new URL("api/v2/auth/login", document.baseURI);
  const here = location.pathname + location.search + location.hash;
  location.replace(`${login.pathname}?next=${encodeURIComponent(here)}`);
}
