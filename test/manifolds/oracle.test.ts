/**
 * The sets against numbers that SciPy made by other means (test/manifolds/oracle.py says which): maps, projections, and
 * what manifolds have, of the f64 evaluation and of f32 kernels. A set, or a choice of a set's options that its tests
 * use, without numbers fails.
 */
import { describe, expect, it } from "vitest";
import { known, valueOf } from "../../src/graph/sizes.js";
import { sets, type Options } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { runGraph } from "../helpers/graphs.js";
import { readFixture } from "../helpers/specs.js";
import { graphOf, run, subjects } from "./members.js";

const CLOSE = 1e-5;

interface Fixture {
  readonly set: string;
  readonly options: Options;
  readonly shape: readonly number[];
  readonly count: number;
  readonly values: Readonly<Record<string, number[]>>;
}

const fixtures = readFixture("manifolds") as readonly Fixture[];
const whole = ({ set, options }: Pick<Fixture, "set" | "options">): Options => ({
  ...Object.fromEntries(Object.entries(sets[set]!.options).map(([name, option]) => [name, option.default])),
  ...options,
});
const key = (set: string, options: Options): string => `${set} ${JSON.stringify(Object.entries(options).sort())}`;

it("every setting of every set that is tested has numbers", () => {
  const there = new Set(fixtures.map((fixture) => key(fixture.set, whole(fixture))));
  expect(subjects.map(({ set, options }) => key(set.name, options)).filter((wanted) => !there.has(wanted))).toEqual([]);
});

describe.each(
  fixtures.map((fixture) => ({
    ...fixture,
    title: `${fixture.set}(${JSON.stringify(fixture.options)}) [${fixture.shape.join(", ")}]`,
  })),
)("$title", (fixture) => {
  const set = sets[fixture.set]!;
  const { shape, count, values } = fixture;
  const options = whole(fixture);
  const setting = fixed(options);

  const graph = graphOf<string>((b) => {
    const pieces = set.free(shape.map(known), options);
    if ("error" in pieces) throw new Error(pieces.error);
    const free = pieces.map((piece, i) =>
      b.input(`free.${i}`, [count, ...piece.shape.map((size) => valueOf(size)!)], "f32"),
    );
    const point = (name: string) => b.input(name, [count, ...shape], "f32");
    const common = {
      map: set.map(b, free, [count, ...shape], setting),
      project: set.project(b, point("value"), setting),
    };
    if (set.kind !== "manifold") return common;
    const [x, y, v] = [point("x"), point("y"), point("v")];
    return {
      ...common,
      tangent: set.tangent(b, x, point("w"), setting),
      gradient: set.gradient(b, x, point("g"), setting),
      inner: set.inner(b, x, v, v, setting),
      retract: set.retract(b, x, v, setting),
      transport: set.transport(b, x, y, v, setting),
      ...(set.distance ? { distance: set.distance(b, x, y, setting) } : {}),
    };
  });

  it.each(["f64", "f32"] as const)("%s", async (precision) => {
    const given = new Map(Object.entries(values));
    const found = precision === "f64" ? run(graph, given) : Object.fromEntries(await runGraph("wasm", graph, given));
    for (const name of graph.outputs.keys()) {
      const expected = values[name]!;
      const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      expect(found[name]!.length, name).toBe(expected.length);
      expected.forEach((value, i) =>
        expect(Math.abs(found[name]![i]! - value), `${name} ${i}: ${found[name]![i]} for ${value}`).toBeLessThanOrEqual(
          CLOSE * size,
        ),
      );
    }
  });
});
