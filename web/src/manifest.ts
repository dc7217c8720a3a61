/** `manifest.json`: what a bundle holds and how to use it. `docs/bundle.md` specifies the format. */

import { BundleError, messageOf } from "./errors.js";
import { aCount, aList, aMap, aNumber, anObject, aString, twinKey } from "./schema.js";

export const FORMAT = "cgsam-bundle";
/** The newest version of the format that this package reads. */
export const FORMAT_VERSION = 2;
export const MANIFEST_FILE = "manifest.json";
export const VOCABULARY_FILE = "vocabulary.npz";
/** Graphs that segment, in the order in which they run; `clip` is part of `image` in format 1. */
export const GRAPH_NAMES = ["clip", "image", "concept", "decoder"] as const;
export type GraphName = (typeof GRAPH_NAMES)[number];

const LARGEST_SIDE = 2 ** 14;
// Of a tensor: above that a manifest is damaged, or meant to take all memory.
const MOST_VALUES = 2 ** 31;

/** A named input or output of a graph, float32. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A graph of one target: its file, relative to the bundle, and what goes in and comes out. */
export interface GraphSpec {
  readonly path: string;
  readonly precision: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Size in bytes and SHA-256, in lower-case hex, of a file. */
export interface FileSpec {
  readonly size: number;
  readonly sha256: string;
}

/** Sizes in pixels that pre- and post-processing need; `embedDim` is the length of a text feature. */
export interface Geometry {
  readonly imageSize: number;
  readonly maskSize: number;
  readonly patchGrid: number;
  readonly embedDim: number;
}

/** How prompts are made from similarity, and how the model was trained to be prompted. */
export interface Prompting {
  readonly threshold: number;
  readonly points: number;
  readonly denseValue: number;
  readonly clickSlots: number;
  readonly trainedFor: readonly string[];
}

/** A concept's name and its other names. */
export interface ConceptSpec {
  readonly name: string;
  readonly synonyms: readonly string[];
}

/** What this package uses of `manifest.json`. */
export interface Manifest {
  readonly formatVersion: number;
  readonly geometry: Geometry;
  readonly prompting: Prompting;
  readonly concepts: readonly ConceptSpec[];
  readonly files: ReadonlyMap<string, FileSpec>;
  readonly targets: ReadonlyMap<string, ReadonlyMap<string, GraphSpec>>;
  /** Whether the export's gate failed and the bundle was written nevertheless. */
  readonly degraded: boolean;
}

/** Returns the graphs that each target must have. */
export function requiredGraphs({ formatVersion }: Manifest): readonly GraphName[] {
  return formatVersion > 1 ? GRAPH_NAMES : GRAPH_NAMES.slice(1);
}

/**
 * Parses `manifest.json`.
 *
 * @param text its content.
 * @param where the file, for messages.
 * @throws BundleError it is no manifest, is from a newer format version, or a value is missing or wrong.
 */
export function parseManifest(text: string, where: string): Manifest {
  const value = parsed(text, where);
  checkVersion(value.format_version, where);
  return {
    formatVersion: value.format_version as number,
    geometry: geometry(value.geometry, `${where}.geometry`),
    prompting: prompting(value.prompting, `${where}.prompting`),
    concepts: aList(value.concepts, `${where}.concepts`, concept),
    files: aMap(value.files, `${where}.files`, file),
    targets: aMap(value.targets, `${where}.targets`, (graphs, place) => aMap(graphs, place, graph)),
    degraded: value.quality !== undefined && anObject(value.quality, `${where}.quality`).degraded === true,
  };
}

function parsed(text: string, where: string): { readonly [key: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BundleError(`${where}: not JSON (${messageOf(error)}).`);
  }
  const twin = twinKey(text);
  if (twin !== null) throw new BundleError(`${where}: not JSON (the key ${JSON.stringify(twin)} stands there twice).`);
  const isObject = typeof value === "object" && value !== null;
  if (!isObject || (value as { format?: unknown }).format !== FORMAT) {
    throw new BundleError(`${where}: not the manifest of a ${FORMAT}.`);
  }
  return value as { readonly [key: string]: unknown };
}

function checkVersion(version: unknown, where: string): void {
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1) {
    throw new BundleError(`${where}: format_version must be a number from 1, got ${JSON.stringify(version)}.`);
  }
  if (version > FORMAT_VERSION) {
    throw new BundleError(
      `${where}: format version ${version} is newer than ${FORMAT_VERSION}, the newest that this version of ` +
        "cgsam-web reads. Upgrade cgsam-web.",
    );
  }
}

function geometry(value: unknown, where: string): Geometry {
  const read = anObject(value, where);
  const side = (key: string): number => {
    const found = aCount(read[key], `${where}.${key}`);
    if (found > 0 && found <= LARGEST_SIDE) return found;
    throw new BundleError(`${where}.${key} must be from 1 to ${LARGEST_SIDE}, got ${found}.`);
  };
  return {
    imageSize: side("image_size"),
    maskSize: side("mask_size"),
    patchGrid: side("patch_grid"),
    embedDim: side("embed_dim"),
  };
}

function prompting(value: unknown, where: string): Prompting {
  const read = anObject(value, where);
  const made = {
    threshold: aNumber(read.threshold, `${where}.threshold`),
    points: aCount(read.points, `${where}.points`),
    denseValue: aNumber(read.dense_value, `${where}.dense_value`),
    clickSlots: aCount(read.click_slots, `${where}.click_slots`),
    trainedFor: aList(read.trained_for, `${where}.trained_for`, aString),
  };
  if (!(made.threshold > 0 && made.threshold < 1 && made.points >= 1 && made.points <= made.clickSlots)) {
    throw new BundleError(
      `${where} must have 0 < threshold < 1 and 1 <= points <= click_slots, got ${JSON.stringify(made)}.`,
    );
  }
  return made;
}

function concept(value: unknown, where: string): ConceptSpec {
  const read = anObject(value, where);
  const synonyms = read.synonyms === undefined ? [] : aList(read.synonyms, `${where}.synonyms`, aString);
  return { name: aString(read.name, `${where}.name`), synonyms };
}

function file(value: unknown, where: string): FileSpec {
  const read = anObject(value, where);
  return { size: aCount(read.size, `${where}.size`), sha256: aString(read.sha256, `${where}.sha256`) };
}

function graph(value: unknown, where: string): GraphSpec {
  const read = anObject(value, where);
  return {
    path: aString(read.path, `${where}.path`),
    precision: aString(read.precision, `${where}.precision`),
    inputs: aList(read.inputs, `${where}.inputs`, tensor),
    outputs: aList(read.outputs, `${where}.outputs`, tensor),
  };
}

function tensor(value: unknown, where: string): TensorSpec {
  const read = anObject(value, where);
  const name = aString(read.name, `${where}.name`);
  const shape = aList(read.shape, `${where}.shape`, aCount);
  if (!shape.every((side) => side > 0) || shape.reduce((a, b) => a * b, 1) > MOST_VALUES) {
    throw new BundleError(`${where}: the tensor ${JSON.stringify(name)} cannot have shape (${shape.join(", ")}).`);
  }
  return { name, shape };
}
