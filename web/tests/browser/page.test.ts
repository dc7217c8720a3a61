/** The demo page in Chromium, as a person uses it: the shipped model, clicks, no network, a spoilt bundle. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import test, { after, before } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch, skip as noBrowser } from "./chromium.js";
import { type Served, serve } from "./server.js";

const BUNDLE = new URL("../../dist/page/bundle.zip", import.meta.url);
const skip = noBrowser || (existsSync(BUNDLE) ? false : "no dist/page/bundle.zip: run make web");
const limits = { skip, timeout: 120_000 };

let served: Served;
let browser: Browser;
let page: Page;
const requested: string[] = [];
const errors: string[] = [];

before(async () => {
  if (skip) return;
  [served, browser] = [await serve(), await launch()];
  const context = await browser.newContext({ acceptDownloads: true });
  page = await context.newPage();
  context.on("request", (request) => requested.push(request.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
  page.setDefaultTimeout(60_000);
});

after(async () => {
  await browser?.close();
  await served?.close();
});

const status = async (): Promise<string> => (await page.locator("#status").textContent()) ?? "";
const chip = (name: string) => page.locator(`[data-concept="${name}"]`);

async function settled(): Promise<void> {
  await page.waitForFunction(() => document.querySelectorAll('[data-state="waiting"]').length === 0);
}

/** How many pixels of the shown picture have exactly the colour of a concept's edge. */
async function edges(name: string): Promise<number> {
  return page.evaluate((concept) => {
    const canvas = document.querySelector<HTMLCanvasElement>("#picture");
    const style = document
      .querySelector<HTMLElement>(`[data-concept="${concept}"]`)
      ?.style.getPropertyValue("--colour");
    const [red, green, blue] = (style?.match(/\d+/g) ?? []).map(Number);
    const data = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] === red && data[i + 1] === green && data[i + 2] === blue) count++;
    }
    return count;
  }, name);
}

test("it opens the model, isolated by its own service worker, so that threads are used", limits, async () => {
  await page.goto(`${served.address}/page/`);
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("concepts"));
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.match(await status(), new RegExp(`^11 concepts · WebAssembly, ${Math.min(4, cores)} thread`));
});

/** Waits until a picture is segmented, and compares the chips with what Python says of a bundle. */
async function assertSegmented(bundle: string): Promise<void> {
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.startsWith("picture"));
  await page.waitForFunction(() => document.querySelectorAll('[data-state="unknown"]').length === 0);
  await settled();
  const states = await page
    .locator(".chip")
    .evaluateAll((all) =>
      Object.fromEntries(all.map((one) => [(one as HTMLElement).dataset.concept, (one as HTMLElement).dataset.state])),
    );
  const expected = JSON.parse(await readFile(new URL("../data/page.json", import.meta.url), "utf8"));
  const clear = expected.states[bundle];
  assert.ok(Object.keys(clear).length > 7);
  assert.deepEqual({ ...states, ...clear }, states);
  assert.match(await status(), /^picture .* · \d+ concepts .* · WebAssembly/);
  assert.ok((await edges("road")) > 100);
}

test("a picture is segmented by the small model, and chips say what it holds", limits, async () => {
  assert.ok(requested.some((url) => url.endsWith("/tiny.zip")));
  assert.ok(!requested.some((url) => url.endsWith("/bundle.zip"))); // it is large, and nobody chose it
  await page.click("#sample");
  await assertSegmented("tiny.zip");
});

test("another model segments the same picture", limits, async () => {
  await page.selectOption("#model", "bundle.zip");
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.startsWith("Opening"));
  await assertSegmented("bundle.zip");
});

test("clicks and boxes are meant for the active concept", limits, async () => {
  await chip("car").click();
  await settled();
  const before = await edges("car");
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const at = (x: number, y: number): [number, number] => [frame.x + x * frame.width, frame.y + y * frame.height];
  await page.mouse.click(...at(0.5, 0.6));
  await page.keyboard.down("Shift");
  await page.mouse.click(...at(0.1, 0.1));
  await page.keyboard.up("Shift");
  await settled();
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.startsWith("click"));
  assert.notEqual(await edges("car"), before);
  await page.mouse.move(...at(0.3, 0.4));
  await page.mouse.down();
  await page.mouse.move(...at(0.7, 0.8), { steps: 4 });
  await page.mouse.up();
  await settled();
  for (let clicks = 0; clicks < 3; clicks++) await page.click("#undo");
  await settled();
  assert.equal(await page.locator("#undo").isDisabled(), true);
  // A chip shows the answer to the first of several questions while the others are under way.
  for (let tries = 0; tries < 100 && (await edges("car")) !== before; tries++) await page.waitForTimeout(100);
  assert.equal(await edges("car"), before);
});

test("keys alone do the same", limits, async () => {
  await page.locator("#picture").focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("#undo")?.disabled);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelector<HTMLButtonElement>("#undo")?.disabled);
  await settled();
  await chip("sky").focus();
  await page.keyboard.press("ArrowRight");
  const focused = await page.evaluate(() => (document.activeElement as HTMLElement).dataset.concept);
  assert.equal(focused, "building");
});

test("the picture with its masks is downloaded as PNG", limits, async () => {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  assert.equal(download.suggestedFilename(), "masks.png");
  const bytes = await readFile(await download.path());
  assert.equal(bytes.subarray(1, 4).toString(), "PNG");
  const size = await page
    .locator("#picture")
    .evaluate((canvas) => [(canvas as HTMLCanvasElement).width, (canvas as HTMLCanvasElement).height]);
  assert.deepEqual([bytes.readUInt32BE(16), bytes.readUInt32BE(20)], size);
});

/** Drops two pictures, of which the first takes longer to decode; returns the shown one's width, twice. A text, because
 * what compiles the tests names functions by a helper that the page lacks. */
const TWO_PICTURES = `(async () => {
  const decode = window.createImageBitmap;
  const later = (wait) => new Promise((resolve) => setTimeout(resolve, wait));
  let wait = 1500;
  window.createImageBitmap = async (source) => {
    const own = wait;
    wait = 0;
    const made = await decode.call(window, source);
    await later(own);
    return made;
  };
  for (const width of [96, 160]) {
    const canvas = new OffscreenCanvas(width, 64);
    canvas.getContext("2d").fillRect(0, 0, 9, 9);
    const data = new DataTransfer();
    data.items.add(new File([await canvas.convertToBlob()], width + ".png", { type: "image/png" }));
    dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
  }
  const found = [];
  for (const pause of [1000, 2000]) {
    await later(pause);
    found.push(document.querySelector("#picture").width);
  }
  window.createImageBitmap = decode;
  return found;
})()`;

test("of two pictures, the one that was chosen last is shown", limits, async () => {
  assert.deepEqual(await page.evaluate(TWO_PICTURES), [160, 160]);
  await settled();
});

test("a spoilt bundle is refused, and the message says why", limits, async () => {
  const bytes = await readFile(BUNDLE);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  await page.setInputFiles("#file", { name: "spoilt.zip", mimeType: "application/zip", buffer: bytes });
  await page.waitForFunction(() => !document.querySelector<HTMLElement>("#error")?.hidden);
  assert.match((await page.locator("#error").textContent()) ?? "", /^spoilt\.zip\/onnxruntime\/.*altered: its SHA-256/);
});

test("it works without a server once it was loaded", limits, async () => {
  const { address } = served;
  await served.close();
  await page.goto(`${address}/page/`);
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("concepts"));
  await page.click("#sample");
  await page.waitForFunction(() => document.querySelectorAll('[data-state="present"]').length >= 3);
  await settled();
});

/** Opens the page anew, without a service worker, where the list of models is another, and hands it on. */
async function withModels(
  list: { status: number; body: string },
  use: (page: Page, asked: string[]) => Promise<void>,
): Promise<void> {
  const server = await serve();
  const context = await browser.newContext();
  await context.addInitScript("delete Navigator.prototype.serviceWorker");
  try {
    const asked: string[] = [];
    context.on("request", (request) => asked.push(request.url()));
    await context.route("**/models.json", (route) => route.fulfill(list));
    const opened = await context.newPage();
    await opened.goto(`${server.address}/page/`);
    await use(opened, asked);
  } finally {
    await context.close();
    await server.close();
  }
}

const ready = (): boolean => document.querySelector("#status")?.textContent?.includes("concepts") ?? false;

test("without a list of models, bundle.zip is opened", limits, async () => {
  await withModels({ status: 404, body: "" }, async (opened, asked) => {
    await opened.waitForFunction(ready);
    assert.ok(asked.some((url) => url.endsWith("/bundle.zip")));
    assert.ok(await opened.locator("#model").isHidden());
  });
});

test("a spoilt list of models is named, and a dropped bundle is opened all the same", limits, async () => {
  await withModels({ status: 200, body: "[," }, async (opened) => {
    await opened.waitForFunction(() => !document.querySelector<HTMLElement>("#error")?.hidden);
    assert.match((await opened.locator("#error").textContent()) ?? "", /^models\.json: expected a list/);
    const buffer = await readFile(BUNDLE);
    await opened.setInputFiles("#file", { name: "own.zip", mimeType: "application/zip", buffer });
    await opened.waitForFunction(ready);
  });
});

test("nothing came from elsewhere, and nothing failed unseen", limits, () => {
  const elsewhere = requested.filter((url) => !url.startsWith(served.address) && !url.startsWith("blob:"));
  assert.deepEqual(elsewhere, []);
  assert.ok(requested.length > 10);
  assert.deepEqual(errors, []);
});
