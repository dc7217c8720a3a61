/** The lines below the picture: what happened and how long it took, the download, and errors. */

import { element } from "../ui/elements.js";

const line = element("status", HTMLParagraphElement);
const alert = element("error", HTMLParagraphElement);
const bar = element("progress", HTMLProgressElement);

/** Says what happened. */
export function say(...parts: readonly string[]): void {
  line.textContent = parts.join(" · ");
}

/** Shows an error; null removes it. */
export function complain(error: unknown): void {
  alert.hidden = error === null;
  alert.textContent = error instanceof Error ? error.message : String(error ?? "");
}

/** Shows how much of a download has come; a total of 0 is unknown. */
export function progress(loaded: number, total: number): void {
  bar.hidden = loaded >= total && total > 0;
  if (total > 0) bar.value = loaded / total;
  else bar.removeAttribute("value");
}

/** Hides the download. */
export function loaded(): void {
  bar.hidden = true;
}

/** Returns a time as a person reads it. */
export function time(seconds: number): string {
  return seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
}
