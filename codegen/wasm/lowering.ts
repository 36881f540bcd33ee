/**
 * What is known while one kernel becomes a function of WebAssembly, and the locals of that function: names of the
 * kernel, addresses of its buffers, constants that are set before the loop over groups.
 */
import * as k from "../../src/kernel/build.js";
import type { Type } from "../../src/kernel/ir.js";
import type { LinearNames } from "../../src/kernel/linear.js";
import * as w from "./instructions.js";
import type { Instruction, Local, ValueType } from "./instructions.js";

/** An address in a local, of the place that is `constant` words behind the varying part of an index. */
export interface Pointer {
  readonly local: Local;
  readonly constant: number;
}

/** The addresses at hand, by buffer and varying part of the index. */
export type Pointers = Map<string, Pointer>;

/** What a block has put among the pointers, with what was there before. */
export type PointerChange = readonly [key: string, before: Pointer | undefined];

/** A constant that is a local, and what sets it. */
interface Constant {
  readonly local: Local;
  readonly value: Instruction;
}

/** The state of lowering one kernel. */
export interface WasmLowering {
  /** Locals of the function, in the order in which they were declared. */
  readonly locals: Local[];
  /** The local of every name of the kernel in scope. */
  readonly names: Map<string, Local>;
  /** The byte address of every buffer and array. */
  readonly bases: Map<string, Instruction>;
  /** Vectors of four equal words, by shape and word. */
  readonly constants: Map<string, Constant>;
  /** Index values that are sums, by name. */
  readonly sums: LinearNames;
  /** Index variables, whose names stand for more than one value. */
  readonly variables: Set<string>;
  /** Addresses that are at hand in the open blocks. */
  readonly pointers: Pointers;
  /** What the open block has put among `pointers`. */
  added: PointerChange[];
  /** Instructions of the open block. */
  code: Instruction[];
  /** How many names were made up so far, which keeps the next one apart. */
  count: number;
  /** Bytes of private memory that arrays take so far. */
  scratchBytes: number;
}

/** The state at the start of a kernel. */
export const startLowering = (): WasmLowering => ({
  locals: [],
  names: new Map(),
  bases: new Map(),
  constants: new Map(),
  sums: new Map(),
  variables: new Set(),
  pointers: new Map(),
  added: [],
  code: [],
  count: 0,
  scratchBytes: 0,
});

function valueType(type: Type): ValueType {
  if (type.lanes > 4) throw new Error(`codegen: WebAssembly has vectors of four, not of ${type.lanes}`);
  return type.lanes === 4 ? "v128" : type.of === "f32" ? "f32" : "i32";
}

/** A new local of the function, under just that name. */
export function declare(state: WasmLowering, name: string, type: ValueType): Local {
  const local = { name, type };
  state.locals.push(local);
  return local;
}

/** A new local that a name of the kernel stands for from now on. */
export function declareNamed(state: WasmLowering, name: string, type: Type): Local {
  const local = declare(state, `${name}_${state.count++}`, valueType(type));
  state.names.set(name, local);
  return local;
}

/** The local of a name of the kernel. Throws an Error when nothing declares it. */
export function localOf(state: WasmLowering, name: string): Local {
  const local = state.names.get(name);
  if (!local) throw new Error(`codegen: ${name} is not declared`);
  return local;
}

/** Puts an instruction at the end of the open block. */
export const put = (state: WasmLowering, instruction: Instruction): void => void state.code.push(instruction);

/** A vector of four equal words, as a local that is set at the start. Zero is one instruction anywhere. */
export function vectorOf(state: WasmLowering, shape: "f32x4" | "i32x4", word: number): Instruction {
  const value = w.vector(shape, word);
  if (Object.is(word, 0)) return value;
  const key = `${shape} ${Object.is(word, -0) ? "-0" : word}`;
  let constant = state.constants.get(key);
  if (!constant) {
    constant = { local: { name: `constant_${state.constants.size}`, type: "v128" }, value };
    state.constants.set(key, constant);
  }
  return w.get(constant.local);
}

/** The local of a loop's counter or limit. */
export const declareIndex = (state: WasmLowering, name: string): Local => declareNamed(state, name, k.INDEX);
