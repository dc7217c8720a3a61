/** The list of objects: the connected parts of the masks that are shown. */

import { element } from "../ui/elements.js";
import { type Colour, css } from "../ui/index.js";
import type { FoundObject } from "./api.js";

/** An object of a concept. */
export interface Listed {
  readonly concept: string;
  readonly colour: Colour;
  readonly object: FoundObject;
}

const MOST = 60;

/** Shows objects, the largest first, and says which one a person points at. */
export class ObjectList {
  readonly #host = element("objects", HTMLOListElement);

  /** @param onPoint called with an object that is pointed at or focused, and with null after it. */
  constructor(readonly onPoint: (listed: Listed | null) => void) {}

  /**
   * Replaces all objects.
   *
   * @param pixels of the picture, of which areas are shown as a share.
   */
  set(listed: readonly Listed[], pixels: number): void {
    const sorted = [...listed].sort((a, b) => b.object.area - a.object.area);
    element("objects-part", HTMLElement).hidden = sorted.length === 0;
    element("objects-count", HTMLSpanElement).textContent = String(sorted.length);
    const numbers = new Map<string, number>();
    const rows = sorted.slice(0, MOST).map((one) => {
      const number = (numbers.get(one.concept) ?? 0) + 1;
      numbers.set(one.concept, number);
      return this.#row(one, number, pixels);
    });
    this.#host.replaceChildren(...rows);
  }

  #row(listed: Listed, number: number, pixels: number): HTMLLIElement {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.object = `${listed.concept} ${number}`;
    button.style.setProperty("--colour", css(listed.colour));
    const share = (100 * listed.object.area) / pixels;
    const [, , width, height] = listed.object.box;
    button.append(
      span("swatch", ""),
      span("name", `${listed.concept} ${number}`),
      span("size", `${width}×${height}`),
      span("share", `${share < 0.1 ? "<0.1" : share.toFixed(1)} %`),
    );
    const point = (on: boolean) => () => this.onPoint(on ? listed : null);
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, point(true));
    for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, point(false));
    const row = document.createElement("li");
    row.append(button);
    return row;
  }
}

function span(name: string, text: string): HTMLSpanElement {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}
