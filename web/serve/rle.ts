/** COCO's compressed run-length encoding, in which the server sends masks. */

import type { Rle } from "../src/rle.js";

export type { Rle };

const FIRST = 48;
const MORE = 0x20;
const SIGN = 0x10;
const DELTA_FROM = 3;

/** Returns the lengths of the runs, which go down the columns and begin with the zeros. */
export function runs(counts: string): number[] {
  const found: number[] = [];
  for (let at = 0; at < counts.length; ) {
    let [value, shift, chunk] = [0, 0, 0];
    do {
      chunk = counts.charCodeAt(at++) - FIRST;
      value += (chunk & 0x1f) * 2 ** shift;
      shift += 5;
    } while (chunk & MORE);
    if (chunk & SIGN) value -= 2 ** shift;
    found.push(found.length >= DELTA_FROM ? value + (found[found.length - 2] as number) : value);
  }
  return found;
}

/** Returns the mask, (height, width) of 0 and 1, rows first. */
export function decode({ size: [height, width], counts }: Rle): Uint8Array {
  const mask = new Uint8Array(height * width);
  let at = 0;
  runs(counts).forEach((length, i) => {
    if (i % 2) for (let k = at; k < at + length; k++) mask[(k % height) * width + Math.floor(k / height)] = 1;
    at += length;
  });
  return mask;
}
