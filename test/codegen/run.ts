/**
 * Runs kernels straight from a printer's code, without the runtime: the JavaScript functions and those in C on plain
 * arrays, the WebAssembly kernels on a memory that holds the pools one after the other.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { c } from "../../codegen/c/printer.js";
import { javascript } from "../../codegen/javascript/printer.js";
import { wasm } from "../../codegen/wasm/printer.js";
import { findCompiler, runCommand } from "../../runtime/node/native/compiler.js";
import type { HostPool } from "../../runtime/plan.js";
import type { Kernel, Lanes } from "../../src/kernel/ir.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import { isThere } from "../helpers/devices.js";

export interface Pools {
  readonly state: Float32Array;
  readonly work: Float32Array;
  readonly out: Float32Array;
  readonly ints: Uint32Array;
}

export const POOLS: readonly HostPool[] = ["state", "work", "ints", "out"];

export const makePools = (words: number): Pools => ({
  state: new Float32Array(words),
  work: new Float32Array(words),
  out: new Float32Array(words),
  ints: new Uint32Array(words),
});

/** Kernels that were loaded, each a function of offsets in its buffers' pools and of the groups to run. */
export type Kernels = readonly ((offsets: readonly number[], begin: number, end: number) => void)[];

function verified(kernels: readonly Kernel[]): void {
  const faults = kernels.flatMap(verifyKernel);
  if (faults.length) throw new Error(faults.join("\n"));
}

/** The kernels of the JavaScript target over `pools`. */
export async function runJavaScript(kernels: readonly Kernel[], pools: Pools): Promise<Kernels> {
  verified(kernels);
  const code = await javascript.print(kernels);
  if (code.kind !== "javascript") throw new Error(code.kind);
  const make = new Function("pools", code.text) as (pools: Pools) => Kernels;
  return make(pools);
}

export interface WasmModule {
  readonly module: WebAssembly.Module;
  readonly text: string;
  readonly scratchBytes: number;
}

export async function assemble(kernels: readonly Kernel[], shared: boolean): Promise<WasmModule> {
  verified(kernels);
  const code = await wasm.print(kernels);
  if (code.kind !== "wasm") throw new Error(code.kind);
  const binary = Uint8Array.from(atob(code.binary), (character) => character.charCodeAt(0));
  if (binary[code.sharedFlag] !== 3) throw new Error("no limits flag");
  if (!shared) binary[code.sharedFlag] = 1;
  return { module: new WebAssembly.Module(binary), text: code.text, scratchBytes: code.scratchBytes };
}

/**
 * The same with WebAssembly, on unshared memory. The pools given are copied in now; `pools` are views of the memory.
 */
export async function runWasm(
  kernels: readonly Kernel[],
  given: Pools,
): Promise<{ readonly run: Kernels; readonly pools: Pools }> {
  const { module, scratchBytes } = await assemble(kernels, false);
  const words = given.work.length;
  const starts = POOLS.map((_, i) => 1024 + i * 4 * words);
  const scratch = Math.ceil((1024 + 16 * words) / 16) * 16;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((scratch + scratchBytes) / 65536) + 1, maximum: 65536 });
  const view = (name: HostPool): Float32Array | Uint32Array => {
    const start = starts[POOLS.indexOf(name)]!;
    return name === "ints"
      ? new Uint32Array(memory.buffer, start, words)
      : new Float32Array(memory.buffer, start, words);
  };
  for (const name of POOLS) view(name).set(given[name]);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const run = kernels.map((kernel, i) => (offsets: readonly number[], begin: number, end: number): void => {
    const args = new Uint32Array(memory.buffer, 0, 32);
    kernel.buffers.forEach(
      ({ pool }, slot) => (args[slot] = starts[POOLS.indexOf(pool as HostPool)]! + 4 * offsets[slot]!),
    );
    (exports[`k${i}`] as (args: number, scratch: number, begin: number, end: number) => void)(0, scratch, begin, end);
  });
  return {
    run,
    pools: {
      state: view("state") as Float32Array,
      work: view("work") as Float32Array,
      out: view("out") as Float32Array,
      ints: view("ints") as Uint32Array,
    },
  };
}

type Native = (buffers: BigUint64Array, scratch: Uint8Array, begin: number, end: number) => void;

/** The same with the file that `mhc compile --target native` writes, compiled as a user would. */
export async function runNative(
  kernels: readonly Kernel[],
  pools: Pools,
): Promise<{ readonly run: Kernels; readonly pools: Pools }> {
  verified(kernels);
  const code = await c.print(kernels);
  if (code.kind !== "c") throw new Error(code.kind);
  const [file] = c.files("kernels", code);
  // With the flags of users, whatever CC adds: which products are rounded depends on them.
  const { command, flags } = await findCompiler();
  const folder = mkdtempSync(join(tmpdir(), "mhc-kernels-"));
  try {
    const path = join(folder, "kernels.so");
    const { code: ended, stderr } = await runCommand(
      [command, ...flags, "-fvisibility=default", "-shared", "-x", "c", "-o", path, "-", "-lm"],
      file!.content as string,
    );
    if (ended !== 0) throw new Error(stderr);
    const { default: koffi } = await import("koffi");
    const library = koffi.load(path);
    // Memory that lies at a multiple of 64 bytes, as the kernels want it.
    const memory = new Uint8Array(code.scratchBytes + 4096);
    const scratch = memory.subarray(Number(-koffi.address(memory) & 63n));
    const run = kernels.map(({ buffers }, i) => {
      const kernel = library.func(`void k${i}(void *buffers, void *scratch, intptr_t begin, intptr_t end)`) as Native;
      return (offsets: readonly number[], begin: number, end: number): void => {
        const addresses = buffers.map(
          ({ pool }, slot) => koffi.address(pools[pool as HostPool]) + BigInt(4 * offsets[slot]!),
        );
        kernel(BigUint64Array.from(addresses), scratch, begin, end);
      };
    });
    return { run, pools };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A target whose kernels have vectors. */
export interface VectorTarget {
  readonly name: "native" | "wasm";
  /** Lanes of the vectors that it prints, and 1 for none. */
  readonly widths: readonly Lanes[];
  readonly load: typeof runWasm;
}

/** Those of them that can be run here. */
export const vectorTargets: readonly VectorTarget[] = [
  { name: "wasm", widths: [1, 4], load: runWasm } as const,
  { name: "native", widths: [1, 4, 8, 16], load: runNative } as const,
].filter(({ name }) => isThere(name));

/** Distance in units of the last place of f32; infinite for one NaN. */
export function ulps(a: number, b: number): number {
  if (Object.is(a, b) || a === b) return 0;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.POSITIVE_INFINITY;
  const bits = new Int32Array(new Float32Array([a, b]).buffer);
  const ordered = [...bits].map((x) => (x < 0 ? -2147483648 - x : x));
  return Math.abs(ordered[0]! - ordered[1]!);
}
