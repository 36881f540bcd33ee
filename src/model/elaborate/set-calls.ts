/**
 * What a page calls of a manifold that it names: its map, `mix[t, n, m] = Mixing(z)`, which makes a member out of free
 * coordinates, and the distance between its members, `M.distance[d](u, v)`.
 */
import type { Arg, Call, Ident } from "../../../grammar/ast.js";
import { describe, resolve, unify, type Polynomial } from "../../graph/sizes.js";
import { sets, type ConstraintSet } from "../../manifolds/registry.js";
import { rankOf, type Piece } from "../../manifolds/set.js";
import { listed } from "../quantities.js";
import { axesOf, type Axis, type Typed } from "../typed.js";
import { axisNamed } from "./axes.js";
import { settle } from "./einstein.js";
import { coordinates } from "./numbers.js";
import {
  childScope,
  expression,
  fail,
  unknownName,
  type Elaboration,
  type Entity,
  type Expected,
  type Scope,
} from "./scope.js";
import { dotted } from "./syntax.js";

type ManifoldEntity = Extract<Entity, { readonly kind: "manifold" }>;

/** `Mixing(z)`: the member that the free coordinates z make. The place must say its axes, since z alone does not. */
export function mapped(
  state: Elaboration,
  e: Call,
  { name, manifold }: ManifoldEntity,
  scope: Scope,
  expected: Expected,
): Typed {
  const { set } = manifold;
  const called = dotted(e.callee);
  const rank = rankOf(set.point);
  const args = e.lists.flat();
  const [arg] = args;
  if (!arg || args.length !== 1)
    return fail(state, "MHC207", e.span, `\`${called}(…)\` takes the free coordinates: one argument`);
  if (!expected || expected.length < rank)
    return fail(
      state,
      "MHC208",
      e.span,
      `the size of the ${rank === 2 ? "matrix" : "vector"} that \`${called}\` makes is not known here`,
      { fix: `define it with its axes: \`mix[t, n, m] = ${called}(…)\`` },
    );
  const outer = expected.slice(0, expected.length - rank);
  const point = expected.slice(outer.length);
  const sizes = sizesOfPoint(state, e, set, point);
  const piece = onlyPiece(state, e, set.free(sizes, manifold.options), set);
  // Free coordinates of a vector have its own axis; those of a matrix are one axis.
  const free: readonly Axis[] = !piece ? [] : rank < 2 ? point : [{ name: "free", size: coordinates([piece]) }];
  const inner: Scope = {
    ...childScope(scope, scope.prefix),
    instances: scope.instances,
    wanted: scope.wanted,
    mapping: { manifold, point: sizes },
  };
  const axes = [...outer, ...free];
  // Without free coordinates the argument is not read: its parameters would have no effect.
  const a = piece && settle(expression(state, arg.value, inner, axes), axes, state.report);
  return { kind: "map", name, manifold, a, free, axes: expected, span: e.span };
}

/** The sizes of a point, which must be known and, for some sets, equal. */
function sizesOfPoint(state: Elaboration, e: Call, set: ConstraintSet, point: readonly Axis[]): readonly Polynomial[] {
  const [n, m] = point;
  if (set.point === "square" && n && m && !unify(n.size, m.size))
    return fail(
      state,
      "MHC303",
      e.span,
      `a matrix on \`${dotted(e.callee)}\` is square, and \`${n.name}\` is ${describe(n.size)} while ` +
        `\`${m.name}\` is ${describe(m.size)}`,
    );
  return point.map((axis): Polynomial => {
    const size = resolve(axis.size);
    return size.kind === "variable"
      ? fail(state, "MHC208", e.span, `the size of \`${axis.name}\` is not known here`)
      : size;
  });
}

/** The one tensor of free coordinates that a member is made of; null for a set with one member, which has none. */
function onlyPiece(
  state: Elaboration,
  e: Call,
  pieces: ReturnType<ConstraintSet["free"]>,
  set: ConstraintSet,
): Piece | null {
  if ("error" in pieces) return fail(state, "MHC303", e.span, `${set.name} ${pieces.error}`);
  if (pieces.length > 1)
    return fail(
      state,
      "MHC303",
      e.span,
      `a member of ${set.name} is made of ${pieces.map((piece) => `\`${piece.name}\``).join(", ")}, so only a ` +
        "parameter can be one",
      { fix: `write \`param w[…] ~ normal(0.02) on ${dotted(e.callee)}\`` },
    );
  return pieces[0] ?? null;
}

/** Whether a page can ask for distances: none of the sets of matrices has them in closed form. */
const isMeasured = (set: ConstraintSet): boolean =>
  set.kind === "manifold" && set.distance !== null && rankOf(set.point) < 2;

/**
 * `M.distance[d](u, v)`: `d` are the axes of a point, as those of `sum[d](…)` are what is summed over. `member`: what
 * stands after the dot.
 */
export function distance(
  state: Elaboration,
  e: Call,
  { name, manifold, span }: ManifoldEntity,
  member: Ident,
  scope: Scope,
): Typed {
  const { set } = manifold;
  const called = dotted(e.callee);
  if (member.name !== "distance")
    return unknownName(state, {
      code: "MHC201",
      span: member.span,
      message: `\`${name}\` has no function \`${member.name}\`; it has distance`,
      name: member.name,
      candidates: ["distance"],
    });
  if (!isMeasured(set))
    return fail(
      state,
      "MHC303",
      e.span,
      `${set.name} has no distance between its members${set.kind === "manifold" ? " in closed form" : ""}`,
      {
        fix: `those that have one are ${Object.values(sets)
          .filter(isMeasured)
          .map((other) => other.name)
          .join(", ")}`,
        notes: [{ message: `\`${name}\` is declared here`, span }],
      },
    );
  const args = e.lists.flat();
  const [first, second] = args;
  if (!first || !second || args.length !== 2) return fail(state, "MHC207", e.span, `\`${called}\` takes two points`);
  if (!e.axes?.length)
    return fail(state, "MHC207", e.span, `\`${called}\` needs the axes of a point`, {
      fix: `write \`${called}[axis](…)\``,
    });
  const point = e.axes.map((ident) => axisNamed(state, ident, scope));
  const twice = e.axes.find((_, i) => point.slice(0, i).some((axis) => axis === point[i]));
  if (twice) return fail(state, "MHC206", twice.span, `the axis \`${twice.name}\` stands twice`);
  const a = pointOf(state, called, first, point, scope);
  const b = pointOf(state, called, second, point, scope);
  return { kind: "distance", name, manifold, a, b, point, span: e.span };
}

/** An argument of a distance, which must have the axes of a point. */
function pointOf(state: Elaboration, called: string, arg: Arg, point: readonly Axis[], scope: Scope): Typed {
  const value = expression(state, arg.value, scope, null);
  const axes = axesOf(value);
  const missing = point.find((axis) => !axes.includes(axis));
  return missing
    ? fail(
        state,
        "MHC205",
        arg.span,
        `\`${called}\` is between points along \`${missing.name}\`, which this does not have`,
        { fix: axes.length ? `its axes are ${listed(axes)}` : "it is a number" },
      )
    : value;
}
