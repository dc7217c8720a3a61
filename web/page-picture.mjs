/** Draws the picture of the page in the documents: `node page-picture.mjs http://127.0.0.1:8000/ OUT.png [BUNDLE]`, beside a server of dist/page. */

import { chromium } from "playwright-core";

const [address, out, bundle = "bundle.zip"] = process.argv.slice(2);
/** A point on the car, as a share of the picture. */
const CLICK = [0.5, 0.7];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
const said = (pattern) =>
  page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#status")?.textContent), pattern);
await page.goto(address);
await said("^11 concepts");
await page.selectOption("#model", bundle);
await page.click("#sample");
await said("^picture.* 1?\\d concepts");
await page.waitForFunction(
  () => document.querySelectorAll('[data-state="waiting"], [data-state="unknown"]').length === 0,
);
await page.click('.chip[data-concept="car"]');
const frame = await page.locator("#picture").boundingBox();
await page.mouse.click(frame.x + CLICK[0] * frame.width, frame.y + CLICK[1] * frame.height);
await said("predicted IoU");
await page.screenshot({ path: out, fullPage: true });
await browser.close();
