/** Opening a bundle: nothing in it is trusted before it was checked. */

import { checkShapes } from "./contract.js";
import { BundleError, messageOf } from "./errors.js";
import { type BundleFiles, checkPath } from "./files.js";
import {
  type GraphSpec,
  MANIFEST_FILE,
  type Manifest,
  parseManifest,
  requiredGraphs,
  VOCABULARY_FILE,
} from "./manifest.js";
import { readVocabulary, type Vocabulary } from "./vocabulary.js";

const MOST_MANIFEST_BYTES = 16 * 2 ** 20;

/** An opened bundle: its manifest and vocabulary, and the way to its graphs. */
export class Bundle {
  private constructor(
    readonly files: BundleFiles,
    readonly manifest: Manifest,
    readonly vocabulary: Vocabulary,
  ) {}

  /**
   * Opens a bundle.
   *
   * @throws BundleError manifest or vocabulary is missing, altered, or from a newer format version.
   */
  static async open(files: BundleFiles): Promise<Bundle> {
    const where = `${files.where}/${MANIFEST_FILE}`;
    const manifest = parseManifest(await manifestText(files, where), where);
    const bytes = await verified(files, manifest, VOCABULARY_FILE);
    const vocabulary = readVocabulary(bytes, manifest.concepts, `${files.where}/${VOCABULARY_FILE}`);
    checkShapes(where, manifest, vocabulary);
    return new Bundle(files, manifest, vocabulary);
  }

  /**
   * Returns the graphs of a target by name.
   *
   * @throws BundleError the bundle does not hold the target, or the target lacks a graph.
   */
  graphs(target: string): ReadonlyMap<string, GraphSpec> {
    const graphs = this.manifest.targets.get(target);
    if (graphs === undefined) {
      const held = [...this.manifest.targets.keys()].sort().join(", ") || "none";
      throw new BundleError(
        `${this.files.where}: holds no graphs for '${target}'; it holds: ${held}. Export it with --target ${target}.`,
      );
    }
    for (const name of requiredGraphs(this.manifest)) {
      if (graphs.has(name)) continue;
      throw new BundleError(`${this.files.where}/${MANIFEST_FILE}: target '${target}' lacks the graph '${name}'.`);
    }
    return graphs;
  }

  /**
   * Reads the file of a graph.
   *
   * @throws BundleError it is missing or altered, or its weights lie in a file beside it.
   */
  async graphBytes(graph: GraphSpec): Promise<Uint8Array> {
    if (this.manifest.files.has(`${graph.path}.data`)) {
      throw new BundleError(`${this.files.where}/${graph.path}: over 2 GB, which is more than a browser can open.`);
    }
    return verified(this.files, this.manifest, graph.path);
  }

  /** Checks every file of the bundle, as opening does for those that it reads. */
  async verify(): Promise<void> {
    for (const name of this.manifest.files.keys()) await verified(this.files, this.manifest, name);
  }
}

async function manifestText(files: BundleFiles, where: string): Promise<string> {
  const bytes = await files.read(MANIFEST_FILE, MOST_MANIFEST_BYTES);
  if (bytes === null) throw new BundleError(`${files.where}: not a bundle (it has no ${MANIFEST_FILE}).`);
  if (bytes.length > MOST_MANIFEST_BYTES) {
    throw new BundleError(`${where}: over ${MOST_MANIFEST_BYTES / 2 ** 20} MB, larger than any manifest.`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new BundleError(`${where}: cannot be read as UTF-8 (${messageOf(error)}).`, { cause: error });
  }
}

/** Reads a file and checks size and SHA-256. */
async function verified(files: BundleFiles, manifest: Manifest, name: string): Promise<Uint8Array> {
  const where = `${files.where}/${MANIFEST_FILE}`;
  const spec = manifest.files.get(name);
  if (spec === undefined) throw new BundleError(`${where}: does not list ${JSON.stringify(name)}.`);
  checkPath(name, where);
  const bytes = await files.read(name, spec.size);
  const place = `${files.where}/${name}`;
  if (bytes === null) throw new BundleError(`${place}: missing from the bundle. Copy or export it again.`);
  if (bytes.length !== spec.size) {
    const got = bytes.length > spec.size ? "more" : `${bytes.length}`;
    throw new BundleError(
      `${place}: truncated or altered: expected ${spec.size} bytes, got ${got}. Copy or export it again.`,
    );
  }
  if ((await sha256(bytes)) !== spec.sha256) {
    throw new BundleError(`${place}: altered: its SHA-256 is not the one in the manifest. Copy or export it again.`);
  }
  return bytes;
}

async function sha256(bytes: Uint8Array): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new BundleError("Files can only be checked on a page that came over https or from localhost.");
  }
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
