// @ts-check
// JSON with line breaks, to the letter else: read and written again, a long number would be another one. What is no JSON stays as it is.

const WORD = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** @param {string} json */
export function indented(json) {
  if (!isJson(json)) return json;
  let text = "";
  let depth = 0;
  let before = "";
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [word] of json.matchAll(WORD)) {
    const closes = word === "}" || word === "]";
    if (closes) depth -= 1;
    const empty = closes && (before === "{" || before === "[");
    if ((closes && !empty) || (!closes && (before === "{" || before === "[" || before === ","))) text += line();
    if (word === "{" || word === "[") depth += 1;
    text += word === ":" ? ": " : word;
    before = word;
  }
  return text;
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
