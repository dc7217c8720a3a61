/** Where the files of a bundle come from: a folder at an address, or a `.zip` of one. */

import { type UnzipFileInfo, unzipSync } from "fflate";
import { download, type Progress } from "./download.js";
import { BundleError, messageOf } from "./errors.js";
import { MANIFEST_FILE } from "./manifest.js";

/** The files of a bundle, of which nothing was checked. */
export interface BundleFiles {
  /** The bundle's address or name, for messages. */
  readonly where: string;
  /**
   * Reads a file; null where there is none.
   *
   * @param name its path in the bundle, with forward slashes; `checkPath` has passed it.
   * @param most bytes that are read; a longer file comes back one byte longer than this at most.
   */
  read(name: string, most: number): Promise<Uint8Array | null>;
}

/** What opening a bundle may be given. */
export interface FilesOptions {
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LARGEST_ZIP = 2 ** 32; // one array of bytes cannot be larger in every browser

/**
 * Refuses a path of the manifest that leaves the bundle.
 *
 * @throws BundleError it is absolute, goes up, or holds what no path may.
 */
export function checkPath(name: string, where: string): void {
  if (/[\p{Cc}\p{Cs}]/u.test(name)) {
    throw new BundleError(`${where}: the path ${JSON.stringify(name)} holds characters that no path may; refused.`);
  }
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || parts.includes("..") || /[\\:]/.test(name) || parts.length === 0) {
    throw new BundleError(`${where}: the path ${JSON.stringify(name)} leaves the bundle; refused.`);
  }
}

/**
 * Opens the files of a bundle.
 *
 * @param source the address of a folder, or of a file that ends in `.zip`; or such a file itself.
 */
export async function openFiles(source: string | URL | Blob, options: FilesOptions = {}): Promise<BundleFiles> {
  if (source instanceof Blob) {
    const name = source instanceof File ? source.name : "the bundle";
    return new ZipFiles(name, new Uint8Array(await source.arrayBuffer()));
  }
  const url = absolute(source);
  if (!url.pathname.endsWith(".zip")) return new FolderFiles(url, options);
  const bytes = await download(url.href, { ...options, most: LARGEST_ZIP });
  if (bytes === null) throw new BundleError(`${url.href}: no such bundle.`);
  return new ZipFiles(url.href, bytes);
}

function absolute(source: string | URL): URL {
  try {
    return new URL(source, globalThis.location?.href);
  } catch (error) {
    throw new BundleError(`${source}: not the address of a bundle.`, { cause: error });
  }
}

/** A folder at an address. */
class FolderFiles implements BundleFiles {
  readonly where: string;
  readonly #base: URL;
  readonly #options: FilesOptions;

  constructor(url: URL, options: FilesOptions) {
    this.#base = new URL(url);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.where = this.#base.href.replace(/\/$/, "");
    this.#options = options;
  }

  read(name: string, most: number): Promise<Uint8Array | null> {
    // Encoded, so that no "?", "#" or "%2e" of a name means anything.
    const url = new URL(this.#base);
    url.pathname += name.split("/").map(encodeURIComponent).join("/");
    return download(url.href, { ...this.#options, most });
  }
}

/** A `.zip` whose bundle lies at its root or in its only folder. */
class ZipFiles implements BundleFiles {
  readonly #bytes: Uint8Array;
  readonly #sizes = new Map<string, number>();
  readonly #folder: string;

  constructor(
    readonly where: string,
    bytes: Uint8Array,
  ) {
    this.#bytes = bytes;
    this.#unzip((member) => {
      if (this.#sizes.has(member.name)) {
        throw new BundleError(`${where}: holds two files of the name ${JSON.stringify(member.name)}; refused.`);
      }
      this.#sizes.set(member.name, member.originalSize);
      return false;
    });
    this.#folder = this.#findFolder();
  }

  async read(name: string, most: number): Promise<Uint8Array | null> {
    const path = this.#folder + name;
    const size = this.#sizes.get(path);
    if (size === undefined) return null;
    if (size > most) return new Uint8Array(Math.min(size, most + 1)); // not unpacked: its size alone refuses it
    return this.#unzip((member) => member.name === path)[path] ?? null;
  }

  #unzip(filter: (member: UnzipFileInfo) => boolean): Record<string, Uint8Array> {
    try {
      return unzipSync(this.#bytes, { filter });
    } catch (error) {
      if (error instanceof BundleError) throw error;
      throw new BundleError(`${this.where}: not a zip, or a damaged one (${messageOf(error)}).`, { cause: error });
    }
  }

  #findFolder(): string {
    const found = [...this.#sizes.keys()].filter((name) => /^([^/]+\/)?manifest\.json$/.test(name));
    if (found.includes(MANIFEST_FILE)) return "";
    const [only, ...others] = found;
    if (only === undefined) throw new BundleError(`${this.where}: not a bundle (it has no ${MANIFEST_FILE}).`);
    if (others.length > 0) throw new BundleError(`${this.where}: holds ${found.length} bundles; expected one.`);
    return only.slice(0, -MANIFEST_FILE.length);
  }
}
