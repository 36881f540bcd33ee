/** What the generated tests of the registry run over: every set in every setting, with the shapes that its record names, and points of it. */
import { createBuilder, type Builder } from "../../src/graph/builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { known, valueOf } from "../../src/graph/sizes.js";
import { sets, type ConstraintSet, type Options } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { random } from "../helpers/cases.js";

/** Points of one run. */
export const MANY = 6;

export interface Subject {
  readonly title: string;
  readonly set: ConstraintSet;
  readonly options: Options;
  readonly point: readonly number[];
  /** Shapes of the free coordinates of one point. */
  readonly free: readonly (readonly number[])[];
  readonly extreme: number;
}

/** Every choice and flag of a set, one at a time, beside its defaults. */
function settings(set: ConstraintSet): Options[] {
  const defaults = Object.fromEntries(Object.entries(set.options).map(([name, option]) => [name, option.default]));
  const others = Object.entries(set.options).flatMap(([name, option]): Options[] =>
    option.kind === "choice" ? option.choices.filter((choice) => choice !== option.default).map((choice) => ({ [name]: choice })) : option.kind === "flag" ? [{ [name]: !option.default }] : []);
  return [defaults, ...others.map((own) => ({ ...defaults, ...own }))];
}

export const subjectsOf = (set: ConstraintSet): readonly Subject[] => set.cases.flatMap((item) =>
  (item.options ? [{ ...settings(set)[0]!, ...item.options }] : settings(set)).flatMap((options): Subject[] => {
    const pieces = set.free(item.shape.map(known), options);
    if ("error" in pieces) return [];
    const own = Object.entries(options).filter(([name, value]) => value !== set.options[name]!.default);
    const free = pieces.map(({ shape }) => shape.map((size) => valueOf(size)!));
    return [{ title: `${set.name}(${own.map(([name, value]) => `${name} = ${value}`).join(", ")}) [${item.shape.join(", ")}]`, set, options, point: item.shape, free, extreme: item.extreme }];
  }));

export const subjects: readonly Subject[] = Object.values(sets).flatMap(subjectsOf);

export const sizeOf = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);

/** Numbers in +-1, and for the last half of the points numbers at the ends: all +-extreme, all equal, one alone, none. */
export function coordinates({ free, extreme }: Subject, seed: number, ends: boolean): ReadonlyMap<string, number[]> {
  const next = random(seed);
  return new Map(free.map((shape, i) => {
    const size = sizeOf(shape);
    const values = Array.from({ length: MANY * size }, (_, at) => {
      const draw = 2 * next() - 1;
      const way = Math.floor(at / size) - MANY / 2;
      if (!ends || way < 0) return Math.fround(draw);
      return way === 0 ? Math.fround(extreme * Math.sign(draw)) : way === 1 ? extreme * 0.5 : at % size === 0 ? extreme : 0;
    });
    return [`free.${i}`, values];
  }));
}

/** A point's free coordinates, and the points that the map makes of them. */
export function mapped(b: Builder, { set, options, point, free }: Subject): { readonly pieces: Node[]; readonly x: Node } {
  const pieces = free.map((shape, i) => b.input(`free.${i}`, [MANY, ...shape], "f32"));
  return { pieces, x: set.map(b, pieces, [MANY, ...point], fixed(options)) };
}

/** Ambient vectors, one a point. */
export const ambient = (b: Builder, name: string, { point }: Subject): Node => b.input(name, [MANY, ...point], "f32");

export const vectors = ({ point }: Subject, seed: number, scale = 1): number[] => {
  const next = random(seed);
  return Array.from({ length: MANY * sizeOf(point) }, () => Math.fround(scale * (2 * next() - 1)));
};

export type Values = ReadonlyMap<string, readonly number[]>;

/** A graph of named results. */
export function graphOf(make: (b: Builder) => Readonly<Record<string, Node>>): Graph {
  return { name: "set", outputs: new Map(Object.entries(make(createBuilder()))), updates: new Map() };
}

/** Its results in f64, by name. */
export function run(graph: Graph, values: Values): Readonly<Record<string, ArrayLike<number>>> {
  return Object.fromEntries(evaluate(graph, new Map(values)).outputs);
}

export const worst = (values: ArrayLike<number>): number => Array.from(values).reduce((most, value) => (Number.isNaN(value) ? Number.NaN : Math.max(most, Math.abs(value))), 0);

export const difference = (x: ArrayLike<number>, y: ArrayLike<number>): number => worst(Array.from(x, (value, i) => value - y[i]!));
