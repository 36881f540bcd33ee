/**
 * The wasm target: kernels become trees of instructions (lower.ts), and these the module's text (text.ts) and two
 * binaries (binary.ts).
 */
import type { KernelPrinter } from "../target.js";
import { encodeModule } from "./binary.js";
import { lowerKernels } from "./lower.js";
import { printModule } from "./text.js";

/** Bytes that a call takes as arguments at once. */
const ARGUMENTS = 1 << 13;

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += ARGUMENTS) text += String.fromCharCode(...bytes.subarray(i, i + ARGUMENTS));
  return btoa(text);
}

function bytesOf(text: string): Uint8Array {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The wasm target: one module of all kernels, as text and as two binaries, with and without relaxed SIMD. */
export const wasm: KernelPrinter = {
  kind: "kernels",
  name: "wasm",
  profile: { kind: "cpu", lanes: 4, workgroup: 1 },
  async print(kernels) {
    const { module, scratchBytes } = lowerKernels(kernels);
    const { bytes, sharedFlag } = encodeModule(module, false);
    return {
      kind: "wasm",
      text: printModule(module),
      binary: base64(bytes),
      relaxed: base64(encodeModule(module, true).bytes),
      sharedFlag,
      scratchBytes,
    };
  },
  files(stem, code) {
    if (code.kind !== "wasm") return [];
    return [
      { path: `${stem}.wasm`, content: bytesOf(code.binary) },
      { path: `${stem}.wat`, content: code.text },
    ];
  },
};
