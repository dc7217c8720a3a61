/** Checked reading of JSON values: each function names the place and what it expected there. */

import { BundleError } from "./errors.js";

/** A JSON object of which nothing is known yet. */
export type JsonObject = { readonly [key: string]: unknown };

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

function refuse(where: string, expected: string, value: unknown): never {
  if (value === undefined) throw new BundleError(`${where} is missing.`);
  throw new BundleError(`${where}: expected ${expected}, got ${shown(value)}.`);
}

/** Returns the value if it is an object. */
export function anObject(value: unknown, where: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(where, "an object", value);
  return value as JsonObject;
}

/** Returns the value if it is a string. */
export function aString(value: unknown, where: string): string {
  if (typeof value !== "string") refuse(where, "text", value);
  return value;
}

/** Returns the value if it is a finite number. */
export function aNumber(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) refuse(where, "a finite number", value);
  return value;
}

/** Returns the value if it is a whole number. */
export function aCount(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) refuse(where, "a whole number", value);
  return value;
}

/** Returns a list with each of its items read by `item`. */
export function aList<T>(value: unknown, where: string, item: (value: unknown, where: string) => T): T[] {
  if (!Array.isArray(value)) refuse(where, "a list", value);
  return value.map((one, i) => item(one, `${where}[${i}]`));
}

/** Returns an object's entries, each read by `item`; a Map, so that no key can be mistaken for a method. */
export function aMap<T>(value: unknown, where: string, item: (value: unknown, where: string) => T): Map<string, T> {
  return new Map(Object.entries(anObject(value, where)).map(([key, one]) => [key, item(one, `${where}.${key}`)]));
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/**
 * Returns a key that stands twice in one object of a valid JSON text, or null. Readers differ in which of the two
 * values they take, so that such a text means two things.
 */
export function twinKey(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  let last = "";
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const key: string = JSON.parse(last);
      const seen = open.at(-1);
      if (seen?.has(key)) return key;
      seen?.add(key);
    }
    last = token;
  }
  return null;
}
