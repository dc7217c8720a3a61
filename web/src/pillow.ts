/**
 * Pillow's antialiased bilinear filter on 8-bit values, which training used; another filter moves the logits.
 *
 * Each new pixel is a weighted mean of the old ones under a triangle as wide as the picture shrinks. The weights are
 * rounded to whole numbers of 22 bits after the point. Rows are done first and rounded to 8 bits, then columns; Pillow
 * itself takes columns first in some tall pictures from version 13 on, the Python package never does.
 */

/** A picture: 8 bits a channel, rows first; red, green and blue, with or without alpha, which is not looked at. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

const BITS = 22;
const HALF = 1 << (BITS - 1);
const COLOURS = 3;

/** For each new pixel along a side: the first old one that counts, how many do, and their weights. */
interface Weights {
  readonly start: Int32Array;
  readonly count: Int32Array;
  readonly most: number;
  readonly values: Int32Array;
}

function triangle(x: number): number {
  return Math.max(0, 1 - Math.abs(x));
}

function makeWeights(from: number, to: number): Weights {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  const most = Math.ceil(reach) * 2 + 1;
  const made = { start: new Int32Array(to), count: new Int32Array(to), most, values: new Int32Array(to * most) };
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    made.start[i] = start;
    made.count[i] = end - start;
    made.values.set(roundedWeights(start, end, centre, reach), i * most);
  }
  return made;
}

function roundedWeights(start: number, end: number, centre: number, reach: number): number[] {
  const inverse = 1 / reach;
  const weights = Array.from({ length: end - start }, (_, k) => triangle((k + start - centre + 0.5) * inverse));
  const sum = weights.reduce((a, b) => a + b, 0);
  // Weights of a triangle are never negative, so that adding a half and cutting rounds to the nearest.
  return weights.map((weight) => Math.trunc(0.5 + (sum === 0 ? weight : weight / sum) * (1 << BITS)));
}

function clip8(value: number): number {
  const whole = value >> BITS;
  return Math.min(whole, 255);
}

/** Shrinks or stretches rows: (height, from, channels) to (height, to, 3). */
function resizeRows(data: Picture["data"], from: number, height: number, channels: number, to: number): Uint8Array {
  const { start, count, most, values } = makeWeights(from, to);
  const out = new Uint8Array(height * to * COLOURS);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < to; x++) {
      let [red, green, blue] = [HALF, HALF, HALF];
      let at = (y * from + (start[x] as number)) * channels;
      const last = x * most + (count[x] as number);
      for (let k = x * most; k < last; k++, at += channels) {
        const weight = values[k] as number;
        red += (data[at] as number) * weight;
        green += (data[at + 1] as number) * weight;
        blue += (data[at + 2] as number) * weight;
      }
      out.set([clip8(red), clip8(green), clip8(blue)], (y * to + x) * COLOURS);
    }
  }
  return out;
}

/** Shrinks or stretches columns: (from, width, 3) to (to, width, 3). */
function resizeColumns(data: Uint8Array, from: number, width: number, to: number): Uint8Array {
  const { start, count, most, values } = makeWeights(from, to);
  const stride = width * COLOURS;
  const out = new Uint8Array(to * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < to; y++) {
    sums.fill(HALF);
    for (let k = 0; k < (count[y] as number); k++) {
      const weight = values[y * most + k] as number;
      const at = ((start[y] as number) + k) * stride;
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] as number) + (data[at + i] as number) * weight;
    }
    for (let i = 0; i < stride; i++) out[y * stride + i] = clip8(sums[i] as number);
  }
  return out;
}

/** Returns red, green and blue alone, (height, width, 3). */
function withoutAlpha({ width, height, data }: Picture, channels: number): Uint8Array {
  const out = new Uint8Array(width * height * COLOURS);
  for (let i = 0, from = 0; i < out.length; i += COLOURS, from += channels) {
    out[i] = data[from] as number;
    out[i + 1] = data[from + 1] as number;
    out[i + 2] = data[from + 2] as number;
  }
  return out;
}

/** Returns a picture at another size, (height, width, 3), as two of Pillow's `resize` with `BILINEAR` give it. */
export function resizeLikePillow(picture: Picture, width: number, height: number): Uint8Array {
  const channels = picture.data.length / (picture.width * picture.height);
  const rows =
    picture.width === width
      ? withoutAlpha(picture, channels)
      : resizeRows(picture.data, picture.width, picture.height, channels, width);
  return picture.height === height ? rows : resizeColumns(rows, picture.height, width, height);
}

/** Squashes a picture to the model's square: float32 (3, size, size), 0 to 255. */
export function toPixels(picture: Picture, size: number): Float32Array {
  const squashed = resizeLikePillow(picture, size, size);
  const plane = size * size;
  const pixels = new Float32Array(COLOURS * plane);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < COLOURS; c++) pixels[c * plane + i] = squashed[i * COLOURS + c] as number;
  }
  return pixels;
}
