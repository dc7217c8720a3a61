/** Bundles that a reader must refuse, made from the good one as `docs/vectors/hostile.json` says. */

import { zipSync } from "fflate";
import type { BundleFiles } from "../../src/index.js";
import type { Read } from "./values.js";

type Files = Map<string, Uint8Array>;
type Json = { [key: string]: unknown };

interface Step {
  readonly set?: (string | number)[];
  readonly unset?: (string | number)[];
  readonly to?: unknown;
  readonly file?: string;
  readonly keep?: number;
  readonly flip?: number;
  readonly base64?: string;
  readonly gone?: boolean;
  readonly relist?: string;
}

/** How to make one hostile bundle, and words of the message that must come. */
export interface Recipe {
  readonly name: string;
  readonly steps: readonly Step[];
  readonly says: readonly string[];
}

const MANIFEST = "manifest.json";

/** Reads the recipes, and the files of the bundle that they begin with. */
export async function readRecipes(read: Read): Promise<{ recipes: readonly Recipe[]; files: Files }> {
  const { bundle, recipes } = JSON.parse(new TextDecoder().decode(await read("hostile.json")));
  return { recipes, files: await readFiles(read, bundle) };
}

/** Reads all files of a good bundle. */
export async function readFiles(read: Read, bundle: string): Promise<Files> {
  const manifest = await read(`${bundle}/${MANIFEST}`);
  const files: Files = new Map([[MANIFEST, manifest]]);
  for (const name of Object.keys(parsed(manifest).files as Json)) files.set(name, await read(`${bundle}/${name}`));
  return files;
}

/** Returns the files of a hostile bundle. */
export async function spoilt(files: Files, { steps }: Recipe): Promise<Files> {
  const made = new Map(files);
  for (const step of steps) await apply(made, step);
  return made;
}

async function apply(files: Files, step: Step): Promise<void> {
  if (step.set) change(files, step.set, (place, key) => Object.assign(place, { [key]: step.to }));
  if (step.unset) change(files, step.unset, (place, key) => Reflect.deleteProperty(place, key));
  if (step.relist !== undefined) await relist(files, step.relist);
  if (step.file === undefined) return;
  const bytes = files.get(step.file)?.slice() ?? new Uint8Array();
  if (step.keep !== undefined) files.set(step.file, bytes.slice(0, step.keep));
  if (step.flip !== undefined) files.set(step.file, bytes.with(step.flip, (bytes[step.flip] as number) ^ 1));
  if (step.base64 !== undefined)
    files.set(
      step.file,
      Uint8Array.from(atob(step.base64), (c) => c.charCodeAt(0)),
    );
  if (step.gone) files.delete(step.file);
}

function parsed(bytes: Uint8Array | undefined): Json {
  return JSON.parse(new TextDecoder().decode(bytes));
}

function change(files: Files, keys: (string | number)[], edit: (place: Json, key: string) => unknown): void {
  const manifest = parsed(files.get(MANIFEST));
  const place = keys.slice(0, -1).reduce<Json>((at, key) => at[key] as Json, manifest);
  edit(place, String(keys.at(-1)));
  files.set(MANIFEST, new TextEncoder().encode(JSON.stringify(manifest)));
}

async function relist(files: Files, name: string): Promise<void> {
  const bytes = files.get(name) ?? new Uint8Array();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  change(files, ["files", name], (place, key) => Object.assign(place, { [key]: { size: bytes.length, sha256 } }));
}

/** Returns files in memory as a bundle's. */
export function inMemory(files: Files): BundleFiles {
  const read = async (name: string): Promise<Uint8Array | null> => files.get(name) ?? null;
  return { where: "memory", read };
}

/** Returns files as a `.zip`, as whoever spoilt the bundle would pack it. */
export function zipped(files: Files): Blob {
  return new Blob([zipSync(Object.fromEntries(files), { level: 0 }) as Uint8Array<ArrayBuffer>]);
}
