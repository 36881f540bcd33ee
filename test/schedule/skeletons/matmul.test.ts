/**
 * Every member of the family of matrix products, on every device that has it, against the f64 evaluator: shapes that
 * are no multiple of anything, each operand lying either way, chunks that end in the middle of a product, several axes
 * along k.
 */
import { sizeOf } from "../../../src/graph/record.js";
import v8 from "node:v8";
import { beforeAll, describe, expect, it } from "vitest";
import type { Choice } from "../../../src/kernel/profile.js";
import { hasRelaxedSimd } from "../../../runtime/wasm/device.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { cpuTiles } from "../../../src/schedule/skeletons/matmul/cpu-tiles.js";
import { gpuTiles } from "../../../src/schedule/skeletons/matmul/gpu.js";
import { lanesOf, nativeWidths, openSubject, type Subject } from "../../helpers/devices.js";
import { runOn } from "../../helpers/graphs.js";

/** Share of the largest entry. */
const TOLERANCE = 2e-6;

const products: readonly (readonly [spec: string, a: readonly number[], b: readonly number[]])[] = [
  // batch 5, context 37, width 24, 3 heads: a projection with its two backward products, and scores with theirs.
  ["btw,whd->bthd", [5, 37, 24], [24, 3, 8]],
  ["bthd,whd->btw", [5, 37, 3, 8], [24, 3, 8]],
  ["btw,bthd->whd", [5, 37, 24], [5, 37, 3, 8]],
  ["bthd,buhd->bhtu", [5, 37, 3, 8], [5, 37, 3, 8]],
  ["bhtu,buhd->bthd", [2, 3, 37, 37], [2, 37, 3, 8]],
  ["bhtu,bthd->buhd", [2, 3, 37, 37], [2, 37, 3, 8]],
  // Tails of every kind.
  ["mk,kn->mn", [67, 13], [13, 85]],
  ["km,kn->mn", [67, 45], [67, 85]],
  ["mk,nk->mn", [21, 30], [35, 30]],
  ["km,nk->mn", [31, 22], [43, 31]],
  ["mk,kn->mn", [3, 70], [70, 130]],
  ["mk,kn->mn", [130, 9], [9, 3]],
  ["kalm,klan->mn", [3, 2, 4, 33], [3, 4, 2, 41]],
  // Whole vectors: along the rows, the columns, and k of each operand.
  ["mk,kn->mn", [20, 12], [12, 36]],
  ["km,kn->mn", [12, 20], [12, 36]],
  ["mk,nk->mn", [20, 12], [36, 12]],
  // So many columns that rows along k are turned while they are packed.
  ["mk,kn->mn", [21, 48], [48, 264]],
];

function graphOf(): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const input = (name: string, shape: readonly number[]): Node => {
    values.set(
      name,
      Array.from({ length: sizeOf(shape) }, (_, i) =>
        Math.fround(Math.sin(1.7 * i + name.length) + 0.3 * Math.cos(0.11 * i * i)),
      ),
    );
    return b.input(name, shape, "f32");
  };
  const outputs = products.flatMap(([spec, x, y], i): [string, Node][] => {
    const product = b.contract(spec, input(`a${i}`, x), input(`b${i}`, y));
    return [
      [`${i} ${spec}`, product],
      [
        `${i} ${spec}, epilogue`,
        b.tanh(b.contract(spec, b.input(`a${i}`, x, "f32"), b.neg(b.input(`b${i}`, y, "f32")))),
      ],
    ];
  });
  return { graph: { name: "products", outputs: new Map(outputs), updates: new Map() }, values };
}

const { graph, values } = graphOf();
const expected = evaluate(graph, values);

async function agrees(name: Subject, options: { readonly relaxed?: boolean }, choice: Choice): Promise<void> {
  const device = await openSubject(name, { threads: 2, ...options });
  // A software adapter and a C compiler take long: half of the products there, and of the others their epilogues.
  const isAll = name.startsWith("wasm") || name === "javascript";
  const some = new Map([...graph.outputs].filter((_, i) => isAll || i % 4 === 0 || i % 4 === 3));
  const found = await runOn(device, { ...graph, outputs: some }, values, { matmul: choice });
  await device.close();
  for (const [output, result] of found) {
    const truth = Array.from(expected.outputs.get(output)!);
    const largest = truth.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = truth.reduce((most, value, i) => Math.max(most, Math.abs(value - result[i]!)), 0);
    expect(worst / largest, output).toBeLessThan(TOLERANCE);
  }
}

/** The family, and blocks so small that every loop ends in the middle of these products. */
const tiles: readonly Choice[] = [
  ...cpuTiles,
  { rows: 4, columns: 8, height: 4, unroll: 1 },
  { rows: 8, columns: 16, height: 4, unroll: 4 },
  { rows: 6, columns: 8, height: 6, unroll: 1 },
  // Tasks of several blocks, which keep what they packed, and sums cut along k.
  { rows: 8, columns: 8, rowBlocks: 3, columnBlocks: 2, height: 4, unroll: 1, depth: 8 },
  { rows: 4, columns: 16, rowBlocks: 1, columnBlocks: 4, height: 4, unroll: 1, depth: 5 },
  { rows: 6, columns: 8, rowBlocks: 5, columnBlocks: 1, height: 6, unroll: 1, depth: 16 },
];

describe.each(tiles)("%o", (tile) => {
  it("javascript", () => agrees("javascript", {}, tile));
  it("wasm", () => agrees("wasm", { relaxed: false }, tile));
  it("wasm, 8 lanes", { tags: "slow" }, () => agrees("wasm, 8 lanes", {}, tile));
});

describe.each(nativeWidths)("%s", (width) => {
  // A C compiler takes two seconds for all products: here small blocks, as high as the registers hold, and the others
  // apart.
  const quick = { rows: 8, columns: 16, height: lanesOf[width] === 16 ? 8 : 6, unroll: 1 };
  const turned = { ...quick, rows: 16, height: 8, depth: 16 };
  const blocks = { ...turned, columns: 32, rowBlocks: 2, columnBlocks: 2 };
  it.each([quick, blocks])("%o", (tile) => agrees(width, {}, tile));
  it.each([...tiles, { rows: 64, columns: 96, height: 8, unroll: 1 }, turned])("%o", { tags: "slow" }, (tile) =>
    agrees(width, {}, tile),
  );
});

describe("relaxed SIMD", () => {
  // Older engines have it behind a flag.
  beforeAll(() => {
    if (!hasRelaxedSimd()) v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  });
  it.each(tiles)("%o", (tile) => agrees("wasm", { relaxed: true }, tile));
});

describe("webgpu", () => {
  // An emulated GPU compiles small tiles in a second, and large ones that are shared in twenty.
  const isSmall = ({ rows, columns }: { readonly rows: number; readonly columns: number }): boolean =>
    rows * columns <= 16;
  const members = gpuTiles.filter(({ subgroup }) => subgroup === 0);
  it.each(members.filter(isSmall))("%o", (tile) => agrees("webgpu", {}, tile));
  it.each(members.filter((tile) => !isSmall(tile)))("%o", { tags: "slow" }, (tile) => agrees("webgpu", {}, tile));
});
