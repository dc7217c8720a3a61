/** Bilinear interpolation of float32 planes: pixel centres aligned, no antialiasing, as torch's and OpenCV's default. */

/** Numbers of a plane, rows first. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** For each place along one side: its two neighbours, and the weight of the second. */
interface Side {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weight: Float32Array;
}

function side(from: number, to: number): Side {
  const made = { first: new Int32Array(to), second: new Int32Array(to), weight: new Float32Array(to) };
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const at = Math.fround((i + 0.5) * scale - 0.5);
    const whole = Math.floor(at);
    made.first[i] = Math.min(Math.max(whole, 0), from - 1);
    made.second[i] = Math.min(Math.max(whole + 1, 0), from - 1);
    made.weight[i] = at - whole;
  }
  return made;
}

/** Stretches each row of a plane to another width. */
function stretchRows(plane: Plane, width: number): Plane {
  if (plane.width === width) return plane;
  const { first, second, weight } = side(plane.width, width);
  const data = new Float32Array(width * plane.height);
  for (let y = 0; y < plane.height; y++) {
    const from = y * plane.width;
    for (let x = 0; x < width; x++) {
      const share = weight[x] as number;
      const left = plane.data[from + (first[x] as number)] as number;
      const right = plane.data[from + (second[x] as number)] as number;
      data[y * width + x] = Math.fround(left * Math.fround(1 - share)) + Math.fround(right * share);
    }
  }
  return { width, height: plane.height, data };
}

/** Calls `use` with each row of a plane stretched to another size, one after the other; the row is used again. */
function forEachRow(plane: Plane, width: number, height: number, use: (row: Float32Array, y: number) => void): void {
  const wide = stretchRows(plane, width);
  const { first, second, weight } = side(plane.height, height);
  const row = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    const share = plane.height === height ? 0 : (weight[y] as number);
    const [above, below] = [(first[y] as number) * width, (second[y] as number) * width];
    const rest = Math.fround(1 - share);
    for (let x = 0; x < width; x++) {
      const upper = wide.data[above + x] as number;
      const lower = wide.data[below + x] as number;
      row[x] = Math.fround(upper * rest) + Math.fround(lower * share);
    }
    use(row, y);
  }
}

/** Returns a plane at another size. */
export function interpolate(plane: Plane, width: number, height: number): Plane {
  const data = new Float32Array(width * height);
  forEachRow(plane, width, height, (row, y) => data.set(row, y * width));
  return { width, height, data };
}

/** Returns where a plane, at another size, is above 0: 1 there, else 0. No float plane of that size is held. */
export function positive(plane: Plane, width: number, height: number): Uint8Array {
  const mask = new Uint8Array(width * height);
  forEachRow(plane, width, height, (row, y) => {
    for (let x = 0; x < width; x++) mask[y * width + x] = (row[x] as number) > 0 ? 1 : 0;
  });
  return mask;
}
