/**
 * Streams far from ordinary numbers. Compiled backward passes of such normalisations are known to overflow at
 * cotangents that training meets, and exponentials of large logits to become infinite: here gradients are linear in
 * the cotangent over 66 orders of magnitude, and mixes of logits up to 10,000 are numbers, on every device.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import type { Model } from "../../runtime/index.js";
import { everyDevice } from "../helpers/devices.js";
import { loaded } from "../helpers/specs.js";

const [LANES, TOKENS, WIDTH] = [4, 5, 8];

/** Connections, by the set that they mix with, where they have one. */
const MIXES: readonly (readonly [connection: string, set: string | null])[] = [
  ["mhc(Mixing)", "birkhoff()"],
  ["mhc(Mixing)", "birkhoff(truncated)"],
  ["mhc(Mixing)", "birkhoff(convention = deepseek)"],
  ["mhc(Mixing)", "birkhoff(by = permutations)"],
  ["mhc(Mixing)", "birkhoff(by = kronecker)"],
  ["mhc(Mixing)", "birkhoff(by = orthostochastic)"],
  ["mhc(Mixing)", "circulant()"],
  ["mhc(Mixing)", "stochastic()"],
  ["mhc(Mixing)", "identity()"],
  ["mhc(Mixing)", "orthogonal(by = cayley)"],
  ["mhc(Mixing)", "orthogonal(by = polar)"],
  ["mhc(Mixing)", "orthogonal(by = householder)"],
  ["mhc(Mixing)", "spectral_ball()"],
  ["deepseek_v4(Mixing)", "birkhoff(convention = deepseek, truncated)"],
  ["hc", null],
  ["identity", null],
  ["hunyuan_v4", null],
  ["qwen4(6)", null],
  ["altup", null],
];

const pageOf = (connection: string, set: string | null): string => `model Extreme {
  dim n = ${LANES}, t = ${TOKENS}, w = ${WIDTH}
  ${set === null ? "" : `manifold Mixing = ${set}`}
  input u[n, t, w]
  stream x[n, t, w] = u
  x through squash() via ${connection}
  output y[n, t, w] = x
}
block squash(y[t, w]) { return [t, w] = tanh(y) }
`;

/** Numbers from -1 to 1, none of them near 0. */
const numbers = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(1.3 * i + seed) * 0.7 + (i % 2 ? 0.3 : -0.3));

const SIZE = LANES * TOKENS * WIDTH;
/** From 8e-31 to 1.3e36. Powers of two are exact, so that what differs is what over- or underflows on the way. */
const SCALES = [2 ** -100, 2 ** -66, 2 ** 66, 2 ** 120];

/** Gradients by name, of the input too. */
async function gradients(model: Model, scale: number): Promise<ReadonlyMap<string, Float32Array>> {
  const y = numbers(SIZE, 2).map((value) => value * scale);
  const { inputs, parameters } = await model.vjp({ u: numbers(SIZE, 1) }, { y });
  return new Map([["u", inputs["u"]!], ...Object.entries(parameters)]);
}

/** The largest difference of a gradient from one that is scaled, as a share of the largest of all gradients. */
function difference(of: ReadonlyMap<string, Float32Array>, scaled: typeof of, scale: number): number {
  const most = Math.max(...[...of.values()].flatMap((values) => [...values].map(Math.abs)));
  const off = [...of].flatMap(([name, values]) =>
    [...values].map((value, i) => Math.abs(scaled.get(name)![i]! / scale - value) / most),
  );
  return off.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(...off);
}

const holdsOn = async (connection: string, set: string | null, device: DeviceName): Promise<void> => {
  const model = await loaded(pageOf(connection, set), device, { seed: 5 });
  try {
    const own = model.parameters();
    // Away from starts of 0, where gradients of what is behind them vanish.
    for (const [k, access] of Object.values(own).entries())
      access.set((await access.get()).map((value, i) => value + 0.3 * Math.sin(0.9 * i + k)));
    const ordinary = await gradients(model, 1);
    for (const scale of SCALES) {
      const off = difference(ordinary, await gradients(model, scale), scale);
      expect(off, `a cotangent of ${scale.toExponential(0)}`).toBeLessThan(1e-6);
    }
    // The biases of coefficients, or all where a connection has none.
    const biases = Object.entries(own).filter(([name]) => name.endsWith(".b"));
    for (const [, access] of biases.length ? biases : Object.entries(own))
      access.set((await access.get()).map((_, i) => 1e4 * Math.sin(2.1 * i)));
    const { y } = await model.forward({ u: numbers(SIZE, 1) });
    expect([...y!].every(Number.isFinite), "a mix of logits up to 10,000").toBe(true);
    for (const [name, values] of await gradients(model, 1)) expect([...values].every(Number.isFinite), name).toBe(true);
  } finally {
    await model.close();
  }
};

const isQuick = (device: DeviceName): boolean => device === "wasm" || device === "javascript";

describe.each(MIXES)("%s with %s", (connection, set) => {
  const NAME = "is linear in the cotangent, and finite at large logits, on %s";
  it.each(everyDevice.filter(isQuick))(NAME, (device) => holdsOn(connection, set, device));
  it.each(everyDevice.filter((device) => !isQuick(device)))(NAME, { tags: "slow" }, (device) =>
    holdsOn(connection, set, device),
  );
});
