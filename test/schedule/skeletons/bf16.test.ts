/**
 * Products of bf16 against the f64 evaluator of rounded operands: operands that lie either way, blocks that end in the
 * middle of rows, columns and steps, several axes along k, and every member of the family.
 */
import { afterAll, describe, expect, it } from "vitest";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { sizeOf } from "../../../src/graph/record.js";
import type { Choice } from "../../../src/kernel/profile.js";
import { cpuBf16 } from "../../../src/schedule/skeletons/matmul/cpu-bf16.js";
import type { Device } from "../../../runtime/device.js";
import { isSlow, nativeWidths, openSubject, type Width } from "../../helpers/devices.js";
import { runOn } from "../../helpers/graphs.js";

const products: readonly (readonly [spec: string, a: readonly number[], b: readonly number[]])[] = [
  // A projection into heads with its two backward products.
  ["btw,whd->bthd", [3, 37, 48], [48, 3, 16]],
  ["bthd,whd->btw", [3, 37, 3, 16], [48, 3, 16]],
  ["btw,bthd->whd", [3, 37, 48], [3, 37, 3, 16]],
  // Whole blocks, and tails of every kind.
  ["mk,kn->mn", [64, 96], [96, 64]],
  ["km,kn->mn", [96, 64], [96, 64]],
  ["mk,nk->mn", [64, 96], [64, 96]],
  ["km,nk->mn", [96, 64], [64, 96]],
  ["mk,kn->mn", [67, 45], [45, 85]],
  ["km,kn->mn", [45, 67], [45, 85]],
  ["mk,nk->mn", [67, 45], [85, 45]],
  ["kalm,klan->mn", [5, 3, 4, 33], [5, 4, 3, 41]],
];

/** Too narrow for blocks: such stay products of f32. */
const narrow: typeof products = [
  ["mk,kn->mn", [67, 45], [45, 24]],
  ["mk,kn->mn", [24, 45], [45, 67]],
  ["mk,kn->mn", [67, 24], [24, 67]],
];

/** The nearest bf16, of two the even one. */
function nearest(x: number): number {
  const word = new DataView(new ArrayBuffer(4));
  word.setFloat32(0, x);
  const bits = word.getUint32(0);
  const [low, high] = [bits & 0xffff, bits >>> 16];
  const up = low > 0x8000 || (low === 0x8000 && high % 2 === 1);
  word.setUint32(0, (high + (up ? 1 : 0)) * 0x10000);
  return word.getFloat32(0);
}

const noise = (size: number, seed: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.fround(Math.sin(1.7 * i + seed) + 0.3 * Math.cos(0.11 * i * i)));

interface Case {
  readonly graph: Graph;
  readonly values: Map<string, number[]>;
  readonly rounded: Map<string, number[]>;
}

function caseOf(list: typeof products, hasEpilogue: boolean): Case {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const outputs = list.map(([spec, ...shapes], i): [string, Node] => {
    const [x, y] = shapes.map((shape, operand) => {
      const name = `${"ab"[operand]}${i}`;
      values.set(name, noise(sizeOf(shape), i + 10 * operand));
      return b.input(name, shape, "f32");
    }) as [Node, Node];
    const product = b.contract(spec, x, y);
    return [`${i} ${spec}`, hasEpilogue ? b.tanh(product) : product];
  });
  const rounded = new Map([...values].map(([name, list]) => [name, list.map(nearest)]));
  return { graph: { name: "products", outputs: new Map(outputs), updates: new Map() }, values, rounded };
}

async function agrees(device: Device, { graph, values }: Case, operands: Case["values"], choice: Choice | null) {
  const truth = evaluate(graph, operands).outputs;
  const choices: Record<string, Choice> = choice ? { bf16: choice } : {};
  for (const [output, result] of await runOn(device, graph, values, choices, { products: "bf16" })) {
    const wanted = Array.from(truth.get(output)!);
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - result[i]!)), 0);
    expect(worst / largest, output).toBeLessThan(2e-6);
  }
}

const small = { rows: 32, columns: 64, packed: 32, depth: 32 };

describe.each(nativeWidths)("%s", (width: Width) => {
  const opened = openSubject(width, { threads: 2 });
  afterAll(async () => (await opened).close());
  const tags = isSlow(width) ? { tags: "slow" } : {};
  const plain = caseOf(products, false);

  it("operands are rounded to nearest, sums are of f32", tags, async () =>
    agrees(await opened, plain, plain.rounded, null),
  );
  it("so they are with an epilogue, in blocks of one tile", tags, async () => {
    const shaped = caseOf(products, true);
    await agrees(await opened, shaped, shaped.rounded, small);
  });
  it("narrow products are of f32", tags, async () => {
    const list = caseOf(narrow, false);
    await agrees(await opened, list, list.values, null);
  });
  it.each(cpuBf16)("%o", { tags: "slow" }, async (tile) => agrees(await opened, plain, plain.rounded, tile));

  it("what is no number, or infinite, stays that, and what lies between two goes to the even one", tags, async () => {
    const b = createBuilder();
    const ones = b.input("ones", [32, 32], "f32");
    const graph: Graph = {
      name: "diagonal",
      outputs: new Map([["out", b.contract("mk,kn->mn", b.input("x", [32, 32], "f32"), ones)]]),
      updates: new Map(),
    };
    const ulp = 2 ** -7;
    const special = [
      1 + ulp / 2,
      1 + (3 * ulp) / 2,
      -1 - ulp / 2,
      3.4e38,
      1e-30,
      -0.1,
      1 / 3,
      Infinity,
      -Infinity,
      NaN,
    ];
    const diagonal = Array.from({ length: 32 }, (_, i) => Math.fround(special[i] ?? 1 + i * 0.013));
    const x = Array.from({ length: 1024 }, (_, i) => (i % 33 === 0 ? diagonal[i / 33]! : 0));
    const values = new Map([
      ["x", x],
      ["ones", new Array<number>(1024).fill(1)],
    ]);
    const result = (await runOn(await opened, graph, values, {}, { products: "bf16" })).get("out")!;
    for (const [i, value] of diagonal.entries())
      for (let j = 0; j < 32; j++) expect(result[32 * i + j], String(value)).toBe(nearest(value));
  });
});
