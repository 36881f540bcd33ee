/** What the Birkhoff manifold promises, for any logits: on compiled f32 kernels, many matrices a run, and in f64. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import type { Graph } from "../../src/graph/node.js";
import { birkhoff, permutations } from "../../src/manifolds/birkhoff.js";
import { defaultsOf } from "../../src/manifolds/own.js";
import type { Options } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { runGraph } from "../helpers/graphs.js";

const MATRICES = 64;
const options = (own: Partial<Options> = {}): Options => ({ ...defaultsOf(birkhoff), ...own }) as Options;

/** The map of many matrices as one graph; `product` multiplies them in rows of 60 first. */
function graphOf(n: number, own: Options, free = n * n): Graph {
  const b = createBuilder();
  const z = b.input("z", own["by"] === "permutations" ? [MATRICES, free] : [MATRICES, n, n], "f32");
  return {
    name: "map",
    outputs: new Map([["p", birkhoff.map(b, [z], [MATRICES, n, n], fixed(own))]]),
    updates: new Map(),
  };
}

/** Logits within +-a: free ones, corners, and rows that want the same column. */
const logits = (n: number, a: number, free = n * n): fc.Arbitrary<number[]> =>
  fc.array(fc.oneof(fc.double({ min: -a, max: a, noNaN: true }), fc.constantFrom(-a, a, 0)), {
    minLength: MATRICES * free,
    maxLength: MATRICES * free,
  });

interface Sums {
  readonly rows: number;
  readonly columns: number;
  readonly lowest: number;
  readonly finite: boolean;
  readonly columnRange: readonly [number, number];
}

function sums(p: ArrayLike<number>, n: number): Sums {
  let rows = 0;
  let columns = 0;
  let lowest = 0;
  let finite = true;
  const range: [number, number] = [1, 1];
  for (let start = 0; start < p.length; start += n * n) {
    for (let i = 0; i < n; i++) {
      let row = 0;
      let column = 0;
      for (let j = 0; j < n; j++) {
        const value = p[start + i * n + j]!;
        finite &&= Number.isFinite(value);
        lowest = Math.min(lowest, value);
        row += value;
        column += p[start + j * n + i]!;
      }
      rows = Math.max(rows, Math.abs(row - 1));
      columns = Math.max(columns, Math.abs(column - 1));
      range[0] = Math.min(range[0], column);
      range[1] = Math.max(range[1], column);
    }
  }
  return { rows, columns, lowest, finite, columnRange: range };
}

/** Multiplies all matrices of a run, first to last. */
function product(p: ArrayLike<number>, n: number, count: number): Float64Array {
  let result = Float64Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) === i % n ? 1 : 0));
  for (let m = 0; m < count; m++) {
    const next = new Float64Array(n * n);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        for (let k = 0; k < n; k++) next[i * n + j]! += result[i * n + k]! * p[m * n * n + k * n + j]!;
    result = next;
  }
  return result;
}

describe.each([2, 4, 5])("n = %i, logits within +-80", (n) => {
  it.each(["paper", "deepseek"])("%s: finite, non-negative, and rows (paper) sum to 1, in f32", async (convention) => {
    const graph = graphOf(n, options({ convention, exact: false }));
    await fc.assert(
      fc.asyncProperty(logits(n, 80), async (z) => {
        const { rows, lowest, finite } = sums((await runGraph("wasm", graph, new Map([["z", z]]))).get("p")!, n);
        expect(finite).toBe(true);
        expect(lowest).toBeGreaterThanOrEqual(0);
        if (convention === "paper") expect(rows).toBeLessThanOrEqual(1e-5);
      }),
      { numRuns: 5 },
    );
  });

  it("exact: rows and columns sum to 1, and so do those of products of 60", async () => {
    const graph = graphOf(n, options());
    await fc.assert(
      fc.asyncProperty(logits(n, 80), async (z) => {
        const p = (await runGraph("wasm", graph, new Map([["z", z]]))).get("p")!;
        const single = sums(p, n);
        expect(single.finite).toBe(true);
        expect(single.lowest).toBeGreaterThanOrEqual(0);
        expect(single.rows).toBeLessThanOrEqual(1e-5);
        expect(single.columns).toBeLessThanOrEqual(1e-5);
        const many = sums(product(p, n, 60), n);
        expect(many.rows).toBeLessThanOrEqual(1e-4);
        expect(many.columns).toBeLessThanOrEqual(1e-4);
      }),
      { numRuns: 5 },
    );
  });

  it("permutations: doubly stochastic", async () => {
    const free = permutations(n).length;
    const graph = graphOf(n, options({ by: "permutations" }), free);
    await fc.assert(
      fc.asyncProperty(logits(n, 80, free), async (z) => {
        const { rows, columns, lowest, finite } = sums(
          (await runGraph("wasm", graph, new Map([["z", z]]))).get("p")!,
          n,
        );
        expect(finite).toBe(true);
        expect(lowest).toBeGreaterThanOrEqual(0);
        expect(rows).toBeLessThanOrEqual(1e-5);
        expect(columns).toBeLessThanOrEqual(1e-5);
      }),
      { numRuns: 3 },
    );
  });
});

/** docs/birkhoff.md: the range of column sums after T iterations, for logits within +-a. */
function columnRange(n: number, a: number, iterations: number): readonly [number, number] {
  const b = Math.max(
    ...Array.from(
      { length: n + 1 },
      (_, k) => Math.log((k * Math.exp(a) + (n - k) * Math.exp(-a)) / n) - (a * (2 * k - n)) / n,
    ),
  );
  const e = (n * b) / (2 * iterations - 1);
  const root = (low: number, high: number): number => {
    const rising = high > 1;
    for (let i = 0; i < 200; i++) {
      const x = (low + high) / 2;
      if (x - 1 - Math.log(x) > e === rising) high = x;
      else low = x;
    }
    return (low + high) / 2;
  };
  const below = root(1e-12, 1);
  const above = root(1, 1e6);
  const least = Math.min(below, 1 / above);
  return [least, Math.min(Math.max(above, 1 / below), n - (n - 1) * least)];
}

describe("logits within +-4", () => {
  it("has the bound that the documentation states", () => {
    const [least, most] = columnRange(4, 4, 20);
    expect(least).toBeCloseTo(0.31, 2);
    expect(most).toBeCloseTo(3.06, 2);
  });

  it.each([2, 3, 4, 5])("columns of n = %i stay within it after 20 iterations", async (n) => {
    const graph = graphOf(n, options({ exact: false }));
    const [least, most] = columnRange(n, 4, 20);
    await fc.assert(
      fc.asyncProperty(logits(n, 4), async (z) => {
        const {
          columnRange: [low, high],
        } = sums((await runGraph("wasm", graph, new Map([["z", z]]))).get("p")!, n);
        expect(low).toBeGreaterThanOrEqual(least - 1e-5);
        expect(high).toBeLessThanOrEqual(most + 1e-5);
      }),
      { numRuns: 5 },
    );
  });
});
