/** Where pictures come from: a file, a drop, the clipboard, the camera. */

import { element, onPress } from "./elements.js";

/** A picture or a bundle that a user chose. */
export type Chosen = (file: Blob) => unknown;

/** Hears of what cannot be used. */
export type Complain = (error: unknown) => void;

/** Hands on whatever a user chooses, drops, pastes or photographs. */
export function listen(chosen: Chosen, complain: Complain): void {
  fromFiles(chosen);
  fromDrops(chosen);
  fromCamera(chosen, complain);
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) chosen(file);
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

function fromCamera(chosen: Chosen, complain: Complain): void {
  const video = element("video", HTMLVideoElement);
  const [finder, empty] = [element("viewfinder", HTMLDivElement), element("empty", HTMLDivElement)];
  const stop = (): void => {
    for (const track of (video.srcObject as MediaStream | null)?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    [finder.hidden, empty.hidden] = [true, false];
  };
  onPress("camera", async () => {
    // Browsers leave it undefined on pages that came over HTTP from another machine.
    if ((navigator.mediaDevices as MediaDevices | undefined) === undefined) {
      complain(new Error("A browser opens the camera only over HTTPS or on this machine."));
      return;
    }
    try {
      const wish = { video: { facingMode: "environment", width: { ideal: 1280 } } };
      video.srcObject = await navigator.mediaDevices.getUserMedia(wish);
      [finder.hidden, empty.hidden] = [false, true];
      await video.play();
    } catch (error) {
      stop();
      complain(new Error(`The camera cannot be used (${error}).`));
    }
  });
  onPress("stop", stop);
  onPress("shoot", async () => {
    const frame = await photographed(video);
    stop();
    chosen(frame);
  });
}

/** Returns the present frame as a PNG file, which loses nothing. */
async function photographed(video: HTMLVideoElement): Promise<Blob> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
