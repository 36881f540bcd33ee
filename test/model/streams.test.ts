/**
 * Residual streams that open models ship, against numbers of their own classes (transformers 5.24, in f64, around
 * tanh): the value and every gradient. The fixtures have tokens before lanes and weights as those classes keep them;
 * each case says where a page's parameter stands in them.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { everyDevice } from "../helpers/devices.js";
import { distance, entriesOf, loaded, readFixture } from "../helpers/specs.js";
import { taken, type Place } from "../vectors/conventions.mjs";

interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
interface Fixture {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly parameters: Readonly<Record<string, Tensor>>;
  readonly y: Tensor;
  readonly dy: Tensor;
  readonly gradients: Readonly<Record<string, Tensor>>;
}

const [N, T, C, RANK] = [4, 5, 8, 6];

const plain = (of: string, ...shape: readonly number[]): Place => ({
  of,
  shape,
  at: (...coords) => coords.reduce((flat, coord, axis) => flat * shape[axis]! + coord, 0),
});
/** [n, t, w] of [t, n, w]. */
const byToken = (of: string): Place => ({ of, shape: [N, T, C], at: (n, t, w) => (t! * N + n!) * C + w! });
const tokens = (of: string): Place => plain(of, T, C);

/** The coefficients of a gate: rows of a matrix over lanes and features, a number of scales, and some biases. */
const gate = (path: string, [matrix, scale, bias]: readonly string[], number: number, from: number, count: number) => ({
  [`${path}.phi`]: {
    of: matrix!,
    shape: [N, C, count],
    at: (n: number, w: number, k: number) => ((from + k) * N + n) * C + w,
  },
  [`${path}.a`]: { of: scale!, shape: [], at: () => number },
  [`${path}.b`]: { of: bias!, shape: [count], at: (k: number) => from + k },
});
const OF_CONNECTION = ["fn", "scale", "base"];
const OF_HEAD = ["hc_fn", "hc_scale", "hc_base"];

const qwen = (path: string): Readonly<Record<string, Place>> => ({
  [`${path}.lanes_normed.weight`]: plain("hc_norm.weight", N, C),
  [`${path}.gated_mean.down`]: {
    of: "input_mix_weight_down.weight",
    shape: [N, C, RANK],
    at: (n, w, k) => (k! * N + n!) * C + w!,
  },
  [`${path}.gated_mean.up`]: {
    of: "input_mix_weight_up.weight",
    shape: [RANK, N, C],
    at: (k, n, w) => (n! * C + w!) * RANK + k!,
  },
});

interface Case {
  readonly fixture: string;
  /** What changes the stream, or what the output is. */
  readonly statement: string;
  readonly input: Place;
  readonly result: Place;
  readonly parameters: Readonly<Record<string, Place>>;
}

const lanes = (via: string, fixture: string, parameters: Case["parameters"], input = byToken): Case => ({
  fixture,
  statement: `stream x[n, t, w] = u\n  x through squash() via ${via}\n  output y[n, t, w] = x`,
  input: input("x"),
  result: input("y"),
  parameters,
});
const head = (call: string, fixture: string, parameters: Case["parameters"]): Case => ({
  fixture,
  statement: `output y[t, w] = ${call}(u)`,
  input: byToken("x"),
  result: tokens("y"),
  parameters,
});
const single = (via: string, fixture: string, parameters: Case["parameters"] = {}): Case => ({
  fixture,
  statement: `stream x[t, w] = u\n  x through squash() via ${via}\n  output y[t, w] = x`,
  input: tokens("x"),
  result: tokens("y"),
  parameters,
});

const CASES: readonly Case[] = [
  lanes("deepseek_v4(Mixing)", "deepseek-v4", {
    ...gate("squash.deepseek_v4.read", OF_CONNECTION, 0, 0, N),
    ...gate("squash.deepseek_v4.write", OF_CONNECTION, 1, N, N),
    ...gate("squash.deepseek_v4.mix", OF_CONNECTION, 2, 2 * N, N * N),
  }),
  head("deepseek_v4_head", "deepseek-v4-head", gate("deepseek_v4_head.read", OF_HEAD, 0, 0, N)),
  lanes("hunyuan_v4", "hy-v4", {
    ...gate("squash.hunyuan_v4.read", OF_CONNECTION, 0, 0, N),
    ...gate("squash.hunyuan_v4.write", OF_CONNECTION, 1, N, N),
  }),
  head("hunyuan_v4_head", "hy-v4-head", gate("hunyuan_v4_head.read", OF_HEAD, 0, 0, N)),
  lanes("qwen4(6)", "qwen4-exp", {
    ...qwen("squash.qwen4"),
    "squash.qwen4.lane_writes.inject": plain("block_inject_weight.weight", N, N, C),
  }),
  head("qwen4_head(6)", "qwen4-exp-head", qwen("qwen4_head")),
  // With `routed_lanes`, whose parameters are the connection's own.
  lanes(
    "altup",
    "gemma3n-altup",
    {
      "squash.altup.gain": plain("router_norm.weight", C),
      "squash.altup.router": plain("modality_router.weight", N, C),
      "squash.altup.predict": plain("prediction_coefs.weight", N, N, N),
      "squash.altup.correct": plain("correction_coefs.weight", N, N),
    },
    (of) => plain(of, N, T, C),
  ),
  single("residual_gate", "muse-spark-gate", { "squash.residual_gate.gate": plain("gate", C) }),
  single("depth_scaled(2)", "beam-depth-scaled-k2"),
  single("depth_scaled(11)", "beam-depth-scaled-k11"),
  single("affine_residual", "zaya-scaling", {
    "squash.affine_residual.scale": plain("hidden_states_scale", C),
    "squash.affine_residual.bias": plain("hidden_states_bias", C),
    "squash.affine_residual.kept_scale": plain("residual_scale", C),
    "squash.affine_residual.kept_bias": plain("residual_bias", C),
  }),
];

const pageOf = ({ statement, input }: Case): string =>
  `model Case {
  dim n = ${N}, t = ${T}, w = ${C}
  manifold Mixing = birkhoff(convention = deepseek, truncated)
  input u[${input.shape.length === 3 ? "n, " : ""}t, w]
  ${statement}
}
block squash(y[t, w]) { return [t, w] = tanh(y) }
`.replace(statement.includes("Mixing") ? "" : /  manifold.*\n/, "");

/** Whether a device needs no compiler of another's. */
const isQuick = (device: DeviceName): boolean => device === "wasm" || device === "javascript";

describe.each(CASES)("$fixture", (each) => {
  const fixture = readFixture(`streams/${each.fixture}-n4-c8-t5`) as unknown as Fixture;
  const page = pageOf(each);
  const u = taken(each.input, fixture.inputs["x"]!.data);
  const dy = taken(each.result, fixture.dy.data);
  const y = taken(each.result, fixture.y.data);
  const places = Object.entries(each.parameters);
  const values = places.map(([name, place]) => [name, taken(place, fixture.parameters[place.of]!.data)] as const);
  const cotangents = [
    ["u", taken(each.input, fixture.gradients["x"]!.data)],
    ...places.map(([name, place]) => [name, taken(place, fixture.gradients[place.of]!.data)] as const),
  ] as const;

  it("has the values and all gradients in f64", () => {
    const { graphs } = entriesOf(page);
    const entry = (name: string) => graphs.find((graph) => graph.name === name)!;
    const bindings = new Map<string, readonly number[]>([...values, ["u", u], ["cotangent:y", dy]]);
    expect(distance(evaluate(entry("forward"), bindings).outputs.get("y")!, y)).toBeLessThan(1e-9);
    const back = evaluate(entry("vjp"), bindings).outputs;
    for (const [name, expected] of cotangents)
      expect(distance(back.get(name === "u" ? "cotangent:u" : `gradient:${name}`)!, expected), name).toBeLessThan(1e-9);
    expect([...back.keys()].filter((id) => id.startsWith("gradient:"))).toHaveLength(places.length);
  });

  const holdsOn = async (device: DeviceName): Promise<void> => {
    const model = await loaded(page, device);
    const own = model.parameters();
    for (const [name, value] of values) own[name]!.set(value);
    const inputs = { u: Float32Array.from(u) };
    expect(distance((await model.forward(inputs))["y"]!, y)).toBeLessThan(1e-5);
    const back = await model.vjp(inputs, { y: Float32Array.from(dy) });
    for (const [name, expected] of cotangents)
      expect(distance(name === "u" ? back.inputs["u"]! : back.parameters[name]!, expected), name).toBeLessThan(1e-5);
    await model.close();
  };
  const HAS_THEM = "has them to 1e-5 on %s";
  it.each(everyDevice.filter(isQuick))(HAS_THEM, holdsOn);
  it.each(everyDevice.filter((device) => !isQuick(device)))(HAS_THEM, { tags: "slow" }, holdsOn);
});
