/** The camera, in a viewfinder until a picture is taken. */

import { element, onPress } from "./elements.js";

const WISH = { video: { facingMode: "environment", width: { ideal: 1280 } } };

/** The camera, its viewfinder and its three buttons. */
export class Camera {
  readonly #video = element("video", HTMLVideoElement);
  readonly #finder = element("viewfinder", HTMLDivElement);
  readonly #empty = element("empty", HTMLDivElement);
  readonly #open: HTMLButtonElement;
  readonly #shoot: HTMLButtonElement;
  #wanted = false;

  /**
   * @param taken gets each picture.
   * @param complain hears why the camera cannot be used.
   */
  constructor(
    readonly taken: (picture: Blob) => unknown,
    readonly complain: (error: unknown) => void,
  ) {
    this.#open = onPress("camera", () => this.open());
    this.#shoot = onPress("shoot", () => this.#take());
    this.#shoot.disabled = true;
    onPress("stop", () => this.close());
  }

  /** Opens the viewfinder; pictures can be taken once it shows one. */
  async open(): Promise<void> {
    // Browsers leave it undefined on pages that came over HTTP from another machine.
    if ((navigator.mediaDevices as MediaDevices | undefined) === undefined) {
      this.complain(new Error("A browser opens the camera only over HTTPS or on this machine."));
      return;
    }
    [this.#wanted, this.#open.disabled] = [true, true]; // a second press would open it twice
    try {
      await this.#show(await navigator.mediaDevices.getUserMedia(WISH));
    } catch (error) {
      if (!this.#wanted) return; // closed meanwhile, which ends play() with an error
      this.close();
      this.complain(new Error(`The camera cannot be used (${error}).`));
    } finally {
      this.#open.disabled = false;
    }
  }

  /** Closes the viewfinder, and lets go of the camera; does nothing where it is closed. */
  close(): void {
    this.#wanted = false;
    stopped(this.#video.srcObject as MediaStream | null);
    this.#video.srcObject = null;
    this.#shoot.disabled = true;
    if (!this.#finder.hidden) [this.#finder.hidden, this.#empty.hidden] = [true, false];
  }

  async #show(stream: MediaStream): Promise<void> {
    if (!this.#wanted) return stopped(stream);
    this.#video.srcObject = stream;
    [this.#finder.hidden, this.#empty.hidden] = [false, true];
    await this.#video.play(); // before that it has neither a size nor a picture
    this.#shoot.disabled = !this.#wanted;
  }

  async #take(): Promise<void> {
    this.#shoot.disabled = true; // a second press would take it twice
    try {
      const frame = await photographed(this.#video);
      if (!this.#wanted) return; // closed meanwhile
      this.close();
      await this.taken(frame);
    } catch (error) {
      this.#shoot.disabled = !this.#wanted;
      this.complain(error);
    }
  }
}

function stopped(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Returns the present frame as a PNG file, which loses nothing. */
function photographed(video: HTMLVideoElement): Promise<Blob> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
