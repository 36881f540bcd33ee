/**
 * What the laws of sets are evaluated on: every set in every setting at the shapes of its cases, coordinates and
 * vectors that are drawn reproducibly, and graphs of named results in f64.
 */
import { mustAt } from "../../runtime/lookup.js";
import { mustValue, merged, recordOf } from "../../runtime/records.js";
import type { Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import { evaluate } from "../graph/evaluate.js";
import type { Graph, Node } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
import { known, numberOf } from "../graph/sizes.js";
import { defaultsOf } from "./own.js";
import { fixed, type ConstraintSet, type Options } from "./set.js";

/** Points of one run. */
export const MANY = 6;

/** How far off a projection may be where the map only approaches the set. */
const PROJECTED = 1e-5;

/** A set in one setting, at one shape of its cases. */
export interface SetSubject {
  /** As a page would write it: `stiefel(by = cayley) [3, 3]`. */
  readonly title: string;
  readonly set: ConstraintSet;
  readonly options: Options;
  /** The shape of a point. */
  readonly point: readonly number[];
  /** Shapes of the free coordinates of one point. */
  readonly free: readonly (readonly number[])[];
  /** Free coordinates within +- this must be mapped onto the set. */
  readonly extreme: number;
}

/** Every choice and flag of a set, one at a time, beside its defaults. */
export function settings(set: ConstraintSet): Options[] {
  const defaults = defaultsOf(set);
  const others = Object.entries(set.options).flatMap(([name, option]): Options[] => {
    switch (option.kind) {
      case "choice":
        return option.choices.filter((choice) => choice !== option.default).map((choice) => recordOf([[name, choice]]));
      case "flag":
        return [recordOf([[name, !option.default]])];
      case "integer":
      case "real":
        return [];
      default:
        return option satisfies never;
    }
  });
  return [defaults, ...others.map((changed) => merged(defaults, changed))];
}

/** A set at the shapes of its cases, in every setting. */
export const subjectsOf = (set: ConstraintSet): SetSubject[] =>
  set.cases.flatMap((item) =>
    (item.options ? [merged(defaultsOf(set), item.options)] : settings(set)).flatMap((options) =>
      subjectAt(set, item, options),
    ),
  );

/** None when the set has no free coordinates at that shape. */
function subjectAt(set: ConstraintSet, item: ConstraintSet["cases"][number], options: Options): SetSubject[] {
  const pieces = set.free(item.shape.map(known), options);
  if ("error" in pieces) return [];
  const changed = Object.entries(options).filter(([name, value]) => value !== mustValue(set.options, name).default);
  const words = changed.map(([name, value]) => `${name} = ${value}`).join(", ");
  return [
    {
      title: `${set.name}(${words}) [${item.shape.join(", ")}]`,
      set,
      options,
      point: item.shape,
      free: pieces.map(({ shape }) => shape.map(numberOf)),
      extreme: item.extreme,
    },
  ];
}

/** Numbers in 0 .. 1, reproducibly. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39) >>> 0;
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 4294967296;
  };
}

/**
 * Numbers in +-1, and for the last half of the points numbers at the ends: all +-extreme, all equal, one alone, none.
 */
export function coordinates({ free, extreme }: SetSubject, seed: number, ends: boolean): ReadonlyMap<string, number[]> {
  const next = random(seed);
  return new Map(
    free.map((shape, i) => {
      const size = sizeOf(shape);
      const values = Array.from({ length: MANY * size }, (_, at) => {
        const draw = 2 * next() - 1;
        const way = Math.floor(at / size) - MANY / 2;
        if (!ends || way < 0) return Math.fround(draw);
        if (way === 0) return Math.fround(extreme * Math.sign(draw));
        if (way === 1) return extreme * 0.5;
        return at % size === 0 ? extreme : 0;
      });
      return [`free.${i}`, values];
    }),
  );
}

/** Free coordinates as `M.start` makes them. */
export function started({ set, options, free }: SetSubject): ReadonlyMap<string, number[]> {
  const { kind, value } = set.start(options);
  const next = random(67);
  return new Map(
    free.map((shape, i) => {
      const last = shape.at(-1) ?? 1;
      const isSquare = shape.length >= 2 && shape.at(-2) === last;
      const n = isSquare ? last : Math.round(Math.sqrt(last));
      const valueAtPlace = (at: number): number => {
        switch (kind) {
          case "constant":
            return value;
          case "first":
            return at % last === 0 ? value : 0;
          case "identity": {
            const place = at % (isSquare ? n * n : last);
            return Math.floor(place / n) === place % n ? value : 0;
          }
          case "normal":
            return value * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
          default:
            return kind satisfies never;
        }
      };
      const size = sizeOf(shape);
      return [`free.${i}`, Array.from({ length: MANY * size }, (_, at) => valueAtPlace(at % size))];
    }),
  );
}

/** A point's free coordinates, and the points that the map makes of them. */
export function mapped(
  b: Builder,
  { set, options, point, free }: SetSubject,
  prefix = "",
): { readonly pieces: Node[]; readonly x: Node } {
  const pieces = free.map((shape, i) => b.input(`${prefix}free.${i}`, [MANY, ...shape], "f32"));
  return { pieces, x: set.map(b, pieces, [MANY, ...point], fixed(options)) };
}

/** Ambient vectors, one a point, as an input: [MANY, …point]. */
export const ambient = (b: Builder, name: string, { point }: SetSubject): Node =>
  b.input(name, [MANY, ...point], "f32");

/** Values of ambient vectors, in +-scale. */
export const vectors = ({ point }: SetSubject, seed: number, scale = 1): number[] => {
  const next = random(seed);
  return Array.from({ length: MANY * sizeOf(point) }, () => Math.fround(scale * (2 * next() - 1)));
};

/** Values of inputs, by name. */
export type Values = ReadonlyMap<string, readonly number[]>;

/** A graph whose results have these names. */
export type NamedGraph<K extends string> = Graph & { readonly results: readonly K[] };

/** Values of results in f64, by name. */
export type Results<K extends string> = Readonly<Record<K, ArrayLike<number>>>;

/** A graph of named results. */
export function graphOf<K extends string>(make: (b: Builder) => Readonly<Record<K, Node>>): NamedGraph<K> {
  const nodes = Object.entries<Node>(make(createBuilder()));
  const results = nodes.map(([name]) => name as K);
  return { name: "set", outputs: new Map(nodes), updates: new Map(), results };
}

/** Its results in f64, by name. */
export function run<K extends string>(graph: NamedGraph<K>, values: Values): Results<K> {
  const { outputs } = evaluate(graph, new Map(values));
  return recordOf([...outputs].map(([name, value]) => [name as K, value]));
}

/** The largest absolute value, 0 of none; NaN when one is. */
export const worst = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => (Number.isNaN(value) ? Number.NaN : Math.max(most, Math.abs(value))), 0);

/** The largest difference of two lists, place by place. */
export const difference = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
  worst(Array.from(x, (value, i) => value - mustAt(y, i)));

/** The largest absolute value, 1 at least: what differences are relative to. */
export const largestOf = (values: ArrayLike<number>): number => Math.max(1, worst(values));

/** How far off a member of this subject may be. */
export const allowed = ({ set, options }: SetSubject): number => set.tolerance(options) ?? PROJECTED;
