/**
 * Every case of every op of the table, as kernels of every device, against the f64 evaluator: one graph with an output
 * a case, so that a device compiles one plan. u32 results must be the same words, and conditions the same; f32 results
 * agree to a share of the largest entry.
 */
import { describe, expect, it } from "vitest";
import { threefry2x32 } from "../../runtime/threefry.js";
import { type Builder } from "../../src/graph/builder.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { allCases, build, random } from "../helpers/cases.js";
import { everyDevice, isSlow, nativeWidths, openSubject, type Subject } from "../helpers/devices.js";
import { runOn } from "../helpers/graphs.js";

/** Share of the largest entry. f32 has 6e-8; sums of n terms lose up to n of that, transcendentals a few. */
const TOLERANCE = 2e-6;

/** Shapes that reach every branch of the skeletons: odd tails, long rows, leading and mixed axes, long sums. */
function extra(b: Builder, x: (shape: readonly number[]) => Node): Record<string, Node> {
  const out: Record<string, Node> = {};
  for (const n of [1, 3, 5, 37, 64, 130]) {
    out[`softmax ${n}`] = b.softmax(x([7, n]));
    out[`columns ${n}`] = b.sum(x([9, 5, n]), [0, 1]);
    out[`middle ${n}`] = b.sum(x([3, 4, n, 5]), [1, 3]);
    const a = x([5, n]);
    out[`norm ${n}`] = b.div(a, b.broadcast(b.sqrt(b.add(b.mean(b.mul(a, a), [1]), b.fill(1e-5, [5]))), [5, n], [0]));
  }
  out["long sum"] = b.sum(x([10_000]), [0]);
  out["long max"] = b.reduceMax(x([3, 5_000]), [1]);
  for (const [m, n, k] of [
    [1, 1, 1],
    [1, 9, 7],
    [9, 1, 7],
    [4, 8, 16],
    [5, 13, 3],
    [130, 12, 33],
    [66, 37, 70],
    [12, 3, 200],
  ] as const) {
    out[`mn ${m} ${n} ${k}`] = b.contract("mk,kn->mn", x([m, k]), x([k, n]));
    out[`tn ${m} ${n} ${k}`] = b.contract("km,kn->mn", x([k, m]), x([k, n]));
    out[`nt ${m} ${n} ${k}`] = b.contract("mk,nk->mn", x([m, k]), x([n, k]));
    out[`tt ${m} ${n} ${k}`] = b.contract("km,nk->mn", x([k, m]), x([n, k]));
  }
  out["epilogue"] = b.tanh(b.add(b.contract("bth,hdw->btwd", x([2, 3, 5]), x([5, 3, 6])), x([2, 3, 6, 3])));
  const grown = b.contract("btw,whd->bthd", x([2, 5, 6]), x([6, 3, 4]));
  out["merged epilogue"] = b.mul(b.exp(grown), b.broadcast(x([3]), [2, 5, 3, 4], [2]));
  out["two outputs"] = b.add(grown, x([2, 5, 3, 4]));
  out["transposed map"] = b.add(b.transpose(x([4, 6, 5]), [2, 0, 1]), x([5, 4, 6]));
  out["split"] = b.mul(b.reshape(x([3, 24]), [3, 4, 6]), b.reshape(x([6, 12]), [3, 4, 6]));
  out["copy"] = b.transpose(x([3, 5]), [1, 0]);
  out["reshape operand"] = b.contract("ab,bc->ac", b.reshape(b.transpose(x([4, 6]), [1, 0]), [8, 3]), x([3, 5]));
  out["transposed product"] = b.transpose(b.contract("ij,kj->ik", x([12, 5]), x([12, 5])), [1, 0]);
  // More matrices than one group of a CPU kernel or a workgroup takes, and every size that fits in registers.
  for (const n of [1, 2, 3, 4, 5, 8]) {
    for (const convention of ["paper", "deepseek"] as const) {
      const attrs = { iterations: n === 8 ? 3 : 20, convention, epsilon: convention === "paper" ? 0 : 1e-6 };
      const logits = b.mul(x([n === 4 ? 70 : 3, n, n]), b.fill(3, [n === 4 ? 70 : 3, n, n]));
      out[`sinkhorn ${n} ${convention}`] = b.sinkhorn(logits, attrs);
      out[`sinkhorn_vjp ${n} ${convention}`] = b.sinkhornVjp(logits, x(logits.shape), attrs);
    }
  }
  // A product over the summed axes of two operands whose axes do not merge, with several outer axes, rows and columns.
  out["outer axes"] = b.contract("xkaybl,ylxdkc->axycbd", x([2, 3, 5, 3, 2, 4]), x([3, 4, 2, 3, 3, 9]));
  out["transposed operands"] = b.contract(
    "ab,bc->ac",
    b.transpose(x([7, 10]), [1, 0]),
    b.transpose(x([11, 7]), [1, 0]),
  );
  out["repeated operand"] = b.contract(
    "ab,bc->ac",
    b.broadcast(x([5]), [9, 5], [1]),
    b.broadcast(x([5]), [5, 10], [0]),
  );
  out["long product"] = b.contract("mk,kn->mn", x([3, 3_000]), x([3_000, 9]));
  out["merged, odd columns"] = b.tanh(b.contract("ab,bcd->acd", x([10, 3]), x([3, 5, 3])));
  out["merged rows"] = b.mul(b.contract("abk,kc->abc", x([5, 3, 6]), x([6, 8])), b.broadcast(x([3]), [5, 3, 8], [1]));
  out["columns of reductions"] = b.mul(b.sum(x([300, 70]), [0]), x([70]));
  const wide = x([70, 37]);
  out["row statistics"] = b.sub(wide, b.broadcast(b.add(b.mean(wide, [1]), b.reduceMax(wide, [1])), [70, 37], [0]));
  const tall = x([130, 6]);
  out["column statistics"] = b.div(
    tall,
    b.broadcast(b.add(b.sum(b.mul(tall, tall), [0]), b.fill(1, [6])), [130, 6], [1]),
  );
  out["all axes"] = b.sum(b.mul(x([4, 5, 13]), x([4, 5, 13])), [0, 1, 2]);
  out["leading long"] = b.reduceMax(x([5_000, 3]), [0]);
  const index = b.cast(b.mul(b.abs(x([3, 4])), b.fill(9.9, [3, 4])), "u32");
  out["gather by lane"] = b.gather(x([10]), index);
  const backwards = b.sub(b.fill(11, [12], "u32"), b.iota([12], 0));
  out["an index older than its table"] = b.cast(backwards, "f32");
  const square = b.contract("ij,kj->ik", x([12, 5]), x([12, 5]));
  out["product"] = square;
  out["gather of a product"] = b.gather(square, backwards);
  out["gather of a map"] = b.gather(b.exp(x([12, 7])), backwards);
  out["gather transposed"] = b.gather(b.transpose(x([6, 10]), [1, 0]), index);
  out["scatter rows"] = b.scatterAdd(index, x([3, 4, 37]), 10);
  out["scatter scalars"] = b.scatterAdd(index, x([3, 4]), 10);
  out["split lanes"] = b.exp(b.reshape(b.transpose(x([5, 6]), [1, 0]), [2, 15]));
  out["iota by lane"] = b.cast(b.add(b.iota([3, 17], 1), b.iota([3, 17], 0)), "f32");
  out["outer"] = b.contract("a,b->ab", x([5]), x([7]));
  out["batch last"] = b.contract("ka,ka->a", x([9, 14]), x([9, 14]));
  return out;
}

describe.each<readonly [Subject, number]>([
  ["javascript", 1],
  ["wasm", 1],
  ["wasm", 3],
  ["wasm, 8 lanes", 2],
  ["webgpu", 1],
  ...nativeWidths.map((width) => [width, 3] as const),
])("on %s with %i thread(s)", (subject, threads) => {
  const agrees = async (): Promise<void> => {
    const device = await openSubject(subject, { threads });
    const b = createBuilder();
    const values = new Map<string, number[]>();
    const outputs = new Map<string, Node>();
    const exact = new Set<string>();
    allCases.forEach(({ op, index, item }, i) => {
      const built = build(b, op, item, `c${i}`, random(31 * i + 7));
      built.values.forEach((value, key) => values.set(key, value));
      const key = `${op} case ${index}`;
      if (built.node.dtype === "bool") exact.add(key);
      outputs.set(key, built.node.dtype === "bool" ? b.cast(built.node, "f32") : built.node);
    });
    const next = random(99);
    let count = 0;
    const x = (shape: readonly number[]): Node => {
      const key = `e${count++}`;
      values.set(
        key,
        Array.from({ length: shape.reduce((size, n) => size * n, 1) }, () => Math.fround(2 * next() - 1)),
      );
      return b.input(key, shape, "f32");
    };
    for (const [key, node] of Object.entries(extra(b, x))) outputs.set(key, node);
    const graph: Graph = { name: "ops", outputs, updates: new Map() };
    const wanted = evaluate(graph, values).outputs;
    const found = await runOn(device, graph, values);
    const wrong: string[] = [];
    for (const [key, want] of wanted) {
      const got = found.get(key)!;
      const scale = Math.max(1e-6, ...Array.from(want, Math.abs));
      want.forEach((value: number, i: number) => {
        const off = got instanceof Uint32Array ? Number(got[i] !== value) : Math.abs(got[i]! - value) / scale;
        if (!(off <= (got instanceof Uint32Array || exact.has(key) ? 0 : TOLERANCE)) && wrong.length < 20)
          wrong.push(`${key}[${i}]: ${got[i]}, expected ${value} (off by ${off.toExponential(1)})`);
      });
    }
    expect(wrong).toEqual([]);
    await device.close();
  };
  it("every op agrees with the evaluator", { timeout: 180_000, tags: isSlow(subject) ? ["slow"] : [] }, agrees);
});

/** Published with Random123: key, counter, result. */
const VECTORS: readonly (readonly [readonly [number, number], readonly [number, number], readonly [number, number]])[] =
  [
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ];

describe("Threefry-2x32-20", () => {
  it("gives the published vectors in the reference", () => {
    for (const [key, counter, result] of VECTORS) expect(threefry2x32(key, counter)).toEqual([...result]);
  });

  it.each(everyDevice)("gives them bit for bit on %s", async (name) => {
    const device = await openSubject(name, { threads: 1 });
    const b = createBuilder();
    const n = VECTORS.length;
    const inputs = ["k0", "k1", "c0", "c1"].map((key) => b.input(key, [n], "u32")) as [Node, Node, Node, Node];
    const graph: Graph = {
      name: "random",
      outputs: new Map([
        ["a", b.threefry(0, ...inputs)],
        ["b", b.threefry(1, ...inputs)],
      ]),
      updates: new Map(),
    };
    const values = new Map([
      ["k0", VECTORS.map(([key]) => key[0])],
      ["k1", VECTORS.map(([key]) => key[1])],
      ["c0", VECTORS.map(([, counter]) => counter[0])],
      ["c1", VECTORS.map(([, counter]) => counter[1])],
    ]);
    const found = await runOn(device, graph, values);
    expect([...found.get("a")!]).toEqual(VECTORS.map(([, , result]) => result[0]));
    expect([...found.get("b")!]).toEqual(VECTORS.map(([, , result]) => result[1]));
    await device.close();
  });
});
