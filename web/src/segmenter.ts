/** `Segmenter`: from a bundle and an image to masks. */

import { Bundle } from "./bundle.js";
import { ConceptDecoder, checkLimits, type Limits } from "./decoder.js";
import { type Concepts, Encoded } from "./encoded.js";
import { type Device, Engine, type EngineOptions } from "./engine.js";
import { type BundleFiles, type FilesOptions, openFiles } from "./files.js";
import { type ImageSource, loadImage } from "./image.js";
import { OpenedModel } from "./model.js";
import { toPixels } from "./pillow.js";
import type { Result } from "./results.js";

/** How a bundle is opened: the engine, who hears of the download, and what ends it. */
export type OpenOptions = EngineOptions & FilesOptions;

/** Segments images by concept with an exported bundle, in the browser alone: no image leaves it. */
export class Segmenter {
  readonly #model: OpenedModel;

  private constructor(model: OpenedModel) {
    this.#model = model;
  }

  /**
   * Opens a bundle.
   *
   * @param source the address of a bundle's folder, or of a `.zip` of one; or such a file itself; or files of your own.
   * @throws BundleError the bundle is missing, incomplete, altered, or too new.
   * @throws BackendError the engine cannot be loaded, or cannot open a graph.
   */
  static async open(source: string | URL | Blob | BundleFiles, options: OpenOptions = {}): Promise<Segmenter> {
    const bundle = await Bundle.open(isFiles(source) ? source : await openFiles(source, options));
    if (bundle.manifest.degraded) {
      console.warn(
        `cgsam-web: ${bundle.files.where}: exported although its masks are too far from the PyTorch model's.`,
      );
    }
    return new Segmenter(await OpenedModel.open(bundle, await Engine.open(options)));
  }

  /** The opened bundle. */
  get bundle(): Bundle {
    return this.#model.bundle;
  }

  /** Names of all concepts that the bundle holds. */
  get concepts(): readonly string[] {
    return this.#model.bundle.vocabulary.names;
  }

  /** Where the graphs run. */
  get device(): Device {
    return this.#model.engine.device;
  }

  /** Threads of WebAssembly. */
  get threads(): number {
    return this.#model.engine.threads;
  }

  /**
   * Segments one image from text alone.
   *
   * @param image a file, an element of the page, or pixels; files are turned upright by their EXIF orientation.
   * @param concepts names or synonyms; null means all.
   * @throws ImageError the image cannot be used.
   * @throws UnknownConceptError the bundle does not hold a concept.
   */
  async segment(image: ImageSource, concepts: Concepts = null, limits: Limits = {}): Promise<Result> {
    checkLimits(limits);
    this.#model.indices(concepts); // before the work, so that a typo costs nothing
    return (await this.encode(image)).segment(concepts, limits);
  }

  /**
   * Computes once what all concepts and prompts of one image share.
   *
   * @throws ImageError the image cannot be used.
   */
  async encode(image: ImageSource): Promise<Encoded> {
    const picture = await loadImage(image);
    const pixels = toPixels(picture, this.bundle.manifest.geometry.imageSize);
    const features = await this.#model.features(pixels);
    return new Encoded(new ConceptDecoder(this.#model, [picture.width, picture.height], features));
  }

  /** Frees the engine; the segmenter and what it encoded cannot be used afterwards. */
  close(): Promise<void> {
    return this.#model.close();
  }
}

function isFiles(source: string | URL | Blob | BundleFiles): source is BundleFiles {
  return typeof source === "object" && "read" in source;
}
