/** The wasm target: WebAssembly text (print.ts), assembled by wabt, which is loaded only when it is needed. */
import type { KernelPrinter } from "../target.js";
import { printModule } from "./print.js";

/**
 * Where the limits flag of the imported memory stands: the import section is the second, its first entry is env.memory. The
 * loader writes 1 over the 3 to run without shared memory; the code is the same.
 */
function sharedFlagAt(binary: Uint8Array): number {
  const name = [3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 3];
  for (let at = 8; at + name.length <= binary.length; at++) {
    if (name.every((byte, i) => binary[at + i] === byte)) return at + name.length - 1;
  }
  throw new Error("codegen: the assembled module does not import env.memory");
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

export const wasm: KernelPrinter = {
  kind: "kernels",
  name: "wasm",
  profile: { kind: "cpu", lanes: 4, workgroup: 1 },
  async print(kernels) {
    const { default: load } = await import("wabt");
    const wabt = await load();
    const assemble = (text: string): Uint8Array => {
      const module = wabt.parseWat("kernels.wat", text, { simd: true, relaxed_simd: true, threads: true, bulk_memory: true, sat_float_to_int: true });
      try {
        return module.toBinary({}).buffer;
      } finally {
        module.destroy();
      }
    };
    const { text, scratchBytes } = printModule(kernels);
    const binary = assemble(text);
    const relaxed = assemble(printModule(kernels, true).text);
    const sharedFlag = sharedFlagAt(binary);
    if (sharedFlagAt(relaxed) !== sharedFlag) throw new Error("codegen: the two variants import memory at different places");
    return { kind: "wasm", text, binary: base64(binary), relaxed: base64(relaxed), sharedFlag, scratchBytes };
  },
  files(stem, code) {
    if (code.kind !== "wasm") return [];
    const binary = Uint8Array.from(atob(code.binary), (character) => character.charCodeAt(0));
    return [{ path: `${stem}.wasm`, content: binary }, { path: `${stem}.wat`, content: code.text }];
  },
};
