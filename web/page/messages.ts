/** What the page and its worker say to each other. */

import type { Device, Prompt } from "../src/index.js";

/** What is asked of the worker. */
export type Request =
  | { readonly kind: "open"; readonly source: string | Blob; readonly device: Device; readonly engine: string }
  | { readonly kind: "encode"; readonly image: Blob | ImageBitmap }
  | { readonly kind: "predict"; readonly concept: string; readonly prompt: Prompt };

/** An opened bundle. */
export interface Opened {
  readonly concepts: readonly string[];
  readonly device: Device;
  readonly threads: number;
  readonly name: string;
}

/** An encoded picture: its size, concepts that similarity rules out, and how long it took. */
export interface EncodedPicture {
  readonly size: readonly [number, number];
  readonly ruledOut: readonly string[];
  readonly seconds: number;
}

/** A concept in the picture. */
export interface Found {
  readonly name: string;
  readonly mask: Uint8Array;
  readonly score: number;
  readonly presence: number;
  readonly present: boolean;
  readonly calibrated: boolean;
  readonly seconds: number;
}

/** The answer to each kind of request. */
export interface Answers {
  open: Opened;
  encode: EncodedPicture;
  predict: Found;
}

/** What comes back from the worker. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly loaded: number; readonly total: number };
