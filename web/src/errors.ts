/**
 * Errors for the person who made the mistake: what was wrong, what was expected and got, what to do.
 * The classes are those of the Python package.
 */

// Characters that would steer a terminal, or turn the direction of the text around them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones meant
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Returns text with control characters shown and not sent on. */
export function printable(text: string): string {
  return text.replace(CONTROL, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Returns what an error says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** Base of everything that this package throws on purpose. */
export class CgsamError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(printable(message), options);
    this.name = new.target.name;
  }
}

/** A file, an argument or an array that cannot be used. */
export class InputError extends CgsamError {}

/** An image that cannot be used. */
export class ImageError extends InputError {}

/** Points, labels or a box that cannot be used. */
export class PromptError extends InputError {}

/** A bundle that is incomplete, altered, or not for this version. */
export class BundleError extends InputError {}

/** An engine that cannot open a graph, or failed while running. */
export class BackendError extends CgsamError {}

const MOST_NAMES = 12;

/** A concept that the bundle, or a result, does not hold. */
export class UnknownConceptError extends InputError {
  constructor(name: string, known: readonly string[], holder = "the bundle") {
    const more = known.length > MOST_NAMES ? ` and ${known.length - MOST_NAMES} more` : "";
    const listed = known.slice(0, MOST_NAMES).join(", ") + more;
    super(`${holder} has no concept ${JSON.stringify(name)}. It knows: ${listed}.`);
  }
}
