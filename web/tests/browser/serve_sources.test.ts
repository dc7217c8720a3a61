/** The page of `cgsam serve` in Chromium: where pictures come from, and how early. */

import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import type { Page } from "playwright-core";
import { ADDRESS, limits, PICTURE, ServedPage, skip, TOKEN } from "./served.js";

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

test("nothing failed unseen", limits, () => {
  assert.deepEqual(served.errors, []);
});
