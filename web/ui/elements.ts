/** The elements of the page by their id. */

/** Returns an element of a known kind. */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with the id ${id}`);
}

/** Calls something when a button is pressed. */
export function onPress(id: string, action: () => unknown): HTMLButtonElement {
  const button = element(id, HTMLButtonElement);
  button.addEventListener("click", action);
  return button;
}
