/** The page of `cgsam serve` in Chromium; the variable CGSAM_SERVE has the server's address. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import type { Browser, Download, Page, Request } from "playwright-core";
import type { Rle } from "../../serve/rle.js";
import { launch, skip as noBrowser } from "./chromium.js";

export const ADDRESS = process.env.CGSAM_SERVE ?? "";
export const TOKEN = process.env.CGSAM_SERVE_TOKEN ?? "";
export const PICTURE = process.env.CGSAM_SERVE_PICTURE ?? "";
export const skip = noBrowser || (ADDRESS ? false : "no server: tests/serve/test_page.py starts one");
export const limits = { skip, timeout: 60_000 };

/** A camera that shows a moving disc; few frames, since they are made by the processor. */
const CAMERA = ["--use-fake-device-for-media-stream=fps=5", "--use-fake-ui-for-media-stream"];

/** What the page asked. */
export interface Question {
  readonly image: string;
  readonly prompts: readonly { concept: string; points: number[][]; labels: number[]; box: number[] | null }[];
}

/** What the server answered. */
export interface Answer {
  readonly concepts: readonly { readonly concept: string; readonly mask: Rle }[];
}

/** An answer that waits. */
export interface Held {
  /** The server's answer, once it is there. */
  readonly answer: Promise<Answer>;
  /** Lets the page have it. */
  release(): void;
}

/** A browser with one page, and what went wrong in it. */
export class ServedPage {
  readonly requests: Request[] = [];
  readonly errors: string[] = [];

  private constructor(
    readonly browser: Browser,
    readonly page: Page,
  ) {
    page.context().on("request", (request) => this.requests.push(request));
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (line) => line.type() === "error" && this.errors.push(line.text()));
    page.setDefaultTimeout(30_000);
  }

  /** Starts the browser; with a token, nobody has to be asked for it. */
  static async start(token = ""): Promise<ServedPage> {
    const browser = await launch(...CAMERA);
    const context = await browser.newContext({ acceptDownloads: true, permissions: ["camera"] });
    if (token) await context.addInitScript((text) => sessionStorage.setItem("cgsam-token", text), token);
    return new ServedPage(browser, await context.newPage());
  }

  chip(name: string) {
    return this.page.locator(`[data-concept="${name}"]`);
  }

  /** Waits until the server has said what it knows. */
  connected(): Promise<unknown> {
    return this.page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("11 concepts"));
  }

  /** Waits for an error on the page, and returns it. */
  async complained(): Promise<string> {
    await this.page.waitForSelector("#error:visible");
    return (await this.page.locator("#error").textContent()) ?? "";
  }

  /** Waits until all concepts of a picture were looked for. */
  segmented(): Promise<unknown> {
    return this.page.waitForFunction(() => /^\d+×\d+/.test(document.querySelector("#status")?.textContent ?? ""));
  }

  /** Waits for the answer to what an action asks, and until it is shown. */
  async answered(action: () => Promise<unknown>): Promise<{ question: Question; answer: Answer }> {
    const [response] = await Promise.all([
      this.page.waitForResponse((one) => one.url().endsWith("/segment")),
      action(),
    ]);
    await this.page.waitForFunction(() => document.querySelectorAll('[data-state="waiting"]').length === 0);
    return { question: response.request().postDataJSON(), answer: await response.json() };
  }

  /** Has the next answer from an address wait until it is released. */
  async hold(address: string): Promise<Held> {
    const [released, release] = promised<void>();
    const [answer, answered] = promised<Answer>();
    await this.page.route(
      address,
      async (route) => {
        const response = await route.fetch();
        answered(await response.json());
        await released;
        await route.fulfill({ response });
      },
      { times: 1 },
    );
    return { answer, release };
  }

  /** Holds the chips to what Python found in the picture. */
  async assertStates(): Promise<void> {
    const states = await this.page.locator(".chip").evaluateAll((all) =>
      Object.fromEntries(
        all.map((one) => {
          const { concept, state } = (one as HTMLElement).dataset;
          return [concept, state];
        }),
      ),
    );
    assert.deepEqual(states, JSON.parse(String(process.env.CGSAM_SERVE_STATES)));
  }

  async download(button: string): Promise<Download> {
    const [found] = await Promise.all([this.page.waitForEvent("download"), this.page.click(button)]);
    return found;
  }

  /** Pixels that a PNG does not leave transparent, as the browser decodes it: 0 and 1. */
  async opaque(download: Download): Promise<Uint8Array> {
    const bytes = (await readFile(await download.path())).toString("base64");
    const pixels = await this.page.evaluate(async (base64) => {
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([data], { type: "image/png" }));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      context?.drawImage(bitmap, 0, 0);
      const colours = context?.getImageData(0, 0, bitmap.width, bitmap.height).data ?? new Uint8ClampedArray();
      return Array.from({ length: colours.length / 4 }, (_, i) => (colours[4 * i + 3] ? "1" : "0")).join("");
    }, bytes);
    return Uint8Array.from(pixels, Number); // it came as text: an array as long takes Playwright seconds
  }
}

/** Returns a promise, and what fulfils it. */
export function promised<T>(): [Promise<T>, (value: T) => void] {
  let resolve = (_: T): void => undefined;
  const promise = new Promise<T>((accept) => {
    resolve = accept;
  });
  return [promise, (value) => resolve(value)];
}
