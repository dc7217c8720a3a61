/** An image that was encoded once, and everything that can be asked of it. */

import { type ConceptDecoder, checkLimits, type Limits } from "./decoder.js";
import type { Values } from "./engine.js";
import { fold } from "./names.js";
import { checkClicks, type Prompt, type Size } from "./prompts.js";
import { type ConceptResult, type LeftOut, Result } from "./results.js";

/** Names or synonyms, one or several; all that the bundle holds where left out. */
export type Concepts = string | Iterable<string> | null;

/** An encoded image: ask it for any number of concepts and prompts. Made by `Segmenter.encode`. */
export class Encoded {
  readonly #decoder: ConceptDecoder;

  constructor(decoder: ConceptDecoder) {
    this.#decoder = decoder;
  }

  /** Of the image. */
  get size(): Size {
    return this.#decoder.size;
  }

  /** What the graphs of the picture gave, by name; not to be changed. */
  get features(): Values {
    return this.#decoder.features;
  }

  /** Segments from text alone; see `Segmenter.segment`. */
  async segment(concepts: Concepts = null, limits: Limits = {}): Promise<Result> {
    const { model } = this.#decoder;
    const indices = model.indices(concepts);
    const leftOut = new Map<number, LeftOut>();
    const found = new Map<string, ConceptResult>();
    for await (const one of this.#results(indices, limits, leftOut)) found.set(one.name, one);
    const { names, concepts: specs } = model.bundle.vocabulary;
    const name = (i: number): string => names[i] as string;
    return new Result(
      indices.flatMap((i) => found.get(name(i)) ?? []),
      new Map(specs.flatMap((spec) => [spec.name, ...spec.synonyms].map((one) => [fold(one), spec.name]))),
      new Map([...leftOut].map(([i, why]) => [name(i), why])),
    );
  }

  /** Segments from text alone, and yields each concept as soon as it is ready, the likeliest first. */
  stream(concepts: Concepts = null, limits: Limits = {}): AsyncGenerator<ConceptResult, void, void> {
    return this.#results(this.#decoder.model.indices(concepts), limits, new Map());
  }

  #results(
    indices: readonly number[],
    limits: Limits,
    leftOut: Map<number, LeftOut>,
  ): AsyncGenerator<ConceptResult, void, void> {
    checkLimits(limits);
    this.#decoder.model.warnOfPrompts("text");
    return this.#decoder.results(indices, limits, leftOut);
  }

  /**
   * Segments one concept from text with clicks and a box; without either, from text alone.
   *
   * @param concept name or synonym.
   * @throws UnknownConceptError the bundle does not hold the concept.
   * @throws PromptError the prompt has a wrong shape, is outside the image, or has more points than slots.
   */
  async predict(concept: string, prompt: Prompt = {}): Promise<ConceptResult> {
    const { model, size } = this.#decoder;
    const index = model.bundle.vocabulary.index(concept);
    const clicks = checkClicks(prompt, size, model.bundle.manifest.prompting.clickSlots);
    const fromText = clicks.points.length === 0 && clicks.box === null;
    model.warnOfPrompts(fromText ? "text" : "clicks");
    return this.#decoder.decode(index, fromText ? null : clicks);
  }

  /** Returns the names of those concepts that similarity alone rules out; none where nothing was calibrated. */
  ruledOut(concepts: Concepts = null): string[] {
    const { model } = this.#decoder;
    const indices = model.indices(concepts).filter((i) => this.#decoder.screened(i).ruledOut);
    return indices.map((i) => model.bundle.vocabulary.names[i] as string);
  }
}
