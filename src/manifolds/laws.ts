/**
 * What every set promises, as laws that are generated from its record and evaluated in f64: the map lands on it, the
 * projection too and leaves members alone, gradients are those of differences, and what a manifold has is that of one.
 * They are the tests of the registry's sets (`test/manifolds/sets.test.ts`, which adds f32 on compiled devices), and
 * `checkSet` runs them for a set of the user's own.
 */
import { type Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import { evaluate } from "../graph/evaluate.js";
import type { Graph, Node } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
import { known, valueOf } from "../graph/sizes.js";
import { defaultsOf, problemsOf } from "./own.js";
import { fixed, type ConstraintSet, type Manifold, type Options } from "./set.js";
import { vjp } from "../graph/differentiate.js";
import { merged, recordOf, valueAt } from "../../runtime/records.js";

/** Points of one run. */
export const MANY = 6;

/** What a set with a map that only approaches it still keeps when it projects. */
const PROJECTED = 1e-5;

/** A set in one setting, at one shape of its cases. */
export interface Subject {
  readonly title: string;
  readonly set: ConstraintSet;
  readonly options: Options;
  readonly point: readonly number[];
  /** Shapes of the free coordinates of one point. */
  readonly free: readonly (readonly number[])[];
  readonly extreme: number;
}

export interface Law {
  readonly title: string;
  /** Where it does not hold, in words. */
  readonly failures: () => readonly string[];
}

/** Every choice and flag of a set, one at a time, beside its defaults. */
export function settings(set: ConstraintSet): Options[] {
  const defaults = defaultsOf(set);
  const others = Object.entries(set.options).flatMap(([name, option]): Options[] =>
    option.kind === "choice"
      ? option.choices.filter((choice) => choice !== option.default).map((choice) => recordOf([[name, choice]]))
      : option.kind === "flag"
        ? [recordOf([[name, !option.default]])]
        : [],
  );
  return [defaults, ...others.map((own) => merged(defaults, own))];
}

/** A set at the shapes of its cases, in every setting. */
export const subjectsOf = (set: ConstraintSet): Subject[] =>
  set.cases.flatMap((item) =>
    (item.options ? [merged(defaultsOf(set), item.options)] : settings(set)).flatMap((options): Subject[] => {
      const pieces = set.free(item.shape.map(known), options);
      if ("error" in pieces) return [];
      const own = Object.entries(options).filter(([name, value]) => value !== valueAt(set.options, name)!.default);
      const free = pieces.map(({ shape }) => shape.map((size) => valueOf(size)!));
      return [
        {
          title:
            `${set.name}(${own.map(([name, value]) => `${name} = ${value}`).join(", ")}) ` +
            `[${item.shape.join(", ")}]`,
          set,
          options,
          point: item.shape,
          free,
          extreme: item.extreme,
        },
      ];
    }),
  );

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
export function coordinates({ free, extreme }: Subject, seed: number, ends: boolean): ReadonlyMap<string, number[]> {
  const next = random(seed);
  return new Map(
    free.map((shape, i) => {
      const size = sizeOf(shape);
      const values = Array.from({ length: MANY * size }, (_, at) => {
        const draw = 2 * next() - 1;
        const way = Math.floor(at / size) - MANY / 2;
        if (!ends || way < 0) return Math.fround(draw);
        return way === 0
          ? Math.fround(extreme * Math.sign(draw))
          : way === 1
            ? extreme * 0.5
            : at % size === 0
              ? extreme
              : 0;
      });
      return [`free.${i}`, values];
    }),
  );
}

/** A point's free coordinates, and the points that the map makes of them. */
export function mapped(
  b: Builder,
  { set, options, point, free }: Subject,
  prefix = "",
): { readonly pieces: Node[]; readonly x: Node } {
  const pieces = free.map((shape, i) => b.input(`${prefix}free.${i}`, [MANY, ...shape], "f32"));
  return { pieces, x: set.map(b, pieces, [MANY, ...point], fixed(options)) };
}

/** Ambient vectors, one a point. */
export const ambient = (b: Builder, name: string, { point }: Subject): Node => b.input(name, [MANY, ...point], "f32");

export const vectors = ({ point }: Subject, seed: number, scale = 1): number[] => {
  const next = random(seed);
  return Array.from({ length: MANY * sizeOf(point) }, () => Math.fround(scale * (2 * next() - 1)));
};

export type Values = ReadonlyMap<string, readonly number[]>;
type Results = Readonly<Record<string, ArrayLike<number>>>;

/** A graph of named results. */
export function graphOf(make: (b: Builder) => Readonly<Record<string, Node>>): Graph {
  return { name: "set", outputs: new Map(Object.entries(make(createBuilder()))), updates: new Map() };
}

/** Its results in f64, by name. */
export const run = (graph: Graph, values: Values): Results => recordOf(evaluate(graph, new Map(values)).outputs);

export const worst = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => (Number.isNaN(value) ? Number.NaN : Math.max(most, Math.abs(value))), 0);
export const difference = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
  worst(Array.from(x, (value, i) => value - y[i]!));
export const largestOf = (values: ArrayLike<number>): number => Math.max(1, worst(values));

/** How far off a member of this subject may be. */
export const allowed = ({ set, options }: Subject): number => set.tolerance(options) ?? PROJECTED;

/** A failure where a number is larger than it may be, or is none. */
const most = (what: string, found: number, bound: number): string[] =>
  found <= bound ? [] : [`${what}: ${found.toPrecision(3)}, and at most ${bound.toPrecision(3)} is allowed`];

const valueAlong = (b: Builder, x: Node, g: Node): Node =>
  b.sum(
    b.mul(x, g),
    g.shape.map((_, axis) => axis),
  );

/** The laws of a set in one setting. */
export const lawsOf = (subject: Subject): readonly Law[] => [
  ...common(subject),
  ...subject.set
    .adapts(subject.options)
    .filter((name) => name !== "rank")
    .flatMap((name) => adapting(subject, name)),
  ...(subject.set.kind === "manifold" ? smooth(subject, subject.set) : []),
];

function common(subject: Subject): Law[] {
  const { set, options } = subject;
  const setting = fixed(options);
  const holds = set.tolerance(options) !== null;
  return [
    {
      title: "the map lands on it, and the projection leaves the members alone",
      failures: () => {
        const graph = graphOf((b) => {
          const { x } = mapped(b, subject);
          return { x, violation: set.violation(b, x, setting), near: set.project(b, x, setting) };
        });
        return [false, true].flatMap((ends) => {
          const { x, violation, near } = run(graph, coordinates(subject, 11, ends));
          const where = ends ? ` of coordinates up to ${subject.extreme}` : "";
          if (!(worst(x!) < Number.POSITIVE_INFINITY)) return [`the image${where} is not finite`];
          return holds
            ? [
                ...most(`the image${where} is off the set by`, worst(violation!), allowed(subject)),
                ...most(
                  `the projection moves members${where} by`,
                  difference(near!, x!) / largestOf(x!),
                  4 * allowed(subject),
                ),
              ]
            : [];
        });
      },
    },
    {
      title: "the projection lands on it, and is idempotent",
      failures: () => {
        const graph = graphOf((b) => {
          const once = set.project(b, ambient(b, "x", subject), setting);
          return { once, violation: set.violation(b, once, setting), twice: set.project(b, once, setting) };
        });
        return [1, Math.max(1, Math.min(10, subject.extreme))].flatMap((scale) => {
          const { once, violation, twice } = run(graph, new Map([["x", vectors(subject, 13, scale)]]));
          return [
            ...most("the projection is off the set by", worst(violation!), allowed(subject)),
            ...most("a second projection moves by", difference(twice!, once!) / largestOf(once!), 4 * allowed(subject)),
          ];
        });
      },
    },
    {
      title: "training can leave the start: the derivative there is not nothing beside that elsewhere",
      failures: () => {
        const graph = graphOf((b) => {
          const { pieces, x } = mapped(b, subject);
          return recordOf(vjp(b, [x], [ambient(b, "g", subject)], pieces).map((node, i) => [`free.${i}`, node]));
        });
        const g = vectors(subject, 59);
        const [first, elsewhere] = [started(subject), coordinates(subject, 61, false)].map((at) =>
          run(graph, new Map([...at, ["g", g]])),
        );
        return Object.keys(elsewhere!).flatMap((name) =>
          worst(valueAt(first!, name)!) >= 0.01 * worst(valueAt(elsewhere!, name)!) - 1e-12
            ? []
            : [
                `the derivative at the start is ${worst(valueAt(first!, name)!).toPrecision(3)}, and ` +
                  `${worst(valueAt(elsewhere!, name)!).toPrecision(3)} elsewhere`,
              ],
        );
      },
    },
    {
      title: "the map's gradient matches differences",
      failures: () => {
        const graph = graphOf((b) => {
          const { pieces, x } = mapped(b, subject);
          const g = ambient(b, "g", subject);
          return merged(
            { value: valueAlong(b, x, g) },
            recordOf(vjp(b, [x], [g], pieces).map((node, i) => [`free.${i}`, node])),
          );
        });
        const at = coordinates(subject, 17, false);
        const g = vectors(subject, 19);
        const found = run(graph, new Map([...at, ["g", g]]));
        return [...at].flatMap(([name, values]) => {
          // Every entry of small sets, a sample of large ones.
          const stride = Math.max(1, Math.floor(values.length / 40));
          return values.flatMap((value, i) => {
            if (i % stride) return [];
            const moved = (h: number): number =>
              run(graph, new Map([...at, ["g", g], [name, values.map((same, j) => (j === i ? value + h : same))]]))[
                "value"
              ]![0]!;
            const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            return most(
              `the derivative by coordinate ${i} is ${valueAt(found, name)![i]!.toPrecision(6)}, by ` +
                `differences ${numeric.toPrecision(6)}, apart by`,
              Math.abs(numeric - valueAt(found, name)![i]!),
              1e-6 * Math.max(1, Math.abs(numeric)),
            );
          });
        });
      },
    },
  ];
}

/** Free coordinates as `M.start` makes them. */
function started({ set, options, free }: Subject): ReadonlyMap<string, number[]> {
  const { kind, value } = set.start(options);
  const next = random(67);
  return new Map(
    free.map((shape, i) => {
      const last = shape.at(-1) ?? 1;
      const square = shape.length >= 2 && shape.at(-2) === last;
      const n = square ? last : Math.round(Math.sqrt(last));
      const one = (at: number): number => {
        switch (kind) {
          case "constant":
            return value;
          case "first":
            return at % last === 0 ? value : 0;
          case "identity": {
            const place = at % (square ? n * n : last);
            return Math.floor(place / n) === place % n ? value : 0;
          }
          case "normal":
            return value * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
          default:
            return kind satisfies never;
        }
      };
      return [`free.${i}`, Array.from({ length: MANY * sizeOf(shape) }, (_, at) => one(at % sizeOf(shape)))];
    }),
  );
}

function adapting(subject: Subject, name: string): Law[] {
  const { set, options, point, free } = subject;
  return [
    {
      title: `with \`${name}\` adapted, a scalar is what the option would be, and has a gradient`,
      failures: () => {
        const graph = graphOf((b) => {
          const scalar = b.input("scalar", [], "f32");
          const setting = { options, adapted: recordOf([[name, scalar]]) };
          const x = set.map(
            b,
            free.map((shape, i) => b.input(`free.${i}`, [MANY, ...shape], "f32")),
            [MANY, ...point],
            setting,
          );
          const g = ambient(b, "g", subject);
          const [slope] = vjp(b, [x], [g], [scalar]);
          return {
            x,
            violation: set.violation(b, x, setting),
            projected: set.violation(b, set.project(b, g, setting), setting),
            slope: slope!,
            value: valueAlong(b, x, g),
          };
        });
        const at = (scalar: number): Results =>
          run(
            graph,
            new Map([...coordinates(subject, 73, false), ["g", vectors(subject, 79, 3)], ["scalar", [scalar]]]),
          );
        const own = valueAt(options, name) as number;
        const { x: plain } = run(
          graphOf((b) => ({ x: mapped(b, subject).x })),
          coordinates(subject, 73, false),
        );
        return [
          ...most("the map differs from that of the option by", difference(at(own)["x"]!, plain!), 1e-12),
          ...[own, own / 2].flatMap((scalar) => {
            const { violation, projected, slope } = at(scalar);
            const numeric = (at(scalar + 1e-6)["value"]![0]! - at(scalar - 1e-6)["value"]![0]!) / 2e-6;
            return [
              // What only approaches its set is farther off at a low temperature.
              ...(set.tolerance(options) === null
                ? []
                : most(`at ${scalar} the image is off the set by`, worst(violation!), allowed(subject))),
              ...most(`at ${scalar} the projection is off the set by`, worst(projected!), allowed(subject)),
              ...most(
                `at ${scalar} the derivative is ${slope![0]!.toPrecision(6)}, by differences ` +
                  `${numeric.toPrecision(6)}, apart by`,
                Math.abs(numeric - slope![0]!),
                1e-5 * Math.max(1, Math.abs(numeric)),
              ),
            ];
          }),
        ];
      },
    },
  ];
}

function smooth(subject: Subject, set: Manifold): Law[] {
  const setting = fixed(subject.options);
  const other = new Map([...coordinates(subject, 29, false)].map(([name, values]) => [`other.${name}`, values]));
  const given = new Map([
    ...coordinates(subject, 23, false),
    ...other,
    ["u", vectors(subject, 31)],
    ["v", vectors(subject, 37)],
    ["g", vectors(subject, 41)],
  ]);
  const size = sizeOf(subject.point);
  const points = Array.from({ length: MANY }, (_, i) => i);
  /** A member x, another y, and the tangent vectors u and v at x. */
  const made = (
    make: (
      b: Builder,
      at: { readonly x: Node; readonly y: Node; readonly u: Node; readonly v: Node },
    ) => Readonly<Record<string, Node>>,
  ): Results =>
    run(
      graphOf((b) => {
        const { x } = mapped(b, subject);
        const tangent = (name: string): Node => set.tangent(b, x, ambient(b, name, subject), setting);
        return make(b, { x, y: mapped(b, subject, "other.").x, u: tangent("u"), v: tangent("v") });
      }),
      given,
    );
  const norm = (values: ArrayLike<number>, i: number): number =>
    Math.hypot(...Array.from(values).slice(i * size, (i + 1) * size));
  const laws: Law[] = [
    {
      title: "tangents are tangent: the set is left to second order only, and projecting again changes nothing",
      failures: () => {
        const { v, again, far, near } = made((b, { x, v: along }) => {
          const left = (t: number): Node => set.violation(b, b.add(x, b.mul(along, b.fill(t, along.shape))), setting);
          return { v: along, again: set.tangent(b, x, along, setting), far: left(1e-2), near: left(1e-3) };
        });
        return [
          ...most("`tangent` of a tangent vector moves it by", difference(v!, again!), 1e-9),
          ...points.flatMap((i) =>
            most("a thousandth along a tangent vector is off the set by", near![i]!, 0.02 * far![i]! + 1e-12),
          ),
        ];
      },
    },
    {
      title: "the gradient is tangent, and its inner product with a tangent vector is the derivative along it",
      failures: () => {
        const { gradient, tangent, inner, along } = made((b, { x, u }) => {
          const g = ambient(b, "g", subject);
          const up = set.gradient(b, x, g, setting);
          const axes = subject.point.map((_, axis) => axis + 1);
          return {
            gradient: up,
            tangent: set.tangent(b, x, up, setting),
            inner: set.inner(b, x, up, u, setting),
            along: axes.length ? b.sum(b.mul(g, u), axes) : b.mul(g, u),
          };
        });
        return [
          ...most("`tangent` moves the gradient by", difference(gradient!, tangent!), 1e-8 * largestOf(gradient!)),
          ...most("the inner product is off the derivative by", difference(inner!, along!), 1e-8 * largestOf(along!)),
        ];
      },
    },
    {
      title: "the retraction starts at the point, along the vector, and stays on the set",
      failures: () => {
        const { still, violation, far, near } = made((b, { x, v }) => {
          const error = (t: number): Node => {
            const tv = b.mul(v, b.fill(t, v.shape));
            return b.sub(set.retract(b, x, tv, setting), b.add(x, tv));
          };
          return {
            still: b.sub(set.retract(b, x, b.fill(0, v.shape), setting), x),
            violation: set.violation(b, set.retract(b, x, v, setting), setting),
            far: error(1e-2),
            near: error(1e-3),
          };
        });
        // A second-order error falls a hundredfold when the step falls tenfold.
        return [
          ...most("the retraction of nothing moves by", worst(still!), 1e-9),
          ...most("the retraction is off the set by", worst(violation!), allowed(subject)),
          ...points.flatMap((i) =>
            most(
              "the retraction of a thousandth is off the straight line by",
              norm(near!, i),
              0.02 * norm(far!, i) + 1e-12,
            ),
          ),
        ];
      },
    },
    {
      title: "transport stays tangent, and carries a vector nowhere by itself",
      failures: () => {
        const { v, carried, tangent, still } = made((b, { x, y, v: along }) => {
          const there = set.transport(b, x, y, along, setting);
          return {
            v: along,
            carried: there,
            tangent: set.tangent(b, y, there, setting),
            still: set.transport(b, x, x, along, setting),
          };
        });
        return [
          ...most("`tangent` moves what was carried by", difference(carried!, tangent!), 1e-8 * largestOf(carried!)),
          ...most("transport to the same point moves by", difference(v!, still!), 1e-8 * largestOf(v!)),
        ];
      },
    },
  ];
  if (set.distance)
    laws.push({
      title: "distances are a metric, and agree with the retraction for small steps",
      failures: () => {
        const { same, xy, yx, yz, xz, step, length } = made((b, { x, y, v }) => {
          const z = set.retract(b, x, v, setting);
          const small = b.mul(v, b.fill(1e-4, v.shape));
          const d = (from: Node, to: Node): Node => set.distance!(b, from, to, setting);
          return {
            same: d(x, x),
            xy: d(x, y),
            yx: d(y, x),
            yz: d(y, z),
            xz: d(x, z),
            step: d(x, set.retract(b, x, small, setting)),
            length: b.sqrt(set.inner(b, x, small, small, setting)),
          };
        });
        return [
          ...most("a point is from itself by", worst(same!), 1e-7),
          ...most("there and back differ by", difference(xy!, yx!), 1e-9),
          ...points.flatMap((i) => [
            ...most("a distance is less than nothing by", Math.max(0, -xy![i]!), 0),
            ...most("the third side of a triangle is longer by", Math.max(0, xz![i]! - xy![i]! - yz![i]!), 1e-9),
            ...most(
              "a small step's distance is off its length by",
              Math.abs(step![i]! - length![i]!),
              1e-6 + 1e-2 * length![i]!,
            ),
          ]),
        ];
      },
    });
  return laws;
}

/**
 * Tests a set of one's own by what every set promises, in f64: where it does not, in words; nothing when all holds.
 * Takes a second or so.
 */
export function checkSet(record: unknown): readonly string[] {
  const problems = problemsOf(record);
  if (problems.length) return problems;
  return subjectsOf(record as ConstraintSet).flatMap((subject) =>
    lawsOf(subject).flatMap(({ title, failures }) => {
      let found: readonly string[];
      try {
        found = failures();
      } catch (error) {
        found = [error instanceof Error ? error.message : String(error)];
      }
      // One sentence a law: where it fails for one point it mostly fails for all.
      return found.length ? [`${subject.title}: ${title}: ${found[0]}`] : [];
    }),
  );
}
