/** Addresses as sums of multiples of what is no sum, so that two can be told to differ by a constant. */
import type { Expr } from "./ir.js";
import { printExpr } from "./text.js";

/** An index: the sum of `constant` and of each term times its factor. Terms are names, and expressions as text. */
export interface LinearIndex {
  readonly terms: ReadonlyMap<string, number>;
  readonly constant: number;
}

/** The terms as text: equal for addresses that differ by a constant. */
export const keyOf = ({ terms }: LinearIndex): string =>
  [...terms]
    .filter(([, times]) => times !== 0)
    .map(([term, times]) => `${times} ${term}`)
    .sort()
    .join(" + ");

/** The sums that names of index values stand for. */
export type LinearNames = Map<string, LinearIndex>;

const none: ReadonlyMap<string, number> = new Map();

const scaled = ({ terms, constant }: LinearIndex, by: number): LinearIndex => ({
  terms: new Map([...terms].map(([term, times]) => [term, by * times])),
  constant: by * constant,
});

function sum(a: LinearIndex, b: LinearIndex): LinearIndex {
  if (b.terms.size === 0) return { terms: a.terms, constant: a.constant + b.constant };
  if (a.terms.size === 0) return { terms: b.terms, constant: a.constant + b.constant };
  const terms = new Map(a.terms);
  for (const [term, times] of b.terms) terms.set(term, (terms.get(term) ?? 0) + times);
  return { terms, constant: a.constant + b.constant };
}

/** An index expression as a sum; names that stand for sums are replaced by them. */
export function linear(e: Expr, names: LinearNames): LinearIndex {
  if (e.kind === "const") return { terms: none, constant: e.value };
  if (e.kind === "ref") return names.get(e.name) ?? { terms: new Map([[e.name, 1]]), constant: 0 };
  if (e.kind === "binary") {
    if (e.op === "add") return sum(linear(e.a, names), linear(e.b, names));
    if (e.op === "sub") return sum(linear(e.a, names), scaled(linear(e.b, names), -1));
    if (e.op === "mul") {
      const [a, b] = [linear(e.a, names), linear(e.b, names)];
      if (b.terms.size === 0) return scaled(a, b.constant);
      if (a.terms.size === 0) return scaled(b, a.constant);
    }
  }
  return { terms: new Map([[printExpr(e), 1]]), constant: 0 };
}
