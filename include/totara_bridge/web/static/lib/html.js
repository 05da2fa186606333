// @ts-check
// Templates instead of JSX, and the host's own React, Chakra and router under short names.
import htm from "../vendor/htm.js";

export const { useCallback, useEffect, useId, useMemo, useRef, useState, useSyncExternalStore, createContext, useContext } =
  React;
export const C = ChakraUI;
export const R = ReactRouterDOM;

const raw = /** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */ (
  /** @type {any} */ (htm).bind(React.createElement)
);

/**
 * One element. A template with an open tag or with several roots would give a list, and React would show nonsense.
 * @param {TemplateStringsArray} strings
 * @param {...any} values
 * @returns {any}
 */
export function html(strings, ...values) {
  const made = raw(strings, ...values);
  if (Array.isArray(made)) throw new Error(`html: an open tag, or several roots, near ${strings[0].slice(0, 60)}`);
  return made;
}
