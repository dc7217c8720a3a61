/** The page's entry: connects buttons, files and keys to the app. */

import type { Device } from "../src/index.js";
import { element, onPress } from "../ui/elements.js";
import { type Instead, listen } from "../ui/sources.js";
import { App } from "./app.js";
import { prepareOffline } from "./offline.js";
import { complain, say } from "./status.js";

/** The bundle that lies beside the page; `?bundle=ADDRESS` names another. */
const OWN_BUNDLE = "bundle.zip";
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
  const address = new URLSearchParams(location.search).get("bundle") ?? OWN_BUNDLE;
  let bundle: string | Blob = new URL(address, document.baseURI).href;
  const instead = listen((file) => {
    if (!isBundle(file)) return app.show(file);
    bundle = file;
    return app.open(file, device());
  }, complain);
  connect(app, instead, () => app.open(bundle, device()));
  await app.open(bundle, device());
}

start().catch(complain);
