/**
 * Random graphs, planned and fused, against the evaluator; and the two planners of memory and views against brute
 * force.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { layOut, rangeOfUses } from "../../src/schedule/memory/lifetimes.js";
import { sizeOf } from "../../src/graph/record.js";
import { reshapeStrides, rowMajor } from "../../src/schedule/fusion/views.js";
import { cpuSubjects, deviceOf, isSlow, openSubject, type Subject } from "../helpers/devices.js";
import { runOn } from "../helpers/graphs.js";

/** Each number picks an op and its operands among what is there: any list of numbers is a graph. */
function build(
  choices: readonly number[],
  shape: readonly number[],
): { graph: Graph; whole: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const pool: Node[] = ["x", "y", "z"].map((name, i) => {
    values.set(
      name,
      Array.from({ length: sizeOf(shape) }, (_, at) => Math.fround(Math.sin(at + 5 * i))),
    );
    return b.input(name, shape, "f32");
  });
  const outputs = new Map<string, Node>();
  choices.forEach((choice, step) => {
    const pick = (shift: number): Node => pool[Math.floor(choice / 2 ** shift) % pool.length]!;
    const x = pick(5);
    const like = pool.filter((node) => node.shape.join() === x.shape.join());
    const y = like[Math.floor(choice / 4096) % like.length]!;
    const rank = x.shape.length;
    const made = ((): Node => {
      switch (choice % 20) {
        case 0:
          return b.add(x, y);
        case 1:
          return b.mul(x, y);
        case 2:
          return b.tanh(x);
        case 3:
          return b.sub(b.sigmoid(x), y);
        case 4:
          return rank > 0 ? b.softmax(x) : b.neg(x);
        case 5:
          return rank > 1 ? b.transpose(x, [...x.shape.keys()].reverse()) : b.abs(x);
        case 6:
          return rank > 0 ? b.sum(x, [Math.floor(choice / 64) % rank]) : x;
        case 7:
          return rank > 0 ? b.reduceMax(x, [rank - 1]) : x;
        case 8:
          return rank < 4
            ? b.broadcast(
                x,
                [...x.shape, 3],
                x.shape.map((_, axis) => axis),
              )
            : x;
        case 9:
          return b.reshape(x, [sizeOf(x.shape)]);
        case 10:
          return rank === 2 ? b.contract("ij,kj->ik", x, y) : b.min(x, y);
        case 11:
          return rank > 0 ? b.mean(b.mul(x, x), [0]) : b.exp(b.min(x, b.constant(1)));
        case 12:
          return rank > 0
            ? b.gather(x, b.sub(b.fill(x.shape[0]! - 1, [x.shape[0]!], "u32"), b.iota([x.shape[0]!], 0)))
            : x;
        // Continuous where the condition changes: a rounding error may decide which side is taken.
        case 13:
          return b.select(b.lt(x, b.fill(0, x.shape)), b.mul(x, y), b.neg(x));
        case 14:
          return rank > 1 && x.shape[rank - 1] === x.shape[rank - 2]
            ? b.sinkhorn(b.tanh(x), { iterations: 3, convention: "paper", epsilon: 0 })
            : b.max(x, y);
        case 15:
          return rank < 3 ? b.reshape(x, [1, ...x.shape, 1]) : x;
        // Neighbours along every axis, shifted, strided and taken backwards; what lies outside is 0.
        case 16:
          return b.affine(
            x,
            x.shape,
            x.shape.map((_, axis) => ({
              offset: (choice >> axis) % 3,
              terms: [[axis, 1 - 2 * (axis % 2)]],
              divisor: 1,
            })),
          );
        case 17:
          return rank > 0 && rank < 4
            ? b.affine(
                x,
                [...x.shape, 3],
                x.shape.map((_, axis) => ({
                  offset: axis === 0 ? -1 : 0,
                  terms: axis === 0 ? [[0, 1 + (choice % 2)] as const, [rank, 1] as const] : [[axis, 1] as const],
                  divisor: 1,
                })),
              )
            : x;
        // A convolution: a product with neighbours.
        case 18:
          return rank === 2
            ? b.contract(
                "ikj,lkj->il",
                b.affine(
                  x,
                  [x.shape[0]!, 3, x.shape[1]!],
                  [
                    {
                      offset: -1,
                      terms: [
                        [0, 1],
                        [1, 1],
                      ],
                      divisor: 1,
                    },
                    { offset: 0, terms: [[2, 1]], divisor: 1 },
                  ],
                ),
                b.broadcast(y, [y.shape[0]!, 3, y.shape[1]!], [0, 2]),
              )
            : x;
        // Every axis of size 1 as an axis of size 2.
        default:
          return b.broadcast(
            b.reshape(
              x,
              x.shape.filter((size) => size > 1),
            ),
            x.shape.map((size) => Math.max(size, 2)),
            [...x.shape.keys()].filter((axis) => x.shape[axis]! > 1),
          );
      }
    })();
    pool.push(made);
    if (choice % 3 === 0 || step === choices.length - 1) outputs.set(`${step}`, made);
  });
  const whole = new Map(pool.map((node, i) => [`${i}`, node]));
  return {
    graph: { name: "random", outputs, updates: new Map() },
    whole: { name: "whole", outputs: whole, updates: new Map() },
    values,
  };
}

describe("random graphs", () => {
  const areRight = async (name: Subject): Promise<void> => {
    const device = await openSubject(name, { threads: 2 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(2 ** 20), { minLength: 1, maxLength: 14 }),
        fc.constantFrom([4, 6], [5, 3], [2, 3, 8], [7], [12, 5], [1, 9], [4, 1], [3, 4, 4]),
        async (choices, shape) => {
          const { graph, whole, values } = build(choices, shape);
          // A difference of nearly equal numbers has no relative accuracy: errors are compared to the largest number
          // that was in play.
          const scale = [...evaluate(whole, values).outputs.values()].reduce(
            (most, value) => Math.max(most, ...Array.from(value, Math.abs)),
            1,
          );
          const expected = evaluate(graph, values).outputs;
          const found = await runOn(device, graph, values);
          for (const [key, want] of expected) {
            const got = found.get(key)!;
            want.forEach((value: number, i: number) =>
              expect(Math.abs(got[i]! - value) / scale, `${key}[${i}]`).toBeLessThan(1e-4),
            );
          }
        },
      ),
      // Every graph has kernels of its own, and a C compiler takes a while for them.
      { numRuns: deviceOf(name) === "native" ? 8 : 60 },
    );
    await device.close();
  };
  const quick = cpuSubjects.filter((subject) => !isSlow(subject));
  const timeout = 120_000;
  it.each(quick)("are what the evaluator says, on %s", { timeout }, areRight);
  it.each(cpuSubjects.filter(isSlow))("are what the evaluator says, on %s", { timeout, tags: "slow" }, areRight);
});

it("live ranges never share words", () => {
  const range = fc
    .record({ words: fc.integer({ min: 1, max: 500 }), from: fc.nat(20), length: fc.nat(10) })
    .map(({ words, from, length }) => ({ words, from, to: from + length }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
      const { offsets, words } = layOut(
        ranges.map(({ words: size, from, to }) =>
          rangeOfUses(
            size,
            [from, to].map((position) => ({ at: 0, words: size, position })),
          ),
        ),
      );
      ranges.forEach((a, i) => {
        expect(offsets[i]! % 64).toBe(0);
        expect(offsets[i]! + a.words).toBeLessThanOrEqual(words);
        ranges.slice(0, i).forEach((b, j) => {
          const alive = a.from <= b.to && b.from <= a.to;
          const apart = offsets[i]! + a.words <= offsets[j]! || offsets[j]! + b.words <= offsets[i]!;
          expect(!alive || apart).toBe(true);
        });
      });
    }),
  );
});

it("a reshape has strides exactly when strides can read the same words in the same order", () => {
  const dims = fc.array(fc.constantFrom(1, 2, 3, 4), { maxLength: 4 });
  const outcomes = { strides: 0, copy: 0 };
  fc.assert(
    fc.property(
      dims,
      fc.nat(5),
      fc.nat(15),
      fc.array(fc.nat(5), { maxLength: 4 }),
      (shape, permutation, repeated, splits) => {
        const size = sizeOf(shape);
        // The source is a permuted row-major tensor, some of its axes repeated by a broadcast; the target another
        // factorization of its size.
        const order = [...shape.keys()].sort((a, b) => ((a * 7 + permutation) % 5) - ((b * 7 + permutation) % 5));
        const strides = rowMajor(order.map((axis) => shape[axis]!));
        const source = shape.map((_, axis) =>
          permutation > 2 && repeated & (1 << axis) ? 0 : strides[order.indexOf(axis)]!,
        );
        const target: number[] = [];
        for (const split of splits) {
          const divisor = [1, 2, 3, 4, 6, 8][split]!;
          if ((size / sizeOf(target)) % divisor === 0) target.push(divisor);
        }
        target.push(size / sizeOf(target));
        const found = reshapeStrides(shape, source, target);
        const walk = (sizes: readonly number[], steps: readonly number[]): number[] =>
          Array.from({ length: size }, (_, flat) =>
            rowMajor(sizes).reduce(
              (offset, stride, axis) => offset + (Math.floor(flat / stride) % sizes[axis]!) * steps[axis]!,
              0,
            ),
          );
        const words = walk(shape, source);
        outcomes[found ? "strides" : "copy"]++;
        if (found) expect(walk(target, found)).toEqual(words);
        else {
          // The first step along each axis says what its stride would have to be; with those, some other word is read.
          const forced = rowMajor(target).map((step, axis) => (target[axis] === 1 ? 0 : words[step]!));
          expect(walk(target, forced)).not.toEqual(words);
        }
      },
    ),
    { numRuns: 400, seed: 5 },
  );
  expect(Math.min(outcomes.strides, outcomes.copy)).toBeGreaterThan(20);
});
