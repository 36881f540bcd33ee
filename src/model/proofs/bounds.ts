/**
 * Bounds of coefficients, for proofs: between which numbers an expression stays, and what the rows and columns of a
 * matrix sum to at most, in absolute values. They follow from what is certain of it: a number, the ends of a function
 * (a sigmoid is below 1), the bounds that a set states of its members, and interval arithmetic. Of everything else
 * there is a reason why nothing is known.
 */
import type { Span } from "../../diagnostics/span.js";
import { valueOf } from "../../graph/sizes.js";
import { endsOf, rankOf, type Bounded, type Options } from "../../manifolds/set.js";
import type { SetInstance } from "../../manifolds/registry.js";
import type { Coefficient } from "../mixing.js";
import { merged, recordOf } from "../../../runtime/records.js";
import { axesOf, type Axis, type Parameter, type Tensor, type Typed } from "../typed.js";

/** Why nothing is known: the end of "… is …", or of a sentence of its own. */
export interface None {
  readonly none: string;
  readonly span: Span;
  /** It is made of parameters on no set. */
  readonly free?: boolean;
}

type Range = { readonly low: number; readonly high: number } | None;

/**
 * Largest sums of absolute values of a matrix; `member`: the set that they are the bounds of, where they are just
 * these.
 */
export interface Sums {
  readonly rows: number;
  readonly columns: number;
  readonly member: SetInstance | null;
}

/** A set's own bound, with its tolerance: a member is off by as much, relative to the bound. */
export function boundOf(
  { set, options, adapt }: SetInstance,
  of: Bounded,
  shape: readonly number[],
): number | { readonly none: string } {
  // Of what adapts, the largest of the bounds at its ends: all of them rise or fall with their options.
  const settings = adapt.reduce<readonly Options[]>(
    (all, one) => all.flatMap((own) => endsOf(one)?.map((end) => merged(own, recordOf([[one.what, end]]))) ?? [own]),
    [options],
  );
  const bounds = settings.map((own) => set.bound(of, shape, own));
  const bound = bounds.find((own) => typeof own !== "number") ?? Math.max(...(bounds as number[]));
  return typeof bound === "number" ? bound * (1 + (set.tolerance(options) ?? 0)) : bound;
}

const isNone = (found: object): found is None => "none" in found;
const interval = (low: number, high: number): Range => ({ low, high });
const largest = ({ low, high }: { readonly low: number; readonly high: number }): number =>
  Math.max(Math.abs(low), Math.abs(high));
/** A renaming of axes on the way into a definition. */
type Names = (axis: Axis) => Axis;
const into =
  (from: readonly Axis[], to: readonly Axis[], names: Names): Names =>
  (axis) => {
    const at = from.indexOf(axis);
    return names(at < 0 ? axis : to[at]!);
  };

/** Bounds of what stands in a page with these parameters, where names stand for these values. */
export function createBounds(parameters: readonly Parameter[], named: ReadonlyMap<Tensor, Typed>) {
  const declared = new Map<Tensor, Parameter>(parameters.map((parameter) => [parameter.tensor, parameter]));
  /** Those too that stand in the calls that have been looked into. */
  const definitions = new Map<Tensor, Typed>(named);

  /** What a call computes. */
  function opened({ instance, args }: Extract<Typed, { readonly kind: "call" }>): Typed {
    instance.formals.forEach((formal, i) => definitions.set(formal, args[i]!));
    instance.body.forEach(({ tensor, value }) => definitions.set(tensor, value));
    return instance.result;
  }

  function memberAt({ set, options, adapt }: SetInstance, point: readonly Axis[], name: string, span: Span): Range {
    const sizes = point.map(({ size }) => valueOf(size));
    if (rankOf(set.point) === 2 && point.length !== 2)
      return { none: `\`${name}\` is a matrix of more than two axes`, span };
    if (sizes.some((size) => size === null)) return { none: `the size of \`${name}\` is not known yet`, span };
    const of = rankOf(set.point) === 2 ? "row" : "norm";
    const entries = (sizes as number[]).reduce((product, size) => product * size, 1);
    const found = boundOf(
      { set, options, adapt },
      of,
      rankOf(set.point) === 0 ? [1, 1] : rankOf(set.point) === 1 ? [entries] : (sizes as number[]),
    );
    return typeof found === "number"
      ? interval(-found, found)
      : { none: `\`${name}\` is on \`${set.name}\`, which ${found.none}`, span };
  }

  /** The axes of a point of a parameter. */
  const pointOf = ({ tensor, on }: Parameter): readonly Axis[] =>
    tensor.axes.filter((axis) => !on!.each.includes(axis));

  function range(e: Typed): Range {
    const known = (value: number): Range =>
      Number.isFinite(value) ? interval(value, value) : { none: "a number that is not known yet", span: e.span };
    switch (e.kind) {
      case "number":
        return known(e.value);
      case "scalar":
        return known(e.scalar.value());
      case "size":
        return known(valueOf(e.size) ?? Number.NaN);
      case "position": {
        const size = valueOf(e.axis.size);
        return size === null ? { none: "a size that is not known yet", span: e.span } : interval(0, size - 1);
      }
      case "tensor": {
        const definition = definitions.get(e.tensor);
        if (definition) return range(definition);
        const parameter = declared.get(e.tensor);
        if (parameter?.on) return memberAt(parameter.on.manifold, pointOf(parameter), e.tensor.name, e.span);
        return { none: `\`${e.tensor.name}\` is free`, span: e.tensor.span, free: true };
      }
      case "map":
        return memberAt(e.manifold, e.axes.slice(e.axes.length - rankOf(e.manifold.set.point)), e.name, e.span);
      case "relabel":
        return range(e.a);
      case "call":
        return range(opened(e));
      case "unary":
        return unary(e);
      case "binary":
        return binary(e);
      case "product":
        return product(e);
      case "reduce":
        return reduction(e);
      case "where":
        return interval(0, 1);
      case "gather":
      case "distance":
      case "cross_entropy":
        return { none: "a value of which nothing is known", span: e.span };
      default:
        return e satisfies never;
    }
  }

  function unary(e: Extract<Typed, { readonly kind: "unary" }>): Range {
    switch (e.f) {
      case "tanh":
      case "erf":
      case "sin":
      case "cos":
        return interval(-1, 1);
      case "sigmoid":
        return interval(0, 1);
      default:
    }
    const a = range(e.a);
    if (isNone(a)) return a;
    switch (e.f) {
      case "neg":
        return interval(-a.high, -a.low);
      case "abs":
        return interval(0, largest(a));
      case "relu":
        return interval(Math.max(0, a.low), Math.max(0, a.high));
      case "exp":
        return checked(e, Math.exp(a.low), Math.exp(a.high));
      case "sqrt":
        return checked(e, Math.sqrt(a.low), Math.sqrt(a.high));
      case "log":
        return checked(e, Math.log(a.low), Math.log(a.high));
      case "gelu":
      case "silu":
      case "softplus":
      case "logit":
        return { none: `\`${e.f}\` of a coefficient, of which nothing is known`, span: e.span };
      default:
        return e.f satisfies never;
    }
  }

  function binary(e: Extract<Typed, { readonly kind: "binary" }>): Range {
    const [a, b] = [range(e.a), range(e.b)];
    if (isNone(a)) return a;
    if (isNone(b)) return b;
    switch (e.f) {
      case "+":
        return interval(a.low + b.low, a.high + b.high);
      case "-":
        return interval(a.low - b.high, a.high - b.low);
      case "min":
        return interval(Math.min(a.low, b.low), Math.min(a.high, b.high));
      case "max":
        return interval(Math.max(a.low, b.low), Math.max(a.high, b.high));
      case "^":
        return a.low === a.high && b.low === b.high
          ? checked(e, a.low ** b.low, a.low ** b.low)
          : { none: "a power of which nothing is known", span: e.span };
      case "<":
      case "<=":
      case "==":
      case "!=":
      case "and":
      case "or":
        return interval(0, 1);
      default:
        return e.f satisfies never;
    }
  }

  const checked = (e: Typed, low: number, high: number): Range =>
    Number.isFinite(low) && Number.isFinite(high)
      ? interval(low, high)
      : { none: "a value that may not be a number", span: e.span };

  function product(e: Extract<Typed, { readonly kind: "product" }>): Range {
    let all: { low: number; high: number } = { low: 1, high: 1 };
    for (const { e: factor, inverse } of e.factors) {
      const own = range(factor);
      if (isNone(own)) return own;
      const by = inverse ? reciprocal(own, factor) : own;
      if (isNone(by)) return by;
      const ends = [all.low * by.low, all.low * by.high, all.high * by.low, all.high * by.high];
      all = { low: Math.min(...ends), high: Math.max(...ends) };
    }
    return repeated(all, e.summed, e.span);
  }

  const reciprocal = ({ low, high }: { readonly low: number; readonly high: number }, e: Typed): Range =>
    low > 0 || high < 0 ? interval(1 / high, 1 / low) : { none: "a quotient by what may be 0", span: e.span };

  /** The sum of as many numbers within a range as the axes have. */
  function repeated(
    { low, high }: { readonly low: number; readonly high: number },
    axes: readonly Axis[],
    span: Span,
  ): Range {
    const count = area(axes);
    return count === null
      ? { none: "a sum over an axis whose size is not known yet", span }
      : interval(low * count, high * count);
  }

  function reduction(e: Extract<Typed, { readonly kind: "reduce" }>): Range {
    if (e.f === "softmax") return interval(0, 1);
    const a = range(e.a.kind === "where" ? e.a.a : e.a);
    if (isNone(a)) return a;
    switch (e.f) {
      // What a condition leaves out is 0.
      case "sum":
        return repeated({ low: Math.min(0, a.low), high: Math.max(0, a.high) }, e.axes, e.span);
      // Where a condition lets nothing through, there is no largest value.
      case "max":
        return e.a.kind === "where" ? { none: "the largest of what may be nothing", span: e.span } : a;
      case "mean":
        return a;
      case "rms":
        return interval(0, Math.sqrt(largest(a) ** 2 + 1e-6));
      default:
        return e.f satisfies never;
    }
  }

  /** The largest sums of a matrix with these names of its rows and columns. */
  function matrix(e: Typed, row: Axis, column: Axis, names: Names): Sums | None {
    switch (e.kind) {
      case "tensor": {
        const definition = definitions.get(e.tensor);
        if (definition) return matrix(definition, row, column, into(e.tensor.axes, e.axes, names));
        const parameter = declared.get(e.tensor);
        if (parameter?.on)
          return member(
            parameter.on.manifold,
            pointOf(parameter).map(into(e.tensor.axes, e.axes, names)),
            e,
            row,
            column,
            e.tensor.name,
          );
        break;
      }
      case "map":
        return member(
          e.manifold,
          e.axes.slice(e.axes.length - rankOf(e.manifold.set.point)).map(names),
          e,
          row,
          column,
          e.name,
        );
      case "relabel":
        return matrix(e.a, row, column, into(e.from, e.axes, names));
      case "call":
        return matrix(opened(e), row, column, into(e.instance.axes, e.axes, names));
      case "unary":
        if (e.f === "neg") return matrix(e.a, row, column, names);
        break;
      case "binary": {
        if (e.f !== "+" && e.f !== "-") break;
        const sides = [e.a, e.b].map((side) => matrix(side, row, column, names));
        const missing = sides.find(isNone);
        if (missing) return missing;
        const [a, b] = sides as [Sums, Sums];
        return { rows: a.rows + b.rows, columns: a.columns + b.columns, member: null };
      }
      case "product": {
        const whole = e.factors.filter(
          ({ e: factor, inverse }) =>
            !inverse && [row, column].every((axis) => axesOf(factor).some((own) => names(own) === axis)),
        );
        if (whole.length !== 1 || e.summed.length) break;
        const sums = matrix(whole[0]!.e, row, column, names);
        const rest = range({ ...e, factors: e.factors.filter((factor) => factor !== whole[0]) });
        if (isNone(sums)) return sums;
        return isNone(rest)
          ? rest
          : { rows: sums.rows * largest(rest), columns: sums.columns * largest(rest), member: null };
      }
      case "reduce": {
        const along = e.f === "softmax" && e.axes.length === 1 ? names(e.axes[0]!) : null;
        const [height, width] = [valueOf(row.size), valueOf(column.size)];
        if (height === null || width === null) break;
        if (along === column) return { rows: 1, columns: height, member: null };
        if (along === row) return { rows: width, columns: 1, member: null };
        break;
      }
      default:
    }
    return filled(range(e), row, column, e.span);
  }

  /** A matrix of which the entries are known to stay within a range. */
  function filled(entries: Range, row: Axis, column: Axis, span: Span): Sums | None {
    if (isNone(entries)) return entries;
    const [height, width] = [valueOf(row.size), valueOf(column.size)];
    if (height === null || width === null) return { none: "a matrix whose size is not known yet", span };
    return { rows: largest(entries) * width, columns: largest(entries) * height, member: null };
  }

  function member(
    manifold: SetInstance,
    point: readonly Axis[],
    e: Typed,
    row: Axis,
    column: Axis,
    name: string,
  ): Sums | None {
    const straight = point[0] === row && point[1] === column;
    if (
      point.length !== 2 ||
      rankOf(manifold.set.point) !== 2 ||
      (!straight && !(point[0] === column && point[1] === row))
    ) {
      return filled(range(e), row, column, e.span);
    }
    const shape = point.map(({ size }) => valueOf(size));
    if (shape.some((size) => size === null)) return { none: "the number of lanes is not known yet", span: e.span };
    const [rows, columns] = (["row", "column"] as const).map((of) => boundOf(manifold, of, shape as number[]));
    for (const own of [rows!, columns!])
      if (typeof own !== "number")
        return { none: `\`${name}\` is on \`${manifold.set.name}\`, which ${own.none}`, span: e.span };
    const sums = { rows: rows as number, columns: columns as number, member: manifold };
    return straight ? sums : { ...sums, rows: sums.columns, columns: sums.rows };
  }

  /** The number of values along axes; null while a size is not known. */
  function area(axes: readonly Axis[]): number | null {
    return axes.reduce<number | null>((product, { size }) => {
      const own = valueOf(size);
      return product === null || own === null ? null : product * own;
    }, 1);
  }

  return {
    area,
    /** The largest absolute value of a coefficient. */
    entry({ e, inverse }: Coefficient): number | None {
      const found = inverse
        ? product({ kind: "product", factors: [{ e, inverse }], summed: [], span: e.span })
        : range(e);
      return isNone(found) ? found : largest(found);
    },
    /** A coefficient as a matrix of these rows and columns; its other axes count matrices. */
    matrix: ({ e, names }: Coefficient, row: Axis, column: Axis): Sums | None =>
      matrix(e, row, column, (axis) => names.get(axis) ?? axis),
  };
}

export type Bounds = ReturnType<typeof createBounds>;
