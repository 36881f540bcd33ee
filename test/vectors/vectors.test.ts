/**
 * The conformance vectors of residual streams (docs/conformance): they are what the evaluator says, every device has
 * them, and their checker finds the faults that implementers report.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { builtCommand } from "../helpers/command.js";
import { everyDevice } from "../helpers/devices.js";
import { loaded } from "../helpers/specs.js";
import { CONVENTIONS, inputOf, LANES, outputOf, pageOf, taken } from "./conventions.mjs";

const pathOf = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
type Tensors = Readonly<Record<string, Tensor>>;
interface Vectors {
  readonly cases: readonly {
    readonly name: string;
    readonly inputs: { readonly x: Tensor };
    readonly parameters: Tensors;
    readonly dy: Tensor;
    readonly y: Tensor;
    readonly gradients: Tensors;
  }[];
}
const vectorsOf = (name: string, lanes: number): Vectors =>
  JSON.parse(readFileSync(pathOf(`docs/conformance/vectors/${name}-n${lanes}.json`), "utf8")) as Vectors;

it("are what the evaluator says", { tags: "slow" }, () => {
  const command = [pathOf("test/vectors/make.mjs"), builtCommand(), "--check"];
  const { status, stdout } = spawnSync(process.execPath, command, { encoding: "utf8" });
  expect([status, stdout], "`npm run vectors` writes them anew").toEqual([0, ""]);
});

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The largest difference, as a share of what is large there: as the checker takes it. */
function off(got: ArrayLike<number>, expected: readonly number[], most: number): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  const scale = Math.max(largest(expected), 1e-6 * most, 1e-300);
  const differences = expected.map((value, i) => Math.abs(got[i]! - value));
  return differences.some(Number.isNaN) ? Number.POSITIVE_INFINITY : largest(differences) / scale;
}

async function holdsOn(device: DeviceName, name: string, lanes: number): Promise<void> {
  const convention = CONVENTIONS[name]!;
  const model = await loaded(pageOf(convention, lanes), device);
  const places = Object.entries(convention.parameters(lanes));
  const own = model.parameters();
  for (const { name: which, inputs, parameters, dy, y, gradients } of vectorsOf(name, lanes).cases) {
    // WGSL promises of tanh, which is the block, an absolute error alone.
    if (device === "webgpu" && !convention.head && which === "a stream of 1e-8") continue;
    for (const [path, at] of places) own[path]!.set(taken(at, parameters[at.of]!.data));
    const u = Float32Array.from(taken(inputOf(lanes), inputs.x.data));
    const expected = taken(outputOf(convention, lanes), y.data);
    expect(off((await model.forward({ u }))["y"]!, expected, 0), which).toBeLessThan(1e-5);
    const cotangent = Float32Array.from(taken(outputOf(convention, lanes), dy.data));
    const back = await model.vjp({ u }, { y: cotangent });
    const most = Math.max(...Object.values(gradients).map(({ data }) => largest(data)));
    const found = off(back.inputs["u"]!, taken(inputOf(lanes), gradients["x"]!.data), most);
    expect(found, `${which}: x`).toBeLessThan(1e-5);
    for (const [path, at] of places)
      expect(off(back.parameters[path]!, taken(at, gradients[at.of]!.data), most), `${which}: ${path}`).toBeLessThan(
        1e-5,
      );
  }
  await model.close();
}

describe.each(Object.keys(CONVENTIONS))("of %s", (name) => {
  it.each(LANES)("are met by wasm, with %i lanes", (lanes) => holdsOn("wasm", name, lanes));
  describe.each(everyDevice.filter((device) => device !== "wasm"))("are met by %s", (device) => {
    it.each([1, 3, 5])("with %i lanes", { tags: "slow" }, (lanes) => holdsOn(device, name, lanes));
  });
});

const hasNumpy = spawnSync("python3", ["-c", "import numpy"]).status === 0;
const checked = (fault: string, ...options: string[]): { readonly status: number | null; readonly said: string } => {
  const file = [pathOf("docs/conformance/check.py"), pathOf("test/vectors/reference.py")];
  const { status, stdout } = spawnSync("python3", [...file, ...options], {
    encoding: "utf8",
    env: { ...process.env, FAULT: fault },
  });
  return { status, said: stdout };
};

// Said in the name, where a bare machine leaves it out.
describe.skipIf(!hasNumpy)(hasNumpy ? "their checker" : "their checker (python3 has no numpy here)", () => {
  it("passes an implementation in numpy", { tags: "slow" }, () => {
    for (const lanes of ["2", "3"]) {
      const { status, said } = checked("", "--lanes", lanes);
      expect([status, said]).toEqual([0, "36 right, 0 wrong, 0 left out\n"]);
    }
  });

  it.each([
    ["transposed", "deepseek-v4"],
    ["no head", "deepseek-v4-head"],
    ["eps", "deepseek-v4"],
    ["19 iterations", "mhc-paper"],
    ["21 iterations", "mhc-paper"],
    ["columns before rows", "deepseek-v4"],
    ["bf16", "deepseek-v4"],
    ["frozen maximum", "deepseek-v4"],
    ["mix not applied", "deepseek-v4"],
  ])("finds %s", (fault, convention) => {
    const { status, said } = checked(fault, "--lanes", "3", convention);
    expect(status).toBe(1);
    expect(said).toMatch(/ [1-9]\d* wrong, 0 left out\n$/);
  });
});
