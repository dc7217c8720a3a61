/** The page of `cgsam serve` in Chromium: masks, clicks, downloads. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, before } from "node:test";
import type { Page } from "playwright-core";
import { decode } from "../../serve/rle.js";
import { ADDRESS, type Answer, limits, PICTURE, ServedPage, skip, TOKEN } from "./served.js";

let served: ServedPage;
let page: Page;

before(async () => {
  if (skip) return;
  served = await ServedPage.start();
  page = served.page;
}, limits);

after(() => served?.browser.close());

/** Counts values that differ; a message with both arrays would have as many lines. */
function differing(one: Uint8Array, other: Uint8Array): number {
  assert.equal(one.length, other.length);
  return one.filter((value, i) => value !== other[i]).length;
}

test("it asks for the token where the server has one", {
  ...limits,
  skip: skip || (TOKEN ? false : "no token"),
}, async () => {
  await page.goto(ADDRESS);
  await page.waitForSelector("#token");
  assert.equal(await page.locator("#token-wrong").isVisible(), false);
  await page.fill("#token", "a wrong token, which is refused");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#token-wrong:visible");
  await page.fill("#token", TOKEN);
  await page.keyboard.press("Enter");
  await served.connected();
  served.errors.length = 0; // the browser reports each 401
});

test("a picture is segmented, and chips say what it holds", limits, async () => {
  await page.goto(ADDRESS);
  await served.connected();
  await page.setInputFiles("#file", PICTURE);
  await served.segmented();
  await served.assertStates();
  assert.match((await page.locator("#time-image").textContent()) ?? "", /ms| s/);
  assert.ok((await page.locator("#objects li").count()) > 3);
});

test("a click on a car gives the very mask that the interface gives", limits, async () => {
  const pressed = page.locator('.chip[aria-pressed="true"]');
  const names = await pressed.evaluateAll((all) => all.map((one) => (one as HTMLElement).dataset.concept ?? ""));
  for (const name of names) {
    await served.chip(name).click(); // shows and activates it
    await served.chip(name).click(); // hides it
  }
  await served.chip("car").click();
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const [x, y] = JSON.parse(String(process.env.CGSAM_SERVE_CAR)) as [number, number];
  const { question, answer } = await served.answered(() =>
    page.mouse.click(frame.x + x * frame.width, frame.y + y * frame.height),
  );
  const [prompt] = question.prompts;
  assert.equal(prompt?.concept, "car");
  assert.equal(prompt?.points.length, 1);

  const headers = TOKEN ? { authorization: `Bearer ${TOKEN}` } : {};
  const asked = { image: question.image, prompts: [prompt] };
  const direct = await page.request.post(`${ADDRESS}segment`, { data: asked, headers });
  const [car] = ((await direct.json()) as Answer).concepts;
  assert.ok(car);
  const mask = decode(car.mask);
  const saved = await served.download("#save-cutout");
  assert.equal(saved.suggestedFilename(), "street.cutout.png");
  const own = await served.opaque(saved);
  assert.ok(own.filter(Boolean).length > 1000);
  assert.equal(differing(own, mask), 0); // an IoU of 1
  assert.deepEqual(answer.concepts[0]?.mask, car.mask);
});

test("shift-clicks, boxes, undo and keys", limits, async () => {
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const at = (x: number, y: number): [number, number] => [frame.x + x * frame.width, frame.y + y * frame.height];
  await page.keyboard.down("Shift");
  const outside = await served.answered(() => page.mouse.click(...at(0.1, 0.9)));
  await page.keyboard.up("Shift");
  assert.deepEqual(outside.question.prompts[0]?.labels, [1, 0]);
  await page.click("#exclude");
  const removed = await served.answered(() => page.mouse.click(...at(0.2, 0.9)));
  assert.deepEqual(removed.question.prompts[0]?.labels, [1, 0, 0]);
  await page.click("#include");
  const boxed = await served.answered(async () => {
    await page.mouse.move(...at(0.3, 0.4));
    await page.mouse.down();
    await page.mouse.move(...at(0.7, 0.8), { steps: 4 });
    await page.mouse.up();
  });
  assert.equal(boxed.question.prompts[0]?.box?.length, 4);
  const undone = await served.answered(() => page.click("#undo"));
  assert.equal(undone.question.prompts[0]?.box, null);
  await page.locator("#picture").focus();
  await page.keyboard.press("ArrowRight");
  const keyed = await served.answered(() => page.keyboard.press("Enter"));
  assert.deepEqual(keyed.question.prompts[0]?.labels, [1, 0, 0, 1]);
  const cleared = await served.answered(() => page.keyboard.press("Escape"));
  assert.deepEqual(cleared.question.prompts, []);
  assert.equal(await page.locator("#undo").isDisabled(), true);
});

test("an answer that comes late does not replace a newer one", limits, async () => {
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const click = (x: number, y: number) => page.mouse.click(frame.x + x * frame.width, frame.y + y * frame.height);
  const first = await served.hold("**/segment");
  await click(0.5, 0.6);
  const other = (await first.answer).concepts[0]?.mask;
  const newer = await served.answered(() => click(0.1, 0.95));
  assert.equal(newer.question.prompts[0]?.points.length, 2);
  const late = page.waitForResponse("**/segment");
  first.release();
  await (await late).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  const expected = newer.answer.concepts[0]?.mask;
  assert.ok(expected && other);
  assert.notDeepEqual(expected, other);
  const own = await served.opaque(await served.download("#save-cutout"));
  assert.equal(differing(own, decode(expected)), 0);
  await served.answered(() => page.keyboard.press("Escape"));
});

test("an object that is pointed at is shown alone", limits, async () => {
  const opaqueEdges = (): Promise<number> =>
    page.locator("#picture").evaluate((canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const data = (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) sum += data[i] as number;
      return sum;
    });
  await served.chip("road").click();
  const before = await opaqueEdges();
  await page.hover('[data-object="car 1"]');
  assert.notEqual(await opaqueEdges(), before);
  await page.hover("#hint");
  assert.equal(await opaqueEdges(), before);
});

test("masks are saved as PNG and COCO", limits, async () => {
  assert.equal((await served.download("#save-png")).suggestedFilename(), "street.masks.png");
  const file = await served.download("#save-coco");
  const coco = JSON.parse(await readFile(await file.path(), "utf8"));
  assert.deepEqual(coco.categories.map(({ name }: { name: string }) => name).sort(), ["car", "road"]);
  assert.ok(coco.annotations.length >= 2);
  assert.match(coco.images[0].file_name, /street\.png$/);
});

test("a file that the server takes six seconds for is saved as well, after others", limits, async () => {
  await page.route("**/segment**", async (route) => {
    const response = await route.fetch();
    await new Promise((resolve) => setTimeout(resolve, 6000)); // longer than a click counts as the user's
    await route.fulfill({ response });
  });
  for (const button of ["#save-coco", "#save-coco"])
    assert.match((await served.download(button)).suggestedFilename(), /\.json$/);
  await page.unroute("**/segment**");
});

test("what is no picture is refused, with a reason", limits, async () => {
  await page.setInputFiles("#file", { name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => !document.querySelector<HTMLElement>("#error")?.hidden);
  assert.match((await page.locator("#error").textContent()) ?? "", /not a picture that the browser can read/);
});

test("nothing came from elsewhere, and nothing failed unseen", limits, () => {
  const urls = served.requests.map((request) => request.url());
  assert.deepEqual(
    urls.filter((url) => !url.startsWith(ADDRESS) && !url.startsWith("blob:")),
    [],
  );
  assert.ok(urls.length > 20);
  assert.deepEqual(served.errors, []);
});
