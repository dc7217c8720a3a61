/** When two names of concepts are the same; `docs/bundle.md` states the rule. */

// Unicode's Default_Ignorable_Code_Point: drawn as nothing, so nobody can type them.
const INVISIBLE =
  "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164" +
  "\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}";
// Control characters but those that count as spaces.
const CONTROL = "\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f";
const UNSEEN = new RegExp(`[${INVISIBLE}${CONTROL}]`, "gu");
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts these as spaces, JavaScript does not
const SPACES = /[\s\x1c-\x1f\x85]+/u;
const DOTLESS_I = "ı";

/**
 * Returns the form under which names are compared. Neither case counts, nor the form of an accent, nor invisible
 * characters, nor how wide a space is.
 */
export function fold(name: string): string {
  const bare = [...name.replace(UNSEEN, "").normalize("NFD")].map(foldCase).join("");
  return bare.normalize("NFC").split(SPACES).filter(Boolean).join(" ");
}

/** Folds the case of one character as Unicode's full case folding does, for which JavaScript has no function. */
function foldCase(character: string): string {
  if (character === DOTLESS_I) return character; // it folds to itself, although its upper case is I
  // Letter by letter, because toLowerCase would look at the neighbours of a sigma.
  return [...character.toLowerCase().toUpperCase()].map((one) => one.toLowerCase()).join("");
}

/** Whether a name has something to read, and no control character or half of a character. */
export function isPrintable(name: string): boolean {
  return fold(name) !== "" && !/[\p{Cc}\p{Cs}]/u.test(name);
}
