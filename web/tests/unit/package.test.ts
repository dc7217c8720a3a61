/** The package as another program imports it, and its options. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import test from "node:test";
import { Engine } from "../../src/engine.js";

const BUILT = new URL("../../dist/src/index.js", import.meta.url);

test("the built package is imported by its name", { skip: existsSync(BUILT) ? false : "not built" }, async () => {
  const names = ["cgsam-web", "cgsam-web/ui"]; // by variables, for the checker of types does not wait for the build
  const [library, ui] = await Promise.all(names.map((name) => import(name)));
  assert.equal(typeof library.Segmenter.open, "function");
  assert.equal(typeof library.BundleError, "function");
  assert.equal(typeof ui.PictureView, "function");
});

test("an engine that cannot be had is refused by name", async () => {
  await assert.rejects(
    Engine.open({ device: "tpu" as "wasm" }),
    /device must be "wasm", "webgpu" or "auto", got "tpu"/,
  );
  await assert.rejects(Engine.open({ threads: 0 }), /threads must be a whole number, 1 or more, got 0/);
  await assert.rejects(Engine.open({ device: "webgpu" }), /offers no WebGPU on this machine/);
});

test("without a graphics card, auto is WebAssembly; without isolation it has one thread", async () => {
  const engine = await Engine.open({ device: "auto", threads: 3 });
  assert.equal(engine.device, "wasm");
  assert.equal(engine.threads, 1);
});
