/** Concepts as chips: whether each is shown, and whether the picture holds it. */

import { type Colour, css } from "./palette.js";

/** What is known of a concept in the picture; "unsure" where nothing was calibrated. */
export type ChipState = "unknown" | "waiting" | "present" | "absent" | "unsure";

/** One chip. */
export interface Chip {
  readonly name: string;
  readonly colour: Colour;
  state: ChipState;
  /** Whether its mask is shown. */
  shown: boolean;
  /** A short text beside the name, such as a percentage. */
  note: string;
}

const MARKS: Readonly<Record<ChipState, string>> = {
  unknown: "",
  waiting: "…",
  present: "✓",
  absent: "✕",
  unsure: "?",
};

/** A row of chips, of which one is active: the one that clicks on the picture are meant for. */
export class ConceptChips {
  readonly #chips = new Map<string, { chip: Chip; button: HTMLButtonElement }>();
  #active: string | null = null;

  /**
   * @param host the element that holds the chips; its role should be toolbar.
   * @param onChange called when a user shows, hides or activates a concept.
   */
  constructor(
    readonly host: HTMLElement,
    readonly onChange: (chip: Chip) => void,
  ) {
    host.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Replaces all chips. */
  set(chips: readonly Chip[]): void {
    this.#chips.clear();
    this.#active = null;
    this.host.replaceChildren();
    for (const chip of chips) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chip";
      button.style.setProperty("--colour", css(chip.colour));
      button.addEventListener("click", () => this.#press(chip));
      this.#chips.set(chip.name, { chip, button });
      this.host.append(button);
      this.refresh(chip.name);
    }
  }

  /** All chips, in order. */
  get all(): readonly Chip[] {
    return [...this.#chips.values()].map(({ chip }) => chip);
  }

  /** The chip that clicks on the picture are meant for. */
  get active(): Chip | null {
    return this.#active === null ? null : (this.#chips.get(this.#active)?.chip ?? null);
  }

  /** Makes a chip active. */
  activate(name: string | null): void {
    const before = this.#active;
    this.#active = name;
    for (const one of [before, name]) if (one !== null) this.refresh(one);
  }

  /** Changes a chip. */
  update(name: string, change: Partial<Pick<Chip, "state" | "shown" | "note">>): void {
    const held = this.#chips.get(name);
    if (held) Object.assign(held.chip, change);
    this.refresh(name);
  }

  /** Draws a chip anew. */
  refresh(name: string): void {
    const held = this.#chips.get(name);
    if (held === undefined) return;
    const { chip, button } = held;
    button.dataset.state = chip.state;
    button.dataset.concept = name;
    button.classList.toggle("active", name === this.#active);
    button.setAttribute("aria-pressed", String(chip.shown));
    button.replaceChildren(
      part("swatch", ""),
      part("name", chip.name),
      part("note", [MARKS[chip.state], chip.note].join(" ").trim()),
    );
    const active = name === this.#active ? ", clicks on the picture correct it" : "";
    button.setAttribute("aria-label", `${chip.name}: ${chip.state} ${chip.note}${active}`);
  }

  /** A press shows and activates; a press on the active chip hides it. */
  #press(chip: Chip): void {
    const hide = chip.shown && chip.name === this.#active;
    chip.shown = !hide;
    this.activate(hide ? null : chip.name);
    this.refresh(chip.name);
    this.onChange(chip);
  }

  /** Arrow keys go from chip to chip, as in every toolbar. */
  #move(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    const buttons = [...this.#chips.values()].map(({ button }) => button);
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
    event.preventDefault();
  }
}

function part(name: string, text: string): HTMLSpanElement {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}
