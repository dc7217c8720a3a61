/** Is a concept in the image at all? Every concept gets a mask; this tells which masks to believe. */

/** Shift of the logits' threshold, up and down, under which a stable mask keeps its area. */
const MARGIN = 1;
const STEEPEST = 30;

/** Returns 1 / (1 + exp(-x)), for any x. */
export function logistic(x: number): number {
  return 1 / (1 + Math.exp(-Math.min(STEEPEST, Math.max(-STEEPEST, x))));
}

/** Returns the sum of products of two lists of numbers. */
export function dot(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += (one[i] as number) * (other[i] as number);
  return sum;
}

/** Returns the mean; NaN of nothing. */
export function mean(values: Float32Array): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Returns the feature of the whole image times a text feature, over the former's length. */
export function caption(classToken: Float32Array, text: Float32Array): number {
  return dot(classToken, text) / Math.max(Math.hypot(...classToken), 1e-12);
}

/**
 * Returns the seven numbers that presence is judged by: predicted IoU, stability, confidence, area, similarity peak,
 * similarity contrast, caption.
 *
 * @param logits the decoder's, (m, m).
 * @param iou predicted IoU; it counts as 0 to 1.
 * @param similarity s on CLIP's patches.
 * @param caption see `caption`.
 */
export function evidence(logits: Float32Array, iou: number, similarity: Float32Array, caption: number): Float32Array {
  const inside = logits.filter((logit) => logit > 0);
  const sure = inside.reduce((sum, logit) => sum + 1 / (1 + Math.exp(-logit)), 0);
  const above = logits.filter((logit) => logit > MARGIN).length;
  const nearly = logits.filter((logit) => logit > -MARGIN).length;
  const peak = Math.max(...similarity);
  return Float32Array.of(
    Math.min(1, Math.max(0, iou)),
    above / Math.max(1, nearly),
    inside.length > 0 ? sure / inside.length : 0.5,
    Math.sqrt(inside.length / logits.length),
    peak,
    peak - mean(similarity),
    caption,
  );
}

/** How sure a concept is in the image, and whether that is enough. */
export interface Judgement {
  readonly presence: number;
  readonly present: boolean;
  /** Whether the concept was calibrated; if not, `presence` is the predicted IoU, and `present` is true. */
  readonly calibrated: boolean;
}

/**
 * Judges evidence.
 *
 * @param calibration one weight per number, a bias and a threshold; NaN where nothing was calibrated.
 */
export function judge(found: Float32Array, calibration: Float32Array): Judgement {
  if (!calibration.every(Number.isFinite)) return { presence: found[0] as number, present: true, calibrated: false };
  const [bias = 0, threshold = 0] = calibration.subarray(found.length);
  const presence = logistic(dot(found, calibration) + bias);
  return { presence, present: presence >= threshold, calibrated: true };
}
