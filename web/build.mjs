/** Builds the demo page into dist/page: scripts, ONNX Runtime's files, and the list that the service worker keeps. */

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const OUT = "dist/page";
// The processor's engine is kept for use without a network; the graphics card's, twice as large, when it is first used.
const ENGINE = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const GPU_ENGINE = ["ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];
/** Licences, bundles and their list: a host may replace the latter two, so the network is asked for them first. */
const LATER = /\.(txt|zip)$|^models\.json$/;
const SHARED = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "linked",
  // ONNX Runtime's glue stays a separate file, from which its threads start.
  conditions: ["onnxruntime-web-use-extern-wasm"],
};

async function scripts() {
  await build({ ...SHARED, entryPoints: ["page/main.ts", "page/worker.ts"], outdir: OUT, splitting: true });
  for (const name of ["index.html", "style.css", "icon.svg", "app.webmanifest", "models.json"])
    await cp(`page/${name}`, `${OUT}/${name}`);
}

async function engine() {
  await mkdir(`${OUT}/engine`, { recursive: true });
  for (const name of [...ENGINE, ...GPU_ENGINE]) {
    await cp(`node_modules/onnxruntime-web/dist/${name}`, `${OUT}/engine/${name}`);
  }
}

/** The service worker knows the files by name, and the whole by a hash, so that a new page replaces an old one. */
async function serviceWorker() {
  const names = (await readdir(OUT, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !GPU_ENGINE.includes(entry.name) && !LATER.test(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(OUT.length + 1))
    .sort();
  const hash = createHash("sha256");
  for (const name of names) hash.update(name).update(await readFile(`${OUT}/${name}`));
  const define = {
    FILES: JSON.stringify(["./", ...names.filter((name) => name !== "index.html")]),
    VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
  };
  await build({ ...SHARED, format: "iife", entryPoints: ["page/service-worker.ts"], outdir: OUT, define });
}

await rm(OUT, { recursive: true, force: true });
await scripts();
await engine();
await serviceWorker();
await writeFile(
  `${OUT}/_headers`,
  "/*\n  Cross-Origin-Opener-Policy: same-origin\n  Cross-Origin-Embedder-Policy: require-corp\n",
);
