/**
 * Sizes: polynomials over named atoms (dims of the model, facts of the data), so that `4 * width` and `corpus.vocab`
 * are known by name before they are known by number, and variables, which stand for axes of a block whose size is found
 * by unification. Two sizes agree when they are the same polynomial, or when both have a number and it is the same.
 */

export interface SizeVariable {
  readonly kind: "variable";
  /** What to call it in a message. */
  readonly name: string;
  bound: Size | null;
}

/** A product of atoms and a coefficient. */
export interface Term {
  readonly coefficient: number;
  /** Atoms in order of name; an atom stands as often as its power says. */
  readonly atoms: readonly string[];
}

export interface Polynomial {
  readonly kind: "polynomial";
  readonly terms: readonly Term[];
  /** null while a fact is missing. */
  readonly value: number | null;
}

export type Size = Polynomial | SizeVariable;

export const known = (value: number): Polynomial => ({
  kind: "polynomial",
  terms: value === 0 ? [] : [{ coefficient: value, atoms: [] }],
  value,
});
export const atom = (name: string, value: number | null): Polynomial => ({
  kind: "polynomial",
  terms: [{ coefficient: 1, atoms: [name] }],
  value,
});
export const variable = (name: string): SizeVariable => ({ kind: "variable", name, bound: null });

export function resolve(size: Size): Size {
  let at = size;
  while (at.kind === "variable" && at.bound) at = at.bound;
  return at;
}

/** The number behind a size; null when it is a variable still, or a fact is missing. */
export function valueOf(size: Size): number | null {
  const found = resolve(size);
  return found.kind === "polynomial" ? found.value : null;
}

/** The number behind a size that is known by now. */
export function numberOf(size: Size): number {
  const value = valueOf(size);
  if (value === null) throw new Error(`model: the size ${show(size)} is not known`);
  return value;
}

const keyOf = (term: Term): string => term.atoms.join("*");
const same = (a: Polynomial, b: Polynomial): boolean => show(a) === show(b);

function collect(terms: readonly Term[], value: number | null): Polynomial {
  const sums = new Map<string, Term>();
  for (const term of terms) {
    const before = sums.get(keyOf(term));
    sums.set(keyOf(term), { coefficient: (before?.coefficient ?? 0) + term.coefficient, atoms: term.atoms });
  }
  const left = [...sums.values()].filter(({ coefficient }) => coefficient !== 0);
  left.sort((a, b) => b.atoms.length - a.atoms.length || (keyOf(a) < keyOf(b) ? -1 : 1));
  return { kind: "polynomial", terms: left, value };
}

const both = (a: Polynomial, b: Polynomial, f: (x: number, y: number) => number): number | null =>
  a.value === null || b.value === null ? null : f(a.value, b.value);

export const add = (a: Polynomial, b: Polynomial): Polynomial =>
  collect(
    [...a.terms, ...b.terms],
    both(a, b, (x, y) => x + y),
  );
export const subtract = (a: Polynomial, b: Polynomial): Polynomial =>
  collect(
    [...a.terms, ...b.terms.map((term) => ({ ...term, coefficient: -term.coefficient }))],
    both(a, b, (x, y) => x - y),
  );
export const multiply = (a: Polynomial, b: Polynomial): Polynomial =>
  collect(
    a.terms.flatMap((x) =>
      b.terms.map((y) => ({ coefficient: x.coefficient * y.coefficient, atoms: [...x.atoms, ...y.atoms].sort() })),
    ),
    both(a, b, (x, y) => x * y),
  );

/** a / b, exactly; null when the numbers say that something is left over. */
export function divide(a: Polynomial, b: Polynomial): Polynomial | null {
  const value = both(a, b, (x, y) => x / y);
  if (value !== null && !Number.isInteger(value)) return null;
  const divisor = b.terms.length === 1 ? b.terms[0]! : null;
  if (divisor) {
    const quotients = a.terms.map((term): Term | null => {
      const atoms = [...term.atoms];
      for (const name of divisor.atoms) {
        const at = atoms.indexOf(name);
        if (at < 0) return null;
        atoms.splice(at, 1);
      }
      const coefficient = term.coefficient / divisor.coefficient;
      return Number.isInteger(coefficient) ? { coefficient, atoms } : null;
    });
    if (quotients.every((term) => term !== null)) return collect(quotients, value);
  }
  if (
    value !== null &&
    a.terms.every(({ atoms }) => atoms.length === 0) &&
    b.terms.every(({ atoms }) => atoms.length === 0)
  )
    return known(value);
  return { ...atom(`${part(a)} / ${part(b)}`, value) };
}

const part = (size: Polynomial): string => (size.terms.length > 1 ? `(${show(size)})` : show(size));

/** Makes two sizes one; false when they cannot be. */
export function unify(a: Size, b: Size): boolean {
  const x = resolve(a);
  const y = resolve(b);
  if (x === y) return true;
  if (x.kind === "variable") {
    x.bound = y;
    return true;
  }
  if (y.kind === "variable") {
    y.bound = x;
    return true;
  }
  return same(x, y) || (x.value !== null && x.value === y.value);
}

/** `4 * width`; a variable shows its name. */
export function show(size: Size): string {
  const found = resolve(size);
  if (found.kind === "variable") return found.name;
  if (found.terms.length === 0) return "0";
  return found.terms
    .map(({ coefficient, atoms }, i) => {
      const magnitude = Math.abs(coefficient);
      const text =
        atoms.length === 0
          ? `${magnitude}`
          : magnitude === 1
            ? atoms.join(" * ")
            : [`${magnitude}`, ...atoms].join(" * ");
      return i === 0 ? (coefficient < 0 ? `-${text}` : text) : `${coefficient < 0 ? " - " : " + "}${text}`;
    })
    .join("");
}

/** `width = 128`: the name and the number, when they say different things. */
export function describe(size: Size): string {
  const text = show(size);
  const value = valueOf(size);
  return value === null || text === `${value}` ? text : `${text} = ${value}`;
}
