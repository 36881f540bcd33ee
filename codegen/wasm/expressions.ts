/**
 * Expressions of the kernel IR as instructions, and the addresses that loads and stores go to.
 *
 * Elementary functions (src/kernel/mathematics.ts) are written where they are used. As functions of the module they
 * took two and a half times as long: V8 inlines no call, and inside a function it makes a dozen constants anew for
 * every four elements; in place the constants leave the loop, provided that they are vectors (a splat of a constant
 * takes one and a half times as long) and stand before it: newer engines seem to keep an instruction where it is
 * written (docs/performance.md). So each is a local that is set at the start.
 */
import { elementary, isElementary, power } from "../../src/kernel/mathematics.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Type } from "../../src/kernel/ir.js";
import { keyOf, linear } from "../../src/kernel/linear.js";
import * as w from "./instructions.js";
import type { Instruction } from "./instructions.js";
import { declare, declareNamed, localOf, put, vectorOf, type WasmLowering } from "./lowering.js";
import { floatOperator, vectorOperator, wordOperator, type BinaryExpr } from "./operators.js";

/** An address and an immediate offset from it, in bytes. */
interface Address {
  readonly at: Instruction;
  readonly offset: number;
}

/** The instruction that computes an expression. Parts that it must compute before are put in the open block. */
export function lowerExpr(state: WasmLowering, e: Expr): Instruction {
  const expr = (part: Expr): Instruction => lowerExpr(state, part);
  const isVector = e.type.lanes === 4;
  switch (e.kind) {
    case "const":
      return e.type.of === "f32" ? w.f32(e.value) : w.i32(e.value);
    case "ref":
      return w.get(localOf(state, e.name));
    case "unary":
      return unary(state, e);
    case "binary":
      return binary(state, e);
    case "fma":
      if (isVector) return { kind: "fma", a: expr(e.a), b: expr(e.b), c: expr(e.c) };
      return w.plain("f32.add", w.plain("f32.mul", expr(e.a), expr(e.b)), expr(e.c));
    case "select":
      // A blend costs three instructions, but one when a side is all zeros.
      if (isVector && isZero(e.then)) return w.plain("v128.andnot", expr(e.else), expr(e.condition));
      if (isVector && isZero(e.else)) return w.plain("v128.and", expr(e.then), expr(e.condition));
      return w.plain(isVector ? "v128.bitselect" : "select", expr(e.then), expr(e.else), expr(e.condition));
    case "load":
      return load(state, isVector ? "v128.load" : e.type.of === "f32" ? "f32.load" : "i32.load", e);
    case "cast":
      return cast(state, e.a, e.type);
    case "bitcast":
      if (isVector) return expr(e.a);
      return w.plain(e.type.of === "f32" ? "f32.reinterpret_i32" : "i32.reinterpret_f32", expr(e.a));
    case "splat":
      return splat(state, e.a, e.type);
    case "lanes": {
      const packed = lanes(state, e.items, shapeOf(e.type));
      return e.type.of === "bool" ? w.plain("i32x4.ne", packed, w.vector("i32x4", 0)) : packed;
    }
    case "shuffle": {
      const bytes = e.order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
      return w.shuffle(bytes, expr(e.a), expr(e.b));
    }
    case "extract": {
      const lane = w.lane(`${shapeOf(e.type)}.extract_lane`, e.lane, expr(e.a));
      return e.type.of === "bool" ? w.plain("i32.and", lane, w.i32(1)) : lane;
    }
    case "exchange":
      throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
    default:
      return e satisfies never;
  }
}

const shapeOf = (type: Type): "f32x4" | "i32x4" => (type.of === "f32" ? "f32x4" : "i32x4");

/** Whether all bits of a vector are known to be 0. */
const isZero = (e: Expr): boolean => e.kind === "splat" && e.a.kind === "const" && Object.is(e.a.value, 0);

/**
 * Computes an expression once, into a local. Expressions read memory and write nothing, so that a part of one may be
 * computed before the whole.
 */
function bind(state: WasmLowering, e: Expr): Expr {
  if (e.kind === "ref" || e.kind === "const" || (e.kind === "splat" && e.a.kind === "const")) return e;
  const name = `t${state.count}.`;
  const value = lowerExpr(state, e);
  put(state, w.set(declareNamed(state, name, e.type), value));
  return k.ref(name, e.type);
}

function unary(state: WasmLowering, e: Extract<Expr, { readonly kind: "unary" }>): Instruction {
  const isVector = e.type.lanes === 4;
  if (isElementary(e.op)) {
    const once = (part: Expr): Expr => bind(state, part);
    return lowerExpr(state, elementary[e.op](once(e.a), once));
  }
  const a = lowerExpr(state, e.a);
  if (e.op === "not") return w.plain(isVector ? "v128.not" : "i32.eqz", a);
  return w.plain(`${isVector ? "f32x4" : "f32"}.${e.op}`, a);
}

function binary(state: WasmLowering, e: BinaryExpr): Instruction {
  if (e.op === "pow")
    return lowerExpr(
      state,
      power(e.a, e.b, (part) => bind(state, part)),
    );
  const isVector = e.a.type.lanes === 4;
  // There is no minimum of words: each operand stands twice.
  const twice = !isVector && e.a.type.of !== "f32" && (e.op === "min" || e.op === "max");
  const a = lowerExpr(state, twice ? bind(state, e.a) : e.a);
  const b = lowerExpr(state, twice ? bind(state, e.b) : e.b);
  if (e.a.type.of === "f32") return floatOperator(e, a, b);
  if (!isVector) return wordOperator(e.op, a, b);
  const isShift = e.op === "shl" || e.op === "shr";
  const distance = isShift && e.b.kind === "splat" ? lowerExpr(state, e.b.a) : null;
  return vectorOperator(e.op, a, b, distance);
}

function splat(state: WasmLowering, a: Expr, type: Type): Instruction {
  // A splat of a load is one instruction.
  if (a.kind === "load") return load(state, "v128.load32_splat", a);
  if (type.of === "bool") return w.plain("i32x4.splat", w.plain("i32.sub", w.i32(0), lowerExpr(state, a)));
  const shape = shapeOf(type);
  if (a.kind === "const") return vectorOf(state, shape, shape === "f32x4" ? a.value : a.value | 0);
  return w.plain(`${shape}.splat`, lowerExpr(state, a));
}

function lanes(state: WasmLowering, items: readonly Expr[], shape: "f32x4" | "i32x4"): Instruction {
  const [first, ...others] = items;
  if (!first) throw new Error("bug: a vector of no lanes");
  const start = w.plain(`${shape}.splat`, lowerExpr(state, first));
  return others
    .map((item) => lowerExpr(state, item))
    .reduce((packed, item, i) => w.lane(`${shape}.replace_lane`, i + 1, packed, item), start);
}

function cast(state: WasmLowering, a: Expr, to: Type): Instruction {
  const from = a.type.of;
  const inner = lowerExpr(state, a);
  if (to.lanes === 4) {
    if (to.of === "f32") {
      if (from !== "bool") return w.plain("f32x4.convert_i32x4_u", inner);
      return w.plain("v128.and", inner, vectorOf(state, "f32x4", 1));
    }
    if (from === "f32") return w.plain("i32x4.trunc_sat_f32x4_u", inner);
    return from === "bool" ? w.plain("v128.and", inner, vectorOf(state, "i32x4", 1)) : inner;
  }
  if (to.of === "f32") return w.plain("f32.convert_i32_u", inner);
  return from === "f32" ? w.plain("i32.trunc_sat_f32_u", inner) : inner;
}

/** A load by that instruction from where a load of the IR reads. */
const load = (state: WasmLowering, op: string, e: Extract<Expr, { readonly kind: "load" }>): Instruction =>
  access(state, op, { name: e.from, index: e.index });

/**
 * A load or a store (whose value comes last) of word `index` of a buffer or array. Throws an Error when nothing
 * declares the buffer.
 */
export function access(
  state: WasmLowering,
  op: string,
  place: { readonly name: string; readonly index: Expr },
  ...value: readonly Instruction[]
): Instruction {
  const base = state.bases.get(place.name);
  if (base === undefined) throw new Error(`codegen: ${place.name} is not declared`);
  const { at, offset } = pointerTo(state, place.name, base, place.index);
  return w.memory(op, offset, at, ...value);
}

/**
 * The address of word `index`, from a pointer at hand where there is one. Places that differ by a constant have one
 * address, and immediate offsets: engines neither reorder sums to find that out, nor add a constant to a word's index
 * while they load.
 */
function pointerTo(state: WasmLowering, name: string, base: Instruction, index: Expr): Address {
  const sum = linear(index, state.sums);
  const varying = keyOf(sum);
  if (varying === "" || [...sum.terms.keys()].some((term) => state.variables.has(term))) {
    return addressOf(state, base, index);
  }
  const { constant } = sum;
  const key = `${name} ${varying}`;
  const before = state.pointers.get(key);
  if (before && before.constant <= constant) {
    return { at: w.get(before.local), offset: 4 * (constant - before.constant) };
  }
  const { at, offset } = addressOf(state, base, index);
  const local = declare(state, `at_${state.count++}`, "i32");
  put(state, w.set(local, at));
  state.added.push([key, before]);
  state.pointers.set(key, { local, constant: constant - offset / 4 });
  return { at: w.get(local), offset };
}

function addressOf(state: WasmLowering, base: Instruction, index: Expr): Address {
  if (index.kind === "const") return { at: base, offset: 4 * index.value };
  if (index.kind === "binary" && index.op === "add" && index.b.kind === "const") {
    const inner = addressOf(state, base, index.a);
    return { at: inner.at, offset: inner.offset + 4 * index.b.value };
  }
  return { at: w.plain("i32.add", base, w.plain("i32.shl", lowerExpr(state, index), w.i32(2))), offset: 0 };
}
