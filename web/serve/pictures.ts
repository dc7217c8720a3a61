/** Pictures before they are sent, and after they were masked. */

import type { Known } from "./api.js";

/** A picture that the server takes. */
export interface Ready {
  readonly file: Blob;
  readonly name: string;
  readonly bitmap: ImageBitmap;
  /** What was changed; empty if nothing was. */
  readonly remark: string;
}

const QUALITY = 0.95;
const KNOWN = ["image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff", "image/avif"];

/** Bytes of a name in UTF-8: the server takes 200, and an ending may be added. */
const LONGEST_NAME = 190;

/** Returns a name that the server takes: without what divides folders, and not too long. */
export function plainName(name: string): string {
  const plain = name.replace(/[\\/:\p{Cc}]/gu, "_");
  const ending = /\.\w{1,8}$/.exec(plain)?.[0] ?? "";
  const stem = [...plain.slice(0, plain.length - ending.length)];
  while (new TextEncoder().encode(stem.join("") + ending).length > LONGEST_NAME) stem.pop();
  return stem.join("") + ending;
}

/** Returns a picture as it is, or scaled down or converted where the server would refuse it. */
export async function prepare(file: Blob, known: Known): Promise<Ready> {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("This file is not a picture that the browser can read.");
  });
  const given = file instanceof File ? plainName(file.name) : "camera.png";
  const pixels = bitmap.width * bitmap.height;
  if (pixels <= known.max_pixels && file.size <= 0.99 * known.max_upload && KNOWN.includes(file.type))
    return { file, name: given, bitmap, remark: "" };
  const scale = Math.min(1, Math.sqrt(known.max_pixels / pixels) * 0.999);
  const [width, height] = [Math.floor(bitmap.width * scale), Math.floor(bitmap.height * scale)];
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const made = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  const remark = `sent as a JPEG of ${width}×${height}: the server does not take the original`;
  return { file: made, name: given.replace(/\.\w+$|$/, ".jpg"), bitmap: await createImageBitmap(made), remark };
}

/** Returns what lies under any of the masks as a PNG file, transparent elsewhere. */
export async function cutOut(picture: Blob, masks: readonly Uint8Array[]): Promise<Blob> {
  const bitmap = await createImageBitmap(picture);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("The browser offers no canvas to draw on.");
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, bitmap.width, bitmap.height);
  for (let at = 0; 4 * at < image.data.length; at++)
    if (!masks.some((mask) => mask[at])) image.data.fill(0, 4 * at, 4 * at + 4);
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Has the browser save a file. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
