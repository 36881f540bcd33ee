/**
 * Einstein's rule: an axis that the left side does not name is summed over the smallest product that holds all its
 * occurrences. Top down: at a product (a flat chain of * and /, where / multiplies by the reciprocal), an axis that is not wanted
 * and stands in two factors or more is summed there; one that stands in a single factor is that factor's own affair; sums and
 * functions pass the question on to their operands; and a tensor that still carries an axis nobody wants is an error, which
 * catches the forgotten axis.
 */
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { axesOf, type Axis, type Typed } from "./typed.js";

/** Makes every implied sum explicit, so that the result carries wanted axes only. */
export function settle(e: Typed, wanted: readonly Axis[], report: (d: Diagnostic) => void): Typed {
  switch (e.kind) {
    case "number": case "size": case "scalar": case "cross_entropy":
      return e;
    case "position": case "tensor": case "gather": case "call": case "map": case "relabel": {
      for (const axis of axesOf(e)) if (!wanted.includes(axis)) lone(e, axis, wanted, report);
      return e;
    }
    case "unary":
      return { ...e, a: settle(e.a, wanted, report) };
    case "binary":
      return { ...e, a: settle(e.a, wanted, report), b: settle(e.b, wanted, report) };
    case "where":
      return { ...e, a: settle(e.a, wanted, report), condition: settle(e.condition, wanted, report) };
    case "distance": {
      const inside = [...wanted, ...e.point.filter((axis) => !wanted.includes(axis))];
      return { ...e, a: settle(e.a, inside, report), b: settle(e.b, inside, report) };
    }
    case "reduce":
      return { ...e, a: settle(e.a, [...wanted, ...e.axes.filter((axis) => !wanted.includes(axis))], report) };
    case "product": {
      const carried = e.factors.map((factor) => axesOf(factor.e));
      const all = new Set(carried.flat());
      const summed = [...all].filter((axis) => !wanted.includes(axis) && carried.filter((axes) => axes.includes(axis)).length >= 2);
      const inside = [...wanted, ...summed];
      return { ...e, factors: e.factors.map((factor) => ({ ...factor, e: settle(factor.e, inside, report) })), summed };
    }
    default:
      return e satisfies never;
  }
}

function lone(e: Typed, axis: Axis, wanted: readonly Axis[], report: (d: Diagnostic) => void): void {
  const left = wanted.length ? `[${wanted.map(({ name }) => name).join(", ")}]` : "a number";
  report(diagnostic("MHC204", e.span, `the axis \`${axis.name}\` stands only once here, and the result (${left}) does not have it`, {
    fix: `sum over it with \`sum[${axis.name}](…)\`, or name it on the left`,
  }));
}
