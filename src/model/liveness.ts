/**
 * What of a page is needed: by its loss and outputs, and by the gradient of its loss. Statements are walked from the
 * last to the first; a tensor is read when something needed reads it, and reached when a gradient comes back to it,
 * which it does not through a condition, an index, a target or a factor 0. A stream is followed value by value, so that
 * one that is replaced before anything reads it counts for nothing; the body of a `repeat` is walked until a further
 * layer changes nothing.
 */
import type { Span } from "../diagnostics/span.js";
import type { Instance, Parameter, Statement, Tensor, Typed, TypedModel } from "./typed.js";
import { partsOf } from "./walk.js";

type Page = Pick<TypedModel, "statements" | "loss" | "outputs" | "parameters" | "manifolds">;

export interface Liveness {
  /** Tensors that the loss or an output needs. */
  readonly read: ReadonlySet<Tensor>;
  /** Of these, the ones that a gradient reaches. */
  readonly reached: ReadonlySet<Tensor>;
  /** Statements whose value is needed. */
  readonly used: ReadonlySet<Statement>;
  /** Instances that are needed, and where the outermost call that they belong to stands. */
  readonly instances: ReadonlyMap<Instance, Span>;
}

const COMPARISONS: ReadonlySet<string> = new Set(["<", "<=", "==", "!=", "and", "or"]);

export function livenessOf({ statements, loss, outputs }: Page): Liveness {
  const read = new Set<Tensor>();
  const reached = new Set<Tensor>();
  const used = new Set<Statement>();
  const instances = new Map<Instance, Span>();
  /** Streams whose value at this place is needed, and whether by the gradient. */
  let awaited = new Map<Tensor, boolean>();

  if (loss) need(loss, true, null);
  for (const { value } of outputs) need(value, loss === null, null);
  backwards(statements);
  return { read, reached, used, instances };

  function backwards(list: readonly Statement[]): void {
    for (const statement of [...list].reverse()) run(statement);
  }

  function run(statement: Statement): void {
    if (statement.kind === "repeat") return layers(statement.body);
    const tensor = statement.kind === "let" ? statement.tensor : statement.stream;
    const isStream = tensor.kind === "stream";
    if (isStream ? !awaited.has(tensor) : !read.has(tensor)) return;
    const gradient = isStream ? awaited.get(tensor)! : reached.has(tensor);
    awaited.delete(tensor);
    used.add(statement);
    need(statement.value, gradient, null);
  }

  /** What the last layer leaves is needed after the repeat; what another leaves, by the layer after it. */
  function layers(body: readonly Statement[]): void {
    const after = new Map(awaited);
    const seen = (): string =>
      `${read.size} ${reached.size} ${used.size} ${[...awaited.values()].map(Number).join("")}`;
    for (let before = ""; before !== seen();) {
      before = seen();
      for (const [stream, gradient] of after) wait(stream, gradient);
      backwards(body);
    }
  }

  function wait(stream: Tensor, gradient: boolean): void {
    awaited = new Map(awaited).set(stream, gradient || awaited.get(stream) === true);
  }

  function mark(tensor: Tensor, gradient: boolean): void {
    read.add(tensor);
    if (gradient) reached.add(tensor);
    if (tensor.kind === "stream") wait(tensor, gradient);
  }

  /** `use`: the outermost call around it. */
  function need(e: Typed, gradient: boolean, use: Span | null): void {
    switch (e.kind) {
      case "tensor":
        return mark(e.tensor, gradient);
      case "gather":
        mark(e.table, gradient);
        return need(e.index, false, use);
      case "where":
        need(e.a, gradient, use);
        return need(e.condition, false, use);
      case "binary":
        return [e.a, e.b].forEach((operand) => need(operand, gradient && !COMPARISONS.has(e.f), use));
      case "cross_entropy":
        need(e.logits, gradient, use);
        return need(e.target, false, use);
      case "product": {
        const nothing = e.factors.some(
          ({ e: factor, inverse }) => !inverse && factor.kind === "number" && factor.value === 0,
        );
        return e.factors.forEach((factor) => need(factor.e, gradient && !nothing, use));
      }
      case "call":
        return within(e.instance, e.args, gradient, use ?? e.span);
      default:
        return partsOf(e).forEach((part) => need(part, gradient, use));
    }
  }

  function within(instance: Instance, args: readonly Typed[], gradient: boolean, use: Span): void {
    instances.set(instance, use);
    need(instance.result, gradient, use);
    for (const { tensor, value } of [...instance.body].reverse())
      if (read.has(tensor)) need(value, reached.has(tensor), use);
    args.forEach((arg, i) => {
      const formal = instance.formals[i]!;
      if (read.has(formal)) need(arg, reached.has(formal), use);
    });
  }
}

/**
 * The parameters that training moves: those that a gradient reaches, and those that stand for an option of a set. Of a
 * page without a loss, all.
 */
export function trainedParameters(model: Page): ReadonlySet<Parameter> {
  const { parameters, manifolds, loss } = model;
  if (!loss) return new Set(parameters);
  const { reached } = livenessOf(model);
  const settings = settingsOf(parameters, manifolds);
  return new Set(parameters.filter((parameter) => reached.has(parameter.tensor) || settings.has(parameter.name)));
}

/** Names of the parameters that stand for options of sets. No expression reads them: the maps of the sets do. */
export function settingsOf(parameters: readonly Parameter[], manifolds: TypedModel["manifolds"]): ReadonlySet<string> {
  const sets = [
    ...manifolds.map(({ manifold }) => manifold),
    ...parameters.flatMap(({ on }) => (on ? [on.manifold] : [])),
  ];
  return new Set(sets.flatMap(({ adapt }) => adapt.map(({ name }) => name)));
}
