/** CLIP-Guided SAM in the browser: opens the bundles that cgsam-edge exports. */

export { Bundle } from "./bundle.js";
export type { Limits } from "./decoder.js";
export { type Concepts, Encoded } from "./encoded.js";
export type { Device, EngineOptions } from "./engine.js";
export {
  BackendError,
  BundleError,
  CgsamError,
  ImageError,
  InputError,
  PromptError,
  UnknownConceptError,
} from "./errors.js";
export type { BundleFiles } from "./files.js";
export type { ImageSource } from "./image.js";
export type { Manifest } from "./manifest.js";
export { type Picture, resizeLikePillow } from "./pillow.js";
export type { Box, Point, Prompt, Size } from "./prompts.js";
export { type ConceptNumbers, ConceptResult, Result } from "./results.js";
export type { Rle } from "./rle.js";
export { type OpenOptions, Segmenter } from "./segmenter.js";
