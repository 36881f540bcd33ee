/**
 * What is read outside of a tensor is absent, and a page says what takes its place: a reducer leaves it out (a sum of
 * products over nothing is 0), or `else` gives another value. Whatever else is computed of it would have a silent
 * meaning, so it is refused. Sizes decide whether an index can leave its axis at all: this runs when they are known.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { valueOf } from "../graph/sizes.js";
import { printTyped } from "./print.js";
import type { Axis, Reducer, Typed, TypedOf } from "./typed.js";
import { partsOf } from "./walk.js";

type Shifted = TypedOf<"shifted">;

/** Whether a value reads a tensor at computed indices, not counting what the blocks that it calls do. */
export const hasShifted = (e: Typed): boolean => e.kind === "shifted" || partsOf(e).some(hasShifted);

/** The least and the largest place that an index has, and the size of its axis; NaN where a size is not known. */
function extentOf(
  { at, from }: Shifted,
  i: number,
): { readonly least: number; readonly most: number; readonly size: number } {
  const { offset, terms } = mustAt(at, i);
  let [least, most] = [offset.value(), offset.value()];
  for (const { axis, step } of terms) {
    const far = step.value() * ((valueOf(axis.size) ?? Number.NaN) - 1);
    if (far < 0) least += far;
    else most += far;
  }
  return { least, most, size: valueOf(mustAt(from, i).size) ?? Number.NaN };
}

/** Whether an index is never one of its axis: that is wrong itself. */
function isNever(read: Shifted, i: number): boolean {
  const { least, most, size } = extentOf(read, i);
  return most < 0 || least >= size;
}

/** Whether a value reads somewhere that is never there. */
export const readsNothing = (e: Typed): boolean =>
  (e.kind === "shifted" && e.at.some((_, i) => isNever(e, i))) || partsOf(e).some(readsNothing);

/**
 * The axes of the indices that may leave their axis; of those whose sizes are not known, all may. One that is never
 * inside is wrong itself, but in a recurrence, where no place may have an earlier one.
 */
function leaving(read: Shifted): readonly (readonly Axis[])[] {
  return read.at.flatMap(({ terms }, i) => {
    const { least, most, size } = extentOf(read, i);
    if (!read.recurs && isNever(read, i)) return [];
    const isWhole = terms.every(({ step }) => Number.isInteger(step.value()));
    return isWhole && least >= 0 && most < size ? [] : [terms.map(({ axis }) => axis)];
  });
}

/**
 * The reads that may be absent in a value, for which nothing in it says what then. Those of a tensor in its own
 * definition are 0 before the first place; `recurring`: they too, since an `else` says otherwise.
 */
export function absentIn(e: Typed, recurring = false): readonly Shifted[] {
  const inside = (part: Typed): readonly Shifted[] => absentIn(part, recurring);
  switch (e.kind) {
    case "shifted":
      return (recurring || !e.recurs) && leaving(e).length > 0 ? [e] : [];
    case "product":
      return e.summed.length > 0 ? [] : e.factors.flatMap((factor) => inside(factor.e));
    // Arguments and conditions are to be there, and are looked at by themselves.
    case "reduce":
    case "call":
      return [];
    case "where":
      return inside(e.a);
    case "choice":
      return inside(e.otherwise);
    default:
      return partsOf(e).flatMap(inside);
  }
}

/** Of these reads, those that stand beside another operand, which may be there where they are not. */
function addedIn(e: Typed): readonly Shifted[] {
  switch (e.kind) {
    case "binary":
    case "distance":
      return [e.a, e.b].flatMap((part) => absentIn(part));
    case "product":
      return e.summed.length > 0 ? [] : e.factors.flatMap((factor) => addedIn(factor.e));
    case "shifted":
    case "reduce":
    case "call":
      return [];
    case "where":
      return addedIn(e.a);
    case "choice":
      return addedIn(e.otherwise);
    default:
      return partsOf(e).flatMap(addedIn);
  }
}

/** Whether going along these axes, some places find the read and others do not: then the others are left out. */
const isAlong = (read: Shifted, axes: readonly Axis[]): boolean =>
  leaving(read).every((terms) => terms.some((axis) => axes.includes(axis)));

/** Reducers that are something where all that they go along is absent. */
const OF_NOTHING: ReadonlySet<Reducer> = new Set<Reducer>(["sum", "prod", "cumsum"]);

const BESIDE = "the other operand may be there where it is not";

/** Reports the reads of a definition that may be absent where nothing says what then. */
export function refuseAbsent(e: Typed, report: (d: Diagnostic) => void): void {
  const refuse = (reads: readonly Shifted[], why: string): void => reads.forEach((read) => report(refused(read, why)));
  refuse(absentIn(e), "nothing here says what is to be there instead");
  inside(e);

  function inside(part: Typed): void {
    switch (part.kind) {
      case "reduce":
        reduces(part);
        break;
      case "product":
        if (part.summed.length > 0)
          refuse(
            part.factors.flatMap((factor) => addedIn(factor.e)).filter((read) => !isAlong(read, part.summed)),
            BESIDE,
          );
        break;
      case "call":
        refuse(
          part.args.flatMap((arg) => absentIn(arg)),
          "a block takes values that are there",
        );
        break;
      case "where":
      case "choice":
        if (part.condition) refuse(absentIn(part.condition), "a condition has to be true or false");
        break;
      default:
    }
    partsOf(part).forEach(inside);
  }

  function reduces({ f, a, axes }: TypedOf<"reduce">): void {
    if (f === "rms") return refuse(absentIn(a), "`rms` does not know what to do without it");
    const astray = (reads: readonly Shifted[]): Shifted[] => reads.filter((read) => !isAlong(read, axes));
    return OF_NOTHING.has(f)
      ? refuse(astray(addedIn(a)), BESIDE)
      : refuse(astray(absentIn(a)), `then \`${f}\` has nothing to go along`);
  }
}

function refused(read: Shifted, why: string): Diagnostic {
  const text = printTyped(read);
  return diagnostic("MHC231", read.span, `\`${text}\` may lie outside of \`${nameOf(read)}\`, and ${why}`, {
    fix: `say what it is there: \`(${text} else 0)\``,
  });
}

const nameOf = ({ a }: Shifted): string => (a.kind === "tensor" ? a.tensor.name : "it");
