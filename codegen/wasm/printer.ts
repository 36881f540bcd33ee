/**
 * The wasm target: kernels become trees of instructions (lower.ts), and these the module's text (text.ts) and two
 * binaries (binary.ts).
 */
import { narrowed } from "../../src/kernel/narrow.js";
import type { KernelPrinter } from "../target.js";
import { encodeModule } from "./binary.js";
import { lowerKernels } from "./lower.js";
import { printModule } from "./text.js";

/** The digits of base64 (RFC 4648, section 4), as ASCII. */
const DIGITS = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const PADDING = "=".charCodeAt(0);

/** Megabytes in milliseconds: `btoa` would want the bytes as a string first, which takes ten times as long. */
function base64(bytes: Uint8Array): string {
  const text = new Uint8Array(4 * Math.ceil(bytes.length / 3));
  const digit = (at: number, six: number): void => {
    text[at] = DIGITS[six & 63] ?? 0;
  };
  for (let i = 0, at = 0; i < bytes.length; i += 3, at += 4) {
    const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    digit(at, word >> 18);
    digit(at + 1, word >> 12);
    digit(at + 2, word >> 6);
    digit(at + 3, word);
  }
  const missing = (3 - (bytes.length % 3)) % 3;
  text.fill(PADDING, text.length - missing);
  return new TextDecoder().decode(text);
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
    const { module, scratchBytes } = lowerKernels(kernels.map((kernel) => narrowed(kernel, { lanes: 4 })));
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
