/**
 * Sizes: polynomials over named atoms (dims of the model, facts of the data), so that `4 * width` and `corpus.vocab`
 * are known by name before they are known by number, and variables, which stand for axes of a block whose size is found
 * by unification. Two sizes agree when they are the same polynomial, or when both have a number and it is the same.
 */

/** A size that unification is to find. */
export interface SizeVariable {
  readonly kind: "variable";
  /** What to call it in a message. */
  readonly name: string;
  /** What it was found to be; null as long as it is free. */
  bound: Size | null;
}

/** A product of atoms and a coefficient. */
export interface Term {
  readonly coefficient: number;
  /** Atoms in order of name; an atom stands as often as its power says. */
  readonly atoms: readonly string[];
}

/** A sum of products of atoms. */
export interface Polynomial {
  readonly kind: "polynomial";
  readonly terms: readonly Term[];
  /** null while a fact is missing. */
  readonly value: number | null;
}

/** A size, or what stands for one that is not known yet. */
export type Size = Polynomial | SizeVariable;

/** A size that is a number. */
export const known = (value: number): Polynomial => ({
  kind: "polynomial",
  terms: value === 0 ? [] : [{ coefficient: value, atoms: [] }],
  value,
});
/** A size that is a name: a dim, or a fact of the data, whose value may be missing. */
export const atom = (name: string, value: number | null): Polynomial => ({
  kind: "polynomial",
  terms: [{ coefficient: 1, atoms: [name] }],
  value,
});
/** A free variable. */
export const variable = (name: string): SizeVariable => ({ kind: "variable", name, bound: null });

/** What a size stands for: a polynomial, or a variable that is free. */
export function resolve(size: Size): Size {
  let target = size;
  while (target.kind === "variable" && target.bound) target = target.bound;
  return target;
}

/** The number behind a size; null when it is a variable still, or a fact is missing. */
export function valueOf(size: Size): number | null {
  const target = resolve(size);
  return target.kind === "polynomial" ? target.value : null;
}

/** The number behind a size that is known by now. Throws an Error that shows it when it is not. */
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
  const nonzero = [...sums.values()].filter(({ coefficient }) => coefficient !== 0);
  nonzero.sort((a, b) => b.atoms.length - a.atoms.length || (keyOf(a) < keyOf(b) ? -1 : 1));
  return { kind: "polynomial", terms: nonzero, value };
}

const both = (a: Polynomial, b: Polynomial, f: (x: number, y: number) => number): number | null =>
  a.value === null || b.value === null ? null : f(a.value, b.value);

/** a + b */
export const add = (a: Polynomial, b: Polynomial): Polynomial =>
  collect(
    [...a.terms, ...b.terms],
    both(a, b, (x, y) => x + y),
  );
/** a - b */
export const subtract = (a: Polynomial, b: Polynomial): Polynomial =>
  collect(
    [...a.terms, ...b.terms.map((term) => ({ ...term, coefficient: -term.coefficient }))],
    both(a, b, (x, y) => x - y),
  );
/** a * b */
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
  const [divisor, another] = b.terms;
  if (divisor && !another) {
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
  const target = resolve(size);
  if (target.kind === "variable") return target.name;
  if (target.terms.length === 0) return "0";
  return target.terms
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
