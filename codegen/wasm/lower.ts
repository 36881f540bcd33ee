/**
 * Kernels as functions of WebAssembly. A kernel is a function (args, scratch, begin, end): at `args` stand the byte
 * addresses of its buffers, `scratch` is memory private to the calling thread for its arrays. `run` walks a table of
 * dispatches and meets the other threads after each, without leaving WebAssembly.
 */
import type { Kernel, Stmt } from "../../src/kernel/ir.js";
import { linear } from "../../src/kernel/linear.js";
import { run } from "./driver.js";
import { access, lowerExpr } from "./expressions.js";
import * as w from "./instructions.js";
import type { Instruction, Label, Local, WasmFunction, WasmModule } from "./instructions.js";
import { declare, declareIndex, declareNamed, localOf, put, startLowering, type WasmLowering } from "./lowering.js";

/** The module of some kernels. */
export interface LoweredKernels {
  readonly module: WasmModule;
  /** Private memory that a thread needs, in bytes, a multiple of 16. */
  readonly scratchBytes: number;
}

/** Kernel i becomes function `ki` of the module. Throws an Error for what only a GPU's kernels have. */
export function lowerKernels(kernels: readonly Kernel[]): LoweredKernels {
  const lowered = kernels.map(lowerKernel);
  const scratch = Math.max(0, ...lowered.map(({ scratchBytes }) => scratchBytes));
  return {
    module: { kernels: lowered.map((kernel) => kernel.function), run },
    scratchBytes: Math.ceil(scratch / 16) * 16,
  };
}

const parameter = (name: string): Local => ({ name, type: "i32" });
const args = parameter("args");
const scratch = parameter("scratch");
const begin = parameter("begin");
const end = parameter("end");

interface LoweredKernel {
  readonly function: WasmFunction;
  readonly scratchBytes: number;
}

function lowerKernel(kernel: Kernel, number: number): LoweredKernel {
  const state = startLowering();
  for (const [slot, { name }] of kernel.buffers.entries()) {
    const at = declare(state, `${name}.at`, "i32");
    put(state, w.set(at, w.memory("i32.load", 4 * slot, w.get(args))));
    state.bases.set(name, w.get(at));
  }
  const group = declare(state, "group", "i32");
  state.names.set("group", group);
  put(state, w.set(group, w.get(begin)));
  put(state, overGroups(group, inBlock(state, kernel.body)));
  const constants = [...state.constants.values()];
  return {
    function: {
      name: `k${number}`,
      comment: kernel.name,
      params: [args, scratch, begin, end],
      locals: [...state.locals, ...constants.map(({ local }) => local)],
      body: [...constants.map(({ local, value }) => w.set(local, value)), ...state.code],
    },
    scratchBytes: state.scratchBytes,
  };
}

/** `body` for group = its value now, …, end - 1. */
function overGroups(group: Local, body: readonly Instruction[]): Instruction {
  const [done, next]: [Label, Label] = [{ name: "done" }, { name: "next" }];
  return w.block(done, [
    w.loop(next, [
      w.branch(done, w.plain("i32.ge_u", w.get(group), w.get(end))),
      ...body,
      w.set(group, w.plain("i32.add", w.get(group), w.i32(1))),
      w.branch(next),
    ]),
  ]);
}

/** The instructions of a block, whose addresses are known inside it only. */
function inBlock(state: WasmLowering, list: readonly Stmt[]): Instruction[] {
  const outside = { added: state.added, code: state.code };
  state.added = [];
  state.code = [];
  for (const s of list) lowerStmt(state, s);
  const { code } = state;
  for (const [key, before] of state.added.toReversed()) {
    if (before) state.pointers.set(key, before);
    else state.pointers.delete(key);
  }
  Object.assign(state, outside);
  return code;
}

/** Puts what a statement does at the end of the open block. */
function lowerStmt(state: WasmLowering, s: Stmt): void {
  switch (s.kind) {
    case "let":
    case "var": {
      const value = lowerExpr(state, s.value);
      put(state, w.set(declareNamed(state, s.name, s.value.type), value));
      if (s.value.type.of === "index" && s.kind === "let") state.sums.set(s.name, linear(s.value, state.sums));
      if (s.value.type.of === "index" && s.kind === "var") state.variables.add(s.name);
      break;
    }
    case "assign":
      put(state, w.set(localOf(state, s.name), lowerExpr(state, s.value)));
      break;
    case "store": {
      const { lanes, of } = s.value.type;
      const value = lowerExpr(state, s.value);
      const op = lanes === 4 ? "v128.store" : of === "f32" ? "f32.store" : "i32.store";
      put(state, access(state, op, { name: s.to, index: s.index }, value));
      break;
    }
    case "for":
      lowerLoop(state, s);
      break;
    case "if": {
      const condition = lowerExpr(state, s.condition);
      put(state, w.when(condition, inBlock(state, s.then), inBlock(state, s.else)));
      break;
    }
    case "array": {
      const { scratchBytes } = state;
      const base = w.get(scratch);
      state.bases.set(s.name, scratchBytes === 0 ? base : w.plain("i32.add", base, w.i32(scratchBytes)));
      state.scratchBytes += Math.ceil((4 * s.size) / 16) * 16;
      break;
    }
    case "prefetch":
      // A hint, which the instruction set has no words for.
      break;
    case "tiles":
      throw new Error("codegen: the WebAssembly target has no products of bf16");
    case "shared":
    case "barrier":
      throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
    default:
      s satisfies never;
  }
}

type Loop = Extract<Stmt, { readonly kind: "for" }>;

function lowerLoop(state: WasmLowering, s: Loop): void {
  const from = lowerExpr(state, s.from);
  const to = lowerExpr(state, s.to);
  const at = declareIndex(state, s.name);
  put(state, w.set(at, from));
  let limit = to;
  if (s.to.kind !== "const") {
    const last = declareIndex(state, `${s.name}_end`);
    put(state, w.set(last, to));
    limit = w.get(last);
  }
  const label: Label = { name: `l${state.count++}` };
  const more = w.plain("i32.lt_u", w.get(at), limit);
  const turn = [...inBlock(state, s.body), w.set(at, w.plain("i32.add", w.get(at), w.i32(s.step)))];
  const turns = runsTwice(s) ? [w.twice(turn)] : turn;
  put(state, w.when(more, [w.loop(label, [...turns, w.branch(label, more)])]));
}

/**
 * Whether two turns of a loop are written as one in engines with relaxed SIMD: those of an innermost loop without
 * stores. 6% of a matrix product's time there; the older engines spill registers then, and lose a third.
 */
function runsTwice({ from, to, step, body }: Loop): boolean {
  if (from.kind !== "const" || to.kind !== "const" || (to.value - from.value) % (2 * step) !== 0) return false;
  return body.every(({ kind }) => kind === "let" || kind === "assign");
}
