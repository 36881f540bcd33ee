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
    case "random":
    case "reduce":
    case "relabel":
    case "shifted":
      return [e.a];
    case "binary":
    case "distance":
      return [e.a, e.b];
    case "product":
      return e.factors.map((factor) => factor.e);
    case "where":
      return [e.a, e.condition];
    case "choice":
      return e.condition ? [e.a, e.condition, e.otherwise] : [e.a, e.otherwise];
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

/** Whether an instance, or one in it, has a loss. */
export function hasLosses({ losses, body, result }: BlockInstance): boolean {
  return losses.length > 0 || [...body.map(({ value }) => value), result].some(callsLosses);
}

/** Whether an expression calls an instance that has a loss, or that calls one. */
export const callsLosses = (e: Typed): boolean =>
  (e.kind === "call" && hasLosses(e.instance)) || partsOf(e).some(callsLosses);

/** The parts of a model that hold expressions. */
export type WalkedPage = Pick<TypedModel, "statements" | "loss" | "outputs" | "terms" | "metrics">;

/** Visits an expression and all that it is made of, outer ones first, but not what instances compute. */
export function visitParts(e: Typed, visit: (e: Typed) => void): void {
  visit(e);
  for (const part of partsOf(e)) visitParts(part, visit);
}

/**
 * Visits every expression of a model, outer ones first, with the path of the innermost instance or `repeat` that it
 * stands in ("" for the page).
 */
export function walk(
  { statements, loss, outputs, terms, metrics }: WalkedPage,
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
  for (const term of terms) if (term.kind === "part") inside(term.value, "");
  if (loss) inside(loss, "");
  metrics.forEach(({ value }) => inside(value, ""));
  outputs.forEach(({ value }) => inside(value, ""));
}

/** Whether a model draws random numbers while it trains. */
export function drawsNumbers(model: Parameters<typeof walk>[0]): boolean {
  let draws = false;
  walk(model, (e) => {
    draws ||= e.kind === "random" && e.amount.value() !== 0;
  });
  return draws;
}
