/**
 * A bare name of an axis in a value. `t * exp(half)` reads as positions and `x / sqrt(d)` as a size, and both are one
 * grammar: so a bare dim is its size only where nothing else can be meant. Where it is an axis of the value, one that
 * the left side names (or, without a left side, that another part carries) or that a reducer around it works along, it
 * is refused, and `size(t)` or `index(t)` says which is meant. What a product sums away by itself is no such axis:
 * `q[t, d] * k[u, d] / sqrt(d)` divides by a size. Conditions have a rule of their own (`expressions.ts`).
 */
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import { describe } from "../../graph/sizes.js";
import { axesOf, union, type Axis, type Typed } from "../typed.js";
import { partsOf } from "../walk.js";

/** Reports every bare axis of a value whose axes are `wanted`; null when its left side names none. */
export function refuseBareAxes(e: Typed, wanted: readonly Axis[] | null, report: (d: Diagnostic) => void): void {
  inside(e, wanted ?? axesOf(e));

  function inside(part: Typed, open: readonly Axis[]): void {
    switch (part.kind) {
      case "size":
        if (part.bare && open.includes(part.bare)) report(ambiguous(part.bare, part));
        return;
      case "reduce":
        return inside(part.a, union(open, part.axes));
      case "distance":
        return [part.a, part.b].forEach((point) => inside(point, union(open, part.point)));
      // An argument has axes of its own, which are those of the place that it goes to.
      case "call":
        return part.args.forEach((arg) => inside(arg, union(open, axesOf(arg))));
      case "relabel":
        return inside(part.a, union(open, part.from));
      case "map":
        return part.a ? inside(part.a, union(open, axesOf(part.a))) : undefined;
      case "cross_entropy":
        return [part.logits, part.target].forEach((side) => inside(side, union(open, axesOf(side))));
      default:
        return partsOf(part).forEach((inner) => inside(inner, open));
    }
  }
}

function ambiguous({ name, size }: Axis, { span }: Typed): Diagnostic {
  return diagnostic(
    "MHC219",
    span,
    `\`${name}\` is an axis here, and a value says whether its size or the position along it is meant`,
    {
      fix:
        `write \`index(${name})\` for the position, which counts from 0, or \`size(${name})\` for the size, ` +
        `${describe(size)}`,
    },
  );
}
