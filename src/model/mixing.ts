/**
 * What a connection does to the lanes of its stream when the block inside is left out: x' = M x, with M computed for a token. Of the text `mix[t, n, m] * x[m, t, w] +
 * write[t, n] * y[t, w]` it is the factor `mix` beside the stream. A stream that stands alone in the sum is passed on: M is the identity. What a
 * connection does otherwise to its stream is not a mix, and nothing is said about it.
 */
import type { Axis, Instance, Tensor, Typed } from "./typed.js";
import { partsOf } from "./walk.js";

export type Mixing =
  | { readonly kind: "identity" }
  /** x'[row] = sum over column of matrix[…, row, column] x[column]; `lane`: the position of the row among the stream's axes. */
  | { readonly kind: "matrix"; readonly instance: Instance; readonly matrix: Tensor; readonly axes: readonly Axis[]; readonly row: Axis; readonly column: Axis; readonly lane: number }
  | { readonly kind: "unknown" };

const unknown: Mixing = { kind: "unknown" };

/** The mix of a connection, by the value that it gives its stream. */
export function mixingOf(value: Typed): Mixing {
  const call = value.kind === "relabel" ? value.a : value;
  return call.kind === "call" ? within(call.instance) : unknown;
}

/** The first formal of a connection is the stream. */
function within(instance: Instance): Mixing {
  const { formals, result, axes } = instance;
  const stream = formals[0]!;
  const terms = termsOf(result).filter((term) => mentions(term, stream));
  const [term] = terms;
  if (terms.length !== 1 || !term) return unknown;
  if (isStream(term, stream)) return same(term.axes, axes) ? { kind: "identity" } : unknown;
  if (term.kind !== "product" || term.summed.length !== 1 || term.factors.length !== 2 || term.factors.some(({ inverse }) => inverse)) return unknown;
  const [column] = term.summed;
  const operands = term.factors.map(({ e }) => e);
  const x = operands.find((e) => isStream(e, stream));
  const matrix = operands.find((e) => e.kind === "tensor" && e.tensor !== stream);
  if (x?.kind !== "tensor" || matrix?.kind !== "tensor") return unknown;
  const lane = x.axes.indexOf(column!);
  const row = axes[lane];
  const rest = x.axes.every((axis, i) => i === lane || axis === axes[i]);
  if (!row || !rest || !matrix.axes.includes(row) || !matrix.axes.includes(column!)) return unknown;
  return { kind: "matrix", instance, matrix: matrix.tensor, axes: matrix.axes, row, column: column!, lane };
}

const isStream = (e: Typed, stream: Tensor): e is Extract<Typed, { readonly kind: "tensor" }> => e.kind === "tensor" && e.tensor === stream;
const same = (a: readonly Axis[], b: readonly Axis[]): boolean => a.length === b.length && a.every((axis, i) => axis === b[i]);

function termsOf(e: Typed): readonly Typed[] {
  return e.kind === "binary" && e.f === "+" ? [...termsOf(e.a), ...termsOf(e.b)] : [e];
}

/** Whether the stream stands in an expression itself, rather than in what was defined from it. */
function mentions(e: Typed, stream: Tensor): boolean {
  return (e.kind === "tensor" && e.tensor === stream) || (e.kind === "gather" && e.table === stream) || partsOf(e).some((part) => mentions(part, stream));
}
