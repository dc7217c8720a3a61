/** The shapes that a bundle's sizes ask of its graphs, so that a wrong one is found before an engine sees it. */

import { BundleError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { EXTRA_SLOTS } from "./prompts.js";
import type { Vocabulary } from "./vocabulary.js";

/**
 * Refuses a manifest whose sizes, graphs and vocabulary contradict each other.
 *
 * @param where the manifest's file, for messages.
 */
export function checkShapes(where: string, manifest: Manifest, vocabulary: Vocabulary): void {
  const { embedDim } = manifest.geometry;
  if (vocabulary.features.columns !== embedDim) {
    throw new BundleError(
      `${where}: geometry.embed_dim is ${embedDim}, but the vocabulary's text features have ` +
        `${vocabulary.features.columns} numbers.`,
    );
  }
  const expected = expectedShapes(manifest, vocabulary);
  for (const [target, graphs] of manifest.targets) {
    for (const [name, graph] of graphs) {
      for (const tensor of [...graph.inputs, ...graph.outputs]) {
        const shape = expected.get(tensor.name);
        if (shape !== undefined && shape.join() !== tensor.shape.join()) {
          throw new BundleError(
            `${where}: '${tensor.name}' of the graph '${name}' for ${target} has shape (${tensor.shape.join(", ")}); ` +
              `the bundle's sizes ask for (${shape.join(", ")}).`,
          );
        }
      }
    }
  }
}

/** Returns the shape of every tensor that follows from the bundle's sizes, by name. */
function expectedShapes(manifest: Manifest, vocabulary: Vocabulary): ReadonlyMap<string, readonly number[]> {
  const { imageSize, maskSize, patchGrid, embedDim } = manifest.geometry;
  const slots = manifest.prompting.clickSlots + EXTRA_SLOTS;
  const mask = [1, 1, maskSize, maskSize];
  return new Map<string, readonly number[]>([
    ["pixels", [1, 3, imageSize, imageSize]],
    ["clip_features", [1 + patchGrid ** 2, embedDim]],
    ["similarity", [1, 1, patchGrid, patchGrid]],
    ["text_row", [1, ...vocabulary.rowShape]],
    ["points", [1, slots, 2]],
    ["labels", [1, slots]],
    ["dense_prompt", mask],
    ["mask_logits", mask],
    ["iou", [1, 1]],
  ]);
}
