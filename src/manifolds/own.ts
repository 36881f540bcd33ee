/**
 * Sets of a user's own: what a module gives is looked at before anything relies on it, field by field and then by
 * building every function of it once for each of its cases, so that what is wrong is said in the words of `set.ts`
 * where the page says `use`, and not as a failure somewhere in the compiler. The laws that a set must keep are another
 * matter: they take an evaluation, and are the author's to test (`src/manifolds/laws.ts`).
 */
import { createBuilder } from "../graph/create-builder.js";
import { known, numberOf } from "../graph/sizes.js";
import {
  rankOf,
  fixed,
  type Bounded,
  type ConstraintSet,
  type ConvexSet,
  type Manifold,
  type OptionKind,
  type Options,
  type PointKind,
} from "./set.js";
import { merged, recordOf } from "../../runtime/records.js";
import { guarded, isRecord, OwnSetError } from "./guarded.js";

/** What a field of a set must be. */
interface Field {
  readonly is: (value: unknown) => boolean;
  /** What it must be, after "must be" or "it has no …:". */
  readonly what: string;
}

const text: Field = { is: (value) => typeof value === "string" && value !== "", what: "words" };
const action = (what: string): Field => ({ is: (value) => typeof value === "function", what: `a function ${what}` });
const oneOf = (...values: readonly (string | null)[]): Field => ({
  is: (value) => values.includes(value as string | null),
  what: values.map((value) => (value === null ? "null" : `"${value}"`)).join(", "),
});
const list = (what: string): Field => ({ is: Array.isArray, what: `a list of ${what}` });

/** What a set may have. */
const some = {
  because: text,
  idle: action("(options) => names of options"),
  units: action("(options) => a function (b, free, gates) => node, or null"),
  parts: {
    is: (value: unknown) =>
      isRecord(value) && ["sizes", "pull", "gated"].every((name) => typeof Reflect.get(value, name) === "function"),
    what: "an object of the functions `sizes`, `pull` and `gated`",
  },
} satisfies Partial<Record<keyof ConvexSet, Field>>;

/** What every set has. A field of `set.ts` that is not here does not compile. */
const common: Readonly<Record<Exclude<keyof ConvexSet, keyof typeof some>, Field>> = {
  kind: oneOf("convex", "manifold", "variety"),
  name: {
    is: (value) => typeof value === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(value),
    what: "a name as a page writes it",
  },
  summary: text,
  source: text,
  point: oneOf("entry", "vector", "matrix", "square"),
  options: { is: isRecord, what: "an object of options, {} for none" },
  free: action("(point, options) => pieces"),
  start: action("(options) => { kind, value }"),
  map: action("(b, free, shape, setting) => node"),
  project: action("(b, value, setting) => node"),
  violation: action("(b, value, setting) => node"),
  tolerance: action("(options) => number or null"),
  bound: action("(of, shape, options) => number or { none }"),
  closed: oneOf(null, "product", "square", "radii"),
  adapts: action("(options) => names of options, () => [] for none"),
  cases: list("cases { shape, extreme }, at least one"),
};

/** What a manifold has besides. */
const smooth: Readonly<Record<Exclude<keyof Manifold, keyof ConvexSet>, Field>> = {
  tangent: action("(b, x, v, setting) => node"),
  gradient: action("(b, x, g, setting) => node"),
  inner: action("(b, x, u, v, setting) => node"),
  retract: action("(b, x, v, setting) => node"),
  transport: action("(b, x, y, v, setting) => node"),
  distance: {
    is: (value) => value === null || typeof value === "function",
    what: "a function (b, x, y, setting) => node, or null",
  },
};

/** The sets of a module's default export, one or a list of them; or what is wrong with it. */
export function setsIn(
  exported: unknown,
  taken: (name: string) => boolean,
): { readonly sets: readonly ConstraintSet[]; readonly problems: readonly string[] } {
  const records: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
  if (records.length === 0 || !records.every(isRecord))
    return { sets: [], problems: ["its default export is not a set, nor a list of sets"] };
  const names = new Set<string>();
  const problems = records.flatMap((record) => {
    const wrong = problemsOf(record);
    const { name } = record;
    if (typeof name !== "string" || wrong.length) return wrong;
    if (taken(name) || names.has(name)) return [`there is a set \`${name}\` already`];
    names.add(name);
    return [];
  });
  return problems.length
    ? { sets: [], problems }
    : { sets: records as readonly unknown[] as readonly ConstraintSet[], problems };
}

/** What is wrong with a record, in words; nothing for a whole one. */
export function problemsOf(record: unknown): string[] {
  if (!isRecord(record)) return ["a set is an object"];
  const named = typeof record["name"] === "string" && record["name"] !== "" ? `\`${record["name"]}\`` : "the set";
  const fields: Readonly<Record<string, Field>> = record["kind"] === "manifold" ? { ...common, ...smooth } : common;
  const present = Object.entries(some).filter(([name]) => Reflect.get(record, name) !== undefined);
  const missing = [...Object.entries(fields), ...present].flatMap(([name, { is, what }]) => {
    const value: unknown = Reflect.get(record, name);
    if (value === undefined) return [`${named} has no \`${name}\`: ${what}`];
    return is(value) ? [] : [`\`${name}\` of ${named} must be ${what}`];
  });
  if (missing.length) return missing;
  const set = record as unknown as ConstraintSet;
  const options = Object.entries(set.options).flatMap(([name, option]) =>
    optionProblem(name, option).map((problem) => `the option \`${name}\` of ${named} ${problem}`),
  );
  if (options.length) return options;
  const cases =
    set.cases.length === 0
      ? [`${named} has no case: its tests need a shape, { shape: [4], extreme: 10 }`]
      : set.cases.flatMap((item) => caseProblem(set, item).map((problem) => `a case of ${named} ${problem}`));
  if (cases.length) return cases;
  return tried(set);
}

function optionProblem(name: string, option: OptionKind): string[] {
  if (!/^[A-Za-z_]\w*$/.test(name)) return ["has a name that a page cannot write"];
  if (!isRecord(option)) return ["must be an object { kind, default, … }"];
  switch (option.kind) {
    case "integer":
    case "real": {
      const numbers: readonly unknown[] = [option.default, option.from, option.to];
      if (!numbers.every((value) => Number.isFinite(value))) return ["needs the numbers `default`, `from` and `to`"];
      if (option.kind === "integer" && !numbers.every((value) => Number.isInteger(value)))
        return ["is whole, and so are its `default`, `from` and `to`"];
      return option.from <= option.default && option.default <= option.to
        ? []
        : [`has the default ${option.default}, which is not in ${option.from} .. ${option.to}`];
    }
    case "flag":
      if (typeof option.default !== "boolean") return ["needs a `default` of true or false"];
      return option.opposite === undefined || /^[A-Za-z_]\w*$/.test(option.opposite)
        ? []
        : ["has an `opposite` that a page cannot write"];
    case "choice":
      return Array.isArray(option.choices) &&
        option.choices.every((choice) => typeof choice === "string") &&
        option.choices.includes(option.default)
        ? []
        : ["needs `choices`, names, and a `default` among them"];
    default:
      option satisfies never;
  }
  return ['has a kind that is none of "integer", "real", "flag", "choice"'];
}

function caseProblem({ point, options }: ConstraintSet, item: ConstraintSet["cases"][number]): string[] {
  if (!isRecord(item) || !Array.isArray(item.shape) || !item.shape.every((size) => Number.isInteger(size) && size > 0))
    return ["needs a `shape`, a list of sizes"];
  const { shape } = item;
  if (shape.length !== rankOf(point)) return [`has the shape [${shape.join(", ")}], and a point is ${POINTS[point]}`];
  if (point === "square" && shape[0] !== shape[1]) return [`has the shape [${shape.join(", ")}], which is not square`];
  if (!(Number.isFinite(item.extreme) && item.extreme >= 0))
    return ["needs `extreme`, a number of at least 0: free coordinates within +- this are mapped onto the set"];
  return Object.keys(item.options ?? {})
    .filter((name) => !Object.hasOwn(options, name))
    .map((name) => `sets \`${name}\`, which is no option`);
}

const POINTS: Readonly<Record<PointKind, string>> = {
  entry: "a number: []",
  vector: "a vector: [n]",
  matrix: "a matrix: [m, n]",
  square: "a square matrix: [n, n]",
};

/** The options as a record has them when nothing is said. */
export const defaultsOf = (set: ConstraintSet): Options =>
  recordOf(Object.entries(set.options).map(([name, { default: value }]) => [name, value]));

/** The matrix that a set of numbers makes when it is asked for bounds. */
const MATRIX = [3, 4];

const BOUNDED: readonly Bounded[] = ["row", "column", "norm"];

/** Builds every function once for every case, and looks at the shapes. */
function tried(set: ConstraintSet): string[] {
  const watched = guarded(set);
  const many = 2;
  let taken = 0;
  for (const { shape, options } of set.cases) {
    try {
      const setOptions = merged(defaultsOf(set), options);
      const pieces = watched.free(shape.map(known), setOptions);
      if ("error" in pieces) continue;
      taken++;
      const b = createBuilder();
      const setting = fixed(setOptions);
      const whole = [many, ...shape];
      watched.start(setOptions);
      watched.tolerance(setOptions);
      watched.adapts(setOptions);
      for (const what of BOUNDED) watched.bound(what, shape.length ? shape : MATRIX, setOptions);
      const x = watched.map(
        b,
        pieces.map(({ shape: piece }, i) => b.input(`free.${i}`, [many, ...piece.map(numberOf)], "f32")),
        whole,
        setting,
      );
      const [y, v] = [b.input("y", whole, "f32"), b.input("v", whole, "f32")];
      watched.project(b, y, setting);
      watched.violation(b, y, setting);
      if (watched.kind !== "manifold") continue;
      watched.tangent(b, x, v, setting);
      watched.gradient(b, x, v, setting);
      watched.inner(b, x, v, v, setting);
      watched.retract(b, x, v, setting);
      watched.transport(b, x, y, v, setting);
      watched.distance?.(b, x, y, setting);
    } catch (error) {
      if (error instanceof OwnSetError) return [error.message];
      throw error;
    }
  }
  return taken ? [] : [`no case of \`${set.name}\` is one that its \`free\` takes`];
}
