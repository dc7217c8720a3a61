/** What the page does: opens a bundle, encodes a picture, and asks for the masks of concepts. */

import type { Device, Point } from "../src/index.js";
import { element } from "../ui/elements.js";
import { type Chip, ConceptChips, colourOf, type Layer, type Marks, PictureView } from "../ui/index.js";
import { amount } from "../ui/wording.js";
import type { Found, Opened } from "./messages.js";
import { RemoteSegmenter } from "./remote.js";
import { complain, loaded, progress, say, time } from "./status.js";

const NO_MARKS: Marks = { points: [], labels: [], box: null };
/** Concepts that are computed for every new picture; of larger vocabularies the others wait for a press. */
const MOST_AT_ONCE = 16;

/** The page. */
export class App {
  readonly #remote = new RemoteSegmenter(progress);
  readonly #view: PictureView;
  readonly #chips: ConceptChips;
  readonly #found = new Map<string, Found>();
  readonly #marks = new Map<string, Marks>();
  #opened: Opened | null = null;
  #picture: Blob | null = null;
  /** Counts pictures and bundles, so that an answer that comes too late is known. */
  #turn = 0;
  /** The picture that was chosen last; of those that are still being decoded, only this one will be shown. */
  #chosen: Blob | null = null;

  constructor() {
    this.#view = new PictureView(element("picture", HTMLCanvasElement), {
      onPoint: (point, inside) => this.#addPoint(point, inside),
      onBox: (box) => this.#prompt((marks) => ({ ...marks, box })),
    });
    this.#chips = new ConceptChips(element("chips", HTMLDivElement), (chip) => this.#pressed(chip));
  }

  /** Opens a bundle, and segments the present picture with it. */
  async open(source: string | Blob, device: Device): Promise<void> {
    const turn = ++this.#turn;
    complain(null);
    say("Opening the model");
    try {
      const engine = new URL("engine/", document.baseURI).href;
      const opened = await this.#remote.ask({ kind: "open", source, device, engine });
      if (turn !== this.#turn) return;
      this.#opened = opened;
      this.#resetChips();
      say(amount(opened.concepts.length, "concept"), this.#engine());
      if (this.#picture) await this.show(this.#picture);
    } catch (error) {
      if (turn === this.#turn) complain(error);
    } finally {
      loaded();
    }
  }

  /** Shows a picture, and segments it. */
  async show(picture: Blob): Promise<void> {
    const turn = ++this.#turn;
    this.#chosen = picture;
    complain(null);
    try {
      const bitmap = await createImageBitmap(picture);
      if (picture !== this.#chosen) return bitmap.close();
      this.#view.show(bitmap);
      this.#picture = picture;
      this.#resetChips();
      this.#shown(true);
      if (this.#opened === null || turn !== this.#turn) return;
      say("Reading the picture");
      const encoded = await this.#remote.ask({ kind: "encode", image: picture });
      if (turn === this.#turn) await this.#segment(encoded.ruledOut, encoded.seconds, turn);
    } catch (error) {
      if (turn === this.#turn) complain(error);
    }
  }

  /** Removes the last click, or the box. */
  undo(): void {
    this.#prompt(({ points, labels, box }) =>
      box ? { points, labels, box: null } : { points: points.slice(0, -1), labels: labels.slice(0, -1), box },
    );
  }

  /** Removes all clicks and the box of the active concept. */
  clear(): void {
    this.#prompt(() => NO_MARKS);
  }

  setOpacity(opacity: number): void {
    this.#view.setOpacity(opacity);
  }

  setOutside(outside: boolean): void {
    this.#view.outside = outside;
  }

  /** Returns the picture with its masks as a PNG file. */
  png(): Promise<Blob> {
    return this.#view.png();
  }

  async #segment(ruledOut: readonly string[], seconds: number, turn: number): Promise<void> {
    const timing = [`picture ${time(seconds)}`];
    for (const name of ruledOut) this.#chips.update(name, { state: "absent" });
    const wanted = this.#chips.all.filter(({ state }) => state !== "absent").slice(0, MOST_AT_ONCE);
    let total = 0;
    for (const { name } of wanted) {
      const found = await this.#compute(name, turn);
      if (found === null) return;
      if (found.present && found.calibrated) this.#chips.update(name, { shown: true });
      total += found.seconds;
      this.#drawLayers();
      say(...timing, `${amount(wanted.length, "concept")} ${time(total)}`, this.#engine());
    }
  }

  /** Computes a concept with its clicks; null where something newer was begun meanwhile. */
  async #compute(concept: string, turn: number): Promise<Found | null> {
    const { points, labels, box } = this.#marks.get(concept) ?? NO_MARKS;
    this.#chips.update(concept, { state: "waiting" });
    const prompt = { points: points as readonly Point[], labels, box };
    const found = await this.#remote.ask({ kind: "predict", concept, prompt });
    if (turn !== this.#turn) return null;
    this.#found.set(concept, found);
    const state = !found.calibrated ? "unsure" : found.present ? "present" : "absent";
    this.#chips.update(concept, { state, note: `${Math.round(100 * found.presence)} %` });
    return found;
  }

  async #pressed(chip: Chip): Promise<void> {
    this.#drawLayers();
    if (!chip.shown || this.#found.has(chip.name) || chip.state === "waiting") return;
    if (this.#picture && this.#opened) await this.#again(chip.name, chip.name);
  }

  async #addPoint(point: Point, inside: boolean): Promise<void> {
    await this.#prompt(({ points, labels, box }) => ({
      points: [...points, point],
      labels: [...labels, inside ? 1 : 0],
      box,
    }));
  }

  async #prompt(change: (marks: Marks) => Marks): Promise<void> {
    const chip = this.#chips.active;
    if (chip === null) {
      complain(new Error("Choose a concept first: a click corrects the mask of one concept."));
      return;
    }
    this.#marks.set(chip.name, change(this.#marks.get(chip.name) ?? NO_MARKS));
    this.#drawLayers();
    await this.#again(chip.name, "click");
  }

  async #again(concept: string, what: string): Promise<void> {
    complain(null);
    const turn = this.#turn;
    try {
      const found = await this.#compute(concept, turn);
      if (found === null) return;
      this.#drawLayers();
      say(`${what} ${time(found.seconds)}`, `predicted IoU ${found.score.toFixed(2)}`, this.#engine());
    } catch (error) {
      this.#chips.update(concept, { state: "unknown" });
      complain(error);
    }
  }

  #drawLayers(): void {
    const layers = this.#chips.all.flatMap(({ name, shown, colour }): Layer[] => {
      const mask = this.#found.get(name)?.mask;
      return shown && mask ? [{ mask, colour }] : [];
    });
    this.#view.setLayers(layers);
    const active = this.#chips.active?.name;
    const marks = (active !== undefined && this.#marks.get(active)) || NO_MARKS;
    this.#view.setMarks(marks);
    const none = marks.points.length === 0 && marks.box === null;
    for (const id of ["undo", "clear"]) element(id, HTMLButtonElement).disabled = none;
  }

  #resetChips(): void {
    this.#found.clear();
    this.#marks.clear();
    const names = this.#opened?.concepts ?? [];
    this.#chips.set(
      names.map((name, i) => ({ name, colour: colourOf(i), state: "unknown" as const, shown: false, note: "" })),
    );
    this.#drawLayers();
  }

  #shown(picture: boolean): void {
    element("picture", HTMLCanvasElement).hidden = !picture;
    element("empty", HTMLDivElement).hidden = picture;
    for (const id of ["another", "save"]) element(id, HTMLButtonElement).disabled = !picture;
  }

  #engine(): string {
    const { device, threads } = this.#opened ?? { device: "wasm", threads: 1 };
    return device === "webgpu" ? "WebGPU" : `WebAssembly, ${amount(threads, "thread")}`;
  }
}
