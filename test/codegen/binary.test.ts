/**
 * The binaries of the WebAssembly target against wabt, an independent assembler, which is given their text. Byte for
 * byte.
 */
import { beforeAll, describe, expect, it } from "vitest";
import loadWabt from "wabt";
import { encodeModule } from "../../codegen/wasm/binary.js";
import { run } from "../../codegen/wasm/driver.js";
import * as w from "../../codegen/wasm/instructions.js";
import { lowerKernels } from "../../codegen/wasm/lower.js";
import { wasm } from "../../codegen/wasm/printer.js";
import { printModule } from "../../codegen/wasm/text.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { compile } from "../../src/compile/compile.js";
import * as kernels from "../kernel/kernels.js";
import { readSpec } from "../helpers/specs.js";

let wabt: Awaited<ReturnType<typeof loadWabt>>;
beforeAll(async () => void (wabt = await loadWabt()));

function assembled(text: string): Uint8Array {
  const module = wabt.parseWat("module.wat", text, {
    simd: true,
    relaxed_simd: true,
    threads: true,
    bulk_memory: true,
    sat_float_to_int: true,
  });
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

function agree(module: w.WasmModule): void {
  for (const relaxed of [false, true])
    expect(
      Buffer.compare(encodeModule(module, relaxed).bytes, assembled(printModule(module, relaxed))),
      `relaxed: ${relaxed}`,
    ).toBe(0);
}

/** A module whose one kernel has a body that need not be valid. */
const of = (body: readonly w.Instruction[], locals: readonly w.Local[] = []): w.WasmModule => ({
  kernels: [{ name: "k0", params: run.params.slice(0, 4), locals, body }],
  run,
});

describe("a module's binary is what wabt makes of its text", () => {
  it.each(w.instructions)("with $name", ({ name, form }) => {
    const made = {
      plain: () => w.plain(name),
      memory: () => w.memory(name, 1 << 20),
      lane: () => w.lane(name, 3),
      shuffle: () =>
        w.shuffle([0, 1, 2, 3, 28, 29, 30, 31, 4, 5, 6, 7, 16, 17, 18, 19], w.vector("i32x4", 1), w.vector("i32x4", 2)),
    }[form]();
    agree(of([made]));
  });

  it("with numbers at the ends of their encodings", () => {
    const words = [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8192, -8193, 2 ** 31 - 1, -(2 ** 31)];
    agree(of(words.flatMap((word) => [w.i32(word), w.vector("i32x4", word)])));
    const numbers = [0, -0, 1, -1.5, 0.1, 2 ** -149, 2 ** -126, 3.4028234663852886e38, Infinity, -Infinity, NaN];
    agree(of(numbers.flatMap((value) => [w.f32(Math.fround(value)), w.vector("f32x4", Math.fround(value))])));
    agree(of([0, 4, 124, 128, 16380, 16384, 2 ** 31 - 4].map((offset) => w.memory("f32.load", offset, w.i32(0)))));
  });

  it("with blocks in blocks, and more locals than a byte counts", () => {
    const locals = Array.from({ length: 300 }, (_, i): w.Local => ({
      name: `x${i}`,
      type: (["i32", "v128", "v128", "f32"] as const)[i % 4]!,
    }));
    const [outer, inner]: w.Label[] = [{ name: "outer" }, { name: "inner" }];
    agree(
      of(
        [
          w.block(outer!, [
            w.loop(inner!, [
              w.when(
                w.i32(1),
                [w.branch(outer!), w.block({ name: "between" }, [w.branch(inner!, w.i32(0))])],
                [w.set(locals[299]!, w.f32(1))],
              ),
              w.twice([
                w.set(locals[200]!, w.get(locals[4]!)),
                { kind: "fma", a: w.get(locals[1]!), b: w.get(locals[2]!), c: w.vector("f32x4", 3) },
              ]),
              w.branch(inner!),
            ]),
          ]),
        ],
        locals,
      ),
    );
  });

  it("for small kernels", () =>
    agree(
      lowerKernels([
        kernels.saxpy(1000),
        kernels.softmax(5, 37),
        kernels.vector(4),
        kernels.threefry(4),
        kernels.integers,
        kernels.names,
      ]).module,
    ));

  const facts = { corpus: { vocabulary: [..."abcdefghijklmnopqrstuvwxyz"] } };
  const isThatOfText = async (spec: string, set: Record<string, string>): Promise<void> => {
    let made: readonly Kernel[] = [];
    const spy = { ...wasm, print: (list: readonly Kernel[]) => wasm.print((made = list)) };
    const { plan } = await compile(readSpec(spec), { file: "test.mhc", devices: [spy], set, facts, monitors: "all" });
    const { module } = lowerKernels(made);
    agree(module);
    const code = plan!.devices["wasm"]!.code;
    expect(code.kind === "wasm" && code.text).toBe(printModule(module));
  };
  it("for nanogpt", () => isThatOfText("nanogpt", {}));
  it("for moby-dick", { tags: "slow" }, () => isThatOfText("moby-dick", {}));
  it("for deep-narrow", { tags: "slow" }, () => isThatOfText("deep-narrow", { layers: "2" }));

  it("refuses what is not its function's", () => {
    expect(() => encodeModule(of([w.get({ name: "other", type: "i32" })]), false)).toThrow(
      "other is no local of its function",
    );
    expect(() => encodeModule(of([w.branch({ name: "away" })]), false)).toThrow("no open block away");
    expect(() => w.plain("f32.load")).toThrow("no plain instruction f32.load");
    expect(() => w.plain("f64.add")).toThrow("no plain instruction f64.add");
  });
});
