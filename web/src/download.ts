/** Fetching a file of a known greatest size. */

import { BundleError, messageOf } from "./errors.js";

/** Called with the bytes that have come so far, and how many there will be, 0 where nobody knows. */
export type Progress = (loaded: number, total: number, name: string) => void;

/** What a download may cost, and who hears of it. */
export interface DownloadOptions {
  /** Bytes after which no more is read; what comes back is then one byte longer than this at most. */
  readonly most: number;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Fetches a file; null where there is none (HTTP 404 or 410).
 *
 * @throws BundleError it cannot be fetched.
 */
export async function download(url: string, options: DownloadOptions): Promise<Uint8Array | null> {
  const response = await request(url, options.signal);
  if (response.status === 404 || response.status === 410) return null;
  if (!response.ok) throw new BundleError(`${url}: the server answered ${response.status} ${response.statusText}.`);
  try {
    return await body(response, url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new BundleError(`${url}: the download broke off (${messageOf(error)}). Try again.`, { cause: error });
  }
}

async function request(url: string, signal: AbortSignal | undefined): Promise<Response> {
  try {
    return await fetch(url, signal ? { signal } : {});
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new BundleError(
      `${url}: cannot be fetched (${messageOf(error)}). Check the address and the connection; another site must allow ` +
        "this page to read from it (CORS).",
      { cause: error },
    );
  }
}

async function body(response: Response, url: string, { most, progress }: DownloadOptions): Promise<Uint8Array> {
  const total = Number(response.headers.get("Content-Length") ?? 0);
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body?.getReader();
  for (let step = await reader?.read(); step && !step.done; step = await reader?.read()) {
    chunks.push(step.value);
    loaded += step.value.length;
    progress?.(loaded, total, url);
    if (loaded > most) {
      await reader?.cancel();
      break;
    }
  }
  return joined(chunks, Math.min(loaded, most + 1));
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk.subarray(0, length - at), at);
    at += Math.min(chunk.length, length - at);
  }
  return bytes;
}
