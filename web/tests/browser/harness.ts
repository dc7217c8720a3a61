/** What runs within the browser: the package as a page uses it, on the test vectors. */

import { loadImage } from "../../src/image.js";
import { type Device, type Picture, Segmenter } from "../../src/index.js";
import { checkBundle, checkStages, Findings } from "../vectors/check.js";
import { inMemory, readRecipes, spoilt } from "../vectors/hostile.js";
import { pictureOf, tensorOf } from "../vectors/stages.js";
import { numbers, readVectors, type Vectors } from "../vectors/values.js";
import { exif, GAMMA, png } from "./png.js";

const RUNS = 5;

async function read(path: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(`/vectors/${path}`)).arrayBuffer());
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

/** Seconds of opening a bundle, and of encoding an image, a concept and a further click: medians. */
async function timed(bundle: string, device: Device, threads: number, image: Picture): Promise<Record<string, number>> {
  const clock = async (work: () => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    await work();
    return (performance.now() - started) / 1000;
  };
  let segmenter: Segmenter | undefined;
  const open = await clock(async () => {
    segmenter = await Segmenter.open(bundle, { device, threads, enginePath: "/engine/" });
  });
  if (segmenter === undefined) throw new Error("not opened");
  const [concept = ""] = segmenter.concepts;
  const found: Record<"image" | "both" | "decoder", number[]> = { image: [], both: [], decoder: [] };
  for (let run = 0; run <= RUNS; run++) {
    let encoded = await segmenter.encode(image);
    const encoder = segmenter;
    const image_ = await clock(async () => {
      encoded = await encoder.encode(image);
    });
    const both = await clock(() => encoded.predict(concept));
    const decoder = await clock(() => encoded.predict(concept)); // its embedding is kept
    if (run === 0) continue; // the first run makes what later ones use
    found.image.push(image_);
    found.both.push(both);
    found.decoder.push(decoder);
  }
  await segmenter.close();
  const decoder = median(found.decoder);
  return { open, image: median(found.image), concept: median(found.both) - decoder, decoder };
}

/** Decodes pictures that carry an orientation, as files are decoded. */
async function checkUpright(vectors: Vectors, findings: Findings): Promise<void> {
  for (const vector of vectors.vectors.filter(({ stage }) => stage === "upright")) {
    const { width, height, data } = pictureOf(vector.given);
    const file = png(data as Uint8Array, width, height, [exif(Number(vector.given.orientation))]);
    const turned = await loadImage(file);
    findings.add(vector, { upright: { shape: [], data: withoutAlpha(turned) } });
  }
}

function withoutAlpha({ data }: Picture): Uint8Array {
  return Uint8Array.from(data.filter((_, i) => i % 4 !== 3));
}

/** Counts values that differ between a decoded file and the pixels that are stored in it. */
async function decodingErrors(vectors: Vectors): Promise<Record<string, number>> {
  const vector = vectors.vectors.find(({ stage, name }) => stage === "pixels" && name === "down");
  if (vector === undefined) throw new Error("no picture");
  const { width, height, data } = pictureOf(vector.given);
  const differing = async (file: Blob, stored: ArrayLike<number>): Promise<number> => {
    const found = withoutAlpha(await loadImage(file));
    return found.filter((value, i) => value !== stored[i]).length;
  };
  const pixels = data as Uint8Array;
  const transparent = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) transparent.set([...pixels.subarray(3 * i, 3 * i + 3), i % 256], 4 * i);
  return {
    plain: await differing(png(pixels, width, height), pixels),
    gamma: await differing(png(pixels, width, height, [GAMMA]), pixels),
    transparent: await differing(png(transparent, width, height), pixels),
  };
}

async function message(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "",
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

/** Messages for images that must be refused. */
async function refusedImages(): Promise<Record<string, string>> {
  const deep = png(new Uint8Array(4 * 4 * 6), 4, 4, [], 16);
  return {
    deep: await message(loadImage(deep)),
    text: await message(loadImage(new Blob(["no image"]))),
    tiny: await message(loadImage(png(new Uint8Array(3), 1, 1))),
    floats: await message(loadImage({ width: 2, height: 2, data: new Float32Array(12) as unknown as Uint8Array })),
  };
}

async function hostile(device: Device): Promise<{ refused: number; of: number; failures: string[] }> {
  const { recipes, files } = await readRecipes(read);
  const failures: string[] = [];
  for (const recipe of recipes) {
    const source = inMemory(await spoilt(files, recipe)); // zips of them are refused in Node
    const said = await message(Segmenter.open(source, { device, threads: 1, enginePath: "/engine/" }));
    if (!recipe.says.every((word) => said.includes(word)) || said === "") failures.push(`${recipe.name}: ${said}`);
  }
  return {
    refused: recipes.length - new Set(failures.map((line) => line.split(":")[0])).size,
    of: recipes.length,
    failures,
  };
}

/** Everything that a results file holds, and what went wrong. */
async function check(device: Device, threads: number): Promise<unknown> {
  const vectors = await readVectors(read);
  const findings = new Findings(vectors.tolerances);
  checkStages(vectors, findings);
  await checkUpright(vectors, findings);
  for (const bundle of vectors.bundles) {
    const options = { device, threads, enginePath: "/engine/" };
    const segmenter = await Segmenter.open(`/vectors/${bundle}`, options);
    await checkBundle(segmenter, vectors, findings);
    await segmenter.close();
  }
  const image = vectors.vectors.find(({ stage }) => stage === "bundle");
  if (image === undefined) throw new Error("no vectors");
  const newest = `/vectors/${vectors.bundles.at(-1)}`;
  return {
    formats: vectors.bundles.map((name) => Number(/format-(\d+)/.exec(name)?.[1])),
    failures: findings.failures,
    stages: findings.stages,
    masks: findings.masks,
    hostile: await hostile(device),
    seconds: await timed(newest, device, threads, pictureOf(image.given)),
    isolated: crossOriginIsolated,
  };
}

/** The largest difference of a value between a decoded file and the same file as Pillow decoded it. */
async function fromPillow(picture: string, image: Blob): Promise<number> {
  const [ours, theirs] = [await loadImage(image), await loadImage(await (await fetch(`${picture}.pixels.png`)).blob())];
  if (ours.width !== theirs.width || ours.height !== theirs.height) return Number.POSITIVE_INFINITY;
  let most = 0;
  ours.data.forEach((value, i) => {
    most = Math.max(most, Math.abs(value - (theirs.data[i] as number)));
  });
  return most;
}

/** Masks of one picture as COCO's RLE, of the bundle at an address; and times, where they are asked for. */
async function segment(
  bundle: string,
  picture: string,
  device: Device,
  threads: number,
  clocked: boolean,
): Promise<unknown> {
  const image = await (await fetch(picture)).blob();
  const segmenter = await Segmenter.open(bundle, { device, threads, enginePath: "/engine/" });
  const result = await segmenter.segment(image, null, { skipAbsent: false });
  const seconds = clocked ? await timed(bundle, device, threads, await loadImage(image)) : null;
  const masks = Object.fromEntries([...result].map((one) => [one.name, { rle: one.rle(), score: one.score }]));
  const used = segmenter.threads;
  await segmenter.close();
  return { masks, seconds, threads: used, largestDifference: await fromPillow(picture, image) };
}

/** Holds the vectors' PNG files to their pixels. */
async function pictures(): Promise<Record<string, number>> {
  const vectors = await readVectors(read);
  const found: Record<string, number> = await decodingErrors(vectors);
  for (const { stage, given } of vectors.vectors) {
    if (stage !== "bundle") continue;
    const name = String(given.picture);
    const decoded = withoutAlpha(await loadImage(new Blob([(await read(name)) as Uint8Array<ArrayBuffer>])));
    const stored = numbers(tensorOf(given, "image"));
    found[name] = decoded.filter((value, i) => value !== stored[i]).length;
  }
  return found;
}

Object.assign(globalThis, { harness: { check, segment, pictures, refusedImages } });
