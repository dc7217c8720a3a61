/** The values of `docs/vectors/vectors.json`, and how near another value must come. */

import { dot } from "../../src/presence.js";

/** Reads a file of `docs/vectors`. */
export type Read = (path: string) => Promise<Uint8Array>;

/** A tensor, rows first. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

export type Value = number | string | boolean | null | Tensor | readonly Value[];

/** A vector of which every tensor was read. */
export interface Vector {
  readonly stage: string;
  readonly name: string;
  readonly given: Readonly<Record<string, Value>>;
  readonly expected: Readonly<Record<string, Value>>;
}

interface Tolerance {
  readonly absolute?: number;
  readonly rms?: number;
  readonly iou?: number;
}

/** All vectors. */
export interface Vectors {
  readonly bundles: readonly string[];
  readonly tolerances: Readonly<Record<string, Tolerance>>;
  readonly vectors: readonly Vector[];
}

/** Reads all vectors, and their tensors with them. */
export async function readVectors(read: Read): Promise<Vectors> {
  const head = JSON.parse(new TextDecoder().decode(await read("vectors.json")));
  const vectors: Vector[] = [];
  for (const { stage, name, given, expected } of head.vectors) {
    vectors.push({ stage, name, given: await tensorsOf(given, read), expected: await tensorsOf(expected, read) });
  }
  return { ...head, vectors };
}

async function tensorsOf(values: Record<string, unknown>, read: Read): Promise<Record<string, Value>> {
  const made: Record<string, Value> = {};
  for (const [key, value] of Object.entries(values)) {
    made[key] = isFile(value) ? await tensor(value, read) : (value as Value);
  }
  return made;
}

interface TensorFile {
  readonly file: string;
  readonly dtype: "float32" | "uint8";
  readonly shape: number[];
}

function isFile(value: unknown): value is TensorFile {
  return typeof value === "object" && value !== null && "file" in value;
}

async function tensor({ file, dtype, shape }: TensorFile, read: Read): Promise<Tensor> {
  const bytes = (await read(file)).slice(); // at the start of its own memory, as float32 needs it
  return { shape, data: dtype === "uint8" ? bytes : new Float32Array(bytes.buffer) };
}

/** Whether a value is a tensor. */
export function isTensor(value: Value | undefined): value is Tensor {
  return typeof value === "object" && value !== null && "data" in value;
}

/** Returns the numbers of a tensor or of a nested list; null is NaN. */
export function numbers(value: Value | undefined): number[] {
  if (isTensor(value)) return Array.from(value.data);
  if (Array.isArray(value)) return value.flatMap(numbers);
  return [value === null ? Number.NaN : Number(value)];
}

/** Returns why a value is too far from what is expected, or null. */
export function difference(found: Value | undefined, expected: Value, tolerance: Tolerance | undefined): string | null {
  if (tolerance === undefined) {
    const same = isTensor(expected) ? numbers(found).join() === numbers(expected).join() : equal(found, expected);
    return same ? null : `${shown(found)} is not ${shown(expected)}`;
  }
  const [ours, theirs] = [numbers(found), numbers(expected)];
  if (ours.length !== theirs.length) return `${ours.length} values; expected ${theirs.length}`;
  const off = ours.map((value, i) => value - (theirs[i] as number));
  if (tolerance.iou !== undefined) return tooFar(1 - iouOf(ours, theirs), tolerance.iou);
  if (tolerance.rms !== undefined) return tooFar(Math.sqrt(dot(off, off) / off.length), tolerance.rms * spread(theirs));
  const unlike = ours.some((value, i) => Number.isNaN(value) !== Number.isNaN(theirs[i]));
  if (unlike) return `${shown(found)} is not ${shown(expected)}`;
  const known = off.filter((error) => !Number.isNaN(error)).map(Math.abs);
  return tooFar(Math.max(0, ...known), tolerance.absolute ?? 0);
}

function equal(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 120);
}

function tooFar(error: number, limit: number): string | null {
  return error <= limit ? null : `off by ${error}; the limit is ${limit}`;
}

/** Intersection over union of two masks of 0 and 1; 1 where both are empty. */
export function iouOf(one: readonly number[], other: readonly number[]): number {
  const both = one.filter((value, i) => value > 0 && (other[i] as number) > 0).length;
  const either = one.filter((value, i) => value > 0 || (other[i] as number) > 0).length;
  return either === 0 ? 1 : both / either;
}

function spread(values: readonly number[]): number {
  const middle = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length) || 1;
}
