/**
 * Bounds of coefficients, for proofs: between which numbers an expression stays (`ranges.ts`), and what the rows and
 * columns of a matrix sum to at most, in absolute values (`sums.ts`). They follow from what is certain of it: a number,
 * the ends of a function (a sigmoid is below 1), the bounds that a set states of its members, and interval arithmetic.
 * Of everything else there is a reason why nothing is known.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { merged, recordOf } from "../../../runtime/records.js";
import type { Span } from "../../diagnostics/span.js";
import { valueOf } from "../../graph/sizes.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { endsOf, rankOf, type Bounded, type Options } from "../../manifolds/set.js";
import type { Axis, LayerNumbers, Parameter, Tensor, Typed, TypedOf } from "../typed.js";

/** Why nothing is known: the end of "… is …", or of a sentence of its own. */
export interface None {
  readonly none: string;
  readonly span: Span;
  /** It is made of parameters on no set. */
  readonly free?: boolean;
}

/** What bounds are read from. */
export interface BoundsState {
  readonly parameterOf: ReadonlyMap<Tensor, Parameter>;
  /** What names stand for; those too that stand in the calls that have been looked into. */
  readonly definitions: Map<Tensor, Typed>;
  /** The layer that bounds are of. */
  readonly layers: LayerNumbers;
}

/** A point of a set: the axes that it has, and what a sentence calls it. */
export interface SetMember {
  readonly manifold: SetInstance;
  readonly point: readonly Axis[];
  readonly name: string;
}

/** Whether a bound is not known. */
export const isNone = <T>(bound: T | None): bound is None =>
  typeof bound === "object" && bound !== null && "none" in bound;

/** Bounds of what stands in a page with these parameters, where names stand for these values. */
export const boundsState = (
  parameters: readonly Parameter[],
  definitions: ReadonlyMap<Tensor, Typed>,
  layers: LayerNumbers,
): BoundsState => ({
  parameterOf: new Map(parameters.map((parameter) => [parameter.tensor, parameter])),
  definitions: new Map(definitions),
  layers,
});

/** What a call computes. */
export function opened({ definitions }: BoundsState, { instance, args }: TypedOf<"call">): Typed {
  for (const [i, formal] of instance.formals.entries()) definitions.set(formal, mustAt(args, i));
  for (const { tensor, value, recurrence } of instance.body) if (!recurrence) definitions.set(tensor, value);
  return instance.result;
}

/** A parameter as a point of the set that it is on; null for one that is on none. */
export function parameterMember({ tensor, on }: Parameter): SetMember | null {
  if (!on) return null;
  return { manifold: on.manifold, point: tensor.axes.filter((axis) => !on.each.includes(axis)), name: tensor.name };
}

/** The image of a map as a point of its set. */
export const mapMember = ({ axes, manifold, name }: TypedOf<"map">): SetMember => ({
  manifold,
  point: axes.slice(axes.length - rankOf(manifold.set.point)),
  name,
});

/** The number of values along axes; null while a size is not known. */
export function area(axes: readonly Axis[]): number | null {
  const sizes = sizesOf(axes);
  return sizes && sizes.reduce((product, size) => product * size, 1);
}

/** The sizes of axes; null while one of them is not known. */
export function sizesOf(axes: readonly Axis[]): readonly number[] | null {
  const sizes = axes.flatMap(({ size }) => valueOf(size) ?? []);
  return sizes.length === axes.length ? sizes : null;
}

/** A set's own bound, with its tolerance: a member is off by as much, relative to the bound. */
export function boundOf(
  { set, options, adapt }: SetInstance,
  of: Bounded,
  shape: readonly number[],
): number | { readonly none: string } {
  // Of what adapts, the largest of the bounds at its ends: all of them rise or fall with their options.
  const settings = adapt.reduce<readonly Options[]>(
    (before, adaptation) =>
      before.flatMap(
        (setting) => endsOf(adaptation)?.map((end) => merged(setting, recordOf([[adaptation.what, end]]))) ?? [setting],
      ),
    [options],
  );
  let most = Number.NEGATIVE_INFINITY;
  for (const setting of settings) {
    const bound = set.bound(of, shape, setting);
    if (typeof bound !== "number") return bound;
    most = Math.max(most, bound);
  }
  return most * (1 + (set.tolerance(options) ?? 0));
}

/** The words that a set says of a bound that it does not have, as a sentence about a member. */
export const unbounded = ({ manifold, name }: SetMember, { none }: { readonly none: string }, span: Span): None => ({
  none: `\`${name}\` is on \`${manifold.set.name}\`, which ${none}`,
  span,
});
