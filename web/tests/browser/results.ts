/** The results file of a consumer, as `docs/vectors/README.md` states it. */

import { readFile, writeFile } from "node:fs/promises";
import type { Failure, Masks } from "../vectors/check.js";

/** What the harness found. */
export interface Checked {
  readonly formats: number[];
  readonly failures: Failure[];
  readonly stages: Record<string, { passed: number; of: number }>;
  readonly masks: Masks;
  readonly hostile: { refused: number; of: number; failures: string[] };
  readonly seconds: Record<string, number>;
  readonly isolated: boolean;
}

const FOLDER = new URL("../../../docs/devices/results/", import.meta.url);
const ENGINE = new URL("../../node_modules/onnxruntime-web/package.json", import.meta.url);

/** Writes the file, where CGSAM_WRITE_RESULTS is 1: a run of the tests changes no document otherwise. */
export async function writeResults(
  name: string,
  target: string,
  how: "hardware" | "software",
  browser: string,
  { formats, stages, masks, hostile, seconds }: Checked,
): Promise<void> {
  if (process.env.CGSAM_WRITE_RESULTS !== "1") return;
  const { version } = JSON.parse(await readFile(ENGINE, "utf8"));
  const found = {
    target,
    engine: `ONNX Runtime Web ${version}`,
    how,
    date: new Date().toISOString().slice(0, 10),
    formats,
    stages,
    masks,
    hostile: { refused: hostile.refused, of: hostile.of },
    nodes_elsewhere: null,
    seconds: Object.fromEntries(Object.entries(seconds).map(([key, value]) => [key, Number(value.toPrecision(3))])),
    peak_memory: null,
    notes: `Chromium ${browser}`,
  };
  await writeFile(new URL(`${name}.json`, FOLDER), `${JSON.stringify(found, null, 1)}\n`);
}
