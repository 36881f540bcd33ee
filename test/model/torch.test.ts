/**
 * The standard library against PyTorch: pages whose values and gradients modules of torch.nn, functions of
 * torch.nn.functional and models of transformers computed, with the page's parameters copied in. The cases are the
 * files of test/fixtures/torch, and what made them stands beside them. That each block of the library is held by one of
 * them, or by tests of its own, is tested at the end.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "../../grammar/parse.js";
import { standardLibrary } from "../../specs/std.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Facts } from "../../src/compile/compile.js";
import { everyDevice } from "../helpers/devices.js";
import { distance, entriesOf, loaded } from "../helpers/specs.js";

interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
type Tensors = Readonly<Record<string, Tensor>>;

/** A file of test/fixtures/torch; its README.md says what the fields are. */
interface Case {
  readonly page: string;
  readonly vocabulary?: string;
  readonly inputs: Tensors;
  readonly parameters: Tensors;
  readonly cotangents: Tensors;
  readonly outputs: Tensors;
  readonly gradients: { readonly inputs: Tensors; readonly parameters: Tensors };
}

const folder = new URL("../fixtures/torch/", import.meta.url);
const cases: readonly (readonly [string, Case])[] = readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .sort()
  .map((file) => [file.slice(0, -".json".length), JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Case]);

const factsOf = ({ vocabulary }: Case): Facts | undefined =>
  vocabulary === undefined ? undefined : { corpus: { vocabulary: [...vocabulary] } };

const largest = ({ data }: Tensor): number => data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/**
 * Holds tensors to those of a case, each as a share of its largest entry. Where that is nothing but rounding, such as
 * the gradient of a bias of keys, which softmax does not see, it is a share of the largest entry of all.
 */
function agree(found: (name: string) => ArrayLike<number> | undefined, wanted: Tensors, tolerance: number): void {
  const most = Math.max(...Object.values(wanted).map(largest));
  for (const [name, tensor] of Object.entries(wanted)) {
    const got = found(name);
    expect(got, name).toBeDefined();
    const off = distance(got!, tensor.data);
    const scale = largest(tensor) < 1e-12 * most ? Math.max(largest(tensor), 1e-30) / most : 1;
    expect(off * scale, name).toBeLessThan(tolerance);
  }
}

describe.each(cases)("%s", (_, fixture) => {
  const { page, inputs, parameters, cotangents, outputs, gradients } = fixture;
  const facts = factsOf(fixture);

  it("is PyTorch's to 1e-9 in f64", () => {
    const { graphs } = entriesOf(page, { facts });
    const of = (name: string): ReadonlyMap<string, ArrayLike<number>> => {
      const given = [...Object.entries(inputs), ...Object.entries(parameters)].map(
        ([leaf, { data }]) => [leaf, data] as const,
      );
      const back = Object.entries(cotangents).map(([output, { data }]) => [`cotangent:${output}`, data] as const);
      return evaluate(
        graphs.find((graph) => graph.name === name)!,
        new Map([...given, ...back]),
      ).outputs;
    };
    const forward = of("forward");
    agree((name) => forward.get(name), outputs, 1e-9);
    const back = of("vjp");
    agree((name) => back.get(`cotangent:${name}`), gradients.inputs, 1e-9);
    agree((name) => back.get(`gradient:${name}`), gradients.parameters, 1e-9);
    const learned = [...back.keys()].filter((name) => name.startsWith("gradient:")).sort();
    expect(learned).toEqual(
      Object.keys(gradients.parameters)
        .map((name) => `gradient:${name}`)
        .sort(),
    );
  });

  const onDevice = async (device: (typeof everyDevice)[number]): Promise<void> => {
    const model = await loaded(page, device, { facts });
    const own = model.parameters();
    expect(Object.keys(own).sort()).toEqual(Object.keys(parameters).sort());
    for (const [name, { shape, data }] of Object.entries(parameters)) {
      expect(own[name]!.shape, name).toEqual(shape);
      own[name]!.set(data);
    }
    const given = Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, Float32Array.from(data)]));
    const back = Object.fromEntries(
      Object.entries(cotangents).map(([name, { data }]) => [name, Float32Array.from(data)]),
    );
    const forward = await model.forward(given);
    agree((name) => forward[name], outputs, 1e-5);
    const found = await model.vjp(given, back);
    agree((name) => found.inputs[name], gradients.inputs, 1e-5);
    agree((name) => found.parameters[name], gradients.parameters, 1e-5);
    await model.close();
  };
  it("is PyTorch's to 1e-5 on javascript", () => onDevice("javascript"));
  it.each(everyDevice.filter((device) => device !== "javascript"))(
    "is PyTorch's to 1e-5 on %s",
    { tags: "slow" },
    onDevice,
  );
});

/** Blocks of the library that no file of test/fixtures/torch has, with the tests that hold them, and why. */
const STREAMS = [
  "model/streams.test.ts",
  "it has numbers of transformers' own class, around a block, in a form of their own",
] as const;
const HELD_ELSEWHERE: Readonly<Record<string, readonly [test: string, reason: string]>> = {
  deepseek_v4: STREAMS,
  deepseek_v4_head: STREAMS,
  hunyuan_v4: STREAMS,
  hunyuan_v4_head: STREAMS,
  qwen4: STREAMS,
  qwen4_head: STREAMS,
  lanes_normed: STREAMS,
  gated_mean: STREAMS,
  lane_writes: STREAMS,
  altup: STREAMS,
  routed_lanes: STREAMS,
  residual_gate: STREAMS,
  depth_scaled: STREAMS,
  affine_residual: STREAMS,
  mhc: ["model/oracle.test.ts", "it has numbers of an implementation of its own, in a form of their own"],
  accuracy: ["model/losses.test.ts", "it has no derivative; its values are counted"],
  token_accuracy: ["model/losses.test.ts", "it has no derivative; its values are counted"],
};

describe("the standard library", () => {
  const blocks = standardLibrary.flatMap(({ name, text }) =>
    parse(text, name).file.items.flatMap((item) => (item.kind === "block" || item.kind === "connection" ? item : [])),
  );
  const names = blocks.map(({ name }) => name.name);
  /** Whether a page calls a block, or has a stream go through one by it. */
  const held = names.filter((name) =>
    cases.some(([, { page }]) => new RegExp(`\\b${name}\\(|via ${name}\\b`).test(page)),
  );

  it("has no block that neither these numbers nor a test of its own hold", () => {
    expect(names.length).toBeGreaterThan(40);
    expect(names.filter((name) => !held.includes(name) && !Object.hasOwn(HELD_ELSEWHERE, name))).toEqual([]);
  });

  it.each(Object.entries(HELD_ELSEWHERE))("%s is in its own test alone", (name, [test]) => {
    expect(names).toContain(name);
    expect(held).not.toContain(name);
    const text = readFileSync(new URL(`../${test}`, import.meta.url), "utf8");
    expect(new RegExp(`\\b${name}\\b`).test(text)).toBe(true);
  });
});
