/** The page of `cgsam serve` in Chromium: where pictures come from, how early, and what fails meanwhile. */

import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import type { Page, Route } from "playwright-core";
import { ADDRESS, limits, PICTURE, promised, ServedPage, skip, TOKEN } from "./served.js";

let served: ServedPage;
let page: Page;

before(async () => {
  if (skip) return;
  served = await ServedPage.start(TOKEN);
  page = served.page;
}, limits);

after(() => served?.browser.close());

test("a picture that is chosen before the server has answered is segmented", limits, async () => {
  const late = await served.hold("**/concepts");
  await page.goto(ADDRESS);
  await page.setInputFiles("#file", PICTURE);
  late.release();
  await served.segmented();
  await served.assertStates();
});

test("a page without a camera says why", limits, async () => {
  await page.goto(ADDRESS);
  await page.evaluate(() => Object.defineProperty(navigator, "mediaDevices", { value: undefined }));
  await page.click("#camera");
  assert.match((await page.locator("#error").textContent()) ?? "", /only over HTTPS or on this machine/);
});

test("a photo of the camera is segmented, however late the server's formats come", limits, async () => {
  const late = await served.hold("**/openapi.json");
  await page.goto(ADDRESS);
  await served.connected();
  await page.click("#camera");
  await page.click("#shoot"); // waits until the button is enabled, which is when there is a frame
  await served.segmented();
  assert.equal(await page.locator("#viewfinder").isVisible(), false);
  late.release();
  await page.waitForFunction(() => document.querySelectorAll("#save-other option").length > 1);
});

test("a picture that is chosen instead closes the camera", limits, async () => {
  await page.goto(ADDRESS);
  await page.click("#camera");
  await page.waitForSelector("#shoot:enabled");
  const tracks = await page
    .locator("#video")
    .evaluateHandle((video) => ((video as HTMLVideoElement).srcObject as MediaStream).getTracks());
  await page.setInputFiles("#file", PICTURE);
  await served.segmented();
  assert.equal(await tracks.evaluate(([one]) => one?.readyState), "ended");
  assert.equal(await page.locator("#viewfinder").isVisible(), false);
  assert.equal(await page.locator("#empty").isVisible(), false);
});

test("a sample that is pressed while the camera waits for permission keeps it closed", limits, async () => {
  await page.goto(ADDRESS);
  await page.evaluate(() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const allowed = new Promise((resolve) => addEventListener("allowed", resolve));
    navigator.mediaDevices.getUserMedia = async (wish) => {
      await allowed;
      const stream = await ask(wish);
      Reflect.set(globalThis, "stream", stream);
      return stream;
    };
  });
  await page.click("#camera");
  await page.click("#sample");
  await served.segmented();
  await page.evaluate(() => dispatchEvent(new Event("allowed")));
  await page.waitForFunction(() => {
    const stream: MediaStream | undefined = Reflect.get(globalThis, "stream");
    return stream?.getTracks().every(({ readyState }) => readyState === "ended");
  });
  assert.equal(await page.locator("#viewfinder").isVisible(), false);
});

test("a sample that loads slowly does not replace a picture that was chosen after it", limits, async () => {
  const [released, release] = promised<void>();
  const slow = async (route: Route): Promise<void> => {
    await released;
    await route.continue();
  };
  await page.route("**/sample.webp", slow, { times: 1 });
  await page.goto(ADDRESS);
  const before = served.requests.length;
  await page.click("#sample");
  await page.setInputFiles("#file", PICTURE);
  await served.segmented();
  const loaded = page.waitForResponse("**/sample.webp");
  release();
  await (await loaded).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  const sent = served.requests.slice(before).filter((request) => request.url().endsWith("/images"));
  assert.equal(sent.length, 1);
});

test("a photo that fails leaves the camera open, and the page says why", limits, async () => {
  await page.goto(ADDRESS);
  await page.evaluate(() => {
    const convert = OffscreenCanvas.prototype.convertToBlob;
    OffscreenCanvas.prototype.convertToBlob = () => {
      OffscreenCanvas.prototype.convertToBlob = convert;
      return Promise.reject(new Error("Out of memory."));
    };
  });
  await page.click("#camera");
  await page.click("#shoot");
  assert.equal(await served.complained(), "Out of memory.");
  assert.equal(await page.locator("#viewfinder").isVisible(), true);
  await page.click("#shoot");
  await served.segmented();
});

test("a file that is no picture leaves the work on the picture before it alone", limits, async () => {
  await page.goto(ADDRESS);
  await served.connected();
  const late = await served.hold("**/segment");
  await page.setInputFiles("#file", PICTURE);
  await late.answer;
  await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
  assert.match(await served.complained(), /not a picture/);
  late.release();
  await served.segmented();
  await served.assertStates();
});

test("a server that could not be reached is asked again with the next picture", limits, async () => {
  const before = served.errors.length;
  await page.route("**/concepts", (route) => route.abort(), { times: 1 });
  await page.goto(ADDRESS);
  assert.equal(await served.complained(), "The server cannot be reached.");
  await page.setInputFiles("#file", PICTURE);
  await served.segmented();
  await served.assertStates();
  await page.waitForFunction(() => document.querySelectorAll("#save-other option").length > 1);
  assert.equal(await page.locator("#error").isVisible(), false);
  assert.equal(served.errors.splice(before).length, 1); // the browser reports the request that failed
});

test("nothing failed unseen", limits, () => {
  assert.deepEqual(served.errors, []);
});
