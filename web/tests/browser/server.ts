/** A server of files for the tests: the built page, the vectors, and a script made for one test. */

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const WEB = fileURLToPath(new URL("../../", import.meta.url));
const KINDS: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".png": "image/png",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
};

/** Folders by the first part of an address. */
const FOLDERS: Readonly<Record<string, string>> = {
  page: `${WEB}dist/page/`,
  engine: `${WEB}dist/page/engine/`,
  vectors: `${WEB}../docs/vectors/`,
  shipped: `${WEB}../cgsam_edge/models/scenes.cgsam/`,
  data: process.env.CGSAM_WEB_DATA ? `${process.env.CGSAM_WEB_DATA}/` : `${WEB}tests/data/`,
};

/** A running server. */
export interface Served {
  readonly address: string;
  readonly server: Server;
  close(): Promise<void>;
}

/** Starts a server; with `isolated`, pages may share memory between threads. */
export async function serve(isolated = false): Promise<Served> {
  const script = await harness();
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const body = await content(path, script);
    if (body !== null && isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader(
      "Content-Type",
      KINDS[extname(path)] ?? (path.endsWith("/") ? "text/html" : "application/octet-stream"),
    );
    response.statusCode = body === null ? 404 : 200;
    response.end(body ?? "not found");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { address: `http://localhost:${(server.address() as AddressInfo).port}`, server, close };
}

async function content(path: string, script: Uint8Array): Promise<Uint8Array | string | null> {
  if (path === "/") return '<!doctype html><title>harness</title><script type="module" src="harness.js"></script>';
  if (path === "/harness.js") return script;
  const [, first = "", ...rest] = normalize(path).split("/");
  const folder = FOLDERS[first];
  if (folder === undefined || rest.includes("..")) return null;
  return readFile(folder + (rest.join("/") || "index.html")).catch(() => null);
}

async function harness(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [`${WEB}tests/browser/harness.ts`],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    conditions: ["onnxruntime-web-use-extern-wasm"],
  });
  return outputFiles[0]?.contents ?? new Uint8Array();
}
