/**
 * The target of the native device: kernels as functions of C, each with the elementary functions that it calls, so that
 * they can be compiled one by one (`runtime/node/native`), or together as one file.
 */
import type { Kernel, Lanes, Stmt } from "../../src/kernel/ir.js";
import { eachOperand } from "../../src/kernel/operands.js";
import { recordOf } from "../../runtime/records.js";
import type { KernelPrinter } from "../target.js";
import { printKernel } from "./kernels.js";
import { prelude } from "./prelude.js";

/** The c target. Its profile is that of 256-bit vectors; the choice `vectors` of a device says what it has. */
export const c: KernelPrinter = {
  kind: "kernels",
  name: "native",
  profile: { kind: "cpu", lanes: 8, registers: 16, workgroup: 1, bf16: true },
  print: (kernels) => {
    const printed = kernels.map((kernel, i) => printKernel(kernel, `k${i}`));
    return Promise.resolve({
      kind: "c",
      prelude: prelude(widestOf(kernels)),
      functions: recordOf(printed.flatMap(({ functions }) => [...functions])),
      kernels: printed.map(({ text, functions }) => ({ text, functions: [...functions.keys()] })),
      scratchBytes: Math.max(0, ...printed.map(({ scratchBytes }) => scratchBytes)),
    });
  },
  files(stem, code) {
    if (code.kind !== "c") return [];
    const { prelude: head, functions, kernels } = code;
    const content = [head, ...Object.values(functions), ...kernels.map(({ text }) => text), ""].join("\n\n");
    return [{ path: `${stem}.kernels.c`, content }];
  },
};

/** Lanes of the widest vector of some kernels. */
function widestOf(kernels: readonly Kernel[]): Lanes {
  let widest: Lanes = 1;
  const visitExpr = (e: Parameters<typeof eachOperand>[0]): void => {
    if (e.type.lanes > widest) widest = e.type.lanes;
    eachOperand(e, visitExpr);
  };
  const visit = (list: readonly Stmt[]): void => {
    for (const s of list) {
      if (s.kind === "let" || s.kind === "var" || s.kind === "assign" || s.kind === "store") visitExpr(s.value);
      if (s.kind === "for") visit(s.body);
      if (s.kind === "if") {
        visit(s.then);
        visit(s.else);
      }
    }
  };
  for (const { body } of kernels) visit(body);
  return widest;
}
