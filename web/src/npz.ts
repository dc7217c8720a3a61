/** Reading NumPy archives that nobody vouches for: no pickle, and never more memory than the file is worth. */

import { type UnzipFileInfo, unzipSync } from "fflate";
import { BundleError, messageOf } from "./errors.js";

/** Typed arrays by the `descr` of a `.npy` file; those with a byte order are little-endian, as every browser is. */
const TYPES = {
  "<f4": Float32Array,
  "<f8": Float64Array,
  "|u1": Uint8Array,
  "|b1": Uint8Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "<u8": BigUint64Array,
} as const;

type Kind = keyof typeof TYPES;
export type NumberArray = InstanceType<(typeof TYPES)[Kind]>;

/** An array of a `.npz` file, rows first. */
export interface NpyArray {
  readonly kind: string;
  readonly shape: readonly number[];
  readonly data: NumberArray;
}

const MOST_UNPACKED = 64 * 2 ** 20;
const MAGIC = "\x93NUMPY";
const HEADER = /'descr':\s*'([^']*)'.*'fortran_order':\s*(True|False).*'shape':\s*\(([\d,\s]*)\)/s;

/**
 * Returns the arrays of an `.npz` file by name.
 *
 * @param bytes the file.
 * @param where its name, for messages.
 * @param what it should be, for messages, such as "a vocabulary".
 * @throws BundleError it is no such archive, is damaged, holds pickled objects, or declares far more than it holds.
 */
export function readNpz(bytes: Uint8Array, where: string, what: string): Map<string, NpyArray> {
  try {
    checkSizes(bytes);
    const members = Object.entries(unzipSync(bytes));
    return new Map(members.map(([name, member]) => [name.replace(/\.npy$/, ""), readNpy(member, name)]));
  } catch (error) {
    throw new BundleError(`${where}: not ${what} (${messageOf(error)}).`, { cause: error });
  }
}

function checkSizes(bytes: Uint8Array): void {
  const names = new Set<string>();
  let unpacked = 0;
  const look = (member: UnzipFileInfo): boolean => {
    if (names.has(member.name)) throw new Error(`two arrays of the name ${JSON.stringify(member.name)}`);
    names.add(member.name);
    unpacked += member.originalSize;
    return false;
  };
  unzipSync(bytes, { filter: look });
  if (unpacked > Math.max(MOST_UNPACKED, 2 * bytes.length)) {
    throw new Error(`${bytes.length} bytes that would unpack to ${unpacked}`);
  }
}

/** Reads one `.npy` file: a header that is a Python dictionary as text, and the numbers. */
function readNpy(bytes: Uint8Array, name: string): NpyArray {
  const { header, start } = readHeader(bytes, name);
  const [, kind = "", order, sides = ""] = HEADER.exec(header) ?? [];
  if (kind.includes("O")) throw new Error(`${JSON.stringify(name)} holds pickled objects`);
  if (!(kind in TYPES) || order !== "False") {
    throw new Error(`${JSON.stringify(name)} is of a kind that no export writes: ${header.trim().slice(0, 80)}`);
  }
  const shape = sides
    .split(",")
    .filter((side) => side.trim())
    .map(Number);
  const Type = TYPES[kind as Kind];
  const held = bytes.length - start;
  if (shape.reduce((a, b) => a * b, 1) * Type.BYTES_PER_ELEMENT !== held) {
    throw new Error(`${JSON.stringify(name)} declares ${kind} of shape (${shape.join(", ")}) and holds ${held} bytes`);
  }
  return { kind, shape, data: new Type(bytes.slice(start).buffer) }; // a copy, because numbers must be aligned
}

function readHeader(bytes: Uint8Array, name: string): { header: string; start: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin = (from: number, to: number): string => String.fromCharCode(...bytes.subarray(from, to));
  const version = bytes.length >= 12 && latin(0, 6) === MAGIC ? (bytes[6] ?? 0) : 0;
  if (version !== 1 && version !== 2) throw new Error(`${JSON.stringify(name)} is no array that NumPy wrote`);
  const from = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const start = from + length;
  if (start > bytes.length || length > 10_000) throw new Error(`${JSON.stringify(name)} is cut short`);
  return { header: latin(from, start), start };
}
