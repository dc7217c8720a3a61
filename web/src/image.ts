/** From a caller's image to its pixels: upright, as they are stored, without a colour conversion, as Pillow reads them. */

import { ImageError, messageOf } from "./errors.js";
import type { Picture } from "./pillow.js";
import { readWithAlpha } from "./transparent.js";

/**
 * A file, something that a page shows, or pixels: `ImageData`, or any object with width, height and 8-bit `data` in
 * RGB or RGBA order. Files are turned upright by their EXIF orientation, pixels are taken as they stand.
 */
export type ImageSource = Blob | ImageBitmapSource | Picture;

const MOST_PIXELS = 100_000_000;
const LEAST_SIDE = 2;
// Of one reading: some browsers give a blank picture for a canvas of over 16 megapixels.
const STRIP_PIXELS = 4_000_000;
const PNG_HEAD = [0x89, 0x50, 0x4e, 0x47];
const PNG_DEPTH_AT = 24;

/** A decoded image is neither converted to the screen's colours nor multiplied by its alpha. */
const AS_STORED: ImageBitmapOptions = {
  colorSpaceConversion: "none",
  imageOrientation: "from-image",
  premultiplyAlpha: "none",
};

/**
 * Returns an image's pixels; alpha is kept and not looked at later.
 *
 * @throws ImageError it is no image that the browser can read, too small, too big, or of more than 8 bits a channel.
 */
export async function loadImage(source: ImageSource): Promise<Picture> {
  if (isPicture(source)) return checked(source);
  if (source instanceof Blob) await refuseDeepPng(source);
  const bitmap = await decoded(source);
  try {
    checkSize(bitmap.width, bitmap.height);
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function isPicture(source: ImageSource): source is Picture {
  return typeof source === "object" && source !== null && "data" in source && ArrayBuffer.isView(source.data);
}

function checked(picture: Picture): Picture {
  const { width, height, data } = picture;
  const is8Bit = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!is8Bit || ![3, 4].includes(data.length / (width * height))) {
    throw new ImageError(
      `pixels must be 8-bit RGB or RGBA: expected ${3 * width * height} or ${4 * width * height} bytes for ` +
        `${width}x${height}, got ${data.length} in a ${data.constructor.name}.`,
    );
  }
  checkSize(width, height);
  return picture;
}

function checkSize(width: number, height: number): void {
  if (Math.min(width, height) < LEAST_SIDE) {
    throw new ImageError(`the image has ${width}x${height} pixels; expected at least ${LEAST_SIDE} on each side.`);
  }
  if (width * height > MOST_PIXELS) {
    throw new ImageError(
      `the image has ${width}x${height} pixels; the limit is ${MOST_PIXELS / 1e6} megapixels. Scale it down first.`,
    );
  }
}

/** Browsers cut 16 bits to 8 in ways of their own. */
async function refuseDeepPng(file: Blob): Promise<void> {
  const head = new Uint8Array(await file.slice(0, PNG_DEPTH_AT + 1).arrayBuffer());
  if (PNG_HEAD.every((byte, i) => head[i] === byte) && head[PNG_DEPTH_AT] === 16) {
    throw new ImageError("a PNG of 16 bits a channel, which browsers do not keep. Convert it to 8 bits first.");
  }
}

async function decoded(source: Blob | ImageBitmapSource): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(source, AS_STORED);
  } catch (error) {
    throw new ImageError(`not an image that this browser can read (${messageOf(error)}).`, { cause: error });
  }
}

function pixelsOf(bitmap: ImageBitmap): Picture {
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(4 * width * height);
  const rows = Math.max(1, Math.floor(STRIP_PIXELS / width));
  const canvas = new OffscreenCanvas(width, Math.min(rows, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new ImageError("this browser gives no canvas to read the image with.");
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.clearRect(0, 0, width, count);
    context.drawImage(bitmap, 0, -top);
    data.set(context.getImageData(0, 0, width, count).data, 4 * width * top);
  }
  return isOpaque(data) ? { width, height, data } : readWithAlpha(bitmap);
}

function isOpaque(data: Uint8ClampedArray): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}
