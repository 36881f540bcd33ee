/**
 * What the registry says of products, held to it: products of 2 to 60 members, made and multiplied in f32 on a compiled
 * device, are members within the tolerance of one member for each factor. Products of matrices for sets of matrices, of
 * numbers for sets of numbers.
 */
import { sizeOf } from "../../src/graph/record.js";
import { describe, expect, it } from "vitest";
import type { Node } from "../../src/graph/node.js";
import { sets } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { indicator, product } from "../../src/manifolds/algebra.js";
import { random } from "../helpers/cases.js";
import { runGraph } from "../helpers/graphs.js";
import { graphOf, subjects, worst, type SetSubject } from "./members.js";

const COUNTS = [2, 3, 17, 60];
const MOST = Math.max(...COUNTS);
/**
 * Products side by side, of coordinates that grow from one to the next; those of several tensors do not: the map
 * multiplies them, and 60 must stay in f32.
 */
const SEEDS = 4;

const closed = subjects.filter(
  ({ set, options, point }) =>
    set.closed && set.tolerance(options) !== null && (point.length < 2 || point[0] === point[1]),
);

it("every set that is closed has a case here", () => {
  expect(
    Object.values(sets)
      .filter((set) => set.closed && !closed.some((subject) => subject.set === set))
      .map(({ name }) => name),
  ).toEqual([]);
});

function coordinates({ free, extreme }: SetSubject, seed: number): Map<string, number[]> {
  const next = random(seed);
  return new Map(
    free.map((shape, i) => {
      const size = sizeOf(shape);
      const spread = (at: number): number =>
        free.length > 1 ? 2 : Math.min(extreme, 2 ** (Math.floor(at / size) % SEEDS));
      return [
        `free.${i}`,
        Array.from({ length: MOST * SEEDS * size }, (_, at) => Math.fround(spread(at) * (2 * next() - 1))),
      ];
    }),
  );
}

describe.each(closed)("$title", (subject) => {
  const { set, options, point, free } = subject;

  const areMembers = async (seed: number): Promise<void> => {
    const graph = graphOf((b) => {
      const members = set.map(
        b,
        free.map((shape, i) => b.input(`free.${i}`, [MOST, SEEDS, ...shape], "f32")),
        [MOST, SEEDS, ...point],
        fixed(options),
      );
      const factor = (i: number): Node => b.sum(b.mul(members, indicator(b, members.shape, 0, i)), [0]);
      const results: Record<string, Node> = {};
      let all = factor(0);
      for (let count = 2; count <= MOST; count++) {
        all = point.length === 2 ? product(b, all, factor(count - 1)) : b.mul(all, factor(count - 1));
        if (!COUNTS.includes(count)) continue;
        const own = set.closed === "radii" ? { ...options, radius: (options["radius"] as number) ** count } : options;
        results[`product.${count}`] = all;
        results[`violation.${count}`] = set.violation(b, all, fixed(own));
      }
      return results;
    });
    const found = await runGraph("wasm", graph, coordinates(subject, seed));
    for (const count of COUNTS) {
      expect(worst(found.get(`product.${count}`)!)).toBeLessThan(Number.POSITIVE_INFINITY);
      expect(worst(found.get(`violation.${count}`)!), `${count} factors`).toBeLessThanOrEqual(
        count * set.tolerance(options)!,
      );
    }
  };
  it.each([61])("products of members, seed %i", areMembers);
  it.each([67])("products of members, seed %i", { tags: "slow" }, areMembers);
});
