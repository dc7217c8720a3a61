/** Each stage of the vectors as the package computes it. */

import { type Plane, positive } from "../../src/interpolate.js";
import type { Prompting } from "../../src/manifest.js";
import { fold } from "../../src/names.js";
import { type Picture, toPixels } from "../../src/pillow.js";
import { caption, evidence, judge } from "../../src/presence.js";
import { priority } from "../../src/priority.js";
import {
  type Box,
  checkClicks,
  densePrompt,
  fillSlots,
  type Point,
  similarityMap,
  textPoints,
} from "../../src/prompts.js";
import { likeliestFirst, screen } from "../../src/screening.js";
import { isTensor, numbers, type Tensor, type Value, type Vector } from "./values.js";

type Given = Vector["given"];
type Found = Record<string, Value>;

/** Returns a tensor among the given values. */
export function tensorOf(given: Given, key: string): Tensor {
  const value = given[key];
  if (!isTensor(value)) throw new Error(`'${key}' is no tensor`);
  return value;
}

/** Returns a tensor of float32. */
export function floats(given: Given, key: string): Float32Array {
  return tensorOf(given, key).data as Float32Array;
}

/** Returns an image (h, w, 3). */
export function pictureOf(given: Given): Picture {
  const { shape, data } = tensorOf(given, "image");
  const [height = 0, width = 0] = shape;
  return { width, height, data: data as Uint8Array };
}

function planeOf(given: Given, key: string): Plane {
  const [height = 0, width = 0] = tensorOf(given, key).shape;
  return { width, height, data: floats(given, key) };
}

function prompting(given: Given): Prompting {
  const { threshold = 0.8, points, dense_value = 255, click_slots = 8 } = given;
  return {
    threshold: Number(threshold),
    points: typeof points === "number" ? points : 5,
    denseValue: Number(dense_value),
    clickSlots: Number(click_slots),
    trainedFor: ["text"],
  };
}

/** A list as a tensor of float32, for what is compared as numbers. */
function tensor(data: Float32Array | Uint8Array): Tensor {
  return { shape: [data.length], data };
}

/** Points as rounded by float32, in a nested list. */
export function pairs(points: Float32Array): Value {
  return Array.from({ length: points.length / 2 }, (_, i) => Array.from(points.subarray(2 * i, 2 * i + 2)));
}

function slots(given: Given): Found {
  const size = [Number(given.width), Number(given.height)] as const;
  const geometry = { imageSize: Number(given.size), maskSize: 1, patchGrid: 1, embedDim: 1 };
  try {
    const prompt = {
      points: (given.points ?? []) as readonly Point[],
      ...(given.labels ? { labels: given.labels as number[] } : {}),
      box: given.box as Box | null,
    };
    const clicks = checkClicks(prompt, size, Number(given.click_slots));
    const [points, labels] = fillSlots(clicks, size, geometry, prompting(given));
    return { slot_points: pairs(points), slot_labels: Array.from(labels) };
  } catch (error) {
    if (error instanceof Error && error.name === "PromptError") return { refused: true };
    throw error;
  }
}

function presence(given: Given): Found {
  const found = evidence(
    floats(given, "logits"),
    Number(given.score),
    floats(given, "similarity"),
    caption(floats(given, "class_token"), floats(given, "text")),
  );
  const judged = judge(found, Float32Array.from(numbers(given.row)));
  return { evidence: Array.from(found), presence: judged.presence, present: judged.present };
}

function screening(given: Given): Found {
  const { shape, data } = tensorOf(given, "features");
  const vocabulary = {
    features: { columns: shape[1] as number, data: data as Float32Array },
    screening: { columns: 4, data: Float32Array.from(numbers(given.rows)) },
  };
  const found = screen(floats(given, "clip_features"), vocabulary);
  return {
    chances: found.map(({ chance }) => (Number.isNaN(chance) ? null : chance)),
    ruled_out: found.map(({ ruledOut }) => ruledOut),
    order: likeliestFirst(found, [...found.keys()]),
  };
}

/** What each stage gives, but those that need a bundle or a decoder of images. */
export const STAGES: Readonly<Record<string, (given: Given) => Found>> = {
  pixels: (given) => ({ pixels: tensor(toPixels(pictureOf(given), Number(given.size))) }),
  map: (given) => {
    const { shape, data } = tensorOf(given, "similarity");
    return { map: tensor(similarityMap(data as Float32Array, shape[0] as number, Number(given.size)).data) };
  },
  dense: (given) => ({
    dense: tensor(densePrompt(planeOf(given, "map"), Number(given.mask_size), prompting(given))),
  }),
  priority: (given) => ({
    priority: numbers(given.index).map((index) =>
      priority(index)
        .map((half) => half.toString(16).padStart(8, "0"))
        .join(""),
    ),
  }),
  points: (given) => ({ points: textPoints(planeOf(given, "map"), prompting(given)) }),
  slots,
  mask: (given) => ({
    mask: tensor(positive(planeOf(given, "logits"), Number(given.width), Number(given.height))),
  }),
  presence,
  screening,
  names: (given) => ({ same: fold(String(given.a)) === fold(String(given.b)) }),
};
