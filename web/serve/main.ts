/** The page's entry: connects buttons, files and keys to the app. */

import { element, onPress } from "../ui/elements.js";
import { type Instead, listen } from "../ui/sources.js";
import { Api } from "./api.js";
import { App } from "./app.js";
import { complain, say } from "./status.js";

const SAMPLE = "sample.webp";
/** Formats that have a button, or that the page makes itself. */
const OTHERWISE = ["masks", "coco", "overlay", "cutout"];
const NAMES: Readonly<Record<string, string>> = {
  yolo: "YOLO",
  voc: "Pascal VOC",
  labelstudio: "Label Studio",
  cvat: "CVAT",
  labelme: "LabelMe",
  geojson: "GeoJSON",
  labels: "Label map",
};

/** Asks for the token in a dialog that only an answer closes. */
function askToken(wrong: boolean): Promise<string> {
  const dialog = element("token-dialog", HTMLDialogElement);
  const input = element("token", HTMLInputElement);
  input.value = "";
  element("token-wrong", HTMLParagraphElement).hidden = !wrong;
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("cancel", (event) => event.preventDefault(), { once: true });
    dialog.addEventListener("close", () => resolve(input.value.trim()), { once: true });
  });
}

async function sample(): Promise<Blob> {
  const response = await fetch(SAMPLE);
  if (!response.ok) throw new Error(`The sample cannot be loaded: the server answered ${response.status}.`);
  return new File([await response.blob()], "street.webp", { type: "image/webp" });
}

/** A press on one of two buttons decides what clicks mean; touch has no shift key. */
function chooseMeaning(app: App): void {
  const set = (outside: boolean) => (): void => {
    app.setOutside(outside);
    element("include", HTMLButtonElement).setAttribute("aria-pressed", String(!outside));
    element("exclude", HTMLButtonElement).setAttribute("aria-pressed", String(outside));
  };
  onPress("include", set(false));
  onPress("exclude", set(true));
}

async function offerFormats(app: App, api: Api): Promise<void> {
  const select = element("save-other", HTMLSelectElement);
  const others = (await api.formats()).filter((name) => !OTHERWISE.includes(name));
  select.replaceChildren(new Option("More", ""), ...others.map((name) => new Option(NAMES[name] ?? name, name)));
  select.addEventListener("change", async () => {
    const format = select.value;
    select.value = "";
    await app.save(format);
  });
}

function connect(app: App, instead: Instead): void {
  onPress("undo", () => app.undo());
  onPress("clear", () => app.clear());
  onPress("sample", () => instead(sample()));
  for (const format of ["png", "cutout", "coco"]) onPress(`save-${format}`, () => app.save(format));
  const opacity = element("opacity", HTMLInputElement);
  opacity.addEventListener("input", () => app.setOpacity(Number(opacity.value) / 100));
  app.setOpacity(Number(opacity.value) / 100);
  chooseMeaning(app);
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") app.undo();
    if (event.key === "Escape") app.clear();
  });
}

async function start(): Promise<void> {
  const api = new Api(askToken, () => say("The server is busy. Waiting."));
  const app = new App(api, () => offerFormats(app, api).catch(complain));
  // Before anything is awaited: a press in the meantime would be lost.
  connect(
    app,
    listen((file) => app.show(file), complain),
  );
  await app.connect();
}

start().catch(complain);
