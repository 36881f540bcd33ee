/**
 * Which tensors `precision = f16` keeps in half precision, what that is in bytes, and what of it the printed kernels
 * say.
 */
import { describe, expect, it } from "vitest";
import { wordBytes, type DevicePlan } from "../../../runtime/plan.js";
import { compile } from "../../../src/compile/compile.js";
import type { Node } from "../../../src/graph/node.js";
import { narrowestRead } from "../../../src/graph/streams.js";
import { axisClasses } from "../../../src/schedule/fusion/axes.js";
import { legalize } from "../../../src/schedule/fusion/legalize.js";
import { reachable } from "../../../src/schedule/fusion/inline.js";
import { partition } from "../../../src/schedule/fusion/partition.js";
import { halves } from "../../../src/schedule/fusion/precision.js";
import { rematerialize } from "../../../src/schedule/fusion/rematerialize.js";
import { entriesOf, readSpec } from "../../helpers/specs.js";

const facts = { corpus: { vocabulary: Array.from({ length: 20 }, (_, i) => String.fromCodePoint(97 + i)) } };
const small = { layers: "1", context: "16", width: "32", "train.batch": "3" };

const planOf = async (
  spec: string,
  precision: string,
  set: Readonly<Record<string, string>> = small,
): Promise<DevicePlan> => {
  const { plan, diagnostics } = await compile(readSpec(spec), {
    file: "test.mhc",
    facts,
    set: { ...set, "train.precision": precision },
    devices: ["webgpu"],
  });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return plan.devices["webgpu"]!;
};

/** The tensors of the training step that are stored: in half precision, and in f32, as op and shape. */
function storedOf(
  spec: string,
  set: Readonly<Record<string, string>> = small,
): { readonly half: readonly string[]; readonly full: readonly string[] } {
  const { graphs } = entriesOf(readSpec(spec), { facts, set: { ...set, "train.precision": "f16" } });
  const graph = legalize(graphs.find(({ name }) => name === "train")!);
  const nodes = reachable(graph);
  const isHalf = halves(graph, nodes, axisClasses(nodes));
  const stored = [...rematerialize(graph, partition(graph)).stored.keys()];
  const show = (list: readonly Node[]): string[] => [
    ...new Set(list.map(({ op, shape }) => `${op} ${shape.join("x")}`)),
  ];
  return { half: show(stored.filter(isHalf)), full: show(stored.filter((node) => !isHalf(node))) };
}

describe("in half precision", () => {
  it("are activations and their cotangents: streams, operands and results of products, attention", () => {
    const { half, full } = storedOf("nanogpt");
    expect(half).toEqual(
      expect.arrayContaining([
        "contract 3x16x4x8",
        "attention 3x16x4x8",
        "attention_vjp 3x16x4x8",
        "add 3x16x128",
        "add 3x16x32",
      ]),
    );
    // Rows of attention and of norms, the loss, gradients of parameters, the update.
    for (const tensor of full) expect(tensor).not.toMatch(/ 3x16x(32|128|4x8)$/);
    expect(full).toEqual(expect.arrayContaining(["attention_lse 3x4x16", "contract 4x8x32", "contract 32x128"]));
  });

  it("are no coefficients of connections", () => {
    const { half, full } = storedOf("moby-dick");
    expect(half).toEqual(expect.arrayContaining(["contract 3x16x32"]));
    expect(half.some((tensor) => tensor.endsWith(" 3x4x16x32"))).toBe(true);
    expect(full).toEqual(expect.arrayContaining(["sinkhorn 3x16x4x4"]));
    for (const tensor of half) expect(tensor).not.toMatch(/ 3x16x4(x4)?$/);
  });

  it("are none of them, however many there are beside what a block reads", () => {
    const { half, full } = storedOf("moby-dick", { ...small, lanes: "8" });
    expect(full).toEqual(expect.arrayContaining(["sinkhorn 3x16x8x8", "sinkhorn_vjp 3x16x8x8", "contract 3x16x8x8"]));
    expect(half.some((tensor) => tensor.endsWith(" 3x8x16x32"))).toBe(true);
    for (const tensor of half) expect(tensor).not.toMatch(/ 3x16x8(x8)?$/);
  });

  it("are hidden layers of a page without streams, and no scores that are narrower", () => {
    const { forwards } = entriesOf(readSpec("digits"));
    expect(narrowestRead(forwards.get("train")!)).toBe(64 * 128);
  });
});

describe("the plan", () => {
  it("takes about half the bytes for what a step computes, and less traffic", async () => {
    const [half, full] = [await planOf("nanogpt", "f16", {}), await planOf("nanogpt", "f32", {})];
    const temporary = ({ pools }: DevicePlan): number => wordBytes.half * pools.half + wordBytes.work * pools.work;
    expect(full.pools.half).toBe(0);
    expect(temporary(half)).toBeLessThan(0.65 * temporary(full));
    const traffic = ({ entries, kernels }: DevicePlan): number =>
      entries["train"]!.dispatches.reduce((sum, { kernel }) => sum + kernels[kernel]!.bytes, 0);
    expect(traffic(half)).toBeLessThan(0.7 * traffic(full));
    // The update stays one kernel: scaling adds a kernel that works on three numbers, at most.
    expect(half.entries["train"]!.dispatches.length).toBeLessThanOrEqual(full.entries["train"]!.dispatches.length + 2);
  });

  it("has nothing that the host touches in half precision, and asks for f16 only where it is", async () => {
    const { entries, kernels, code } = await planOf("moby-dick", "f16");
    for (const { inputs, outputs } of Object.values(entries))
      for (const { pool } of [...Object.values(inputs), ...Object.values(outputs)]) expect(pool).not.toBe("half");
    if (code.kind !== "wgsl") throw new Error(code.kind);
    kernels.forEach(({ buffers }, i) =>
      expect(/^enable f16;$/m.test(code.modules[i]!)).toBe(buffers.some(({ pool }) => pool === "half")),
    );
    // No sum in half precision: f16 stands where memory is read and written, and in its declaration.
    for (const text of code.modules)
      for (const line of text.split("\n")) expect(line).not.toMatch(/var \w+ = (f16|vec4<f16>)\(/);
  });

  it("counts in `memory <= X` what is in half precision by its bytes", async () => {
    const report = async (precision: string): Promise<string> =>
      (
        await compile(readSpec("nanogpt"), {
          file: "test.mhc",
          facts,
          devices: ["webgpu"],
          set: { "train.precision": precision, "train.memory": "1 MiB", "train.recompute": "off" },
        })
      ).diagnostics[0]!.message;
    const bytes = (message: string): number => Number(/takes ([\d.]+) MiB/.exec(message)![1]);
    expect(bytes(await report("f16"))).toBeLessThan(0.8 * bytes(await report("f32")));
  });
});
