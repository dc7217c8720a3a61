/** ONNX Runtime Web: the graphs of a bundle on WebAssembly or WebGPU. */

import type { InferenceSession, Tensor } from "onnxruntime-web";
import { BackendError, InputError, messageOf } from "./errors.js";
import type { GraphSpec } from "./manifest.js";

type Ort = typeof import("onnxruntime-web");

/** Where graphs run. */
export type Device = "wasm" | "webgpu";

/** How the engine is opened. */
export interface EngineOptions {
  /**
   * "wasm", the processor, is the default; "webgpu" is the graphics card; "auto" takes WebGPU where the browser has a
   * graphics card for it, and else WebAssembly.
   */
  readonly device?: Device | "auto";
  /** Threads of WebAssembly; by default as many as there are cores, but one where the page is not isolated. */
  readonly threads?: number;
  /** Folder with ONNX Runtime's `ort-wasm-simd-threaded*` files, where they do not lie beside the script. */
  readonly enginePath?: string;
}

/** Arrays by the name of a graph's input or output, rows first. */
export type Values = Readonly<Record<string, Float32Array>>;

/** Most threads that help: the products of these graphs are small. */
const MOST_THREADS = 4;

/** How many threads WebAssembly has on this page: ONNX Runtime starts them once, and keeps them. */
let running: number | null = null;

/** An opened engine, which opens graphs. */
export class Engine {
  private constructor(
    readonly device: Device,
    readonly threads: number,
    readonly ort: Ort,
  ) {}

  /**
   * Loads the engine.
   *
   * @throws BackendError it cannot be loaded, or the browser lacks what was asked for.
   */
  static async open(options: EngineOptions = {}): Promise<Engine> {
    const device = await chosenDevice(options.device ?? "wasm");
    const threads = device === "wasm" ? chosenThreads(options.threads) : 1;
    try {
      // Each has its own file of 14 to 27 MB, so only the one that is used is loaded.
      const ort = await (device === "wasm" ? import("onnxruntime-web/wasm") : import("onnxruntime-web/webgpu"));
      ort.env.wasm.numThreads = threads;
      ort.env.logLevel = "error";
      if (options.enginePath !== undefined) ort.env.wasm.wasmPaths = options.enginePath;
      return new Engine(device, threads, ort as Ort);
    } catch (error) {
      throw new BackendError(`ONNX Runtime Web cannot be loaded (${messageOf(error)}).`, { cause: error });
    }
  }

  /**
   * Opens a graph.
   *
   * @param bytes its file, which the engine may keep.
   * @param name of the graph, for messages.
   */
  async openGraph(bytes: Uint8Array, spec: GraphSpec, name: string): Promise<Graph> {
    try {
      const session = await this.ort.InferenceSession.create(bytes, {
        executionProviders: [this.device],
        graphOptimizationLevel: "all",
      });
      return new Graph(session, spec, name, this.ort);
    } catch (error) {
      throw new BackendError(`the graph '${name}' cannot be opened on ${this.device} (${messageOf(error)}).`, {
        cause: error,
      });
    }
  }
}

/** A graph on an engine. */
export class Graph {
  readonly #session: InferenceSession;
  readonly #ort: Ort;

  constructor(
    session: InferenceSession,
    readonly spec: GraphSpec,
    readonly name: string,
    ort: Ort,
  ) {
    this.#session = session;
    this.#ort = ort;
  }

  /**
   * Computes all outputs from those of the values that the graph takes.
   *
   * @throws BackendError the engine failed, or an output has another size than the manifest says.
   */
  async run(values: Values): Promise<Values> {
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape } of this.spec.inputs) {
      const value = values[name];
      if (value === undefined) throw new BackendError(`the graph '${this.name}' wants '${name}', which nothing made.`);
      feeds[name] = new this.#ort.Tensor("float32", value, shape);
    }
    let found: Readonly<Record<string, Tensor>>;
    try {
      found = await this.#session.run(feeds);
    } catch (error) {
      throw new BackendError(`the graph '${this.name}' failed (${messageOf(error)}).`, { cause: error });
    }
    return Object.fromEntries(
      this.spec.outputs.map(({ name, shape }) => [name, this.#output(found[name], name, shape)]),
    );
  }

  #output(tensor: Tensor | undefined, name: string, shape: readonly number[]): Float32Array {
    const data = tensor?.data;
    if (!(data instanceof Float32Array) || data.length !== shape.reduce((a, b) => a * b, 1)) {
      throw new BackendError(`the graph '${this.name}' gave no '${name}' of shape (${shape.join(", ")}).`);
    }
    return data;
  }

  /** Frees the graph's memory. */
  async close(): Promise<void> {
    await this.#session.release();
  }
}

async function chosenDevice(wish: Device | "auto"): Promise<Device> {
  if (wish === "wasm") return wish;
  if (wish !== "webgpu" && wish !== "auto") {
    throw new InputError(`device must be "wasm", "webgpu" or "auto", got ${JSON.stringify(wish)}.`);
  }
  const adapter = await globalThis.navigator?.gpu?.requestAdapter();
  if (wish === "auto") return adapter && !adapter.info.isFallbackAdapter ? "webgpu" : "wasm";
  if (adapter) return wish;
  throw new BackendError('this browser offers no WebGPU on this machine. Open with device "wasm".');
}

function chosenThreads(wish: number | undefined): number {
  const chosen = possibleThreads(wish);
  if (running !== null && wish !== undefined && chosen !== running) {
    console.warn(`cgsam-web: WebAssembly runs with ${running} threads on this page already; it keeps them.`);
  }
  running ??= chosen;
  return running;
}

function possibleThreads(wish: number | undefined): number {
  if (wish !== undefined && !(Number.isInteger(wish) && wish >= 1)) {
    throw new InputError(`threads must be a whole number, 1 or more, got ${wish}.`);
  }
  // Threads share memory, which browsers allow only to pages with the headers COOP and COEP.
  if (!globalThis.crossOriginIsolated) return 1;
  return wish ?? Math.min(MOST_THREADS, globalThis.navigator?.hardwareConcurrency ?? 1);
}
