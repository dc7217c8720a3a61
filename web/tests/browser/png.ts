/** Writing small PNG files, with any chunk that a test wants in them. */

import { zlibSync } from "fflate";

/** A chunk: its four letters and its content. */
export type Chunk = readonly [kind: string, content: Uint8Array];

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES: Readonly<Record<number, number>> = { 3: 2, 4: 6 };

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function number(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

function written([kind, content]: Chunk): number[] {
  const body = [...new TextEncoder().encode(kind), ...content];
  return [...number(content.length), ...body, ...number(crc32(Uint8Array.from(body)))];
}

/**
 * Returns a PNG file of 8 or 16 bits a channel.
 *
 * @param data (height, width, 3 or 4), rows first; for 16 bits two bytes a value.
 * @param chunks written before the pixels.
 */
export function png(data: Uint8Array, width: number, height: number, chunks: readonly Chunk[] = [], bits = 8): Blob {
  const stride = data.length / height;
  const lines = new Uint8Array((stride + 1) * height); // each line begins with a 0: it is stored as it is
  for (let y = 0; y < height; y++) lines.set(data.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  const channels = (stride * 8) / (width * bits);
  const head = Uint8Array.from([...number(width), ...number(height), bits, COLOUR_TYPES[channels] as number, 0, 0, 0]);
  const all: Chunk[] = [["IHDR", head], ...chunks, ["IDAT", zlibSync(lines)], ["IEND", new Uint8Array()]];
  return new Blob([Uint8Array.from([...SIGNATURE, ...all.flatMap(written)])], { type: "image/png" });
}

/** EXIF data that hold an orientation alone. */
export function exif(orientation: number): Chunk {
  const entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
  return ["eXIf", Uint8Array.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, ...entry, 0, 0, 0, 0])];
}

/** A gamma of 1, by which a viewer would brighten the picture; Pillow leaves the pixels alone. */
export const GAMMA: Chunk = ["gAMA", Uint8Array.from(number(100_000))];
