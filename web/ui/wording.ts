/** Numbers in sentences. */

/** Returns a number and what it counts: 1 concept, 2 concepts. */
export function amount(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}
