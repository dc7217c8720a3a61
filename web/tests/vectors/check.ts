/** Runs the vectors, and collects what a consumer's results file holds. */

import type { Encoded, Segmenter } from "../../src/index.js";
import { type Box, decoderPrompt, type Point } from "../../src/prompts.js";
import { pairs, pictureOf, STAGES } from "./stages.js";
import { difference, iouOf, numbers, type Value, type Vector, type Vectors } from "./values.js";

/** A vector that did not come out as expected. */
export interface Failure {
  readonly vector: string;
  readonly key: string;
  readonly why: string;
}

/** How near the masks of the stage `bundle` came. */
export interface Masks {
  count: number;
  least_iou: number;
  pixels_differ: number;
  pixels: number;
}

/** What was found: counts by stage, failures, and masks. */
export class Findings {
  readonly stages: Record<string, { passed: number; of: number }> = {};
  readonly failures: Failure[] = [];
  readonly masks: Masks = { count: 0, least_iou: 1, pixels_differ: 0, pixels: 0 };

  constructor(readonly tolerances: Vectors["tolerances"]) {}

  /** Compares what a vector gave with what is expected. */
  add(vector: Vector, found: Readonly<Record<string, Value>>): void {
    const failures = Object.entries(vector.expected).flatMap(([key, value]) => {
      const tolerance = this.tolerances[`${vector.stage}.${key}`] ?? this.tolerances[key];
      const why = difference(found[key], value, tolerance);
      return why === null ? [] : [{ vector: `${vector.stage} ${vector.name}`, key, why }];
    });
    this.stages[vector.stage] ??= { passed: 0, of: 0 };
    const counts = this.stages[vector.stage] as { passed: number; of: number };
    counts.of++;
    if (failures.length === 0) counts.passed++;
    this.failures.push(...failures);
    if (vector.stage === "bundle") this.#addMask(numbers(found.mask), numbers(vector.expected.mask));
  }

  #addMask(found: readonly number[], expected: readonly number[]): void {
    this.masks.count++;
    this.masks.least_iou = Math.min(this.masks.least_iou, iouOf(found, expected));
    this.masks.pixels_differ += found.filter((value, i) => value !== expected[i]).length;
    this.masks.pixels += expected.length;
  }
}

/** Runs the stages that need no bundle. */
export function checkStages(vectors: Vectors, findings: Findings): void {
  for (const vector of vectors.vectors) {
    const stage = STAGES[vector.stage];
    if (stage !== undefined) findings.add(vector, stage(vector.given));
  }
}

/** Runs the stages that need a bundle. */
export async function checkBundle(segmenter: Segmenter, vectors: Vectors, findings: Findings): Promise<void> {
  const encoded = new Map<Value | undefined, Encoded>(); // each picture once, as a caller would
  for (const vector of vectors.vectors) {
    if (vector.stage === "bundle") {
      const { picture } = vector.given;
      const one = encoded.get(picture) ?? (await segmenter.encode(pictureOf(vector.given)));
      encoded.set(picture, one);
      findings.add(vector, await predicted(segmenter, one, vector.given));
    }
    if (vector.stage === "segment") findings.add(vector, await segmented(segmenter, vector.given));
  }
}

async function predicted(
  segmenter: Segmenter,
  encoded: Encoded,
  given: Vector["given"],
): Promise<Record<string, Value>> {
  const { points, labels, box = null } = given;
  const result = await encoded.predict(String(given.concept), {
    ...(points ? { points: points as readonly Point[] } : {}),
    ...(labels ? { labels: labels as number[] } : {}),
    box: box as Box | null,
  });
  const { geometry, prompting } = segmenter.bundle.manifest;
  const prompt = decoderPrompt(result.similarity, encoded.size, geometry, prompting, result);
  return {
    similarity: { shape: [], data: result.similarity },
    slot_points: pairs(prompt.points),
    slot_labels: Array.from(prompt.labels),
    dense: { shape: [], data: prompt.dense },
    logits: { shape: [], data: result.logits },
    score: result.score,
    evidence: Array.from(result.evidence),
    presence: result.presence,
    present: result.present,
    mask: { shape: [], data: result.mask },
  };
}

async function segmented(segmenter: Segmenter, given: Vector["given"]): Promise<Record<string, Value>> {
  const result = await segmenter.segment(pictureOf(given), (given.concepts as string[] | undefined) ?? null, {
    maxConcepts: given.max_concepts as number | undefined,
    skipAbsent: given.skip_absent as boolean | undefined,
  });
  const concepts = [...result];
  return {
    concepts: result.names,
    skipped: concepts.map(({ skipped }) => skipped),
    present: concepts.map(({ present }) => present),
    chances: concepts.filter(({ skipped }) => skipped).map(({ presence }) => presence),
    left_out: [...result.leftOut.keys()],
  };
}
