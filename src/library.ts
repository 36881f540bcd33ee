/**
 * The compiler as a library, for pages as for Node: no files, no process, and no library that is larger than all the
 * rest. What writes TypeScript is large (ts-morph brings a type checker along), so a page takes it by a name of its
 * own, `mhc-lang/typescript`.
 */
export type * from "../runtime/plan.js";
export type * from "../runtime/roles.js";
export type { Device, OpenOptions, Session, Words } from "../runtime/device.js";
export { check, compile, modulesOf } from "./compile/compile.js";
export type {
  BuiltInDevice,
  CheckOptions,
  Checked,
  Choices,
  CompileOptions,
  Compiled,
  DeviceName,
  Facts,
  PageHost,
  LoadedModule,
  Shrunk,
  Stages,
} from "./compile/compile.js";
export type { Allowance, Allowances } from "./compile/allowed.js";
export type { OwnSet, PageSource } from "./compile/uses.js";
export { cost, type BlockCost, type Costed, type CostReport, type TokenShare } from "./cost/report.js";
export type { Account, Accounted, Traffic, Work } from "./cost/account.js";
export type { DeviceProfile, Level, WorkClass } from "./cost/profile.js";
export { profiles } from "./cost/profiles.js";
export { render, toJson, type Sources } from "./diagnostics/render.js";
export type { Diagnostic, Note, Severity } from "./diagnostics/diagnostic.js";
export type { Span } from "./diagnostics/span.js";
export type { DeviceTarget, KernelPrinter, ModuleEmitter, OutputFile, Target } from "../codegen/target.js";
export type { Choice, KernelProfile } from "./kernel/profile.js";
export type * as ir from "./kernel/ir.js";
export type { Graph, Phase } from "./graph/node.js";
export type { Optimization } from "./compile/optimizations.js";
export type { ScheduleOptimization } from "./schedule/optimizations.js";
export type { Monitors } from "./step/measured.js";
export type { Fact } from "../runtime/sources.js";
