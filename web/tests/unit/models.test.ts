/** The list of models that the page offers. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { modelsOf } from "../../page/models.js";

test("a list of models is read, in its order", async () => {
  const text = '[{"name": "Cars", "file": "cars.zip"}, {"name": "Trees", "file": "https://a.test/b.zip"}]';
  assert.deepEqual(modelsOf(text), [
    { name: "Cars", file: "cars.zip" },
    { name: "Trees", file: "https://a.test/b.zip" },
  ]);
  const own = modelsOf(await readFile(new URL("../../page/models.json", import.meta.url), "utf8"));
  assert.deepEqual(
    own.map(({ file }) => file),
    ["tiny.zip", "bundle.zip"],
  );
});

for (const text of [
  "",
  "<!doctype html>",
  "[,",
  "[]",
  "{}",
  "null",
  '["cars.zip"]',
  '[{"name": "Cars", "file": ""}]',
]) {
  test(`${text || "nothing"} is refused`, () => {
    assert.throws(() => modelsOf(text), /^Error: models\.json: expected a list such as/);
  });
}
