/** The concepts of a bundle as arrays, and finding one by name. */

import { BundleError, UnknownConceptError } from "./errors.js";
import type { ConceptSpec } from "./manifest.js";
import { fold, isPrintable } from "./names.js";
import { type NpyArray, readNpz } from "./npz.js";

/** What can be calibrated for each concept, and how many numbers that takes. */
const CALIBRATIONS = { presence: 9, screening: 4 } as const;
const UNIT_TOLERANCE = 1e-2;

/** A table of numbers, rows first. */
export interface Table {
  readonly columns: number;
  readonly data: Float32Array;
}

/** Returns a row of a table, which shares the table's memory. */
export function row(table: Table, index: number): Float32Array {
  return table.data.subarray(index * table.columns, (index + 1) * table.columns);
}

/** Names and numbers of N concepts. */
export class Vocabulary {
  readonly names: readonly string[];
  readonly #indices = new Map<string, number>();

  /**
   * @param concepts names and synonyms.
   * @param features text features (N, D), of unit length.
   * @param rows what the text adds in each semantic block, (N, n · r).
   * @param rowShape n and r.
   * @param presence when a concept counts as present, (N, 9); rows of NaN where nothing was calibrated.
   * @param screening when a concept is surely absent, (N, 4); likewise.
   */
  constructor(
    readonly concepts: readonly ConceptSpec[],
    readonly features: Table,
    readonly rows: Table,
    readonly rowShape: readonly [number, number],
    readonly presence: Table,
    readonly screening: Table,
  ) {
    this.names = concepts.map((concept) => concept.name);
    concepts.forEach((concept, i) => {
      for (const name of [concept.name, ...concept.synonyms]) this.#add(name, i);
    });
  }

  #add(name: string, index: number): void {
    if (!isPrintable(name)) throw new BundleError(`${JSON.stringify(name)} is no name that can be read.`);
    const other = this.#indices.get(fold(name));
    if (other !== undefined) {
      const [one, two] = [this.names[other], this.names[index]].map((held) => JSON.stringify(held));
      throw new BundleError(`${JSON.stringify(name)} names ${one} and ${two}.`);
    }
    this.#indices.set(fold(name), index);
  }

  /**
   * Returns the index of the concept that has this name or synonym.
   *
   * @throws UnknownConceptError there is none.
   */
  index(name: string): number {
    const found = this.#indices.get(fold(name));
    if (found === undefined) throw new UnknownConceptError(name, this.names);
    return found;
  }
}

/**
 * Reads `vocabulary.npz`.
 *
 * @throws BundleError it is no `.npz` of these arrays, or they do not fit the concepts.
 */
export function readVocabulary(bytes: Uint8Array, concepts: readonly ConceptSpec[], where: string): Vocabulary {
  const arrays = readNpz(bytes, where, "a vocabulary");
  for (const name of ["features", "rows"]) {
    if (!arrays.has(name)) throw new BundleError(`${where}: not a vocabulary (it lacks '${name}').`);
  }
  try {
    return made(arrays, concepts);
  } catch (error) {
    if (error instanceof BundleError) throw new BundleError(`${where}: vocabulary: ${error.message}`, { cause: error });
    throw error;
  }
}

function made(arrays: ReadonlyMap<string, NpyArray>, concepts: readonly ConceptSpec[]): Vocabulary {
  const count = concepts.length;
  const features = table(arrays.get("features"), "features", 2, count);
  const rows = table(arrays.get("rows"), "rows", 3, count);
  for (const [name, { data }] of [
    ["features", features],
    ["rows", rows],
  ] as const) {
    if (!data.every(Number.isFinite)) throw new BundleError(`'${name}' holds NaN or infinity.`);
  }
  const [, blocks = 0, width = 0] = arrays.get("rows")?.shape ?? [];
  const vocabulary = new Vocabulary(
    concepts,
    features,
    rows,
    [blocks, width],
    calibration(arrays, "presence", concepts),
    calibration(arrays, "screening", concepts),
  );
  if (count === 0) throw new BundleError("holds no concept.");
  checkLengths(features, count);
  return vocabulary;
}

function table(array: NpyArray | undefined, name: string, axes: number, count: number): Table {
  const { shape, data, kind } = array ?? { shape: [], data: null, kind: "nothing" };
  if (shape.length !== axes || shape[0] !== count || !(data instanceof Float32Array)) {
    throw new BundleError(
      `'${name}' must be float32 with ${axes} axes and ${count} entries, got ${kind} with shape (${shape.join(", ")}).`,
    );
  }
  return { columns: shape.slice(1).reduce((a, b) => a * b, 1), data };
}

function calibration(
  arrays: ReadonlyMap<string, NpyArray>,
  name: keyof typeof CALIBRATIONS,
  concepts: readonly ConceptSpec[],
): Table {
  const columns = CALIBRATIONS[name];
  const array = arrays.get(name); // older bundles have fewer
  if (array === undefined) return { columns, data: new Float32Array(concepts.length * columns).fill(Number.NaN) };
  const found = table(array, name, 2, concepts.length);
  if (found.columns !== columns) throw new BundleError(`'${name}' must have ${columns} columns, got ${found.columns}.`);
  concepts.forEach((concept, i) => {
    const finite = row(found, i).filter(Number.isFinite).length;
    if (finite !== 0 && finite !== columns) {
      throw new BundleError(`'${name}' of ${JSON.stringify(concept.name)} is neither numbers nor NaN alone.`);
    }
  });
  return found;
}

function checkLengths(features: Table, count: number): void {
  for (let i = 0; i < count; i++) {
    const length = Math.hypot(...row(features, i));
    if (!(Math.abs(length - 1) <= UNIT_TOLERANCE)) {
      throw new BundleError(`'features' must be of unit length, got ${length}.`);
    }
  }
}
