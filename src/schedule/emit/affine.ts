/**
 * Reads at affine indices (`src/graph/affine.ts`), inlined where they are used: an address, and where an index may
 * leave its axis a condition, under which the value is 0. What is loaded then is the nearest element that there is, so
 * that no load leaves its tensor. Addresses are never negative, so a negative index is told by a bias that is added to
 * it.
 */
import { extentOf, isWithin } from "../../graph/affine.js";
import type { AffineIndex, Node, NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { keyOf, still, widthOf, type Coord } from "./coords.js";
import type { Writer } from "./writer.js";

/** Where an operand is read along one axis, and whether there is something. */
interface ReadPlace {
  readonly coord: Coord;
  /** Null where there always is. */
  readonly inside: Expr | null;
}

/**
 * The value of a read at coordinates; `emit` gives its operand's. Null where lanes would have conditions of their own:
 * then each is emitted by itself.
 */
export function affine(
  w: Writer,
  node: NodeWith<"affine">,
  coords: readonly Coord[],
  emit: (input: Node, coords: readonly Coord[]) => Expr,
): Expr | null {
  const [x] = node.inputs;
  const places: ReadPlace[] = [];
  for (const [axis, index] of node.attrs.at.entries()) {
    const place = placeOf(w, index, mustAt(x.shape, axis), node, coords);
    if (!place) return null;
    places.push(place);
  }
  const value = emit(
    x,
    places.map(({ coord }) => coord),
  );
  const inside = places.flatMap((place) => (place.inside ? [place.inside] : []));
  if (inside.length === 0) return value;
  const { of, lanes } = value.type;
  const condition = k.splat(inside.reduce(k.and), lanes);
  const nothing = of === "u32" ? k.u32(0) : of === "bool" ? k.bool(false) : k.f32(0);
  return k.select(condition, value, k.splat(nothing, lanes));
}

function placeOf(
  w: Writer,
  index: AffineIndex,
  size: number,
  { shape }: Node,
  coords: readonly Coord[],
): ReadPlace | null {
  const named = index.terms.map(([axis, step]) => ({ coord: mustAt(coords, axis), step }));
  const lane = named.reduce((sum, { coord, step }) => sum + coord.lane * step, 0);
  const isSafe = isWithin(index, size, shape);
  if (lane < 0 || (lane !== 0 && !isSafe)) return null;
  const depth = named.reduce((deepest, { coord }) => Math.max(deepest, coord.depth), 0);
  const key = `affine|${named.map(({ coord, step }) => `${keyOf(still(coord))}*${step}`).join()}`;
  const { divisor } = index;
  // A multiple of the divisor, so that it changes no rest.
  const bias = isSafe ? 0 : Math.ceil(Math.max(0, -extentOf(index, shape).least) / divisor) * divisor;
  const biased = w.remember(depth, `${key}|${index.offset + bias}`, () =>
    w.bind(sumOf(named, index.offset + bias), depth, "i"),
  );
  const width = lane === 0 ? 1 : widthOf(coords);
  if (isSafe) return { coord: { at: biased, lane, width, depth }, inside: null };
  const [first, last] = [k.idx(bias), k.idx(bias + (size - 1) * divisor)];
  const at = w.remember(depth, `${key}|${index.offset}/${divisor}<${size}`, () => {
    const within = k.sub(k.max(k.min(biased, last), first), first);
    return w.bind(k.div(within, k.idx(divisor)), depth, "i");
  });
  return { coord: { at, lane, width, depth }, inside: conditionOf(biased, index, size, bias, extentOf(index, shape)) };
}

/** offset + the sum of step * coordinate: what is added first, so that nothing on the way is negative. */
function sumOf(terms: readonly { readonly coord: Coord; readonly step: number }[], offset: number): Expr {
  const part = (sign: number): Expr =>
    terms
      .filter(({ step }) => Math.sign(step) === sign)
      .reduce(
        (sum, { coord, step }) => k.add(sum, k.mul(coord.at, k.idx(Math.abs(step)))),
        k.idx(sign * offset > 0 ? Math.abs(offset) : 0),
      );
  return k.sub(part(1), part(-1));
}

/** Whether a biased index is one of an axis; the comparisons that cannot fail are left out. */
function conditionOf(
  biased: Expr,
  { divisor }: AffineIndex,
  size: number,
  bias: number,
  { least, most }: { readonly least: number; readonly most: number },
): Expr {
  const parts: Expr[] = [];
  if (least < 0) parts.push(k.le(k.idx(bias), biased));
  if (most >= size * divisor - (divisor - 1)) parts.push(k.lt(biased, k.idx(bias + (size - 1) * divisor + 1)));
  if (divisor > 1) parts.push(k.eq(k.rem(biased, k.idx(divisor)), k.idx(0)));
  return parts.reduce(k.and);
}
