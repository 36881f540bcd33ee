/**
 * Functions of WebAssembly as trees: an instruction holds its operands, as the folded form of the text format has it.
 * printer.ts makes the module's text of them (text.ts) and its two binaries (binary.ts). Opcodes are those of the core
 * specification, 3.0, appendix "Index of Instructions".
 */
import { valueAt } from "../../runtime/records.js";

/** The type of a local. */
export type ValueType = "i32" | "i64" | "f32" | "v128";

/** A parameter or a local of a function; names are unique in it. */
export interface Local {
  readonly name: string;
  readonly type: ValueType;
}

/** Where a branch goes: out of a block, or back to the head of a loop. */
export interface Label {
  readonly name: string;
}

/** What stands behind an opcode: nothing, an alignment and an offset, the number of a lane, or sixteen. */
type Form = "plain" | "memory" | "lane" | "shuffle";

/** `prefix` is 0 where there is none. */
interface Opcode {
  readonly name: string;
  readonly form: Form;
  readonly prefix: 0 | 0xfc | 0xfd | 0xfe;
  readonly code: number;
}

/**
 * An instruction with its operands. Constructors below make them, and throw an Error for a name that is in no table.
 */
export type Instruction =
  | { readonly kind: "plain"; readonly op: Opcode; readonly operands: readonly Instruction[] }
  /** `align` is the exponent of the alignment in bytes; `natural` is what the text leaves out. */
  | {
      readonly kind: "memory";
      readonly op: Opcode;
      readonly offset: number;
      readonly align: number;
      readonly natural: number;
      readonly operands: readonly Instruction[];
    }
  | { readonly kind: "lane"; readonly op: Opcode; readonly lane: number; readonly operands: readonly Instruction[] }
  | {
      readonly kind: "shuffle";
      readonly op: Opcode;
      readonly lanes: readonly number[];
      readonly operands: readonly Instruction[];
    }
  | { readonly kind: "const"; readonly type: "i32" | "i64" | "f32"; readonly value: number }
  /** Four equal words. */
  | { readonly kind: "vector"; readonly shape: "i32x4" | "f32x4"; readonly word: number }
  | { readonly kind: "get"; readonly local: Local }
  | { readonly kind: "set" | "tee"; readonly local: Local; readonly value: Instruction }
  /** a * b + c of four lanes; one instruction where relaxed SIMD is. */
  | { readonly kind: "fma"; readonly a: Instruction; readonly b: Instruction; readonly c: Instruction }
  /** A call through the table, of the type that kernels have; the index comes last. */
  | { readonly kind: "call"; readonly operands: readonly Instruction[] }
  | { readonly kind: "branch"; readonly to: Label; readonly when: Instruction | null }
  | { readonly kind: "block" | "loop"; readonly label: Label; readonly body: readonly Instruction[] }
  | {
      readonly kind: "if";
      readonly condition: Instruction;
      readonly then: readonly Instruction[];
      readonly else: readonly Instruction[];
    }
  /** A body that is written twice in a row where relaxed SIMD is. */
  | { readonly kind: "twice"; readonly body: readonly Instruction[] };

const opcodes = (form: Form, prefix: Opcode["prefix"], codes: Readonly<Record<string, number>>): [string, Opcode][] =>
  Object.entries(codes).map(([name, code]) => [name, { name, form, prefix, code }]);

const OPCODES: ReadonlyMap<string, Opcode> = new Map([
  ...opcodes("memory", 0, { "i32.load": 0x28, "f32.load": 0x2a, "i32.store": 0x36, "f32.store": 0x38 }),
  ...opcodes("plain", 0, {
    drop: 0x1a,
    select: 0x1b,
    "i32.eqz": 0x45,
    "i32.eq": 0x46,
    "i32.ne": 0x47,
    "i32.lt_u": 0x49,
    "i32.gt_u": 0x4b,
    "i32.le_u": 0x4d,
    "i32.ge_u": 0x4f,
    "f32.eq": 0x5b,
    "f32.ne": 0x5c,
    "f32.lt": 0x5d,
    "f32.le": 0x5f,
    "i32.add": 0x6a,
    "i32.sub": 0x6b,
    "i32.mul": 0x6c,
    "i32.div_u": 0x6e,
    "i32.rem_u": 0x70,
    "i32.and": 0x71,
    "i32.or": 0x72,
    "i32.xor": 0x73,
    "i32.shl": 0x74,
    "i32.shr_u": 0x76,
    "f32.abs": 0x8b,
    "f32.neg": 0x8c,
    "f32.floor": 0x8e,
    "f32.sqrt": 0x91,
    "f32.add": 0x92,
    "f32.sub": 0x93,
    "f32.mul": 0x94,
    "f32.div": 0x95,
    "f32.min": 0x96,
    "f32.max": 0x97,
    "f32.convert_i32_u": 0xb3,
    "i32.reinterpret_f32": 0xbc,
    "f32.reinterpret_i32": 0xbe,
  }),
  ...opcodes("plain", 0xfc, { "i32.trunc_sat_f32_u": 1 }),
  ...opcodes("memory", 0xfd, { "v128.load": 0, "v128.load32_splat": 9, "v128.store": 11 }),
  ...opcodes("shuffle", 0xfd, { "i8x16.shuffle": 13 }),
  ...opcodes("lane", 0xfd, {
    "i32x4.extract_lane": 27,
    "i32x4.replace_lane": 28,
    "f32x4.extract_lane": 31,
    "f32x4.replace_lane": 32,
  }),
  ...opcodes("plain", 0xfd, {
    "i32x4.splat": 17,
    "f32x4.splat": 19,
    "i32x4.eq": 55,
    "i32x4.ne": 56,
    "i32x4.lt_u": 58,
    "i32x4.le_u": 62,
    "f32x4.eq": 65,
    "f32x4.ne": 66,
    "f32x4.lt": 67,
    "f32x4.le": 69,
    "v128.not": 77,
    "v128.and": 78,
    "v128.andnot": 79,
    "v128.or": 80,
    "v128.xor": 81,
    "v128.bitselect": 82,
    "f32x4.floor": 104,
    "i32x4.shl": 171,
    "i32x4.shr_u": 173,
    "i32x4.add": 174,
    "i32x4.sub": 177,
    "i32x4.mul": 181,
    "i32x4.min_u": 183,
    "i32x4.max_u": 185,
    "f32x4.abs": 224,
    "f32x4.neg": 225,
    "f32x4.sqrt": 227,
    "f32x4.add": 228,
    "f32x4.sub": 229,
    "f32x4.mul": 230,
    "f32x4.div": 231,
    "f32x4.min": 232,
    "f32x4.max": 233,
    "f32x4.pmin": 234,
    "f32x4.pmax": 235,
    "i32x4.trunc_sat_f32x4_u": 249,
    "f32x4.convert_i32x4_u": 251,
  }),
  ...opcodes("memory", 0xfe, {
    "memory.atomic.notify": 0,
    "memory.atomic.wait32": 1,
    "i32.atomic.load": 0x10,
    "i32.atomic.store": 0x17,
    "i32.atomic.rmw.add": 0x1e,
  }),
]);

/** All instructions that stand in the table, with what stands behind each. */
export const instructions: readonly { readonly name: string; readonly form: Form }[] = [...OPCODES.values()];

/** Exponent of the natural alignment of what is loaded or stored; four bytes unless said. */
const NATURAL: Readonly<Record<string, number>> = { "v128.load": 4, "v128.store": 4 };

function opcode(name: string, form: Form): Opcode {
  const op = OPCODES.get(name);
  if (op?.form !== form) throw new Error(`codegen: no ${form} instruction ${name}`);
  return op;
}

/** An instruction without immediates: `i32.add`. */
export const plain = (name: string, ...operands: readonly Instruction[]): Instruction => ({
  kind: "plain",
  op: opcode(name, "plain"),
  operands,
});
/**
 * A load or a store at an immediate offset in bytes; the address comes first among the operands.
 *
 * Words and vectors stand at any multiple of four bytes: a vector's natural alignment of 16 would be a false hint.
 */
export const memory = (name: string, offset: number, ...operands: readonly Instruction[]): Instruction => ({
  kind: "memory",
  op: opcode(name, "memory"),
  offset,
  align: 2,
  natural: valueAt(NATURAL, name) ?? 2,
  operands,
});
/** An instruction about lane `at`: `f32x4.extract_lane`. */
export const lane = (name: string, at: number, ...operands: readonly Instruction[]): Instruction => ({
  kind: "lane",
  op: opcode(name, "lane"),
  lane: at,
  operands,
});
/** Sixteen of the 32 bytes of a and b, by number. */
export const shuffle = (lanes: readonly number[], a: Instruction, b: Instruction): Instruction => ({
  kind: "shuffle",
  op: opcode("i8x16.shuffle", "shuffle"),
  lanes,
  operands: [a, b],
});
/** A constant of 32 bits, signed or not. */
export const i32 = (value: number): Instruction => ({ kind: "const", type: "i32", value: value | 0 });
/** A constant of 64 bits whose value fits 32. */
export const i64 = (value: number): Instruction => ({ kind: "const", type: "i64", value: value | 0 });
/** A constant, rounded to f32. */
export const f32 = (value: number): Instruction => ({ kind: "const", type: "f32", value });
/** Four equal words. */
export const vector = (shape: "i32x4" | "f32x4", word: number): Instruction => ({
  kind: "vector",
  shape,
  word: shape === "i32x4" ? word | 0 : word,
});
/** The value of a local. */
export const get = (local: Local): Instruction => ({ kind: "get", local });
/** Gives a local a value. */
export const set = (local: Local, value: Instruction): Instruction => ({ kind: "set", local, value });
/** Gives a local a value, and is that value. */
export const tee = (local: Local, value: Instruction): Instruction => ({ kind: "tee", local, value });
/** A body whose label stands at its head. */
export const loop = (label: Label, body: readonly Instruction[]): Instruction => ({ kind: "loop", label, body });
/** A body whose label stands at its end. */
export const block = (label: Label, body: readonly Instruction[]): Instruction => ({ kind: "block", label, body });
/** A body that is written twice in a row where relaxed SIMD is. */
export const twice = (body: readonly Instruction[]): Instruction => ({ kind: "twice", body });
/** A jump to a label; with `when`, only if that is not 0. */
export const branch = (to: Label, when: Instruction | null = null): Instruction => ({ kind: "branch", to, when });
/** What happens when `condition` is not 0, and what otherwise. */
export const when = (
  condition: Instruction,
  then: readonly Instruction[],
  otherwise: readonly Instruction[] = [],
): Instruction => ({ kind: "if", condition, then, else: otherwise });

/** A function that the module exports. */
export interface WasmFunction {
  readonly name: string;
  /** The name of the kernel, as a comment of the text. */
  readonly comment?: string;
  readonly params: readonly Local[];
  readonly locals: readonly Local[];
  readonly body: readonly Instruction[];
}

/**
 * What a module has: kernels, all of one type, in a table in their order, and `run`. It imports memory as env.memory,
 * and exports its functions by name.
 */
export interface WasmModule {
  readonly kernels: readonly WasmFunction[];
  readonly run: WasmFunction;
}
