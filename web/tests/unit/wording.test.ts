/** Numbers in sentences. */

import assert from "node:assert/strict";
import test from "node:test";
import { amount } from "../../ui/wording.js";

test("one thing is one, and more are many", () => {
  assert.equal(amount(1, "concept"), "1 concept");
  assert.equal(amount(0, "concept"), "0 concepts");
  assert.equal(amount(11, "concept"), "11 concepts");
});
