/** The choice among the models that lie beside the page. */

import { element } from "../ui/elements.js";

/** A bundle beside the page, or elsewhere. */
export interface Model {
  readonly name: string;
  /** Its address, relative to the page. */
  readonly file: string;
}

/** Names the models; a page without it has one, `bundle.zip`. */
const LIST = "models.json";
const ONLY: readonly Model[] = [{ name: "bundle.zip", file: "bundle.zip" }];

/**
 * Returns the models of `models.json`, the one to open first leading.
 *
 * @throws Error where the file is not such a list.
 */
export async function besidePage(): Promise<readonly Model[]> {
  const response = await fetch(LIST).catch(() => null); // without a network, and never fetched before
  if (response === null || response.status === 404) return ONLY;
  if (!response.ok) throw new Error(`${LIST}: the server answered ${response.status}.`);
  return modelsOf(await response.text());
}

/**
 * Returns the models that the text of `models.json` names.
 *
 * @throws Error where it is not such a list.
 */
export function modelsOf(text: string): readonly Model[] {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    found = null;
  }
  if (Array.isArray(found) && found.length > 0 && found.every(isModel)) return found;
  throw new Error(
    `${LIST}: expected a list such as [{"name": "Cars", "file": "cars.zip"}]. You can still drop a bundle on the page.`,
  );
}

function isModel(value: unknown): value is Model {
  const { name, file } = (value ?? {}) as Partial<Record<string, unknown>>;
  return typeof name === "string" && typeof file === "string" && file !== "";
}

/** Fills the page's list of models, which is shown where there are several, and reports each choice. */
export function offer(models: readonly Model[], choose: (file: string) => unknown): void {
  const select = element("model", HTMLSelectElement);
  select.replaceChildren(...models.map(({ name, file }) => new Option(name, file)));
  element("models", HTMLDivElement).hidden = models.length < 2;
  select.addEventListener("change", () => choose(select.value));
}

/** Shows that the open bundle is none of the list. */
export function chooseNone(): void {
  element("model", HTMLSelectElement).selectedIndex = -1;
}
