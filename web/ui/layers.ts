/** Masks over a picture: which pixel has which colour. */

import type { Colour } from "./palette.js";

/** A mask (height, width) of 0 and 1, rows first, and its colour. */
export interface Layer {
  readonly mask: Uint8Array;
  readonly colour: Colour;
}

const OPAQUE = 255;

/**
 * Paints layers onto transparent pixels, later ones over earlier ones; the edge of a mask is opaque.
 *
 * @param opacity of the inside, 0 to 1.
 */
export function paint(layers: readonly Layer[], width: number, height: number, opacity: number): ImageData {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const thickness = Math.max(1, Math.round(Math.max(width, height) / 500));
  for (const { mask, colour } of layers) {
    const [inside, edge] = [packed(colour, Math.round(OPAQUE * opacity)), packed(colour, OPAQUE)];
    for (let at = 0; at < mask.length; at++) {
      if (mask[at]) pixels[at] = isEdge(mask, at, width, thickness) ? edge : inside;
    }
  }
  return image;
}

/** Bytes of `ImageData` as one number; all browsers run on processors that begin with the lowest byte. */
function packed([red, green, blue]: Colour, alpha: number): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function isEdge(mask: Uint8Array, at: number, width: number, thickness: number): boolean {
  const x = at % width;
  const left = x < thickness || !mask[at - thickness];
  const right = x >= width - thickness || !mask[at + thickness];
  return left || right || !mask[at - thickness * width] || !mask[at + thickness * width];
}
