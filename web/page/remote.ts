/** The segmenter in the worker, as the page sees it. */

import type { Answers, Reply, Request } from "./messages.js";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Sends requests to the worker, and gives a promise for each. */
export class RemoteSegmenter {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  /** @param onProgress called while a bundle is fetched. */
  constructor(onProgress: (loaded: number, total: number) => void) {
    this.#worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      if ("loaded" in data) onProgress(data.loaded, data.total);
      else this.#settle(data);
    });
    this.#worker.addEventListener("error", (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message || "The worker stopped."));
      this.#waiting.clear();
    });
  }

  /** Asks the worker for something. */
  ask<K extends Request["kind"]>(request: Request & { kind: K }): Promise<Answers[K]> {
    const id = this.#next++;
    this.#worker.postMessage([id, request]);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  #settle(reply: Exclude<Reply, { loaded: number }>): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ("error" in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.value);
  }
}
