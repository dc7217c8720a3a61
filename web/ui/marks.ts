/** Clicks, a box and a cross, drawn over a picture so that they show on light and on dark. */

/** (x, y) in the picture's pixels. */
export type XY = readonly [x: number, y: number];

/** What was clicked and dragged. */
export interface Marks {
  readonly points: readonly XY[];
  /** For each point 1 (inside) or 0 (outside). */
  readonly labels: readonly number[];
  readonly box: readonly [x0: number, y0: number, x1: number, y1: number] | null;
}

/**
 * Draws marks.
 *
 * @param scale pixels of the picture for one of the screen, so that marks look the same on every picture.
 */
export function drawMarks(context: CanvasRenderingContext2D, marks: Marks, cross: XY | null, scale: number): void {
  marks.points.forEach((point, i) => {
    const [inner, outer] = marks.labels[i] ? ["white", "black"] : ["black", "white"];
    disc(context, point, 6 * scale, outer as string);
    disc(context, point, 4 * scale, inner as string);
  });
  if (marks.box !== null) {
    const [x0, y0, x1, y1] = marks.box;
    stroked(context, scale, () => context.rect(x0, y0, x1 - x0, y1 - y0));
  }
  if (cross !== null) {
    const [[x, y], arm] = [cross, 12 * scale];
    stroked(context, scale, () => {
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    });
  }
}

function disc(context: CanvasRenderingContext2D, [x, y]: XY, radius: number, colour: string): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}

function stroked(context: CanvasRenderingContext2D, scale: number, path: () => void): void {
  for (const [colour, width] of [
    ["black", 4],
    ["white", 2],
  ] as const) {
    context.beginPath();
    path();
    context.strokeStyle = colour;
    context.lineWidth = width * scale;
    context.stroke();
  }
}
