/** Chromium, driven by Playwright: the system's, or one that Playwright has downloaded before; none is downloaded here. */

import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", chromium.executablePath()];
const QUIET = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-swiftshader", // WebGL without a graphics card
];
/** WebGPU without a graphics card. */
export const SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

/** Where the browser is; null where there is none. */
export const CHROMIUM: string | null = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path)) ?? null;

/** Reason to skip tests, or false. */
export const skip: string | false = CHROMIUM === null ? "no Chromium here; name one in the variable CHROMIUM" : false;

/** Starts the browser with an empty profile. */
export function launch(...more: readonly string[]): Promise<Browser> {
  if (CHROMIUM === null) throw new Error(String(skip));
  return chromium.launch({ executablePath: CHROMIUM, args: [...QUIET, ...more], headless: true });
}
