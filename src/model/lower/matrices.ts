/**
 * Which parameters are matrices, and how. An array such as `out[heads, d, w]` is one by the product in which the page
 * uses it: in `p[heads, t, u] * v[u, heads, d] * out[heads, d, w]` the axes heads and d are summed, which makes them
 * its rows, and w is left, which makes it its column. An axis that is left but that what it is summed with has too
 * counts matrices: `y[t, heads, d] * w[heads, d, e]` has one for every head. It is read off the page rather than off
 * the graph, where the order of contractions is the compiler's choice: with v * out first, heads would seem to count.
 *
 * What is used in any other way (added, gathered, given to a function), or in two products that disagree, is no matrix.
 * Nor is the head: the parameter whose product makes the logits of a `cross_entropy`.
 */
import {
  axesOf,
  type Axis,
  type Parameter,
  type Statement,
  type Tensor,
  type Typed,
  type TypedModel,
} from "../typed.js";

/**
 * The positions of a parameter's axes: those that count matrices, and those that are the rows and the columns of each.
 */
export interface Sides {
  readonly each: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

type Product = Extract<Typed, { readonly kind: "product" }>;

/** A parameter under the names that an expression gives to its axes. */
interface Named {
  readonly parameter: Parameter;
  readonly axes: readonly Axis[];
}

/** The matrices among the parameters that are free, the head left out. */
export function matricesOf(model: TypedModel): ReadonlyMap<Parameter, Sides> {
  const byTensor = new Map(model.parameters.map((parameter) => [parameter.tensor, parameter]));
  /** What a formal or a `let` stands for. A stream changes, so that it stands for nothing. */
  const meanings = new Map<Tensor, Typed>();
  const found = new Map<Parameter, Sides>();
  const others = new Set<Parameter>();

  model.statements.forEach(run);
  model.outputs.forEach(({ value }) => use(value));
  if (model.loss) use(model.loss);
  return new Map([...found].filter(([parameter]) => !others.has(parameter) && !parameter.on));

  function run(statement: Statement): void {
    switch (statement.kind) {
      case "let":
        return statement.tensor.kind === "stream" ? use(statement.value) : define(statement.tensor, statement.value);
      case "apply":
      case "update":
        return use(statement.value);
      case "repeat":
        return statement.body.forEach(run);
      default:
        return statement satisfies never;
    }
  }

  /** Another name for a parameter is no use of it. */
  function define(tensor: Tensor, value: Typed): void {
    if (!named(value)) use(value);
    meanings.set(tensor, value);
  }

  /** The parameter that an expression is, whatever it is called there. */
  function named(e: Typed): Named | null {
    if (e.kind === "relabel") return renamed(named(e.a), e.from, e.axes);
    if (e.kind !== "tensor") return null;
    const parameter = byTensor.get(e.tensor);
    if (parameter) return { parameter, axes: e.axes };
    const meaning = meanings.get(e.tensor);
    return meaning ? renamed(named(meaning), e.tensor.axes, e.axes) : null;
  }

  function use(e: Typed): void {
    switch (e.kind) {
      case "number":
      case "size":
      case "scalar":
      case "position":
        return;
      case "tensor":
        return otherwise(e);
      case "relabel":
        return named(e) ? otherwise(e) : use(e.a);
      case "gather": {
        const table = meaningOf(e.table);
        if (table) others.add(table);
        return use(e.index);
      }
      case "unary":
      case "reduce":
        return use(e.a);
      case "binary":
      case "distance":
        return [e.a, e.b].forEach(use);
      case "where":
        return [e.a, e.condition].forEach(use);
      case "map":
        return e.a ? use(e.a) : undefined;
      case "product":
        return multiply(e);
      case "call": {
        e.args.forEach((arg, i) => define(e.instance.formals[i]!, arg));
        e.instance.body.forEach(({ tensor, value }) => define(tensor, value));
        return use(e.instance.result);
      }
      case "cross_entropy": {
        [e.logits, e.target].forEach(use);
        return headsOf(e.logits).forEach((parameter) => others.add(parameter));
      }
      default:
        return e satisfies never;
    }
  }

  function otherwise(e: Typed): void {
    const own = named(e);
    if (own) others.add(own.parameter);
  }

  function meaningOf(tensor: Tensor): Parameter | null {
    return named({ kind: "tensor", tensor, axes: tensor.axes, span: tensor.span })?.parameter ?? null;
  }

  function multiply(product: Product): void {
    for (const { e, inverse } of product.factors) {
      const own = named(e);
      if (!own) {
        use(e);
        continue;
      }
      const sides = inverse ? null : sidesOf(product, e, own);
      const before = found.get(own.parameter);
      if (!sides || (before && !agree(before, sides))) others.add(own.parameter);
      else found.set(own.parameter, before ?? sides);
    }
  }

  /** The parameters of the products that make logits, behind sums, functions and gains. */
  function headsOf(e: Typed): Parameter[] {
    switch (e.kind) {
      case "tensor": {
        const meaning = meanings.get(e.tensor);
        return meaning ? headsOf(meaning) : [];
      }
      case "call":
        return headsOf(e.instance.result);
      case "unary":
      case "reduce":
      case "relabel":
        return headsOf(e.a);
      case "where":
        return headsOf(e.a);
      case "binary":
        return [e.a, e.b].flatMap(headsOf);
      case "product": {
        const own = e.factors.flatMap((factor) => named(factor.e) ?? []);
        const summed = own.some(({ axes }) => axes.some((axis) => e.summed.includes(axis)));
        return [
          ...own.map(({ parameter }) => parameter),
          ...(summed ? [] : e.factors.flatMap((factor) => headsOf(factor.e))),
        ];
      }
      case "number":
      case "size":
      case "scalar":
      case "position":
      case "gather":
      case "map":
      case "distance":
      case "cross_entropy":
        return [];
      default:
        return e satisfies never;
    }
  }
}

/** The same under other names: `from[i]` becomes `to[i]`; null where an axis is not among them. */
function renamed(own: Named | null, from: readonly Axis[], to: readonly Axis[]): Named | null {
  const places = own?.axes.map((axis) => from.indexOf(axis)) ?? [];
  return own && !places.includes(-1) ? { parameter: own.parameter, axes: places.map((place) => to[place]!) } : null;
}

/** How a factor of a product is a matrix; null when nothing of it is summed, or all. */
function sidesOf({ factors, summed }: Product, factor: Typed, { axes }: Named): Sides | null {
  const gone = axes.filter((axis) => summed.includes(axis));
  const beside = factors
    .filter(({ e }) => e !== factor)
    .map(({ e }) => axesOf(e))
    .filter((own) => own.some((axis) => gone.includes(axis)));
  const positions = (holds: (axis: Axis) => boolean): number[] => axes.flatMap((axis, i) => (holds(axis) ? [i] : []));
  const counts = (axis: Axis): boolean => !gone.includes(axis) && beside.some((own) => own.includes(axis));
  const sides = {
    each: positions(counts),
    rows: positions((axis) => gone.includes(axis)),
    columns: positions((axis) => !gone.includes(axis) && !counts(axis)),
  };
  return sides.rows.length && sides.columns.length ? sides : null;
}

/** Whether two uses see the same matrices, or the one the transposed of the other. */
function agree(a: Sides, b: Sides): boolean {
  const same = (x: readonly number[], y: readonly number[]): boolean => x.join() === y.join();
  return (
    same(a.each, b.each) &&
    ((same(a.rows, b.rows) && same(a.columns, b.columns)) || (same(a.rows, b.columns) && same(a.columns, b.rows)))
  );
}
