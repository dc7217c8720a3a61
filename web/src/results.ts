/** What segmentation returns. */

import { UnknownConceptError } from "./errors.js";
import { positive } from "./interpolate.js";
import { fold } from "./names.js";
import type { Box, Point, Size } from "./prompts.js";
import { encodeRle, type Rle } from "./rle.js";

/** Every logit of a concept that was not computed because it is surely absent: a chance of 0.00005. */
export const ABSENT_LOGIT = -10;

/** The numbers of a `ConceptResult`, which can be sent to another thread. */
export interface ConceptNumbers {
  readonly name: string;
  /** The decoder's, (m, m), rows first; the mask is where they are above 0. */
  readonly logits: Float32Array;
  readonly maskSize: number;
  /** Predicted IoU of the mask; a regression, so it can leave 0 to 1. */
  readonly score: number;
  /** How sure the concept is in the image at all, 0 to 1; the predicted IoU where nothing was calibrated. */
  readonly presence: number;
  /** Whether `presence` reaches the concept's threshold; true where nothing was calibrated. */
  readonly present: boolean;
  /** Whether presence was calibrated for the concept, so that `present` says anything. */
  readonly calibrated: boolean;
  /** Seven numbers that `presence` was judged by. */
  readonly evidence: Float32Array;
  /** s of the concept on CLIP's patches, (g, g). */
  readonly similarity: Float32Array;
  /** The clicks used, in the image's pixels. */
  readonly points: readonly Point[];
  /** For each click 1 (inside) or 0 (outside). */
  readonly labels: readonly number[];
  readonly box: Box | null;
  /** Of the image. */
  readonly imageSize: Size;
  /** Whether similarity alone ruled the concept out, so that neither mask nor score were computed. */
  readonly skipped: boolean;
}

/** One concept in one image of width W and height H. */
export class ConceptResult implements ConceptNumbers {
  readonly name!: string;
  readonly logits!: Float32Array;
  readonly maskSize!: number;
  readonly score!: number;
  readonly presence!: number;
  readonly present!: boolean;
  readonly calibrated!: boolean;
  readonly evidence!: Float32Array;
  readonly similarity!: Float32Array;
  readonly points!: readonly Point[];
  readonly labels!: readonly number[];
  readonly box!: Box | null;
  readonly imageSize!: Size;
  readonly skipped!: boolean;
  #mask: Uint8Array | null = null;

  constructor(numbers: ConceptNumbers) {
    Object.assign(this, numbers);
  }

  /** The mask (H, W), rows first: the logits interpolated bilinearly to the image, 1 where they are above 0. */
  get mask(): Uint8Array {
    this.#mask ??= positive({ width: this.maskSize, height: this.maskSize, data: this.logits }, ...this.imageSize);
    return this.#mask;
  }

  /** Pixels of the mask. */
  get area(): number {
    return this.mask.reduce((sum, inside) => sum + inside, 0);
  }

  /** Returns (x, y, width, height) of the mask in pixels, COCO's order, or null where it is empty. */
  boundingBox(): [number, number, number, number] | null {
    const [width] = this.imageSize;
    let [left, top, right, bottom] = [width, -1, -1, -1];
    this.mask.forEach((inside, at) => {
      if (!inside) return;
      const [x, y] = [at % width, Math.floor(at / width)];
      if (top < 0) top = y;
      [left, right, bottom] = [Math.min(left, x), Math.max(right, x), y];
    });
    return top < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
  }

  /** Returns the mask as COCO's compressed RLE. */
  rle(): Rle {
    return encodeRle(this.mask, ...this.imageSize);
  }
}

/** Why a concept was left out: the option that did it. */
export type LeftOut = "maxConcepts" | "timeBudget";

/** All concepts asked for in one image, in the order asked; a concept is also found by its synonyms. */
export class Result implements Iterable<ConceptResult> {
  readonly #concepts: ReadonlyMap<string, ConceptResult>;
  readonly #synonyms: ReadonlyMap<string, string>;

  /**
   * @param concepts results.
   * @param synonyms names by folded name or synonym.
   * @param leftOut names that were asked for and not computed, and the option that did it.
   */
  constructor(
    concepts: readonly ConceptResult[],
    synonyms: ReadonlyMap<string, string>,
    readonly leftOut: ReadonlyMap<string, LeftOut> = new Map(),
  ) {
    this.#concepts = new Map(concepts.map((concept) => [concept.name, concept]));
    this.#synonyms = synonyms;
  }

  /**
   * Returns a concept's result.
   *
   * @throws UnknownConceptError the result does not hold it; the message says whether a limit left it out.
   */
  get(name: string): ConceptResult {
    const known = this.#synonyms.get(fold(name)) ?? name;
    const found = this.#concepts.get(known);
    if (found !== undefined) return found;
    const why = this.leftOut.get(known);
    throw new UnknownConceptError(name, this.names, why ? `cut short by ${why}, the result` : "the result");
  }

  /** Names of the concepts, in order. */
  get names(): string[] {
    return [...this.#concepts.keys()];
  }

  [Symbol.iterator](): IterableIterator<ConceptResult> {
    return this.#concepts.values();
  }
}
