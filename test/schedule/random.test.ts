/** Random graphs, planned and fused, against the evaluator; and the two planners of memory and views against brute force. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openDevice } from "../../runtime/open.js";
import { createBuilder } from "../../src/graph/builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { layOut } from "../../src/schedule/memory.js";
import { reshapeStrides, rowMajor, sizeOf } from "../../src/schedule/views.js";
import { runOn } from "../helpers/graphs.js";
import { distance } from "../helpers/specs.js";

/** Each number picks an op and its operands among what is there: any list of numbers is a graph. */
function build(choices: readonly number[], shape: readonly number[]): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const pool: Node[] = ["x", "y", "z"].map((name, i) => {
    values.set(name, Array.from({ length: sizeOf(shape) }, (_, at) => Math.fround(Math.sin(at + 5 * i))));
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
      switch (choice % 12) {
        case 0: return b.add(x, y);
        case 1: return b.mul(x, y);
        case 2: return b.tanh(x);
        case 3: return b.sub(b.sigmoid(x), y);
        case 4: return rank > 0 ? b.softmax(x) : b.neg(x);
        case 5: return rank > 1 ? b.transpose(x, [...x.shape.keys()].reverse()) : b.abs(x);
        case 6: return rank > 0 ? b.sum(x, [Math.floor(choice / 64) % rank]) : x;
        case 7: return rank > 0 ? b.reduceMax(x, [rank - 1]) : x;
        case 8: return rank < 4 ? b.broadcast(x, [...x.shape, 3], x.shape.map((_, axis) => axis)) : x;
        case 9: return b.reshape(x, [sizeOf(x.shape)]);
        case 10: return rank === 2 ? b.contract("ij,kj->ik", x, y) : b.min(x, y);
        default: return rank > 0 ? b.mean(b.mul(x, x), [0]) : b.exp(b.min(x, b.constant(1)));
      }
    })();
    pool.push(made);
    if (choice % 3 === 0 || step === choices.length - 1) outputs.set(`${step}`, made);
  });
  return { graph: { name: "random", outputs, updates: new Map() }, values };
}

describe("random graphs", () => {
  it.each(["wasm", "javascript"] as const)("are what the evaluator says, on %s", async (name) => {
    const device = await openDevice(name, { threads: 2 });
    await fc.assert(fc.asyncProperty(fc.array(fc.nat(2 ** 20), { minLength: 1, maxLength: 14 }), fc.constantFrom([4, 6], [5, 3], [2, 3, 8], [7], [12, 5]), async (choices, shape) => {
      const { graph, values } = build(choices, shape);
      const expected = evaluate(graph, values).outputs;
      const found = await runOn(device, graph, values);
      for (const [key, want] of expected) {
        // A difference of nearly equal numbers has no relative accuracy: compared to the largest number in play.
        const scale = Math.max(1, ...Array.from(want, Math.abs));
        const got = found.get(key)!;
        want.forEach((value: number, i: number) => expect(Math.abs(got[i]! - value) / scale, `${key}[${i}]`).toBeLessThan(1e-4));
      }
    }), { numRuns: 60 });
    await device.close();
  }, 120_000);
});

it("live ranges never share words", () => {
  const range = fc.record({ words: fc.integer({ min: 1, max: 500 }), from: fc.nat(20), length: fc.nat(10) }).map(({ words, from, length }) => ({ words, from, to: from + length }));
  fc.assert(fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
    const { offsets, words } = layOut(ranges);
    ranges.forEach((a, i) => {
      expect(offsets[i]! % 64).toBe(0);
      expect(offsets[i]! + a.words).toBeLessThanOrEqual(words);
      ranges.slice(0, i).forEach((b, j) => {
        const alive = a.from <= b.to && b.from <= a.to;
        const apart = offsets[i]! + a.words <= offsets[j]! || offsets[j]! + b.words <= offsets[i]!;
        expect(!alive || apart).toBe(true);
      });
    });
  }));
});

it("a reshape's strides read the same words in the same order", () => {
  const dims = fc.array(fc.constantFrom(1, 2, 3, 4), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(dims, fc.nat(5), fc.nat(5), (shape, permutation, split) => {
    const size = sizeOf(shape);
    // The source is a permuted row-major tensor; the target another factorization of its size.
    const order = [...shape.keys()].sort((a, b) => ((a * 7 + permutation) % 5) - ((b * 7 + permutation) % 5));
    const strides = rowMajor(order.map((axis) => shape[axis]!));
    const source = shape.map((_, axis) => strides[order.indexOf(axis)]!);
    const divisor = [1, 2, 3, 4, 6, 8][split]!;
    fc.pre(size % divisor === 0);
    const target = [divisor, size / divisor];
    const found = reshapeStrides(shape, source, target);
    const walk = (sizes: readonly number[], steps: readonly number[]): number[] =>
      Array.from({ length: size }, (_, flat) => rowMajor(sizes).reduce((offset, stride, axis) => offset + (Math.floor(flat / stride) % sizes[axis]!) * steps[axis]!, 0));
    if (found) expect(walk(target, found)).toEqual(walk(shape, source));
    else expect(distance(walk(shape, source), Array.from({ length: size }, (_, i) => i))).toBeGreaterThan(0);
  }));
});
