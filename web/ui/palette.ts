/** Colours of concepts: the same as in the pictures of the Python package. */

const GOLDEN_ANGLE = 0.381966; // steps of the colour wheel by this share keep neighbouring colours apart
const SATURATION = 0.85;

/** Red, green and blue, 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** Returns the colour of the concept with this number. */
export function colourOf(index: number): Colour {
  const hue = 6 * ((index * GOLDEN_ANGLE) % 1);
  const value = 1 - 0.25 * (index % 2);
  const channel = (shift: number): number => {
    const place = (shift + hue) % 6;
    return Math.round(255 * (value - value * SATURATION * Math.max(0, Math.min(place, 4 - place, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Returns a colour as style sheets write it. */
export function css([red, green, blue]: Colour, alpha = 1): string {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}
