/**
 * What every set promises, as laws that are generated from its record and evaluated in f64: the map lands on it, the
 * projection too and leaves members alone, gradients are those of differences, and what a manifold has is that of one
 * (`laws-of-manifolds.ts`). They are the tests of the registry's sets (`test/manifolds/sets.test.ts`, which adds f32 on
 * compiled devices), and `checkSet` runs them for a set of the user's own.
 */
import { mustAt } from "../../runtime/lookup.js";
import { merged, mustValue, recordOf } from "../../runtime/records.js";
import type { Builder } from "../graph/builder.js";
import { vjp } from "../graph/differentiate.js";
import type { Node } from "../graph/node.js";
import { most, smooth, type Law } from "./laws-of-manifolds.js";
import { problemsOf } from "./own.js";
import { fixed, type ConstraintSet, type Setting } from "./set.js";
import {
  allowed,
  ambient,
  coordinates,
  difference,
  graphOf,
  largestOf,
  MANY,
  mapped,
  run,
  started,
  subjectsOf,
  vectors,
  worst,
  type NamedGraph,
  type Results,
  type SetSubject,
} from "./subjects.js";

/** The laws of a set in one setting. */
export const lawsOf = (subject: SetSubject): readonly Law[] => [
  mapLands(subject),
  projectionLands(subject),
  startCanBeLeft(subject),
  mapHasGradient(subject),
  ...subject.set
    .adapts(subject.options)
    .filter((name) => name !== "rank")
    .map((name) => adapting(subject, name)),
  ...(subject.set.kind === "manifold" ? smooth(subject, subject.set) : []),
];

const mapLands = (subject: SetSubject): Law => ({
  title: "the map lands on it, and the projection leaves the members alone",
  failures: () => {
    const { set, options } = subject;
    const setting = fixed(options);
    const graph = graphOf((b) => {
      const { x } = mapped(b, subject);
      return { x, violation: set.violation(b, x, setting), near: set.project(b, x, setting) };
    });
    return [false, true].flatMap((ends) => {
      const { x, violation, near } = run(graph, coordinates(subject, 11, ends));
      const where = ends ? ` of coordinates up to ${subject.extreme}` : "";
      if (!(worst(x) < Number.POSITIVE_INFINITY)) return [`the image${where} is not finite`];
      if (set.tolerance(options) === null) return [];
      const moved = difference(near, x) / largestOf(x);
      return [
        ...most(`the image${where} is off the set by`, worst(violation), allowed(subject)),
        ...most(`the projection moves members${where} by`, moved, 4 * allowed(subject)),
      ];
    });
  },
});

const projectionLands = (subject: SetSubject): Law => ({
  title: "the projection lands on it, and is idempotent",
  failures: () => {
    const { set, options } = subject;
    const setting = fixed(options);
    const graph = graphOf((b) => {
      const once = set.project(b, ambient(b, "x", subject), setting);
      return { once, violation: set.violation(b, once, setting), twice: set.project(b, once, setting) };
    });
    return [1, Math.max(1, Math.min(10, subject.extreme))].flatMap((scale) => {
      const { once, violation, twice } = run(graph, new Map([["x", vectors(subject, 13, scale)]]));
      const moved = difference(twice, once) / largestOf(once);
      return [
        ...most("the projection is off the set by", worst(violation), allowed(subject)),
        ...most("a second projection moves by", moved, 4 * allowed(subject)),
      ];
    });
  },
});

/** Derivatives of a set's map by each of its free coordinates, `free.i`, along the ambient vectors g. */
function derivatives(
  b: Builder,
  subject: SetSubject,
): { readonly x: Node; readonly slopes: Readonly<Record<string, Node>> } {
  const { pieces, x } = mapped(b, subject);
  const slopes = vjp(b, [x], [ambient(b, "g", subject)], pieces);
  return { x, slopes: recordOf(slopes.map((node, i) => [`free.${i}`, node])) };
}

const startCanBeLeft = (subject: SetSubject): Law => ({
  title: "training can leave the start: the derivative there is not nothing beside that elsewhere",
  failures: () => {
    const graph = graphOf((b) => derivatives(b, subject).slopes);
    const g = vectors(subject, 59);
    const atStart = run(graph, new Map([...started(subject), ["g", g]]));
    const elsewhere = run(graph, new Map([...coordinates(subject, 61, false), ["g", g]]));
    return Object.entries(elsewhere).flatMap(([name, values]) => {
      const slope = worst(mustValue(atStart, name));
      const slopeElsewhere = worst(values);
      if (slope >= 0.01 * slopeElsewhere - 1e-12) return [];
      return [`the derivative at the start is ${slope.toPrecision(3)}, and ${slopeElsewhere.toPrecision(3)} elsewhere`];
    });
  },
});

/** The sum of x times g: a number whose derivative by x is g. */
const valueAlong = (b: Builder, x: Node, g: Node): Node =>
  b.sum(
    b.mul(x, g),
    g.shape.map((_, axis) => axis),
  );

const mapHasGradient = (subject: SetSubject): Law => ({
  title: "the map's gradient matches differences",
  failures: () => {
    const graph = graphOf((b) => {
      const { x, slopes } = derivatives(b, subject);
      return merged({ value: valueAlong(b, x, ambient(b, "g", subject)) }, slopes);
    });
    const at = coordinates(subject, 17, false);
    const inputs = new Map([...at, ["g", vectors(subject, 19)]]);
    const results = run(graph, inputs);
    return [...at.keys()].flatMap((name) => slopeFailures(graph, inputs, name, mustValue(results, name)));
  },
});

/** Where `slopes`, the derivatives by the values of one input, are not those of differences. */
function slopeFailures(
  graph: NamedGraph<string>,
  inputs: ReadonlyMap<string, readonly number[]>,
  name: string,
  slopes: ArrayLike<number>,
): string[] {
  const values = inputs.get(name) ?? [];
  // Every entry of small sets, a sample of large ones.
  const stride = Math.max(1, Math.floor(values.length / 40));
  return values.flatMap((value, i) => {
    if (i % stride) return [];
    const moved = (h: number): number => {
      const changed = values.map((same, j) => (j === i ? value + h : same));
      return scalarOf(run(graph, new Map([...inputs, [name, changed]])), "value");
    };
    const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
    const slope = mustAt(slopes, i);
    return most(
      `the derivative by coordinate ${i} is ${slope.toPrecision(6)}, by ` +
        `differences ${numeric.toPrecision(6)}, apart by`,
      Math.abs(numeric - slope),
      1e-6 * Math.max(1, Math.abs(numeric)),
    );
  });
}

const scalarOf = <K extends string>(results: Results<K>, name: K): number => mustAt(mustValue(results, name), 0);

const adapting = (subject: SetSubject, name: string): Law => ({
  title: `with \`${name}\` adapted, a scalar is what the option would be, and has a gradient`,
  failures: () => {
    const graph = graphOf((b) => adaptedResults(b, subject, name));
    const at = (scalar: number) =>
      run(graph, new Map([...coordinates(subject, 73, false), ["g", vectors(subject, 79, 3)], ["scalar", [scalar]]]));
    const option = mustValue(subject.options, name) as number;
    const plain = run(
      graphOf((b) => ({ x: mapped(b, subject).x })),
      coordinates(subject, 73, false),
    );
    return [
      ...most("the map differs from that of the option by", difference(at(option).x, plain.x), 1e-12),
      ...[option, option / 2].flatMap((scalar) => {
        const results = at(scalar);
        const slope = scalarOf(results, "slope");
        const numeric = (scalarOf(at(scalar + 1e-6), "value") - scalarOf(at(scalar - 1e-6), "value")) / 2e-6;
        // A map that only approaches its set is farther off at a low temperature.
        const isOnSet = subject.set.tolerance(subject.options) !== null;
        const image = isOnSet ? worst(results.violation) : 0;
        return [
          ...most(`at ${scalar} the image is off the set by`, image, allowed(subject)),
          ...most(`at ${scalar} the projection is off the set by`, worst(results.projected), allowed(subject)),
          ...most(
            `at ${scalar} the derivative is ${slope.toPrecision(6)}, by differences ` +
              `${numeric.toPrecision(6)}, apart by`,
            Math.abs(numeric - slope),
            1e-5 * Math.max(1, Math.abs(numeric)),
          ),
        ];
      }),
    ];
  },
});

/** A set's map and projection with an option as the input `scalar`, and the derivative by it. */
function adaptedResults(b: Builder, subject: SetSubject, name: string) {
  const { set, options, point, free } = subject;
  const scalar = b.input("scalar", [], "f32");
  const setting: Setting = { options, adapted: recordOf([[name, scalar]]) };
  const pieces = free.map((shape, i) => b.input(`free.${i}`, [MANY, ...shape], "f32"));
  const x = set.map(b, pieces, [MANY, ...point], setting);
  const g = ambient(b, "g", subject);
  return {
    x,
    violation: set.violation(b, x, setting),
    projected: set.violation(b, set.project(b, g, setting), setting),
    slope: mustAt(vjp(b, [x], [g], [scalar]), 0),
    value: valueAlong(b, x, g),
  };
}

/**
 * Tests a set of one's own by what every set promises, in f64: where it does not, in words; nothing when all holds.
 * Takes a second or so.
 */
export function checkSet(record: unknown): readonly string[] {
  const problems = problemsOf(record);
  if (problems.length) return problems;
  return subjectsOf(record as ConstraintSet).flatMap((subject) =>
    lawsOf(subject).flatMap((law) => {
      // One sentence a law: where it fails for one point it mostly fails for all.
      const [first] = failuresOf(law);
      return first === undefined ? [] : [`${subject.title}: ${law.title}: ${first}`];
    }),
  );
}

/** Where a law does not hold; that it cannot be evaluated is a failure too. */
function failuresOf({ failures }: Law): readonly string[] {
  try {
    return failures();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
