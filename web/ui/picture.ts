/** A picture with masks over it, on which a user clicks, drags a box, or moves a cross with the keys. */

import { type Layer, paint } from "./layers.js";
import { drawMarks, type Marks, type XY } from "./marks.js";

/** What a user did on the picture, in its pixels. */
export interface PictureEvents {
  /** A click or tap; `inside` is false with the shift key, or where the next clicks are meant as outside. */
  onPoint(point: XY, inside: boolean): void;
  onBox(box: readonly [number, number, number, number]): void;
}

const DRAG = 6; // pixels of the screen under which a drag is a click
const STEPS: Readonly<Record<string, XY>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The element that shows a picture. */
export class PictureView {
  /** Whether clicks mean what is not the object; for touch, which has no shift key. */
  outside = false;
  opacity = 0.55;
  #picture: ImageBitmap | null = null;
  #masks: OffscreenCanvas | null = null;
  #layers: readonly Layer[] = [];
  #marks: Marks = { points: [], labels: [], box: null };
  #start: XY | null = null;
  #drag: XY | null = null;
  #cross: XY | null = null;

  /**
   * @param canvas where the picture is shown; it gets the keyboard's focus.
   * @param events who hears of clicks and boxes.
   */
  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly events: PictureEvents,
  ) {
    canvas.tabIndex = 0;
    canvas.style.touchAction = "pan-y pinch-zoom";
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#cancel());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#cross = null;
      this.draw();
    });
  }

  /** Shows another picture without masks. */
  show(picture: ImageBitmap): void {
    this.#picture?.close();
    this.#picture = picture;
    [this.canvas.width, this.canvas.height] = [picture.width, picture.height];
    this.canvas.style.setProperty("--ratio", String(picture.width / picture.height));
    this.#marks = { points: [], labels: [], box: null };
    this.setLayers([]);
  }

  /** Replaces the masks. */
  setLayers(layers: readonly Layer[]): void {
    this.#layers = layers;
    this.#masks = null;
    this.draw();
  }

  /** Replaces the clicks and the box that are drawn. */
  setMarks(marks: Marks): void {
    this.#marks = marks;
    this.draw();
  }

  /** Sets the opacity of masks, 0 to 1. */
  setOpacity(opacity: number): void {
    this.opacity = opacity;
    this.setLayers(this.#layers);
  }

  /** Draws all again. */
  draw(): void {
    const context = this.canvas.getContext("2d");
    if (context === null || this.#picture === null) return;
    context.drawImage(this.#picture, 0, 0);
    context.drawImage(this.#painted(), 0, 0);
    const box = this.#start && this.#drag ? boxOf(this.#start, this.#drag) : this.#marks.box;
    drawMarks(context, { ...this.#marks, box }, this.#cross, this.#scale());
  }

  /** Returns the picture with its masks as a PNG file, without clicks. */
  async png(): Promise<Blob> {
    const canvas = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    const context = canvas.getContext("2d");
    if (this.#picture) context?.drawImage(this.#picture, 0, 0);
    context?.drawImage(this.#painted(), 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  #painted(): OffscreenCanvas {
    if (this.#masks === null) {
      const { width, height } = this.canvas;
      this.#masks = new OffscreenCanvas(width, height);
      this.#masks.getContext("2d")?.putImageData(paint(this.#layers, width, height, this.opacity), 0, 0);
    }
    return this.#masks;
  }

  /** Pixels of the picture for one of the screen. */
  #scale(): number {
    return this.canvas.width / (this.canvas.getBoundingClientRect().width || this.canvas.width);
  }

  #at(event: PointerEvent): XY {
    const frame = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    const x = ((event.clientX - frame.left) * width) / frame.width;
    const y = ((event.clientY - frame.top) * height) / frame.height;
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0 || this.#picture === null) return;
    this.#start = this.#at(event);
    this.#drag = null;
    this.canvas.setPointerCapture(event.pointerId);
  }

  #moved(event: PointerEvent): void {
    if (this.#start === null) return;
    const at = this.#at(event);
    const far = Math.max(Math.abs(at[0] - this.#start[0]), Math.abs(at[1] - this.#start[1]));
    if (far < DRAG * this.#scale()) return;
    this.#drag = at;
    this.draw();
  }

  #up(event: PointerEvent): void {
    const [start, drag] = [this.#start, this.#drag];
    this.#cancel();
    if (start === null) return;
    const box = drag && boxOf(start, drag);
    if (box === null) this.events.onPoint(start, !(event.shiftKey || this.outside));
    else if (box[0] < box[2] && box[1] < box[3]) this.events.onBox(box);
  }

  #cancel(): void {
    [this.#start, this.#drag] = [null, null];
    this.draw();
  }

  #key(event: KeyboardEvent): void {
    const { width, height } = this.canvas;
    const step = STEPS[event.key];
    if (step !== undefined) {
      const [x, y] = this.#cross ?? [width / 2, height / 2];
      const reach = Math.max(1, Math.round(width / (event.altKey ? 400 : 50)));
      const next: XY = [x + reach * step[0], y + reach * step[1]];
      this.#cross = [Math.min(Math.max(next[0], 0), width), Math.min(Math.max(next[1], 0), height)];
      this.draw();
    } else if ((event.key === "Enter" || event.key === " ") && this.#picture !== null) {
      this.events.onPoint(this.#cross ?? [width / 2, height / 2], !(event.shiftKey || this.outside));
    } else return;
    event.preventDefault();
  }
}

function boxOf([x0, y0]: XY, [x1, y1]: XY): [number, number, number, number] {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}
