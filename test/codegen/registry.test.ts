/** The tables of devices agree, and a device of a user's own goes by its value where one of mhc goes by its name. */
import { describe, expect, it } from "vitest";
import { printerOf, printers } from "../../codegen/registry.js";
import { load } from "../../runtime/index.js";
import { autoOrder, deviceNames, isBuiltIn, registry } from "../../runtime/registry.js";
import { compile } from "../../src/compile/compile.js";
import { VECTORS } from "../../src/compile/targets.js";
import { likestTo } from "../../src/cost/profiles.js";
import float32 from "../../examples/own-device/float32.js";
import { facts, smallPage, text } from "../helpers/small.js";

const page = smallPage("residual", { optimizer: "sgd(rate = 0.1)" });

describe("the registry", () => {
  it.each(deviceNames)("has of %s what its printer and its profile say", (name) => {
    const { kind } = registry[name];
    expect(printers[name].profile.kind).toBe(kind);
    expect(registry[likestTo(kind).device].kind).toBe(kind);
  });

  it("asks for hardware first, and for its emulation last", () => {
    expect(autoOrder.map(({ name, hardware }) => (hardware ? `${name} (hardware)` : name))).toEqual([
      "webgpu (hardware)",
      "native",
      "wasm",
      "javascript",
      "webgpu",
    ]);
  });

  it("knows its names alone, and no property of an object", () => {
    expect(["wasm", "float32", "constructor", undefined].map(isBuiltIn)).toEqual([true, false, false, false]);
    expect(() => printerOf("constructor")).toThrow("there is no device `constructor`: there are native, wasm, webgpu");
  });
});

describe("a device of one's own", () => {
  it("is compiled for by its value, and loaded by its device", async () => {
    const { plan } = await compile(page, { file: "own.mhc", facts, devices: [float32, "javascript"] });
    const lossOn = async (device: Parameters<typeof load>[1]): Promise<number> => {
      const model = await load(plan!, device);
      const { value } = (await model.train(text, { steps: 1 }).next()) as { value: { loss: number } };
      await model.close();
      return value.loss;
    };
    const found = await lossOn({ device: await float32.open({}) });
    expect(found).toBeCloseTo(await lossOn({ device: "javascript" }), 5);
    // Its name alone says nothing of where it is.
    await expect(load(plan!, { device: "float32" })).rejects.toMatchObject({
      message: expect.stringContaining('`device` is text ("float32")') as string,
      fix: expect.stringContaining("a device of your own is opened by its module") as string,
    });
    await expect(compile(page, { file: "own.mhc", facts, devices: ["float32"] })).rejects.toThrow(
      "there is no device `float32`",
    );
  });

  it("lacks a plan that was not compiled for it, and the fix says how", async () => {
    const { plan } = await compile(page, { file: "own.mhc", facts, devices: ["javascript"] });
    await expect(load(plan!, { device: await float32.open({}) })).rejects.toMatchObject({
      message: "Small was not compiled for float32; it has javascript",
      fix: "compile it with the path of the module of float32 among `--target`",
    });
  });

  it("has kernels of the vectors of the machine, and the choices that are made for it", async () => {
    const kernels = async (choices: Parameters<typeof compile>[1]["choices"]): Promise<string> => {
      const device = { ...printers.native, name: "wide" };
      const { stages } = await compile(page, { file: "own.mhc", facts, devices: [device], choices: choices ?? {} });
      return stages!.kernels();
    };
    expect(await kernels({})).not.toContain("f32x16");
    expect(await kernels({ wide: { [VECTORS]: { lanes: 16, registers: 32 } } })).toContain("f32x16");
    expect(await kernels({ wide: { matmul: { height: 1 } } })).not.toBe(await kernels({}));
  });
});
