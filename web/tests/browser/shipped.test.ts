/** The shipped model in Chromium: the masks of files as Python makes them of the same files, and times. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { launch, skip as noBrowser } from "./chromium.js";
import { serve } from "./server.js";

const DATA = new URL("../data/masks.json", import.meta.url);
const skip = noBrowser || (existsSync(DATA) ? false : "no tests/data/masks.json: run make web");

interface Mask {
  readonly rle: { readonly counts: string };
  readonly score: number;
}
interface Segmented {
  readonly masks: Record<string, Mask>;
  readonly seconds: Record<string, number> | null;
  readonly threads: number;
  readonly largestDifference: number;
}
declare const harness: {
  segment(bundle: string, picture: string, device: string, threads: number, clocked: boolean): Promise<Segmented>;
};

/** Returns the mask of COCO's compressed counts, down the columns. */
function unpacked(counts: string): number[] {
  const lengths: number[] = [];
  let [value, shift] = [0, 0];
  for (const character of counts) {
    const chunk = character.charCodeAt(0) - 48;
    value |= (chunk & 31) << shift;
    shift += 5;
    if (chunk & 32) continue;
    if (chunk & 16) value -= 2 ** shift;
    lengths.push(lengths.length > 2 ? value + (lengths.at(-2) as number) : value);
    [value, shift] = [0, 0];
  }
  return lengths.flatMap((length, i) => new Array<number>(length).fill(i % 2));
}

/** Pixels on an edge, where logits are 0 to rounding, that may differ in a small mask, of which a thousandth is less. */
const SMALL = 2;

/** Returns how many pixels differ, and how many are in either mask. */
function compared(one: number[], other: number[]): [number, number] {
  assert.equal(one.length, other.length);
  const apart = one.filter((inside, i) => inside !== other[i]).length;
  return [apart, one.filter((inside, i) => inside || other[i]).length];
}

for (const [threads, isolated] of [
  [1, false],
  [2, true],
] as const) {
  test(`masks of files are Python's, threads: ${threads}`, { skip, timeout: 240_000 }, async (t) => {
    const [served, browser] = [await serve(isolated), await launch()];
    t.after(async () => {
      await browser.close();
      await served.close();
    });
    const page = await browser.newPage();
    await page.goto(served.address);
    await page.waitForFunction("globalThis.harness");
    for (const [picture, expected] of Object.entries(JSON.parse(await readFile(DATA, "utf8")))) {
      if (threads > 1 && picture !== "plain.png") continue; // decoding does not depend on threads
      const clocked = picture === "plain.png" && process.env.CGSAM_WRITE_RESULTS === "1";
      const found = await page.evaluate(
        ([name, count, clock]) => harness.segment("/shipped", `/data/${name}`, "wasm", count, clock),
        [picture, threads, clocked] as const,
      );
      assert.equal(found.threads, threads);
      if (clocked) t.diagnostic(`seconds, threads ${threads}: ${JSON.stringify(found.seconds)}`);
      assert.equal(found.largestDifference, 0);
      for (const [name, { rle }] of Object.entries(expected as Record<string, Mask>)) {
        const ours = unpacked((found.masks[name] as Mask).rle.counts);
        const [apart, either] = compared(ours, unpacked(rle.counts));
        assert.ok(apart <= Math.max(SMALL, either / 1000), `${picture} ${name}: ${apart} of ${either} pixels differ`);
      }
    }
  });
}
