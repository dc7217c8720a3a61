/** Masks as the server sends them: what the package's encoder writes is read back. */

import assert from "node:assert/strict";
import test from "node:test";
import { plainName } from "../../serve/pictures.js";
import { decode, runs } from "../../serve/rle.js";
import { encodeRle } from "../../src/rle.js";

test("runs of COCO's own example", () => {
  assert.deepEqual(runs("04"), [0, 4]);
  assert.deepEqual(runs("52203"), [5, 2, 2, 2, 5]); // deltas from the count two places earlier
});

test("masks of any size and filling", () => {
  let seed = 1;
  const random = (): number => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  for (const [height, width, share] of [
    [1, 1, 1],
    [3, 5, 0],
    [3, 5, 1],
    [40, 31, 0.5],
    [200, 301, 0.02],
    [300, 200, 0.999],
  ] as const) {
    const mask = Uint8Array.from({ length: height * width }, () => (random() < share ? 1 : 0));
    assert.deepEqual(decode(encodeRle(mask, width, height) as Parameters<typeof decode>[0]), mask);
  }
});

test("names of pictures that the server takes", () => {
  assert.equal(plainName("street.png"), "street.png");
  assert.equal(plainName("a/b\\c 12:30\u0001.png"), "a_b_c 12_30_.png");
  const long = plainName(`${"é".repeat(300)}.jpeg`);
  assert.match(long, /^é+\.jpeg$/);
  assert.equal(new TextEncoder().encode(long).length, 189);
});
