/** COCO's compressed run-length encoding of masks. */

const BITS = 5;
const CHUNK = (1 << BITS) - 1;
const SIGN = 1 << (BITS - 1);
const MORE = 1 << BITS;
const FIRST_CHARACTER = 48;
const DELTA_FROM = 3; // from the fourth count on, COCO stores the difference from the count two before

/** A mask as pycocotools reads it. */
export interface Rle {
  readonly size: readonly [height: number, width: number];
  readonly counts: string;
}

/** Returns a mask (height, width) of 0 and 1 as COCO's compressed RLE: runs go down the columns and begin with zeros. */
export function encodeRle(mask: Uint8Array, width: number, height: number): Rle {
  const counts: number[] = [];
  let [run, value] = [0, 0];
  for (let x = 0; x < width; x++) {
    for (let at = x; at < mask.length; at += width) {
      if (mask[at] === value) {
        run++;
        continue;
      }
      counts.push(run);
      [run, value] = [1, 1 - value];
    }
  }
  counts.push(run);
  const deltas = counts.map((count, i) => (i >= DELTA_FROM ? count - (counts[i - 2] as number) : count));
  return { size: [height, width], counts: deltas.map(packed).join("") };
}

function packed(count: number): string {
  let [text, value] = ["", count];
  for (;;) {
    const chunk = value & CHUNK;
    value >>= BITS;
    const done = value === (chunk & SIGN ? -1 : 0);
    text += String.fromCharCode(FIRST_CHARACTER + (done ? chunk : chunk | MORE));
    if (done) return text;
  }
}
