/** Builds the page of `cgsam serve` into the Python package, or into the folder that is named. */

import { cp, mkdir, rm } from "node:fs/promises";
import { build } from "esbuild";

const OUT = process.argv[2] ?? "../cgsam_edge/serve/page";

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
await build({
  bundle: true,
  charset: "utf8",
  entryPoints: ["serve/main.ts", "serve/style.css"],
  format: "esm",
  legalComments: "none",
  minify: true,
  outdir: OUT,
  target: "es2022",
});
for (const name of ["index.html", "icon.svg", "sample.webp"]) await cp(`serve/${name}`, `${OUT}/${name}`);
