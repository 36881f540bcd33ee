/** The compiler's front door: `import { compile, check } from "mhc-lang"`. The runtime's is `mhc-lang/runtime`. */
export { check, compile, modulesOf } from "./compile.js";
export type { CheckOptions, Checked, CompileOptions, Compiled, DeviceName, Facts, Host, LoadedModule, Shrunk, Stages } from "./compile.js";
export { cost, type CostReport } from "./cost/report.js";
export type { DeviceProfile } from "./cost/profile.js";
export { profiles } from "./cost/profiles.js";
export * from "./sets.js";
export { render, toJson } from "./diagnostics/render.js";
export type { Diagnostic, Note, Severity } from "./diagnostics/diagnostic.js";
export type { KernelPrinter, KernelProfile, ModuleEmitter, OutputFile, Target } from "../codegen/target.js";
export type * as ir from "./kernel/ir.js";
export type { Plan } from "../runtime/plan.js";
export { typescript } from "../codegen/typescript/emitter.js";
