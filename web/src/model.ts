/** A bundle with its graphs opened on an engine, shared by a segmenter and the images that it encodes. */

import type { Bundle } from "./bundle.js";
import type { Engine, Graph, Values } from "./engine.js";
import { BackendError, InputError } from "./errors.js";
import { GRAPH_NAMES, type GraphName } from "./manifest.js";

const TARGET = "onnxruntime";

const PROMPT_WARNINGS = {
  text:
    "this model was trained on clicks, not on points drawn from text similarity; its masks from text alone are worse " +
    "than they could be.",
  clicks: "this model was trained for text-only prompts; its masks from clicks and boxes are worse than they could be.",
} as const;

/** The graphs of a bundle, with what is needed to feed them. */
export class OpenedModel {
  #graphs: ReadonlyMap<string, Graph> | null;
  #last: Promise<unknown> = Promise.resolve();
  readonly #warned = new Set<string>();

  private constructor(
    readonly bundle: Bundle,
    readonly engine: Engine,
    graphs: ReadonlyMap<string, Graph>,
  ) {
    this.#graphs = graphs;
  }

  /**
   * Opens the graphs one after the other, so that one file at a time is held.
   *
   * @throws BundleError a file is missing or altered.
   * @throws BackendError the engine cannot open a graph.
   */
  static async open(bundle: Bundle, engine: Engine): Promise<OpenedModel> {
    const specs = bundle.graphs(TARGET);
    const graphs = new Map<string, Graph>();
    try {
      for (const name of GRAPH_NAMES) {
        const spec = specs.get(name);
        if (spec) graphs.set(name, await engine.openGraph(await bundle.graphBytes(spec), spec, name));
      }
    } catch (error) {
      for (const graph of graphs.values()) await graph.close();
      throw error;
    }
    return new OpenedModel(bundle, engine, graphs);
  }

  /** Names of a graph's inputs. */
  inputs(graph: GraphName): ReadonlySet<string> {
    return new Set(this.#graph(graph).spec.inputs.map(({ name }) => name));
  }

  /** Computes what all concepts of an image share: the outputs of `clip`, where the bundle has it, and of `image`. */
  async features(pixels: Float32Array): Promise<Values> {
    const clip = this.#graphs?.has("clip") ? await this.run("clip", { pixels }) : {};
    return { ...clip, ...(await this.run("image", { pixels, ...clip })) };
  }

  /**
   * Runs a graph on those of the values that it takes, after all that was asked for before: an engine in a browser
   * does one thing at a time.
   */
  run(graph: GraphName, values: Values): Promise<Values> {
    const turn = this.#last.then(() => this.#graph(graph).run(values));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #graph(name: GraphName): Graph {
    const graph = this.#graphs?.get(name);
    if (graph === undefined) throw new BackendError("the segmenter is closed.");
    return graph;
  }

  /** Returns indices into the vocabulary in the order asked, each once; all where nothing was asked. */
  indices(concepts: string | Iterable<string> | null | undefined): number[] {
    const { vocabulary } = this.bundle;
    if (concepts === null || concepts === undefined) return [...vocabulary.names.keys()];
    const names = typeof concepts === "string" ? [concepts] : [...concepts];
    for (const name of names) {
      if (typeof name !== "string") throw new InputError(`a concept's name must be a string, got ${String(name)}.`);
    }
    return [...new Set(names.map((name) => vocabulary.index(name)))];
  }

  /** Warns once of prompts that training did not use. */
  warnOfPrompts(kind: keyof typeof PROMPT_WARNINGS): void {
    if (this.bundle.manifest.prompting.trainedFor.includes(kind) || this.#warned.has(kind)) return;
    this.#warned.add(kind);
    console.warn(`cgsam-web: ${PROMPT_WARNINGS[kind]}`);
  }

  /** Frees the engine's memory, after what still runs. */
  async close(): Promise<void> {
    const graphs = this.#graphs;
    this.#graphs = null;
    await this.#last;
    for (const graph of graphs?.values() ?? []) await graph.close();
  }
}
