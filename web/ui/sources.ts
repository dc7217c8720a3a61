/** Where pictures come from: a file, a drop, the clipboard, the camera. */

import { Camera } from "./camera.js";
import { element, onPress } from "./elements.js";

/** A picture or a bundle that a user chose. */
export type Chosen = (file: Blob) => unknown;

/** Hears of what cannot be used. */
export type Complain = (error: unknown) => void;

/** Closes the camera, and hands on a file once it is loaded, unless something else was chosen meanwhile. */
export type Instead = (file: Blob | Promise<Blob>) => Promise<void>;

/** Hands on whatever a user chooses, drops, pastes or photographs; returns how to hand on anything else. */
export function listen(chosen: Chosen, complain: Complain): Instead {
  let newest = 0;
  const instead: Instead = async (file) => {
    camera.close();
    const choice = ++newest;
    try {
      const loaded = await file;
      if (choice === newest) await chosen(loaded);
    } catch (error) {
      if (choice === newest) complain(error);
    }
  };
  const camera = new Camera(instead, complain);
  onPress("camera", () => newest++); // the camera is what is wanted now, and not a file that still loads
  fromFiles(instead);
  fromDrops(instead);
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) instead(file);
  });
  return instead;
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
