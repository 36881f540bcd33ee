/**
 * Which parameters are matrices, and how. An array such as `out[heads, d, w]` is one by the product in which the page
 * uses it: in `p[heads, t, u] * v[u, heads, d] * out[heads, d, w]` the axes heads and d are summed, which makes them
 * its rows, and w is not, which makes it its column. An axis counts matrices where it is not summed and where a factor
 * that shares a summed axis has it too: `y[t, heads, d] * w[heads, d, e]`, summed over d, has a matrix for every head.
 * This is read off the page rather than off the graph, where the order of contractions is the compiler's choice: with
 * v * out first, heads would seem to count.
 *
 * A parameter that is used in any other way (added, gathered, given to a function), or in two products that disagree,
 * is no matrix. Nor is the head: the parameter whose product makes the logits of a `cross_entropy`.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { statementsIn } from "../statements.js";
import {
  axesOf,
  type Axis,
  type Definition,
  type Parameter,
  type Statement,
  type Tensor,
  type Typed,
  type TypedModel,
  type TypedOf,
} from "../typed.js";
import { partsOf } from "../walk.js";

/**
 * The positions of a parameter's axes: those that count matrices, and those that are the rows and the columns of each.
 */
export interface Sides {
  readonly each: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** A parameter under the names that an expression gives to its axes. */
interface NamedParameter {
  readonly parameter: Parameter;
  readonly axes: readonly Axis[];
}

/** What has been read of a page so far. */
interface MatrixReading {
  readonly parameterOf: ReadonlyMap<Tensor, Parameter>;
  /** What a formal or a `let` stands for. A stream changes, so that it stands for nothing. */
  readonly meanings: Map<Tensor, Typed>;
  /** How parameters are matrices in the products that have been read. */
  readonly sides: Map<Parameter, Sides>;
  /** Parameters that are used in another way, or that are the head. */
  readonly others: Set<Parameter>;
}

/** The matrices among the parameters that are free, the head left out. */
export function matricesOf(model: TypedModel): ReadonlyMap<Parameter, Sides> {
  const reading: MatrixReading = {
    parameterOf: new Map(model.parameters.map((parameter) => [parameter.tensor, parameter])),
    meanings: new Map(),
    sides: new Map(),
    others: new Set(),
  };
  for (const statement of model.statements) readStatement(reading, statement);
  for (const { value } of model.outputs) use(reading, value);
  for (const term of model.terms) if (term.kind === "part") use(reading, term.value);
  if (model.loss) use(reading, model.loss);
  return new Map([...reading.sides].filter(([parameter]) => !reading.others.has(parameter) && !parameter.on));
}

function readStatement(reading: MatrixReading, statement: Statement): void {
  switch (statement.kind) {
    case "let":
      return statement.tensor.kind === "stream" ? use(reading, statement.value) : defineIn(reading, statement);
    case "apply":
    case "update":
      return use(reading, statement.value);
    case "repeat":
    case "if":
      return statementsIn(statement).forEach((part) => readStatement(reading, part));
    default:
      return statement satisfies never;
  }
}

/** What recurs is a name for nothing else: it is made of itself. */
function defineIn(reading: MatrixReading, { tensor, value, recurrence }: Definition): void {
  if (recurrence) use(reading, value);
  else define(reading, tensor, value);
}

/** Another name for a parameter is no use of it. */
function define(reading: MatrixReading, tensor: Tensor, value: Typed): void {
  if (!parameterIn(reading, value)) use(reading, value);
  reading.meanings.set(tensor, value);
}

/** The parameter that an expression is, whatever it is called there; null when it is none. */
function parameterIn(reading: MatrixReading, e: Typed): NamedParameter | null {
  if (e.kind === "relabel") return renamed(parameterIn(reading, e.a), e.from, e.axes);
  if (e.kind !== "tensor") return null;
  const parameter = reading.parameterOf.get(e.tensor);
  if (parameter) return { parameter, axes: e.axes };
  const meaning = reading.meanings.get(e.tensor);
  return meaning ? renamed(parameterIn(reading, meaning), e.tensor.axes, e.axes) : null;
}

/** Reads an expression that is computed with. */
function use(reading: MatrixReading, e: Typed): void {
  switch (e.kind) {
    case "tensor":
      return useOtherwise(reading, e);
    // What is read at other places of a parameter is no matrix of it.
    case "shifted":
      useOtherwise(reading, e.a);
      return use(reading, e.a);
    case "relabel":
      return parameterIn(reading, e) ? useOtherwise(reading, e) : use(reading, e.a);
    case "gather":
      useOtherwise(reading, { kind: "tensor", tensor: e.table, axes: e.table.axes, span: e.table.span });
      return use(reading, e.index);
    case "product":
      return useProduct(reading, e);
    case "call": {
      const { formals, body, result } = e.instance;
      for (const [i, arg] of e.args.entries()) define(reading, mustAt(formals, i), arg);
      for (const definition of body) defineIn(reading, definition);
      return use(reading, result);
    }
    case "cross_entropy":
      use(reading, e.logits);
      use(reading, e.target);
      for (const head of headsOf(reading, e.logits)) reading.others.add(head);
      return;
    case "number":
    case "size":
    case "scalar":
    case "position":
    case "unary":
    case "random":
    case "reduce":
    case "binary":
    case "distance":
    case "where":
    case "choice":
    case "map":
      return partsOf(e).forEach((part) => use(reading, part));
    default:
      return e satisfies never;
  }
}

/** Notes a use that makes no matrix of a parameter. */
function useOtherwise(reading: MatrixReading, e: Typed): void {
  const named = parameterIn(reading, e);
  if (named) reading.others.add(named.parameter);
}

function useProduct(reading: MatrixReading, product: TypedOf<"product">): void {
  for (const { e, inverse } of product.factors) {
    const named = parameterIn(reading, e);
    if (!named) {
      use(reading, e);
      continue;
    }
    const sides = inverse ? null : sidesOf(product, e, named);
    const before = reading.sides.get(named.parameter);
    if (!sides || (before && !agree(before, sides))) reading.others.add(named.parameter);
    else if (!before) reading.sides.set(named.parameter, sides);
  }
}

/** The parameters of the products that make logits, behind sums, functions and gains. */
function headsOf(reading: MatrixReading, e: Typed): readonly Parameter[] {
  switch (e.kind) {
    case "tensor": {
      const meaning = reading.meanings.get(e.tensor);
      return meaning ? headsOf(reading, meaning) : [];
    }
    case "call":
      return headsOf(reading, e.instance.result);
    case "unary":
    case "random":
    case "reduce":
    case "relabel":
    case "where":
    case "shifted":
      return headsOf(reading, e.a);
    case "choice":
      return [e.a, e.otherwise].flatMap((operand) => headsOf(reading, operand));
    case "binary":
      return [e.a, e.b].flatMap((operand) => headsOf(reading, operand));
    case "product": {
      const named = e.factors.flatMap((factor) => parameterIn(reading, factor.e) ?? []);
      const summed = named.some(({ axes }) => axes.some((axis) => e.summed.includes(axis)));
      return [
        ...named.map(({ parameter }) => parameter),
        ...(summed ? [] : e.factors.flatMap((factor) => headsOf(reading, factor.e))),
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

/** The same under other names: `from[i]` becomes `to[i]`; null where an axis is not among them. */
function renamed(named: NamedParameter | null, from: readonly Axis[], to: readonly Axis[]): NamedParameter | null {
  if (!named) return null;
  const places = named.axes.map((axis) => from.indexOf(axis));
  return places.includes(-1) ? null : { parameter: named.parameter, axes: places.map((place) => mustAt(to, place)) };
}

/** How a factor of a product is a matrix; null when nothing of it is summed, or all. */
function sidesOf({ factors, summed }: TypedOf<"product">, factor: Typed, { axes }: NamedParameter): Sides | null {
  const summedHere = axes.filter((axis) => summed.includes(axis));
  const beside = factors
    .filter(({ e }) => e !== factor)
    .map(({ e }) => axesOf(e))
    .filter((others) => others.some((axis) => summedHere.includes(axis)));
  const positions = (holds: (axis: Axis) => boolean): number[] => axes.flatMap((axis, i) => (holds(axis) ? [i] : []));
  const counts = (axis: Axis): boolean => !summedHere.includes(axis) && beside.some((others) => others.includes(axis));
  const sides = {
    each: positions(counts),
    rows: positions((axis) => summedHere.includes(axis)),
    columns: positions((axis) => !summedHere.includes(axis) && !counts(axis)),
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
