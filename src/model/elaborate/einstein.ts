/**
 * Einstein's rule: an axis that the left side does not name is summed over the smallest product that holds all its
 * occurrences. Top down: at a product (a flat chain of * and /, where / multiplies by the reciprocal), an axis that is
 * not wanted and stands in two factors or more is summed there; one that stands in a single factor is that factor's own
 * affair; sums and functions pass the question on to their operands; and a tensor that still carries an axis nobody
 * wants is an error, which catches the forgotten axis.
 */
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import { diagnostic } from "../../diagnostics/table.js";
import { mustAt } from "../../../runtime/lookup.js";
import { partsOf } from "../walk.js";
import { giveUp } from "./scope.js";
import { axesOf, KEEPING, union, type Axis, type Factor, type Typed, type TypedOf } from "../typed.js";

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
      return e;
    case "cross_entropy":
      return { ...e, kept: axesOf(e.target).filter((axis) => wanted.includes(axis)) };
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
    case "reduce": {
      const over = KEEPING.has(e.f) ? e.axes.filter((axis) => !wanted.includes(axis)) : [];
      if (over.length) reportLone(e, over, plain);
      return { ...e, a: within(e.a, union(wanted, e.axes), { ...how, reducer: e }) };
    }
    case "product":
      return productWithin(e, wanted, plain);
    default:
      return e satisfies never;
  }
}

/** A product, with a sum over each axis that it sums. */
function productWithin(e: TypedOf<"product">, wanted: readonly Axis[], how: Settling): Typed {
  const carried = e.factors.map((factor) => axesOf(factor.e));
  const summed = [...new Set(carried.flat())].filter(
    (axis) => !wanted.includes(axis) && carried.filter((axes) => axes.includes(axis)).length >= 2,
  );
  for (const axis of summed) reportTwoPlaces(e, axis, how);
  const inside = [...wanted, ...summed];
  const { groups: _, ...product } = e;
  return { ...product, factors: e.factors.map((factor) => ({ ...factor, e: within(factor.e, inside, how) })), summed };
}

/**
 * Reports an axis of which each part of a product could be summed by itself as well as the whole: in
 * `silu(x[t, w] * a[w, h]) * (x[t, w] * b[w, h])` people read two sums over w. No such part is one in which the axis
 * stands once, as `silu(x[t, w] * gain[w]) * m[w, h]`: that has one sum.
 */
function reportTwoPlaces(e: TypedOf<"product">, axis: Axis, { report }: Settling): void {
  const carries = ({ e: factor }: Factor): boolean => axesOf(factor).includes(axis);
  const groups = (e.groups ?? []).filter((group) => group.some(carries) && !e.factors.every((f) => group.includes(f)));
  const loose = e.factors.filter((factor) => carries(factor) && !groups.some((group) => group.includes(factor)));
  const plain = loose.filter((factor) => !sumsInside(factor.e, axis));
  const inner = [
    ...groups.flatMap((group) => (hasTwice(group, axis) ? [spanOf(group)] : [])),
    ...loose.flatMap((factor) => (plain.includes(factor) ? [] : [factor.e.span])),
  ];
  const [span] = inner;
  const everyPart = groups.every((group) => hasTwice(group, axis)) && plain.length !== 1;
  if (!span || !everyPart || inner.length + Math.min(plain.length, 1) < 2) return;
  report(
    diagnostic("MHC227", span, `\`${axis.name}\` could be summed in this part by itself, or over the whole`, {
      fix: `name this part first, \`part[…] = …\`, or write the sum that is meant: \`sum[${axis.name}](…)\``,
    }),
  );
}

const spanOf = (factors: readonly Factor[]): Span => ({
  ...mustAt(factors, 0).e.span,
  end: mustAt(factors, factors.length - 1).e.span.end,
});

const hasTwice = (factors: readonly Factor[], axis: Axis): boolean =>
  factors.filter((factor) => axesOf(factor.e).includes(axis)).length >= 2;

/** Whether products inside of a value could sum the axis wherever it stands there. */
function sumsInside(e: Typed, axis: Axis): boolean {
  const everywhere = (...parts: readonly Typed[]): boolean =>
    parts.every((part) => !axesOf(part).includes(axis) || sumsInside(part, axis));
  switch (e.kind) {
    case "unary":
    case "random":
    case "reduce":
      return sumsInside(e.a, axis);
    case "binary":
      return everywhere(e.a, e.b);
    case "choice":
      return everywhere(e.a, e.otherwise) && !(e.condition && axesOf(e.condition).includes(axis));
    case "product":
      return hasTwice(e.factors, axis) || everywhere(...e.factors.map((factor) => factor.e));
    default:
      return false;
  }
}

/**
 * What to do about axes that a block's own result has, which the page has no name for: they are named where the result
 * has a line of its own. Null where the axes are of the page.
 */
export function ownLine(e: Typed, over: readonly Axis[]): string | null {
  const called = [e, ...partsOf(e)].find(
    (part) => part.kind === "call" && part.axes.some((axis) => over.includes(axis)),
  );
  if (called?.kind !== "call") return null;
  const { path } = called.instance;
  const name = path.slice(path.lastIndexOf(".") + 1);
  return `give it a line of its own, whose left side names its axes: \`a[…] = ${name}(…)\``;
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
      fix: ownLine(e, over) ?? (canName ? `${sum}, or name ${them} on the left` : sum),
    }),
  );
}
