/** The clicks and the box of each concept. */

import type { Marks, XY } from "../ui/index.js";
import type { Prompt } from "./api.js";

/** No click and no box. */
export const NO_MARKS: Marks = { points: [], labels: [], box: null };

/** Returns marks with one click more. */
export function withPoint({ points, labels, box }: Marks, point: XY, inside: boolean): Marks {
  return { points: [...points, point], labels: [...labels, inside ? 1 : 0], box };
}

/** Returns marks without the box, or, where there is none, without the last click. */
export function withoutLast({ points, labels, box }: Marks): Marks {
  if (box) return { points, labels, box: null };
  return { points: points.slice(0, -1), labels: labels.slice(0, -1), box };
}

/** Returns whether there is neither a click nor a box. */
export function areNone({ points, box }: Marks): boolean {
  return points.length === 0 && box === null;
}

/** Returns what the server is asked with marks; null where there are none. */
export function promptOf(concept: string, marks: Marks): Prompt | null {
  return areNone(marks) ? null : { concept, ...marks };
}
