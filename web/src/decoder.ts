/** From an encoded image to the results of its concepts. */

import type { Values } from "./engine.js";
import { BackendError, InputError } from "./errors.js";
import type { OpenedModel } from "./model.js";
import { evidence, judge } from "./presence.js";
import { type Clicks, decoderPrompt, type Size } from "./prompts.js";
import { ABSENT_LOGIT, ConceptResult, type LeftOut } from "./results.js";
import { evidenceWithoutMask, likeliestFirst, type Screened, screen } from "./screening.js";
import { row } from "./vocabulary.js";

/** How much of what was asked for is computed. */
export interface Limits {
  /** The most concepts that are computed, the likeliest; all where left out. */
  readonly maxConcepts?: number | undefined;
  /** Seconds after which no further concept is begun; one is always computed. */
  readonly timeBudget?: number | undefined;
  /** Whether concepts that similarity alone rules out are not computed; true where left out. */
  readonly skipAbsent?: boolean | undefined;
}

/** Refuses limits that make no sense. */
export function checkLimits({ maxConcepts, timeBudget }: Limits): void {
  if (maxConcepts !== undefined && !(Number.isInteger(maxConcepts) && maxConcepts >= 1)) {
    throw new InputError(`maxConcepts must be a whole number, 1 or more, got ${maxConcepts}.`);
  }
  if (timeBudget !== undefined && !(typeof timeBudget === "number" && timeBudget > 0)) {
    throw new InputError(`timeBudget must be seconds, above 0, got ${timeBudget}.`);
  }
}

/** Bytes of image embeddings that are kept for each image, so that a further click costs only the decoder. */
const CACHE_BYTES = 64 * 2 ** 20;
/** Under which the embedding is kept of a model whose concepts all share one. */
const SHARED = -1;

/** Computes the concepts of one encoded image. */
export class ConceptDecoder {
  readonly #screened: readonly Screened[];
  readonly #embeddings = new Map<number, Float32Array>();
  readonly #perConcept: boolean;

  /**
   * @param model the opened bundle.
   * @param size of the image.
   * @param features what the graphs of the picture returned for it.
   */
  constructor(
    readonly model: OpenedModel,
    readonly size: Size,
    readonly features: Values,
  ) {
    const { clip_features: clipFeatures } = features;
    if (clipFeatures === undefined) throw new BackendError("no graph of the bundle gives 'clip_features'.");
    this.#screened = screen(clipFeatures, model.bundle.vocabulary);
    const inputs = model.inputs("concept");
    this.#perConcept = inputs.has("similarity") || inputs.has("text_row");
  }

  /** What similarity alone says about a concept of the vocabulary. */
  screened(index: number): Screened {
    return this.#screened[index] as Screened;
  }

  /** Yields results, the likeliest first, and notes in `leftOut` what was left out and why. */
  async *results(
    indices: readonly number[],
    limits: Limits,
    leftOut: Map<number, LeftOut>,
  ): AsyncGenerator<ConceptResult, void, void> {
    const started = performance.now();
    const skip = limits.skipAbsent ?? true;
    const order = likeliestFirst(this.#screened, indices);
    const wanted = order.filter((i) => !(skip && this.screened(i).ruledOut));
    const most = Math.min(limits.maxConcepts ?? wanted.length, wanted.length);
    for (const index of wanted.slice(most)) leftOut.set(index, "maxConcepts");
    for (const [begun, index] of wanted.slice(0, most).entries()) {
      if (begun > 0 && performance.now() - started >= 1000 * (limits.timeBudget ?? Number.POSITIVE_INFINITY)) {
        for (const late of wanted.slice(begun, most)) leftOut.set(late, "timeBudget");
        break;
      }
      yield await this.decode(index, null);
    }
    for (const index of order) if (skip && this.screened(index).ruledOut) yield this.#absent(index);
  }

  /**
   * Computes one concept; without clicks, its points are drawn from the similarity map.
   *
   * @throws BackendError the engine failed, or returned NaN or infinity.
   */
  async decode(index: number, clicks: Clicks | null): Promise<ConceptResult> {
    const { geometry, prompting } = this.model.bundle.manifest;
    const { similarity } = this.screened(index);
    const prompt = decoderPrompt(similarity, this.size, geometry, prompting, clicks);
    const found = await this.model.run("decoder", {
      image_embedding: await this.#embedding(index, similarity),
      points: prompt.points,
      labels: prompt.labels,
      dense_prompt: prompt.dense,
    });
    const { mask_logits: logits, iou } = found;
    if (!logits?.every(Number.isFinite) || iou?.[0] === undefined) {
      throw new BackendError(`${this.model.engine.device} returned NaN or infinity for the mask.`);
    }
    return this.#result(index, logits, iou[0], prompt.clicks);
  }

  async #embedding(index: number, similarity: Float32Array): Promise<Float32Array> {
    const key = this.#perConcept ? index : SHARED;
    const kept = this.#embeddings.get(key);
    if (kept !== undefined) return kept;
    const textRow = row(this.model.bundle.vocabulary.rows, index);
    const found = await this.model.run("concept", { ...this.features, similarity, text_row: textRow });
    const { image_embedding: embedding } = found;
    if (embedding === undefined) throw new BackendError("the graph 'concept' gave no 'image_embedding'.");
    this.#keep(key, embedding);
    return embedding;
  }

  #keep(key: number, embedding: Float32Array): void {
    this.#embeddings.set(key, embedding);
    for (const oldest of this.#embeddings.keys()) {
      if (this.#embeddings.size * embedding.byteLength <= CACHE_BYTES) break;
      this.#embeddings.delete(oldest);
    }
  }

  #result(index: number, logits: Float32Array, score: number, clicks: Clicks): ConceptResult {
    const { vocabulary, manifest } = this.model.bundle;
    const { similarity, caption } = this.screened(index);
    const found = evidence(logits, score, similarity, caption);
    return new ConceptResult({
      name: vocabulary.names[index] as string,
      logits,
      maskSize: manifest.geometry.maskSize,
      score,
      ...judge(found, row(vocabulary.presence, index)),
      evidence: found,
      similarity,
      ...clicks,
      imageSize: this.size,
      skipped: false,
    });
  }

  /** Puts together the result of a concept that similarity alone rules out. */
  #absent(index: number): ConceptResult {
    const { vocabulary, manifest } = this.model.bundle;
    const { maskSize } = manifest.geometry;
    const screened = this.screened(index);
    return new ConceptResult({
      name: vocabulary.names[index] as string,
      logits: new Float32Array(maskSize * maskSize).fill(ABSENT_LOGIT),
      maskSize,
      score: 0,
      presence: screened.chance,
      present: false,
      calibrated: true,
      evidence: evidenceWithoutMask(screened),
      similarity: screened.similarity,
      points: [],
      labels: [],
      box: null,
      imageSize: this.size,
      skipped: true,
    });
  }
}
