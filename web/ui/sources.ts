/** Where pictures come from: a file, a drop, the clipboard, the camera. */

import { Camera } from "./camera.js";
import { element, onPress } from "./elements.js";

/** A picture or a bundle that a user chose. */
export type Chosen = (file: Blob) => unknown;

/** Hears of what cannot be used. */
export type Complain = (error: unknown) => void;

/** Hands on whatever a user chooses, drops, pastes or photographs. */
export function listen(chosen: Chosen, complain: Complain): void {
  const camera = new Camera(chosen, complain);
  const instead: Chosen = (file) => {
    camera.close();
    return chosen(file);
  };
  fromFiles(instead);
  fromDrops(instead);
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) instead(file);
  });
}

function fromFiles(chosen: Chosen): void {
  const input = element("file", HTMLInputElement);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) chosen(file);
    input.value = ""; // so that the same file can be chosen again
  });
  for (const id of ["choose", "another"]) onPress(id, () => input.click());
}

function fromDrops(chosen: Chosen): void {
  const stage = element("stage", HTMLElement);
  const over = (event: DragEvent, on: boolean): void => {
    event.preventDefault();
    stage.classList.toggle("over", on);
  };
  addEventListener("dragover", (event) => over(event, true));
  addEventListener("dragleave", (event) => over(event, false));
  addEventListener("drop", (event) => {
    over(event, false);
    const file = event.dataTransfer?.files[0];
    if (file) chosen(file);
  });
}
