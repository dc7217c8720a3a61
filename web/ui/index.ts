/** Parts of a page that shows pictures with masks; they know nothing of how masks are made. */

export { type Chip, type ChipState, ConceptChips } from "./chips.js";
export { type Layer, paint } from "./layers.js";
export type { Marks, XY } from "./marks.js";
export { type Colour, colourOf, css } from "./palette.js";
export { type PictureEvents, PictureView } from "./picture.js";
