/** From similarity to prompts, and from a caller's prompts to the decoder's slots; `docs/bundle.md` states it. */

import { PromptError } from "./errors.js";
import { interpolate, type Plane } from "./interpolate.js";
import type { Geometry, Prompting } from "./manifest.js";
import { ofHighestPriority } from "./priority.js";

const UNUSED = -2;
const NOT_A_POINT = -1;
const BOX_START = 2;
const BOX_END = 3;
/** Slots of the decoder beside those for clicks: two corners of a box and one "not a point". */
export const EXTRA_SLOTS = 3;

/** Width and height in pixels. */
export type Size = readonly [width: number, height: number];
/** (x, y) in the image's pixels, fractions allowed. */
export type Point = readonly [x: number, y: number];
/** (x0, y0, x1, y1) in the image's pixels. */
export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

/** What a caller may say beside the concept. */
export interface Prompt {
  /** Points of the object, or of what is not the object. */
  readonly points?: readonly Point[];
  /** For each point 1 (inside) or 0 (outside); all inside where left out. */
  readonly labels?: readonly number[];
  readonly box?: Box | null;
}

/** A caller's prompt, checked, in the image's pixels. */
export interface Clicks {
  readonly points: readonly Point[];
  readonly labels: readonly number[];
  readonly box: Box | null;
}

/** What the decoder takes beside an image embedding, and the clicks that it was made from. */
export interface DecoderPrompt {
  readonly points: Float32Array;
  readonly labels: Float32Array;
  readonly dense: Float32Array;
  readonly clicks: Clicks;
}

/**
 * Min-max normalises patch similarities (g, g) and interpolates them to (size, size), in 0 to 1.
 * A similarity without any contrast gives zeros, where the formula gives nothing.
 */
export function similarityMap(similarity: Float32Array, grid: number, size: number): Plane {
  const [low, high] = [Math.min(...similarity), Math.max(...similarity)];
  if (!(high > low)) return { width: size, height: size, data: new Float32Array(size * size) };
  const range = Math.fround(high - low);
  const data = similarity.map((value) => Math.fround(value - low) / range);
  return interpolate({ width: grid, height: grid, data }, size, size);
}

/** Returns the dense prompt (m, m): the map interpolated again, set where it is above the threshold. */
export function densePrompt(map: Plane, maskSize: number, prompting: Prompting): Float32Array {
  const { data } = interpolate(map, maskSize, maskSize);
  const threshold = Math.fround(prompting.threshold); // as float32, like what it is compared with
  return data.map((value) => (value > threshold ? prompting.denseValue : 0));
}

/**
 * Draws the points of text-only mode, in the map's pixels: of those above the threshold the ones of highest priority,
 * so that a candidate more or less does not move the others; where there are too few, the highest of the map.
 */
export function textPoints(map: Plane, prompting: Prompting): Point[] {
  const threshold = Math.fround(prompting.threshold);
  let candidates: number[] = [];
  map.data.forEach((value, i) => {
    if (value > threshold) candidates.push(i);
  });
  if (candidates.length < prompting.points) candidates = highest(map.data, prompting.points);
  const chosen = ofHighestPriority(candidates, prompting.points);
  return chosen.map((i) => [i % map.width, Math.floor(i / map.width)]);
}

/** Returns the places of the highest values, ties to the lower index. */
function highest(values: Float32Array, count: number): number[] {
  const order = Array.from(values.keys()).sort((a, b) => (values[b] as number) - (values[a] as number) || a - b);
  return order.slice(0, count);
}

/**
 * Checks a caller's prompt.
 *
 * @throws PromptError labels or numbers are wrong, a coordinate is outside the image, or there are too many points.
 */
export function checkClicks(prompt: Prompt, size: Size, slots: number): Clicks {
  const points = prompt.points ?? [];
  for (const point of points) checkNumbers(point, 2, "a point");
  if (points.length > slots) {
    throw new PromptError(
      `${points.length} points, but the bundle has ${slots} slots for clicks. Give fewer, or export it again with ` +
        `--prompt-slots ${points.length}.`,
    );
  }
  for (const point of points) checkInside(point, size, "point");
  return { points, labels: checkLabels(prompt.labels, points.length), box: checkBox(prompt.box ?? null, size) };
}

function checkNumbers(values: readonly number[], count: number, name: string): void {
  if (values.length !== count || !values.every((value) => typeof value === "number" && Number.isFinite(value))) {
    throw new PromptError(`${name} must be ${count} finite numbers, got ${JSON.stringify(values)}.`);
  }
}

function checkInside([x, y]: Point, [width, height]: Size, name: string): void {
  if (x < 0 || y < 0 || x > width || y > height) {
    throw new PromptError(`${name} (${x}, ${y}) is outside the image of ${width}x${height} pixels.`);
  }
}

function checkLabels(labels: readonly number[] | undefined, count: number): readonly number[] {
  const found = labels ?? new Array<number>(count).fill(1);
  if (found.length !== count) {
    throw new PromptError(`labels must be one for each point: expected ${count}, got ${found.length}.`);
  }
  if (!found.every((label) => label === 0 || label === 1)) {
    throw new PromptError(`labels must be 1 (inside) or 0 (outside), got ${JSON.stringify(found)}.`);
  }
  return found;
}

function checkBox(box: Box | null, size: Size): Box | null {
  if (box === null) return null;
  checkNumbers(box, 4, "box");
  const [x0, y0, x1, y1] = box;
  checkInside([x0, y0], size, "box corner");
  checkInside([x1, y1], size, "box corner");
  if (!(x0 < x1 && y0 < y1)) {
    throw new PromptError(`box must have x0 < x1 and y0 < y1, got ${JSON.stringify(box)}.`);
  }
  return box;
}

/**
 * Returns the decoder's points (slots, 2) and labels (slots). As in segment_anything, clicks without a box get one
 * "not a point" token and a box has none; what is left is unused.
 */
export function fillSlots(
  clicks: Clicks,
  size: Size,
  geometry: Geometry,
  prompting: Prompting,
): [Float32Array, Float32Array] {
  const slots = prompting.clickSlots + EXTRA_SLOTS;
  const points = new Float32Array(slots * 2);
  const labels = new Float32Array(slots).fill(UNUSED);
  const put = (slot: number, [x, y]: Point, label: number): void => {
    const scaled = [Math.fround(x) * (geometry.imageSize / size[0]), Math.fround(y) * (geometry.imageSize / size[1])];
    points.set(scaled, 2 * slot);
    labels[slot] = label;
  };
  clicks.points.forEach((point, i) => {
    put(i, point, clicks.labels[i] as number);
  });
  if (clicks.box === null) {
    labels[slots - 1] = NOT_A_POINT;
  } else {
    const [x0, y0, x1, y1] = clicks.box;
    put(slots - 3, [x0, y0], BOX_START);
    put(slots - 2, [x1, y1], BOX_END);
  }
  return [points, labels];
}

/**
 * Goes the whole way from similarity to what the decoder takes.
 *
 * @param similarity of the patches with a concept, (g, g).
 * @param size of the caller's image.
 * @param clicks the caller's; null draws the points of text-only mode from the similarity map.
 */
export function decoderPrompt(
  similarity: Float32Array,
  size: Size,
  geometry: Geometry,
  prompting: Prompting,
  clicks: Clicks | null,
): DecoderPrompt {
  const map = similarityMap(similarity, geometry.patchGrid, geometry.imageSize);
  const used = clicks ?? drawnClicks(map, size, prompting);
  const [points, labels] = fillSlots(used, size, geometry, prompting);
  return { points, labels, dense: densePrompt(map, geometry.maskSize, prompting), clicks: used };
}

/** Draws the points of text-only mode, and brings them to the pixels of an image. */
function drawnClicks(map: Plane, size: Size, prompting: Prompting): Clicks {
  const points = textPoints(map, prompting).map(
    ([x, y]): Point => [Math.fround(x * (size[0] / map.width)), Math.fround(y * (size[1] / map.height))],
  );
  return { points, labels: points.map(() => 1), box: null };
}
