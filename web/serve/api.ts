/** The server's interface, as `/openapi.json` describes it. */

import type { Rle } from "./rle.js";

/** What the bundle knows, and the limits of the server. */
export interface Known {
  readonly bundle: string;
  readonly concepts: readonly { readonly concept: string; readonly calibrated: boolean }[];
  readonly max_pixels: number;
  readonly max_upload: number;
}

/** A picture that the server has encoded. */
export interface Kept {
  readonly image: string;
  readonly width: number;
  readonly height: number;
  readonly likeliest: readonly string[];
  readonly ruled_out: readonly string[];
  readonly seconds: { readonly image: number };
}

/** One connected part of a mask. */
export interface FoundObject {
  readonly area: number;
  readonly box: readonly [x: number, y: number, width: number, height: number];
  readonly mask: Rle;
}

/** A concept in a picture. */
export interface FoundConcept {
  readonly concept: string;
  readonly present: boolean;
  readonly calibrated: boolean;
  readonly presence: number;
  readonly score: number;
  readonly mask: Rle;
  readonly objects: readonly FoundObject[];
}

/** The answer to a question. */
export interface Masks {
  readonly concepts: readonly FoundConcept[];
  readonly seconds: { readonly queue: number; readonly concepts: number };
}

/** Clicks and a box for one concept. */
export interface Prompt {
  readonly concept: string;
  readonly points: readonly (readonly [number, number])[];
  readonly labels: readonly number[];
  readonly box: readonly [number, number, number, number] | null;
}

/** A question about a picture. */
export interface Question {
  readonly concepts: readonly string[];
  readonly prompts: readonly Prompt[];
  readonly skip_absent?: boolean;
}

/** A request that the server refused, with its reason. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

const TOKEN = "cgsam-token";
const MOST_TRIES = 20;
const BUSY = [429, 503];

/** Speaks with the server; waits where it is busy, and asks for a token where one is needed. */
export class Api {
  /**
   * @param askToken asks a person for the token; ``wrong`` says whether one was refused.
   * @param onBusy called when the server is busy and a request is tried again.
   */
  constructor(
    readonly askToken: (wrong: boolean) => Promise<string>,
    readonly onBusy: () => void,
  ) {}

  async known(): Promise<Known> {
    return (await this.#ask("concepts", {})).json();
  }

  /** Returns the names of the formats that the server writes. */
  async formats(): Promise<readonly string[]> {
    const described = await (await this.#ask("openapi.json", {})).json();
    return described.components.schemas.SegmentOptions.properties.format.enum;
  }

  async keep(picture: Blob, name: string, signal: AbortSignal): Promise<Kept> {
    const body = new FormData();
    body.append("image", picture, name);
    return (await this.#ask("images", { method: "POST", body, signal })).json();
  }

  async segment(image: string, question: Question, signal: AbortSignal): Promise<Masks> {
    return (await this.#question({ image, ...question }, signal)).json();
  }

  /** Returns a file in one of the formats, and the name that the server gives it. */
  async file(image: string, name: string, format: string, question: Question): Promise<File> {
    const response = await this.#question({ image, name, format, ...question }, new AbortController().signal);
    const given = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("content-disposition") ?? "")?.[1];
    return new File([await response.blob()], decodeURIComponent(given ?? `${name}.${format}`));
  }

  #question(question: object, signal: AbortSignal): Promise<Response> {
    const headers = { "content-type": "application/json" };
    return this.#ask("segment", { method: "POST", headers, body: JSON.stringify(question), signal });
  }

  async #ask(path: string, options: RequestInit): Promise<Response> {
    for (let tries = 1; ; tries++) {
      const token = sessionStorage.getItem(TOKEN);
      const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
      const response = await fetch(path, { ...options, headers });
      if (response.ok) return response;
      if (response.status === 401) {
        sessionStorage.setItem(TOKEN, await this.askToken(token !== null));
      } else if (BUSY.includes(response.status) && tries < MOST_TRIES) {
        this.onBusy();
        await pause(Number(response.headers.get("retry-after") ?? 1));
      } else {
        throw new Refused(response.status, await reason(response));
      }
    }
  }
}

async function reason(response: Response): Promise<string> {
  const problem = await response.json().catch(() => ({}));
  return String(problem.detail ?? `the server answered ${response.status}`);
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
