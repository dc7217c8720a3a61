/** What the page does: sends a picture, asks for the masks of concepts, and takes clicks. */

import { element } from "../ui/elements.js";
import { type Chip, ConceptChips, colourOf, type Layer, type Marks, PictureView, type XY } from "../ui/index.js";
import { type Api, type FoundConcept, type Kept, type Known, type Question, Refused } from "./api.js";
import { areNone, NO_MARKS, promptOf, withoutLast, withPoint } from "./clicks.js";
import { type Listed, ObjectList } from "./objects.js";
import { cutOut, prepare, type Ready, save } from "./pictures.js";
import { decode } from "./rle.js";
import { amount, complain, say, time, timed } from "./status.js";

/** Concepts that are computed for every new picture; of larger vocabularies the others wait for a press. */
const MOST_AT_ONCE = 16;

interface Found {
  readonly concept: FoundConcept;
  readonly mask: Uint8Array;
}

/** The page. */
export class App {
  readonly #view: PictureView;
  readonly #chips: ConceptChips;
  readonly #objects: ObjectList;
  readonly #found = new Map<string, Found>();
  readonly #marks = new Map<string, Marks>();
  /** The newest question about each concept, by its number. */
  readonly #newest = new Map<string, number>();
  #known: Promise<Known> | null = null;
  /** Counts the files that were chosen: of those that are not shown yet, only the newest will be. */
  #choices = 0;
  #names: readonly string[] = [];
  #ready: Ready | null = null;
  #kept: Kept | null = null;
  #working = new AbortController();

  /** @param connected called once the server has said what it knows. */
  constructor(
    readonly api: Api,
    readonly connected: () => unknown,
  ) {
    this.#view = new PictureView(element("picture", HTMLCanvasElement), {
      onPoint: (point, inside) => this.#prompt((marks) => withPoint(marks, point, inside), point),
      onBox: (box) => this.#prompt((marks) => ({ ...marks, box }), [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]),
    });
    this.#chips = new ConceptChips(element("chips", HTMLDivElement), (chip) => this.#pressed(chip));
    this.#objects = new ObjectList((listed) => this.#drawLayers(listed));
  }

  /** Returns what the server knows; asks again where it could not be reached before. */
  connect(): Promise<Known> {
    this.#known ??= this.#ask().catch((error) => {
      this.#known = null;
      say("Not connected");
      throw error;
    });
    return this.#known;
  }

  /** Shows a picture and segments it, once the server has said what it knows. */
  async show(file: Blob): Promise<void> {
    const choice = ++this.#choices;
    complain(null);
    try {
      const ready = await prepare(file, await this.connect());
      if (choice === this.#choices) await this.#segment(ready);
      else ready.bitmap.close();
    } catch (error) {
      if (choice === this.#choices) complain(error);
    }
  }

  /** Removes the last click, or the box. */
  undo(): void {
    this.#prompt(withoutLast);
  }

  /** Removes all clicks and the box of the active concept. */
  clear(): void {
    if (this.#chips.active !== null) this.#prompt(() => NO_MARKS);
  }

  setOpacity(opacity: number): void {
    this.#view.setOpacity(opacity);
  }

  /** Sets whether clicks mean what is not the object. */
  setOutside(outside: boolean): void {
    this.#view.outside = outside;
  }

  /** Saves the picture with its masks, or what lies under them, or a data set format, which the server writes. */
  async save(format: string): Promise<void> {
    if (this.#ready === null || this.#kept === null) return;
    const stem = this.#ready.name.replace(/\.\w+$/, "");
    try {
      if (format === "png") save(await this.#view.png(), `${stem}.masks.png`);
      else if (format === "cutout") {
        const masks = this.#shown().map(({ mask }) => mask);
        save(await cutOut(this.#ready.file, masks), `${stem}.cutout.png`);
      } else {
        const file = await this.#again((kept) => this.api.file(kept.image, this.#name(), format, this.#question()));
        save(file, file.name);
      }
    } catch (error) {
      complain(error);
    }
  }

  #marksOf(concept: string): Marks {
    return this.#marks.get(concept) ?? NO_MARKS;
  }

  #name(): string {
    return this.#ready?.name ?? "image";
  }

  /** What the present masks were made from. */
  #question(): Question {
    const shown = this.#shown().map(({ concept }) => concept.concept);
    const prompts = shown.flatMap((name) => promptOf(name, this.#marksOf(name)) ?? []);
    const prompted = prompts.map(({ concept }) => concept);
    return { concepts: shown.filter((name) => !prompted.includes(name)), prompts };
  }

  async #ask(): Promise<Known> {
    say("Connecting");
    const known = await this.api.known();
    element("bundle", HTMLSpanElement).textContent = known.bundle;
    this.#names = known.concepts.map(({ concept }) => concept);
    this.#reset();
    say(`${amount(known.concepts.length, "concept")}. Ready.`);
    this.connected();
    return known;
  }

  async #segment(ready: Ready): Promise<void> {
    this.#working.abort(); // not earlier: a file that is refused leaves the picture before it, and its masks, alone
    this.#working = new AbortController();
    const { signal } = this.#working;
    [this.#ready, this.#kept] = [ready, null];
    this.#reset();
    this.#view.show(ready.bitmap);
    this.#reveal();
    say("Reading the picture");
    try {
      const kept = await this.#keep(signal);
      timed("image", kept.seconds.image);
      await this.#segmentAll(kept, signal);
      say([`${kept.width}×${kept.height}`, ready.remark].filter(Boolean).join(" · "));
    } catch (error) {
      if (!signal.aborted) complain(error);
    }
  }

  async #keep(signal: AbortSignal): Promise<Kept> {
    if (this.#ready === null) throw new Error("There is no picture.");
    this.#kept = await this.api.keep(this.#ready.file, this.#ready.name, signal);
    return this.#kept;
  }

  /** Asks about the picture, and sends it again where the server has dropped it for newer ones. */
  async #again<T>(ask: (kept: Kept) => Promise<T>): Promise<T> {
    const kept = this.#kept ?? (await this.#keep(this.#working.signal));
    try {
      return await ask(kept);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      return ask(await this.#keep(this.#working.signal));
    }
  }

  async #segmentAll(kept: Kept, signal: AbortSignal): Promise<void> {
    for (const name of kept.ruled_out) this.#chips.update(name, { state: "absent" });
    const wanted = kept.likeliest.filter((name) => !kept.ruled_out.includes(name)).slice(0, MOST_AT_ONCE);
    let total = 0;
    for (const [i, name] of wanted.entries()) {
      say(`Looking for ${name}`);
      const computed = await this.#compute(name, signal);
      if (computed === null) continue;
      const [found, seconds] = computed;
      if (found.present && found.calibrated) this.#chips.update(name, { shown: true });
      total += seconds;
      this.#drawLayers();
      timed("concept", total / (i + 1));
    }
  }

  /** Computes a concept with its clicks; null if it was asked again meanwhile, since answers may overtake each other. */
  async #compute(name: string, signal: AbortSignal): Promise<[FoundConcept, number] | null> {
    this.#chips.update(name, { state: "waiting" });
    const number = (this.#newest.get(name) ?? 0) + 1;
    this.#newest.set(name, number);
    const late = (): boolean => this.#newest.get(name) !== number;
    const prompt = promptOf(name, this.#marksOf(name));
    const question = { concepts: prompt ? [] : [name], prompts: prompt ? [prompt] : [] };
    try {
      const answer = await this.#again((kept) =>
        this.api.segment(kept.image, { ...question, skip_absent: false }, signal),
      );
      signal.throwIfAborted(); // another picture is shown meanwhile
      if (late()) return null;
      const [concept] = answer.concepts;
      if (concept === undefined) throw new Error(`The server does not know the concept ${name}.`);
      this.#found.set(name, { concept, mask: decode(concept.mask) });
      const state = !concept.calibrated ? "unsure" : concept.present ? "present" : "absent";
      this.#chips.update(name, { state, note: `${Math.round(100 * concept.presence)} %` });
      return [concept, answer.seconds.concepts];
    } catch (error) {
      if (late() && !signal.aborted) return null;
      if (!signal.aborted) this.#chips.update(name, { state: "unknown" });
      throw error;
    }
  }

  async #pressed(chip: Chip): Promise<void> {
    this.#drawLayers();
    if (!chip.shown || this.#found.has(chip.name) || chip.state === "waiting" || this.#ready === null) return;
    await this.#correct(chip.name, "concept");
  }

  /** Changes the clicks of the active concept; where none is active, of the one whose mask lies under the click. */
  async #prompt(change: (marks: Marks) => Marks, at: XY | null = null): Promise<void> {
    if (this.#chips.active === null && at !== null) this.#chips.activate(this.#under(at));
    const chip = this.#chips.active;
    if (chip === null) {
      complain(new Error("Choose a concept first: a click corrects the mask of one concept."));
      return;
    }
    this.#chips.update(chip.name, { shown: true });
    this.#marks.set(chip.name, change(this.#marksOf(chip.name)));
    this.#drawLayers();
    await this.#correct(chip.name, "click");
  }

  #under([x, y]: XY): string | null {
    const width = this.#view.canvas.width;
    const at = Math.min(Math.floor(y), this.#view.canvas.height - 1) * width + Math.min(Math.floor(x), width - 1);
    return this.#shown().findLast(({ mask }) => mask[at])?.concept.concept ?? null;
  }

  async #correct(name: string, what: "concept" | "click"): Promise<void> {
    complain(null);
    try {
      const computed = await this.#compute(name, this.#working.signal);
      if (computed === null) return;
      const [found, seconds] = computed;
      this.#drawLayers();
      timed(what, seconds);
      say(`${name}: predicted IoU ${found.score.toFixed(2)}, in ${time(seconds)}`);
    } catch (error) {
      complain(error);
    }
  }

  #shown(): Found[] {
    return this.#chips.all.flatMap(({ name, shown }) => (shown ? (this.#found.get(name) ?? []) : []));
  }

  /** Draws the masks that are shown, or one object alone that a person points at. */
  #drawLayers(pointed: Listed | null = null): void {
    const colours = new Map(this.#chips.all.map(({ name, colour }) => [name, colour]));
    const layers = this.#shown().map(({ concept, mask }): Layer => {
      return { mask, colour: colours.get(concept.concept) ?? [0, 0, 0] };
    });
    this.#view.setLayers(pointed ? [{ mask: decode(pointed.object.mask), colour: pointed.colour }] : layers);
    if (pointed) return;
    const marks = this.#marksOf(this.#chips.active?.name ?? "");
    this.#view.setMarks(marks);
    for (const id of ["undo", "clear"]) element(id, HTMLButtonElement).disabled = areNone(marks);
    this.#list(colours);
  }

  #list(colours: ReadonlyMap<string, Listed["colour"]>): void {
    const listed = this.#shown().flatMap(({ concept }) =>
      concept.objects.map((object) => ({
        concept: concept.concept,
        colour: colours.get(concept.concept) ?? ([0, 0, 0] as const),
        object,
      })),
    );
    this.#objects.set(listed, this.#view.canvas.width * this.#view.canvas.height);
  }

  #reset(): void {
    this.#found.clear();
    this.#marks.clear();
    for (const part of ["image", "concept", "click"] as const) timed(part, null);
    this.#chips.set(
      this.#names.map((name, i) => ({ name, colour: colourOf(i), state: "unknown" as const, shown: false, note: "" })),
    );
    this.#drawLayers();
  }

  #reveal(): void {
    element("main", HTMLElement).dataset.view = "picture";
    element("empty", HTMLDivElement).hidden = true;
    for (const id of ["picture", "tools", "another", "save-part"]) element(id, HTMLElement).hidden = false;
  }
}
