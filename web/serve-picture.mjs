/** Draws the picture of the page in the documents: `node serve-picture.mjs http://127.0.0.1:8765/ OUT.png`, beside `cgsam serve`. */

import { chromium } from "playwright-core";

const [address, out] = process.argv.slice(2);
/** The concepts that are shown; the last one is active, and gets a click. */
const SHOWN = ["road", "car"];
/** A point on the car to the right, as a share of the picture. */
const CLICK = [0.83, 0.48];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
await page.goto(address);
await page.click("#sample");
await page.waitForFunction(() => /^\d+×\d+/.test(document.querySelector("#status")?.textContent ?? ""));
const pressed = page.locator('.chip[aria-pressed="true"]');
for (const name of await pressed.evaluateAll((chips) => chips.map((chip) => chip.dataset.concept)))
  if (!SHOWN.includes(name)) await page.dblclick(`.chip[data-concept="${name}"]`); // activated, then hidden
await page.click(`.chip[data-concept="${SHOWN.at(-1)}"]`);
const frame = await page.locator("#picture").boundingBox();
await page.mouse.click(frame.x + CLICK[0] * frame.width, frame.y + CLICK[1] * frame.height);
await page.waitForFunction(() => /predicted IoU/.test(document.querySelector("#status")?.textContent ?? ""));
await page.screenshot({ path: out });
await browser.close();
