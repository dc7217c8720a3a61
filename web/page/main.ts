/** The page's entry: connects buttons, files and keys to the app. */

import type { Device } from "../src/index.js";
import { element, onPress } from "../ui/elements.js";
import { type Instead, listen } from "../ui/sources.js";
import { App } from "./app.js";
import { besidePage, chooseNone, type Model, offer } from "./models.js";
import { prepareOffline } from "./offline.js";
import { complain, say } from "./status.js";

const SAMPLE = "sample.png";

function isBundle(file: Blob): boolean {
  return file.type.includes("zip") || (file instanceof File && file.name.endsWith(".zip"));
}

function device(): Device {
  return element("device", HTMLSelectElement).value as Device;
}

async function download(app: App): Promise<void> {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await app.png());
  link.download = "masks.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function sample(): Promise<Blob> {
  const response = await fetch(SAMPLE);
  if (!response.ok) throw new Error("The page has no sample.");
  return response.blob();
}

function connect(app: App, instead: Instead, reopen: () => unknown): void {
  onPress("undo", () => app.undo());
  onPress("clear", () => app.clear());
  onPress("save", () => download(app));
  onPress("sample", () => instead(sample()));
  const opacity = element("opacity", HTMLInputElement);
  opacity.addEventListener("input", () => app.setOpacity(Number(opacity.value) / 100));
  const outside = element("outside", HTMLInputElement);
  outside.addEventListener("change", () => app.setOutside(outside.checked));
  element("device", HTMLSelectElement).addEventListener("change", reopen);
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") app.undo();
    if (event.key === "Escape") app.clear();
  });
}

async function start(): Promise<void> {
  say("Preparing");
  if (!(await prepareOffline())) return;
  const app = new App();
  let bundle: string | Blob | null = null;
  const open = async (source: string | Blob | null): Promise<void> => {
    bundle = source;
    if (source !== null) await app.open(source, device());
  };
  const instead = listen((file) => {
    if (!isBundle(file)) return app.show(file);
    chooseNone();
    return open(file);
  }, complain);
  connect(app, instead, () => open(bundle));
  await openFirst(open, () => bundle !== null);
}

/**
 * Offers the bundles beside the page, and opens the first, or the one that the address names, unless the user was
 * quicker and `chose` another.
 */
async function openFirst(open: (source: string) => Promise<void>, chose: () => boolean): Promise<void> {
  const address = new URLSearchParams(location.search).get("bundle");
  const models = address === null ? await besidePage() : [{ name: address, file: address }];
  const at = (file: string): string => new URL(file, document.baseURI).href;
  offer(models, (file) => open(at(file)));
  if (chose()) chooseNone();
  else await open(at((models[0] as Model).file));
}

start().catch(complain);
