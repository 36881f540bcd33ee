/** Walks over typed expressions: the parts of one, and all of a model's with the place that each belongs to. */
import { pathOfRepeat } from "./paths.js";
import { statementsIn } from "./statements.js";
import type { BlockInstance, Statement, Typed, TypedModel } from "./typed.js";

/** The expressions that one is made of; of a call its arguments, not what its instance computes. */
export function partsOf(e: Typed): readonly Typed[] {
  switch (e.kind) {
    case "number":
    case "size":
    case "scalar":
    case "position":
    case "tensor":
      return [];
    case "gather":
      return [e.index];
    case "unary":
    case "reduce":
    case "relabel":
      return [e.a];
    case "binary":
    case "distance":
      return [e.a, e.b];
    case "product":
      return e.factors.map((factor) => factor.e);
    case "where":
      return [e.a, e.condition];
    case "call":
      return e.args;
    case "map":
      return e.a ? [e.a] : [];
    case "cross_entropy":
      return [e.logits, e.target];
    default:
      return e satisfies never;
  }
}

/** The instances that an expression calls, in its arguments too, but not what those call in their turn. */
export function instancesIn(e: Typed): ReadonlySet<BlockInstance> {
  const called = new Set<BlockInstance>(e.kind === "call" ? [e.instance] : []);
  for (const part of partsOf(e)) for (const instance of instancesIn(part)) called.add(instance);
  return called;
}

/**
 * Visits every expression of a model, outer ones first, with the path of the innermost instance or `repeat` that it
 * stands in ("" for the page).
 */
export function walk(
  { statements, loss, outputs }: Pick<TypedModel, "statements" | "loss" | "outputs">,
  visit: (e: Typed, path: string) => void,
): void {
  const seen = new Set<Typed>();
  const inside = (e: Typed, path: string): void => {
    if (seen.has(e)) return;
    seen.add(e);
    visit(e, path);
    partsOf(e).forEach((part) => inside(part, path));
    if (e.kind === "call")
      [...e.instance.body.map(({ value }) => value), e.instance.result].forEach((part) =>
        inside(part, e.instance.path),
      );
  };
  const run = (statement: Statement, path: string): void => {
    if ("value" in statement) return inside(statement.value, path);
    const within = statement.kind === "repeat" ? pathOfRepeat(path, statement) : path;
    statementsIn(statement).forEach((part) => run(part, within));
  };
  statements.forEach((statement) => run(statement, ""));
  if (loss) inside(loss, "");
  outputs.forEach(({ value }) => inside(value, ""));
}
