/**
 * The right side of a definition: an expression that is read, checked for bare axes and settled, so that every sum that
 * Einstein's rule implies is explicit.
 */
import type { Expr } from "../../../grammar/ast.js";
import { axesOf, type Axis, type Typed } from "../typed.js";
import { hasShifted, refuseAbsent } from "../absence.js";
import { refuseBareAxes } from "./bare.js";
import { settle } from "./einstein.js";
import { expression, type Elaboration, type Scope } from "./scope.js";
import { standingIn } from "./standing.js";

/** A value with the axes that its left side names. */
export function valueOn(state: Elaboration, e: Expr, scope: Scope, axes: readonly Axis[]): Typed {
  const inside: Scope = { ...scope, wanted: axes, standing: standingIn(e, axes, scope.standing) };
  return settled(state, expression(state, e, inside, axes), axes);
}

/** A loss or a metric: a number for each example. */
export function numberOn(state: Elaboration, e: Expr, scope: Scope): Typed {
  const inside: Scope = { ...scope, wanted: [], standing: standingIn(e, [], scope.standing) };
  return settled(state, expression(state, e, inside, []), [], false);
}

/**
 * A definition as the page writes it: with the axes of its left side, or, where that names none (null), with those of
 * its value, in order of appearance.
 */
export function definition(
  state: Elaboration,
  e: Expr,
  scope: Scope,
  axes: readonly Axis[] | null,
): { readonly value: Typed; readonly axes: readonly Axis[] } {
  if (axes) return { value: valueOn(state, e, scope, axes), axes };
  const inside: Scope = { ...scope, standing: standingIn(e, [], scope.standing) };
  const value = settled(state, expression(state, e, inside, null), null);
  return { value, axes: axesOf(value) };
}

/** `named`: whether the left side may name axes. */
function settled(state: Elaboration, raw: Typed, wanted: readonly Axis[] | null, named = true): Typed {
  refuseBareAxes(raw, wanted, state.report);
  const value = settle(raw, wanted ?? axesOf(raw), state.report, named);
  if (hasShifted(value)) state.checks.push(() => refuseAbsent(value, state.report));
  return value;
}
