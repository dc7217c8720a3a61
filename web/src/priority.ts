/**
 * SplitMix64 in halves of 32 bits: each pixel's fixed pseudo-random priority.
 *
 * BigInt would say it in four lines and take a tenth of a second for the pixels of one map.
 */

/** An unsigned number of 64 bits as its upper and lower half, each from 0 to 2³² − 1. */
type Halves = readonly [high: number, low: number];

const LARGEST = 2 ** 32 - 1;
const STEP: Halves = [0x9e3779b9, 0x7f4a7c15];
const FIRST: Halves = [0xbf58476d, 0x1ce4e5b9];
const SECOND: Halves = [0x94d049bb, 0x133111eb];

/** Returns the low 64 bits of a product. */
function times([aHigh, aLow]: Halves, [bHigh, bLow]: Halves): Halves {
  const [a1, a0, b1, b0] = [aLow >>> 16, aLow & 0xffff, bLow >>> 16, bLow & 0xffff];
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16); // below 2³²
  const other = a0 * b1 + (middle & 0xffff);
  const carried = a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000);
  const high = (carried + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) >>> 0;
  return [high, Math.imul(aLow, bLow) >>> 0];
}

/** Returns z ⊕ (z ≫ bits), for 1 to 31 bits. */
function mixed([high, low]: Halves, bits: number): Halves {
  return [(high ^ (high >>> bits)) >>> 0, (low ^ ((low >>> bits) | (high << (32 - bits)))) >>> 0];
}

/** Returns SplitMix64's output for an index below 2³². */
export function priority(index: number): Halves {
  const next: Halves = [index === LARGEST ? 1 : 0, (index + 1) >>> 0];
  const seeded = times(next, STEP);
  return mixed(times(mixed(times(mixed(seeded, 30), FIRST), 27), SECOND), 31);
}

/** Returns those `count` of the indices that have the highest priority, the highest first. */
export function ofHighestPriority(indices: Iterable<number>, count: number): number[] {
  const kept: { index: number; rank: Halves }[] = [];
  for (const index of indices) {
    const rank = priority(index);
    let place = kept.length;
    while (place > 0 && isAbove(rank, (kept[place - 1] as { rank: Halves }).rank)) place--;
    if (place >= count) continue;
    kept.splice(place, 0, { index, rank });
    kept.length = Math.min(kept.length, count);
  }
  return kept.map(({ index }) => index);
}

function isAbove(one: Halves, other: Halves): boolean {
  return one[0] > other[0] || (one[0] === other[0] && one[1] > other[1]);
}
