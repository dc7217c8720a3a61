/** The segmenter in a separate thread, so that the page answers while it computes. */

import { type Encoded, Segmenter } from "../src/index.js";
import type { EncodedPicture, Found, Opened, Reply, Request } from "./messages.js";

let segmenter: Segmenter | null = null;
let encoded: Encoded | null = null;

function reply(message: Reply, transfer: Transferable[] = []): void {
  postMessage(message, { transfer });
}

async function open(request: Request & { kind: "open" }): Promise<Opened> {
  await segmenter?.close();
  [segmenter, encoded] = [null, null];
  segmenter = await Segmenter.open(request.source, {
    device: request.device,
    enginePath: request.engine,
    progress: (loaded, total) => reply({ loaded, total }),
  });
  const { concepts, device, threads, bundle } = segmenter;
  return { concepts, device, threads, name: bundle.files.where };
}

async function encode(request: Request & { kind: "encode" }): Promise<EncodedPicture> {
  if (segmenter === null) throw new Error("No model is open.");
  const started = performance.now();
  encoded = await segmenter.encode(request.image);
  return { size: encoded.size, ruledOut: encoded.ruledOut(), seconds: (performance.now() - started) / 1000 };
}

async function predict(request: Request & { kind: "predict" }): Promise<Found> {
  if (encoded === null) throw new Error("No picture is open.");
  const started = performance.now();
  const result = await encoded.predict(request.concept, request.prompt);
  const { name, score, presence, present, calibrated, mask } = result;
  return { name, mask, score, presence, present, calibrated, seconds: (performance.now() - started) / 1000 };
}

async function answer(request: Request): Promise<unknown> {
  if (request.kind === "open") return open(request);
  return request.kind === "encode" ? encode(request) : predict(request);
}

// One request after the other: what comes later may need what came before.
let last: Promise<void> = Promise.resolve();

addEventListener("message", ({ data: [id, request] }: MessageEvent<[number, Request]>) => {
  last = last.then(async () => {
    try {
      reply({ id, value: await answer(request) });
    } catch (error) {
      reply({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});
