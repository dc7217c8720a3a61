/** The line below the picture, the times in it, and errors. */

import { element } from "../ui/elements.js";

export { amount } from "../ui/wording.js";

const line = element("status", HTMLParagraphElement);
const alert = element("error", HTMLParagraphElement);

/** Says what happened. */
export function say(text: string): void {
  line.textContent = text;
}

/** Shows an error; null removes it. What was given up on purpose is none. */
export function complain(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const text =
    error instanceof TypeError ? "The server cannot be reached." : error instanceof Error ? error.message : "";
  alert.hidden = error === null;
  alert.textContent = text === "" ? String(error ?? "") : text.charAt(0).toUpperCase() + text.slice(1);
}

/** Shows how long a part took on the server: 0 where it had the picture already; null empties it. */
export function timed(part: "image" | "concept" | "click", seconds: number | null): void {
  if (part === "image") element("times", HTMLDListElement).hidden = seconds === null;
  const known = seconds === 0 ? "cached" : seconds === null ? "–" : time(seconds);
  element(`time-${part}`, HTMLElement).textContent = known;
}

/** Returns a time as a person reads it. */
export function time(seconds: number): string {
  return seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
}
