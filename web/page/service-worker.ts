/**
 * Keeps the page for use without a network, and gives its files the two headers that let ONNX Runtime use threads, so
 * that any host of static files will do.
 */

declare const self: ServiceWorkerGlobalScope;
/** Written by `build.mjs`: the page's files, and a hash of them all. */
declare const FILES: readonly string[];
declare const VERSION: string;

const PAGE = `page-${VERSION}`;
/** Bundles, and the graphics card's engine: kept when they are first used. */
const LATER = "later";

self.addEventListener("install", (event) => {
  const fill = async (): Promise<void> => (await caches.open(PAGE)).addAll([...FILES]);
  event.waitUntil(fill().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    const old = (await caches.keys()).filter((name) => name.startsWith("page-") && name !== PAGE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === self.location.origin) {
    event.respondWith(answer(request).then(isolated));
  }
});

async function answer(request: Request): Promise<Response> {
  const page = await caches.open(PAGE);
  const kept = await page.match(request.mode === "navigate" ? "./" : request);
  return kept ?? fromNetwork(request);
}

/** The network knows better where there is one; a copy is kept for when there is none. */
async function fromNetwork(request: Request): Promise<Response> {
  const cache = await caches.open(LATER);
  try {
    const response = await fetch(request);
    if (response.status === 200) await keep(cache, request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}

/** A full disk is no reason to fail. */
async function keep(cache: Cache, request: Request, response: Response): Promise<void> {
  await cache.put(request, response).catch(() => undefined);
}

function isolated(response: Response): Response {
  if (response.type === "opaque" || response.type === "opaqueredirect" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
