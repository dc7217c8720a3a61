/** The page of `cgsam serve` in Chromium, as a person uses it; the variable CGSAM_SERVE has the server's address. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, before } from "node:test";
import type { Browser, Download, Page, Request } from "playwright-core";
import { decode, type Rle } from "../../serve/rle.js";
import { launch, skip as noBrowser } from "./chromium.js";

const ADDRESS = process.env.CGSAM_SERVE ?? "";
const TOKEN = process.env.CGSAM_SERVE_TOKEN ?? "";
const skip = noBrowser || (ADDRESS ? false : "no server: tests/serve/test_page.py starts one");
const limits = { skip, timeout: 120_000 };

let browser: Browser;
let page: Page;
const requests: Request[] = [];
const errors: string[] = [];

before(async () => {
  if (skip) return;
  browser = await launch("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream");
  const context = await browser.newContext({ acceptDownloads: true, permissions: ["camera"] });
  page = await context.newPage();
  context.on("request", (request) => requests.push(request));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
  page.setDefaultTimeout(30_000);
});

after(() => browser?.close());

const chip = (name: string) => page.locator(`[data-concept="${name}"]`);

function segmented(): Promise<unknown> {
  return page.waitForFunction(() => /^\d+×\d+/.test(document.querySelector("#status")?.textContent ?? ""));
}

/** Waits for the answer to what an action asks, and until it is shown. */
async function answered(action: () => Promise<unknown>): Promise<{ question: Question; answer: Answer }> {
  const [response] = await Promise.all([page.waitForResponse((one) => one.url().endsWith("/segment")), action()]);
  await page.waitForFunction(() => document.querySelectorAll('[data-state="waiting"]').length === 0);
  return { question: response.request().postDataJSON(), answer: await response.json() };
}

interface Question {
  readonly image: string;
  readonly prompts: readonly { concept: string; points: number[][]; labels: number[]; box: number[] | null }[];
}
interface Answer {
  readonly concepts: readonly { readonly concept: string; readonly mask: Rle }[];
}

/** Pixels that a PNG does not leave transparent, as the browser decodes it. */
async function opaque(download: Download): Promise<number[]> {
  const bytes = (await readFile(await download.path())).toString("base64");
  return page.evaluate(async (base64) => {
    const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([data], { type: "image/png" }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context?.drawImage(bitmap, 0, 0);
    const pixels = context?.getImageData(0, 0, bitmap.width, bitmap.height).data ?? new Uint8ClampedArray();
    return Array.from({ length: pixels.length / 4 }, (_, i) => (pixels[4 * i + 3] ? 1 : 0));
  }, bytes);
}

async function download(button: string): Promise<Download> {
  const [found] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return found;
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
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("11 concepts"));
  errors.length = 0; // the browser reports each 401
});

test("a picture is segmented, and chips say what it holds", limits, async () => {
  await page.goto(ADDRESS);
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("11 concepts"));
  await page.setInputFiles("#file", String(process.env.CGSAM_SERVE_PICTURE));
  await segmented();
  const states = await page
    .locator(".chip")
    .evaluateAll((all) =>
      Object.fromEntries(all.map((one) => [(one as HTMLElement).dataset.concept, (one as HTMLElement).dataset.state])),
    );
  assert.deepEqual(states, JSON.parse(String(process.env.CGSAM_SERVE_STATES)));
  assert.match((await page.locator("#time-image").textContent()) ?? "", /ms| s/);
  assert.ok((await page.locator("#objects li").count()) > 3);
});

test("a click on a car gives the very mask that the interface gives", limits, async () => {
  const pressed = page.locator('.chip[aria-pressed="true"]');
  const names = await pressed.evaluateAll((all) => all.map((one) => (one as HTMLElement).dataset.concept ?? ""));
  for (const name of names) {
    await chip(name).click(); // shows and activates it
    await chip(name).click(); // hides it
  }
  await chip("car").click();
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const [x, y] = JSON.parse(String(process.env.CGSAM_SERVE_CAR)) as [number, number];
  const { question, answer } = await answered(() =>
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
  const saved = await download("#save-cutout");
  assert.equal(saved.suggestedFilename(), "street.cutout.png");
  const own = await opaque(saved);
  const both = own.filter((inside, i) => inside && mask[i]).length;
  const either = own.filter((inside, i) => inside || mask[i]).length;
  assert.ok(both > 1000);
  assert.equal(both / either, 1);
  assert.deepEqual(answer.concepts[0]?.mask, car.mask);
});

test("shift-clicks, boxes, undo and keys", limits, async () => {
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const at = (x: number, y: number): [number, number] => [frame.x + x * frame.width, frame.y + y * frame.height];
  await page.keyboard.down("Shift");
  const outside = await answered(() => page.mouse.click(...at(0.1, 0.9)));
  await page.keyboard.up("Shift");
  assert.deepEqual(outside.question.prompts[0]?.labels, [1, 0]);
  await page.click("#exclude");
  const removed = await answered(() => page.mouse.click(...at(0.2, 0.9)));
  assert.deepEqual(removed.question.prompts[0]?.labels, [1, 0, 0]);
  await page.click("#include");
  const boxed = await answered(async () => {
    await page.mouse.move(...at(0.3, 0.4));
    await page.mouse.down();
    await page.mouse.move(...at(0.7, 0.8), { steps: 4 });
    await page.mouse.up();
  });
  assert.equal(boxed.question.prompts[0]?.box?.length, 4);
  const undone = await answered(() => page.click("#undo"));
  assert.equal(undone.question.prompts[0]?.box, null);
  await page.locator("#picture").focus();
  await page.keyboard.press("ArrowRight");
  const keyed = await answered(() => page.keyboard.press("Enter"));
  assert.deepEqual(keyed.question.prompts[0]?.labels, [1, 0, 0, 1]);
  const cleared = await answered(() => page.keyboard.press("Escape"));
  assert.deepEqual(cleared.question.prompts, []);
  assert.equal(await page.locator("#undo").isDisabled(), true);
});

test("an answer that comes late does not replace a newer one", limits, async () => {
  const frame = await page.locator("#picture").boundingBox();
  assert.ok(frame);
  const click = (x: number, y: number) => page.mouse.click(frame.x + x * frame.width, frame.y + y * frame.height);
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let first: Answer | null = null;
  await page.route(
    "**/segment",
    async (route) => {
      const response = await route.fetch();
      first = await response.json();
      await released;
      await route.fulfill({ response });
    },
    { times: 1 },
  );
  const held = page.waitForRequest("**/segment");
  await click(0.5, 0.6);
  await held;
  const newer = await answered(() => click(0.1, 0.95));
  assert.equal(newer.question.prompts[0]?.points.length, 2);
  const late = page.waitForResponse("**/segment");
  release();
  await (await late).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  const [expected, other] = [newer.answer, first as Answer | null].map((one) => one?.concepts[0]?.mask);
  assert.ok(expected && other);
  assert.notDeepEqual(expected, other);
  const own = await opaque(await download("#save-cutout"));
  assert.deepEqual(own, Array.from(decode(expected)));
  await answered(() => page.keyboard.press("Escape"));
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
  await chip("road").click();
  const before = await opaqueEdges();
  await page.hover('[data-object="car 1"]');
  assert.notEqual(await opaqueEdges(), before);
  await page.hover("#hint");
  assert.equal(await opaqueEdges(), before);
});

test("masks are saved as PNG and COCO", limits, async () => {
  assert.equal((await download("#save-png")).suggestedFilename(), "street.masks.png");
  const file = await download("#save-coco");
  const coco = JSON.parse(await readFile(await file.path(), "utf8"));
  assert.deepEqual(coco.categories.map(({ name }: { name: string }) => name).sort(), ["car", "road"]);
  assert.ok(coco.annotations.length >= 2);
  assert.match(coco.images[0].file_name, /street\.png$/);
});

test("a photo of the camera is segmented", limits, async () => {
  await page.goto(ADDRESS);
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("11 concepts"));
  await page.evaluate(() => Object.defineProperty(navigator, "mediaDevices", { value: undefined }));
  await page.click("#camera");
  assert.match((await page.locator("#error").textContent()) ?? "", /only over HTTPS or on this machine/);
  await page.goto(ADDRESS);
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("11 concepts"));
  await page.click("#camera");
  await page.waitForFunction(() => (document.querySelector<HTMLVideoElement>("#video")?.videoWidth ?? 0) > 0);
  await page.click("#shoot");
  await segmented();
});

test("what is no picture is refused, with a reason", limits, async () => {
  await page.setInputFiles("#file", { name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => !document.querySelector<HTMLElement>("#error")?.hidden);
  assert.match((await page.locator("#error").textContent()) ?? "", /not a picture that the browser can read/);
});

test("nothing came from elsewhere, and nothing failed unseen", limits, () => {
  const urls = requests.map((request) => request.url());
  assert.deepEqual(
    urls.filter((url) => !url.startsWith(ADDRESS) && !url.startsWith("blob:")),
    [],
  );
  assert.ok(urls.length > 20);
  assert.deepEqual(errors, []);
});
