/**
 * Runs kernels straight from a printer's code, without the runtime: the JavaScript functions on plain arrays, the
 * WebAssembly kernels on a memory that holds the pools one after the other.
 */
import { javascript } from "../../codegen/javascript/printer.js";
import { wasm } from "../../codegen/wasm/printer.js";
import type { HostPool } from "../../runtime/plan.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { verifyKernel } from "../../src/kernel/verify.js";

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

/** Distance in units of the last place of f32; infinite for one NaN. */
export function ulps(a: number, b: number): number {
  if (Object.is(a, b) || a === b) return 0;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.POSITIVE_INFINITY;
  const bits = new Int32Array(new Float32Array([a, b]).buffer);
  const ordered = [...bits].map((x) => (x < 0 ? -2147483648 - x : x));
  return Math.abs(ordered[0]! - ordered[1]!);
}
