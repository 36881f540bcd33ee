/**
 * Looks through a reshape: the coordinates of its input for coordinates of its result. Both shapes are cut into the
 * shortest runs of axes that hold equally many values; a run of one axis on both sides keeps its coordinate, several
 * axes become one by an address, and one becomes several by division.
 */
import type { NodeWith, Shape } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import { mustAt } from "../../../runtime/lookup.js";
import { rowMajor } from "../fusion/views.js";
import { constant, keyOf, still, type Coord } from "./coords.js";
import type { Writer } from "./writer.js";

/** Neighbouring axes of a reshape's result and input, from `begin` to before `end`, that hold the same values. */
interface RunOfAxes {
  readonly result: { readonly begin: number; readonly end: number };
  readonly input: { readonly begin: number; readonly end: number };
}

function runsOf(from: Shape, to: Shape): RunOfAxes[] {
  const runs: RunOfAxes[] = [];
  let i = 0;
  for (let j = 0; j < to.length;) {
    let inner = mustAt(to, j);
    let outer = from[i] ?? 1;
    let endJ = j + 1;
    let endI = Math.min(i + 1, from.length);
    while (inner !== outer) {
      if (inner < outer) inner *= mustAt(to, endJ++);
      else outer *= mustAt(from, endI++);
    }
    runs.push({ result: { begin: i, end: endI }, input: { begin: j, end: endJ } });
    j = endJ;
    i = endI;
  }
  return runs;
}

/** The coordinates of a reshape's input; null where lanes would have to part from their run of neighbours. */
export function reshapeCoords(w: Writer, node: NodeWith<"reshape">, coords: readonly Coord[]): Coord[] | null {
  const from = node.shape;
  const to = node.inputs[0].shape;
  const inputCoords = new Array<Coord>(to.length).fill(constant(0));
  for (const { result, input } of runsOf(from, to)) {
    const outer = coords.slice(result.begin, result.end);
    const outerSizes = from.slice(result.begin, result.end);
    if (input.end - input.begin > 1) {
      const parts = splitRun(w, outer, outerSizes, to.slice(input.begin, input.end));
      if (!parts) return null;
      for (const [s, part] of parts.entries()) if (part) inputCoords[input.begin + s] = part;
    } else {
      inputCoords[input.begin] = outer.length === 1 ? mustAt(outer, 0) : w.address(outer, rowMajor(outerSizes));
    }
  }
  return inputCoords;
}

/**
 * Coordinates of several axes of `sizes` that hold the values of the axes of `outer`; null for those of size 1, whose
 * coordinate is 0. Null altogether where lanes would not stay neighbours: a run of lanes stays in the last axis when
 * that axis holds whole runs and the run starts at a multiple of its length.
 */
function splitRun(
  w: Writer,
  outer: readonly Coord[],
  outerSizes: readonly number[],
  sizes: readonly number[],
): (Coord | null)[] | null {
  const strides = rowMajor(sizes);
  const flat = w.address(outer, rowMajor(outerSizes));
  const staysTogether =
    flat.lane === 0 ||
    (flat.lane === 1 &&
      mustAt(sizes, sizes.length - 1) % flat.width === 0 &&
      (outerSizes.at(-1) ?? 1) % flat.width === 0 &&
      outer.at(-1)?.lane === 1);
  if (!staysTogether) return null;
  const flatKey = keyOf(still(flat));
  return sizes.map((size, s) => {
    if (size === 1) return null;
    const stride = mustAt(strides, s);
    const at = w.remember(flat.depth, `split|${flatKey}|${stride}|${size}|${s}`, () => {
      const quotient = k.div(flat.at, k.idx(stride));
      return w.bind(s === 0 ? quotient : k.rem(quotient, k.idx(size)), flat.depth, "i");
    });
    return { ...(s === sizes.length - 1 ? flat : still(flat)), at };
  });
}
