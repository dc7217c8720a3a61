/** The test vectors of `docs/vectors`, with WebAssembly in Node. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { Segmenter } from "../../src/index.js";
import { checkBundle, checkStages, Findings } from "../vectors/check.js";
import { inMemory, readFiles, readRecipes, spoilt, zipped } from "../vectors/hostile.js";
import { readVectors } from "../vectors/values.js";

const FOLDER = new URL("../../../docs/vectors/", import.meta.url);
const read = async (path: string): Promise<Uint8Array> => new Uint8Array(await readFile(new URL(path, FOLDER)));

test("every stage that needs no bundle", async () => {
  const vectors = await readVectors(read);
  const findings = new Findings(vectors.tolerances);
  checkStages(vectors, findings);
  assert.deepEqual(findings.failures, []);
  assert.equal(Object.keys(findings.stages).length, 10);
});

test("masks of every bundle, from its folder and from a zip", { timeout: 120_000 }, async () => {
  const vectors = await readVectors(read);
  for (const bundle of vectors.bundles) {
    const files = await readFiles(read, bundle);
    for (const source of [inMemory(files), zipped(files)]) {
      const findings = new Findings(vectors.tolerances);
      const segmenter = await Segmenter.open(source);
      await checkBundle(segmenter, vectors, findings);
      await segmenter.close();
      assert.deepEqual(findings.failures, []);
      assert.ok(findings.masks.count > 10);
    }
  }
});

test("hostile bundles are refused, and the message says why", { timeout: 120_000 }, async (t) => {
  const { recipes, files } = await readRecipes(read);
  assert.ok(recipes.length > 30);
  for (const recipe of recipes) {
    await t.test(recipe.name, async () => {
      const made = await spoilt(files, recipe);
      for (const source of [inMemory(made), zipped(made)]) {
        await assert.rejects(Segmenter.open(source), (error: Error) => {
          assert.match(error.name, /^(Bundle|Backend|UnknownConcept)Error$/, error.stack);
          for (const word of recipe.says) assert.ok(error.message.includes(word), `${word}: ${error.message}`);
          return true;
        });
      }
    });
  }
});
