/** The package within Chromium: the test vectors, decoding of images, and hostile bundles. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import { launch, SOFTWARE_GPU, skip } from "./chromium.js";
import { type Checked, writeResults } from "./results.js";
import { serve } from "./server.js";

interface Harness {
  check(device: string, threads: number): Promise<Checked>;
  pictures(): Promise<Record<string, number>>;
  refusedImages(): Promise<Record<string, string>>;
}
declare const harness: Harness;

/** WebGPU in software takes minutes; it is for each release, by `make test-webgpu`. */
const withGpu = process.env.CGSAM_WEBGPU === "1";

async function onPage<T>(
  isolated: boolean,
  work: (page: Page, version: string) => Promise<T>,
  ...flags: string[]
): Promise<T> {
  const [served, browser] = [await serve(isolated), await launch(...flags)];
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(served.address);
    await page.waitForFunction("globalThis.harness");
    return await work(page, browser.version());
  } finally {
    await browser.close();
    await served.close();
  }
}

function assertPassed(found: Checked): void {
  assert.deepEqual(found.failures, []);
  assert.deepEqual(found.hostile.failures, []);
  assert.equal(Object.keys(found.stages).length, 13);
  assert.ok(found.masks.least_iou >= 1 - 1e-3);
}

for (const [threads, isolated] of [
  [1, false],
  [2, true],
] as const) {
  test(`vectors with WebAssembly, threads: ${threads}`, { skip, timeout: 180_000 }, async () => {
    await onPage(isolated, async (page, version) => {
      const found = await page.evaluate((count) => harness.check("wasm", count), threads);
      assertPassed(found);
      assert.equal(found.isolated, isolated);
      await writeResults(
        `browser-wasm-${threads}`,
        `Browser, WebAssembly, threads: ${threads}`,
        "hardware",
        version,
        found,
      );
    });
  });
}

test("vectors with WebGPU in software", {
  skip: skip || (withGpu ? false : "CGSAM_WEBGPU is not 1"),
  timeout: 1_500_000,
}, async () => {
  await onPage(
    false,
    async (page, version) => {
      page.setDefaultTimeout(0);
      const found = await page.evaluate(() => harness.check("webgpu", 1));
      assertPassed(found);
      await writeResults("browser-webgpu", "Browser, WebGPU on SwiftShader", "software", version, found);
    },
    ...SOFTWARE_GPU,
  );
});

test("decoded files have the pixels that are stored in them", { skip, timeout: 60_000 }, async () => {
  const found = await onPage(false, (page) => page.evaluate(() => harness.pictures()));
  assert.deepEqual(found, { plain: 0, gamma: 0, transparent: 0, "wide.png": 0, "tall.png": 0 });
});

test("images that cannot be used are refused", { skip, timeout: 60_000 }, async () => {
  const found = await onPage(false, (page) => page.evaluate(() => harness.refusedImages()));
  assert.match(found.deep ?? "", /^ImageError: a PNG of 16 bits a channel/);
  assert.match(found.text ?? "", /^ImageError: not an image that this browser can read/);
  assert.match(found.tiny ?? "", /^ImageError: the image has 1x1 pixels; expected at least 2/);
  assert.match(found.floats ?? "", /^ImageError: pixels must be 8-bit RGB or RGBA/);
});
