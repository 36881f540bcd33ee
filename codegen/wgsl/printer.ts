/**
 * The wgsl target: a module a kernel (print.ts), since a pipeline is made of one, and small modules compile side by
 * side.
 */
import type { KernelPrinter } from "../target.js";
import { printModule } from "./print.js";

/** The wgsl target: `compile --target wgsl`, and the device webgpu. */
export const wgsl: KernelPrinter = {
  kind: "kernels",
  name: "wgsl",
  profile: { kind: "gpu", lanes: 4, workgroup: 64, half: true },
  print: (kernels) => Promise.resolve({ kind: "wgsl", modules: kernels.map(printModule) }),
  files: (stem, code) => (code.kind === "wgsl" ? [{ path: `${stem}.wgsl`, content: code.modules.join("\n") }] : []),
};
