// @ts-check
// How many items there are, as far as they were counted.
import { counted, number } from "../../lib/written.js";

const COUNTED = 10_000;

/** @param {{items: number, more: boolean}} count */
export function howMany({ items, more }) {
  if (!more) return counted(items, "item");
  if (items >= COUNTED) return `More than ${number(COUNTED)} items`;
  return `At least ${counted(items, "item")}: among the newest 50 000 in the queue`;
}
