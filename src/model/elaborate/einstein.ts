/**
 * Einstein's rule: an axis that the left side does not name is summed over the smallest product that holds all its
 * occurrences. Top down: at a product (a flat chain of * and /, where / multiplies by the reciprocal), an axis that is
 * not wanted and stands in two factors or more is summed there; one that stands in a single factor is that factor's own
 * affair; sums and functions pass the question on to their operands; and a tensor that still carries an axis nobody
 * wants is an error, which catches the forgotten axis.
 */
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import { giveUp } from "./scope.js";
import { axesOf, KEEPING, union, type Axis, type Typed, type TypedOf } from "../typed.js";

/** What does not change while a definition is settled, but for the reducer. */
interface Settling {
  /** The axes that its left side names. */
  readonly left: readonly Axis[];
  /** Whether axes can be named there: a loss and a metric have none. */
  readonly canName: boolean;
  readonly report: (d: Diagnostic) => void;
  /** The reducer right around, as `rms` along `w`. */
  readonly reducer: Pick<TypedOf<"reduce">, "f" | "axes"> | null;
}

/**
 * Makes every implied sum explicit, so that the result carries wanted axes only. Gives up, having reported every axis
 * that is left over. `canName`: whether the left side could name more axes.
 */
export function settle(e: Typed, wanted: readonly Axis[], report: (d: Diagnostic) => void, canName = true): Typed {
  let wrong = false;
  const noted = (d: Diagnostic): void => {
    wrong = true;
    report(d);
  };
  const settled = within(e, wanted, { left: wanted, canName, report: noted, reducer: null });
  return wrong ? giveUp() : settled;
}

/** A part of a definition with its sums explicit, where the axes `wanted` are kept. */
function within(e: Typed, wanted: readonly Axis[], how: Settling): Typed {
  const plain: Settling = how.reducer ? { ...how, reducer: null } : how;
  switch (e.kind) {
    case "number":
    case "size":
    case "scalar":
    case "cross_entropy":
      return e;
    case "position":
    case "tensor":
    case "gather":
    case "call":
    case "map":
    case "shifted":
    case "relabel": {
      const over = axesOf(e).filter((axis) => !wanted.includes(axis));
      if (over.length) reportLone(e, over, how);
      return e;
    }
    case "unary":
    case "random":
      return { ...e, a: within(e.a, wanted, plain) };
    case "binary":
      return { ...e, a: within(e.a, wanted, plain), b: within(e.b, wanted, plain) };
    case "where":
      return { ...e, a: within(e.a, wanted, how), condition: within(e.condition, wanted, plain) };
    case "choice":
      return {
        ...e,
        a: within(e.a, wanted, plain),
        condition: e.condition && within(e.condition, wanted, plain),
        otherwise: within(e.otherwise, wanted, plain),
      };
    case "distance": {
      const inside = union(wanted, e.point);
      return { ...e, a: within(e.a, inside, plain), b: within(e.b, inside, plain) };
    }
    case "reduce":
      return { ...e, a: within(e.a, union(wanted, e.axes), { ...how, reducer: e }) };
    case "product": {
      const carried = e.factors.map((factor) => axesOf(factor.e));
      const summed = [...new Set(carried.flat())].filter(
        (axis) => !wanted.includes(axis) && carried.filter((axes) => axes.includes(axis)).length >= 2,
      );
      const inside = [...wanted, ...summed];
      return { ...e, factors: e.factors.map((factor) => ({ ...factor, e: within(factor.e, inside, plain) })), summed };
    }
    default:
      return e satisfies never;
  }
}

/** Reports axes of one term that nothing sums and that the left side does not name. */
function reportLone(e: Typed, over: readonly Axis[], { left, canName, report, reducer }: Settling): void {
  const names = over.map(({ name }) => `\`${name}\``);
  const several = over.length > 1;
  const which = several
    ? `the axes ${names.slice(0, -1).join(", ")} and ${names.at(-1)} stand`
    : `the axis ${names[0]} stands`;
  const result = left.length ? `[${left.map(({ name }) => name).join(", ")}]` : "a number";
  const them = several ? "them" : "it";
  const along = (axes: readonly Axis[]): string => axes.map(({ name }) => name).join(", ");
  const sum =
    reducer && !KEEPING.has(reducer.f) && reducer.f !== "argmax"
      ? `work along ${them} too, \`${reducer.f}[${along([...reducer.axes, ...over])}](…)\``
      : `sum over ${them} with \`sum[${along(over)}](…)\``;
  report(
    diagnostic("MHC204", e.span, `${which} only once here, and the result (${result}) does not have ${them}`, {
      fix: canName ? `${sum}, or name ${them} on the left` : sum,
    }),
  );
}
