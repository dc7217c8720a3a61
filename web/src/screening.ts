/** What CLIP's similarity alone says about all concepts at once, before anything is computed for one of them. */

import { caption, dot, logistic, mean } from "./presence.js";
import { row, type Vocabulary } from "./vocabulary.js";

/** The first four numbers of presence's evidence for an empty mask with a predicted IoU of 0. */
const EMPTY_MASK = [0, 0, 0.5, 0] as const;

/** What similarity says about one concept. */
export interface Screened {
  /** s on CLIP's patches, rows first. */
  readonly similarity: Float32Array;
  readonly peak: number;
  readonly caption: number;
  /** That the image holds it, as far as similarity tells; NaN where nothing was calibrated. */
  readonly chance: number;
  /** Whether it is surely absent; never without calibration. */
  readonly ruledOut: boolean;
}

/**
 * Screens all concepts of a vocabulary.
 *
 * @param clipFeatures the class token's and the patches', (1 + P, D).
 */
export function screen(clipFeatures: Float32Array, vocabulary: Pick<Vocabulary, "features" | "screening">): Screened[] {
  const count = vocabulary.screening.data.length / vocabulary.screening.columns;
  return Array.from({ length: count }, (_, i) => {
    const text = row(vocabulary.features, i);
    const similarity = similarities(clipFeatures, text);
    const [peak, whole] = [Math.max(...similarity), Math.fround(caption(clipFeatures.subarray(0, text.length), text))];
    const [peakWeight = 0, captionWeight = 0, bias = 0, threshold = 0] = row(vocabulary.screening, i);
    const chance = logistic(peak * peakWeight + whole * captionWeight + bias);
    return { similarity, peak, caption: whole, chance, ruledOut: chance < threshold };
  });
}

function similarities(clipFeatures: Float32Array, text: Float32Array): Float32Array {
  const width = text.length;
  const patches = clipFeatures.length / width - 1;
  return Float32Array.from({ length: patches }, (_, p) =>
    dot(clipFeatures.subarray((p + 1) * width, (p + 2) * width), text),
  );
}

/** Returns some concepts in another order: by chance, or by the peak where one of them is not calibrated. */
export function likeliestFirst(screened: readonly Screened[], indices: readonly number[]): number[] {
  const of = (i: number): Screened => screened[i] as Screened;
  const known = indices.every((i) => !Number.isNaN(of(i).chance));
  const key = (i: number): number => (known ? of(i).chance : of(i).peak);
  return [...indices].sort((a, b) => key(b) - key(a)); // stable, so that ties keep their order
}

/** Returns what presence would be judged by if the mask were empty. */
export function evidenceWithoutMask({ similarity, peak, caption }: Screened): Float32Array {
  return Float32Array.of(...EMPTY_MASK, peak, peak - mean(similarity), caption);
}
