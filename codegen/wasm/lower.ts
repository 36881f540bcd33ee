/**
 * Kernels as functions of WebAssembly. A kernel is a function (args, scratch, begin, end): at `args` stand the byte
 * addresses of its buffers, `scratch` is memory private to the calling thread for its arrays. `run` walks a table of
 * dispatches and meets the other threads after each, without leaving WebAssembly.
 *
 * Elementary functions (src/kernel/mathematics.ts) are written where they are used. As functions of the module they
 * took two and a half times as long: V8 inlines no call, and inside a function it makes a dozen constants anew for
 * every four elements; in place the constants leave the loop, provided that they are vectors (a splat of a constant
 * takes one and a half times as long) and stand before it: newer engines seem to keep an instruction where it is
 * written (docs/performance.md). So each is a local that is set at the start.
 */
import { elementary, isElementary, power } from "../../src/kernel/mathematics.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, Stmt, Type } from "../../src/kernel/ir.js";
import { keyOf, linear, type Names } from "../../src/kernel/linear.js";
import { run } from "./driver.js";
import * as w from "./instructions.js";
import type { Instruction, Label, Local, ValueType, WasmFunction, WasmModule } from "./instructions.js";

export interface Lowered {
  readonly module: WasmModule;
  /** Private memory that a thread needs, in bytes. */
  readonly scratchBytes: number;
}

const valueType = (type: Type): ValueType => (type.lanes === 4 ? "v128" : type.of === "f32" ? "f32" : "i32");
const parameter = (name: string): Local => ({ name, type: "i32" });

export function lowerKernels(kernels: readonly Kernel[]): Lowered {
  const lowered = kernels.map(lowerKernel);
  const scratch = Math.max(0, ...lowered.map(({ scratchBytes }) => scratchBytes));
  return {
    module: { kernels: lowered.map(({ function: made }) => made), run },
    scratchBytes: Math.ceil(scratch / 16) * 16,
  };
}

/** An address in a local, of the place that is `constant` words behind the varying part of an index. */
interface Pointer {
  readonly local: Local;
  readonly constant: number;
}

/** An address and an immediate offset from it, in bytes. */
interface Place {
  readonly at: Instruction;
  readonly offset: number;
}

function lowerKernel(
  kernel: Kernel,
  number: number,
): { readonly function: WasmFunction; readonly scratchBytes: number } {
  const [args, scratch, begin, end] = [parameter("args"), parameter("scratch"), parameter("begin"), parameter("end")];
  const locals: Local[] = [];
  /** The open block's instructions. */
  let code: Instruction[] = [];
  const names = new Map<string, Local>();
  /** Byte address of a buffer or array. */
  const bases = new Map<string, Instruction>();
  let count = 0;
  let scratchBytes = 0;
  const declare = (name: string, type: ValueType): Local => {
    const made = { name, type };
    locals.push(made);
    return made;
  };
  const local = (name: string, type: Type): Local => {
    const fresh = declare(`${name}_${count++}`, valueType(type));
    names.set(name, fresh);
    return fresh;
  };
  const line = (instruction: Instruction): void => void code.push(instruction);
  const constants = new Map<string, { readonly local: Local; readonly value: Instruction }>();
  /** A vector of four equal words. Zero is one instruction anywhere. */
  const vector = (shape: "f32x4" | "i32x4", word: number): Instruction => {
    const value = w.vector(shape, word);
    if (Object.is(word, 0)) return value;
    const key = `${shape} ${Object.is(word, -0) ? "-0" : word}`;
    const known = constants.get(key) ?? { local: { name: `constant_${constants.size}`, type: "v128" as const }, value };
    constants.set(key, known);
    return w.get(known.local);
  };
  // Computes an expression once, into a local. Expressions read memory and write nothing, so that a part of one may be
  // computed before the whole.
  const bind = (e: Expr): Expr => {
    if (e.kind === "ref" || e.kind === "const" || (e.kind === "splat" && e.a.kind === "const")) return e;
    const name = `t${count}.`;
    const value = expr(e);
    line(w.set(local(name, e.type), value));
    return k.ref(name, e.type);
  };

  /** The place of word `index` of a buffer or array. */
  function address(base: Instruction, index: Expr): Place {
    if (index.kind === "const") return { at: base, offset: 4 * index.value };
    if (index.kind === "binary" && index.op === "add" && index.b.kind === "const") {
      const inner = address(base, index.a);
      return { at: inner.at, offset: inner.offset + 4 * index.b.value };
    }
    return { at: w.plain("i32.add", base, w.plain("i32.shl", expr(index), w.i32(2))), offset: 0 };
  }

  /**
   * Where index values stand as sums, and the addresses that are at hand in the open blocks, by buffer and varying
   * part.
   */
  const sums: Names = new Map();
  const pointers = new Map<string, Pointer>();
  /** What the open block has put among the addresses, with what was there. */
  let added: (readonly [key: string, before: Pointer | undefined])[] = [];
  /** Index variables, whose names stand for more than one value. */
  const variables = new Set<string>();

  /**
   * Places that differ by a constant have one address, and immediate offsets: engines neither reorder sums to find that
   * out, nor add a constant to a word's index while they load.
   */
  function pointer(name: string, base: Instruction, index: Expr): Place {
    const place = linear(index, sums);
    const { terms, constant } = place;
    const key = keyOf(place);
    if (key === "" || [...terms.keys()].some((term) => variables.has(term))) return address(base, index);
    const own = `${name} ${key}`;
    const known = pointers.get(own);
    if (known && known.constant <= constant) return { at: w.get(known.local), offset: 4 * (constant - known.constant) };
    const { at, offset } = address(base, index);
    const fresh = declare(`at_${count++}`, "i32");
    line(w.set(fresh, at));
    added.push([own, known]);
    pointers.set(own, { local: fresh, constant: constant - offset / 4 });
    return { at: w.get(fresh), offset };
  }

  /** A block, whose addresses are known inside it only. */
  function inBlock(list: readonly Stmt[]): Instruction[] {
    const outside = { added, code };
    added = [];
    code = [];
    stmts(list);
    const made = code;
    for (const [key, before] of added.toReversed()) {
      if (before) pointers.set(key, before);
      else pointers.delete(key);
    }
    ({ added, code } = outside);
    return made;
  }

  function memory(op: string, name: string, index: Expr, ...value: readonly Instruction[]): Instruction {
    const base = bases.get(name);
    if (base === undefined) throw new Error(`codegen: ${name} is not declared`);
    const { at, offset } = pointer(name, base, index);
    return w.memory(op, offset, at, ...value);
  }

  function expr(e: Expr): Instruction {
    const v = e.type.lanes === 4;
    switch (e.kind) {
      case "const":
        return e.type.of === "f32" ? w.f32(e.value) : w.i32(e.value);
      case "ref":
        return w.get(names.get(e.name) ?? missing(e.name));
      case "unary": {
        if (isElementary(e.op)) return expr(elementary[e.op](bind(e.a), bind));
        const a = expr(e.a);
        if (e.op === "not") return w.plain(v ? "v128.not" : "i32.eqz", a);
        return w.plain(`${v ? "f32x4" : "f32"}.${e.op}`, a);
      }
      case "binary":
        return binary(e);
      case "fma": {
        if (v) return { kind: "fma", a: expr(e.a), b: expr(e.b), c: expr(e.c) };
        return w.plain("f32.add", w.plain("f32.mul", expr(e.a), expr(e.b)), expr(e.c));
      }
      case "select":
        // A blend costs three instructions, but one when a side is all zeros.
        if (v && isZero(e.then)) return w.plain("v128.andnot", expr(e.else), expr(e.condition));
        if (v && isZero(e.else)) return w.plain("v128.and", expr(e.then), expr(e.condition));
        return w.plain(v ? "v128.bitselect" : "select", expr(e.then), expr(e.else), expr(e.condition));
      case "load":
        return memory(v ? "v128.load" : e.type.of === "f32" ? "f32.load" : "i32.load", e.from, e.index);
      case "cast":
        return cast(e.a, e.type);
      case "bitcast":
        return v ? expr(e.a) : w.plain(e.type.of === "f32" ? "f32.reinterpret_i32" : "i32.reinterpret_f32", expr(e.a));
      case "splat":
        // A splat of a load is one instruction.
        if (e.a.kind === "load") return memory("v128.load32_splat", e.a.from, e.a.index);
        if (e.a.kind === "const" && e.type.of !== "bool")
          return e.type.of === "f32" ? vector("f32x4", e.a.value) : vector("i32x4", e.a.value | 0);
        if (e.type.of === "bool") return w.plain("i32x4.splat", w.plain("i32.sub", w.i32(0), expr(e.a)));
        return w.plain(`${e.type.of === "f32" ? "f32x4" : "i32x4"}.splat`, expr(e.a));
      case "lanes": {
        const shape = e.type.of === "f32" ? "f32x4" : "i32x4";
        const [first, ...rest] = e.items.map(expr) as [Instruction, ...Instruction[]];
        const packed = rest.reduce(
          (made, item, i) => w.lane(`${shape}.replace_lane`, i + 1, made, item),
          w.plain(`${shape}.splat`, first),
        );
        return e.type.of === "bool" ? w.plain("i32x4.ne", packed, w.vector("i32x4", 0)) : packed;
      }
      case "shuffle":
        return w.shuffle(
          e.order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
          expr(e.a),
          expr(e.b),
        );
      case "extract": {
        const lane = w.lane(`${e.type.of === "f32" ? "f32x4" : "i32x4"}.extract_lane`, e.lane, expr(e.a));
        return e.type.of === "bool" ? w.plain("i32.and", lane, w.i32(1)) : lane;
      }
      case "exchange":
        throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
      default:
        return e satisfies never;
    }
  }

  function cast(a: Expr, to: Type): Instruction {
    const from = a.type.of;
    const inner = expr(a);
    if (to.lanes === 4) {
      if (to.of === "f32")
        return from === "bool"
          ? w.plain("v128.and", inner, vector("f32x4", 1))
          : w.plain("f32x4.convert_i32x4_u", inner);
      if (from === "f32") return w.plain("i32x4.trunc_sat_f32x4_u", inner);
      return from === "bool" ? w.plain("v128.and", inner, vector("i32x4", 1)) : inner;
    }
    if (to.of === "f32") return w.plain("f32.convert_i32_u", inner);
    return from === "f32" ? w.plain("i32.trunc_sat_f32_u", inner) : inner;
  }

  function binary(e: Extract<Expr, { readonly kind: "binary" }>): Instruction {
    if (e.op === "pow") return expr(power(e.a, e.b, bind));
    const v = e.a.type.lanes === 4;
    // There is no minimum of words: each operand stands twice.
    const twice = !v && e.a.type.of !== "f32" && (e.op === "min" || e.op === "max");
    const a = expr(twice ? bind(e.a) : e.a);
    const b = expr(twice ? bind(e.b) : e.b);
    if (e.a.type.of === "f32") {
      // Against a number that is neither zero nor NaN, the one instruction `pmin` gives what `min` gives in six: `b < a
      // ? b : a` keeps a NaN in a.
      if (
        v &&
        (e.op === "min" || e.op === "max") &&
        e.b.kind === "splat" &&
        e.b.a.kind === "const" &&
        Math.abs(e.b.a.value) > 0
      ) {
        return w.plain(`f32x4.p${e.op}`, a, b);
      }
      return w.plain(`${v ? "f32x4" : "f32"}.${e.op}`, a, b);
    }
    if (v) {
      // Vectors of words, and masks.
      switch (e.op) {
        case "and":
        case "or":
        case "xor":
          return w.plain(`v128.${e.op}`, a, b);
        case "add":
        case "sub":
        case "mul":
        case "eq":
        case "ne":
          return w.plain(`i32x4.${e.op}`, a, b);
        case "lt":
        case "le":
        case "min":
        case "max":
          return w.plain(`i32x4.${e.op}_u`, a, b);
        case "shl":
        case "shr": {
          const by = e.b.kind === "splat" ? e.b.a : null;
          if (!by) throw new Error("codegen: lanes shift by one distance");
          return w.plain(`i32x4.${e.op === "shl" ? "shl" : "shr_u"}`, a, expr(by));
        }
        case "div":
        case "rem":
          throw new Error(`codegen: WebAssembly has no ${e.op} of four words`);
        default:
          return e.op satisfies never;
      }
    }
    switch (e.op) {
      case "lt":
      case "le":
      case "div":
      case "rem":
      case "shr":
        return w.plain(`i32.${e.op}_u`, a, b);
      case "min":
        return w.plain("select", a, b, w.plain("i32.lt_u", a, b));
      case "max":
        return w.plain("select", b, a, w.plain("i32.lt_u", a, b));
      case "add":
      case "sub":
      case "mul":
      case "eq":
      case "ne":
      case "and":
      case "or":
      case "xor":
      case "shl":
        return w.plain(`i32.${e.op}`, a, b);
      default:
        return e.op satisfies never;
    }
  }

  function stmts(list: readonly Stmt[]): void {
    for (const s of list) {
      switch (s.kind) {
        case "let":
        case "var": {
          const value = expr(s.value);
          line(w.set(local(s.name, s.value.type), value));
          if (s.value.type.of === "index" && s.kind === "let") sums.set(s.name, linear(s.value, sums));
          if (s.value.type.of === "index" && s.kind === "var") variables.add(s.name);
          break;
        }
        case "assign":
          line(w.set(names.get(s.name) ?? missing(s.name), expr(s.value)));
          break;
        case "store": {
          const value = expr(s.value);
          line(
            memory(
              s.value.type.lanes === 4 ? "v128.store" : s.value.type.of === "f32" ? "f32.store" : "i32.store",
              s.to,
              s.index,
              value,
            ),
          );
          break;
        }
        case "for": {
          const from = expr(s.from);
          const to = expr(s.to);
          const at = local(s.name, k.INDEX);
          line(w.set(at, from));
          let limit = to;
          if (s.to.kind !== "const") {
            const last = local(`${s.name}_end`, k.INDEX);
            line(w.set(last, to));
            limit = w.get(last);
          }
          const label: Label = { name: `l${count++}` };
          const more = w.plain("i32.lt_u", w.get(at), limit);
          const turn = [...inBlock(s.body), w.set(at, w.plain("i32.add", w.get(at), w.i32(s.step)))];
          const turns = runsTwice(s) ? [w.twice(turn)] : turn;
          line(w.when(more, [w.loop(label, [...turns, w.branch(label, more)])]));
          break;
        }
        case "if": {
          const condition = expr(s.condition);
          line(w.when(condition, inBlock(s.then), inBlock(s.else)));
          break;
        }
        case "array":
          bases.set(
            s.name,
            scratchBytes === 0 ? w.get(scratch) : w.plain("i32.add", w.get(scratch), w.i32(scratchBytes)),
          );
          scratchBytes += Math.ceil((4 * s.size) / 16) * 16;
          break;
        case "shared":
        case "barrier":
          throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
        default:
          s satisfies never;
      }
    }
  }

  kernel.buffers.forEach((buffer, slot) => {
    const at = declare(`${buffer.name}.at`, "i32");
    line(w.set(at, w.memory("i32.load", 4 * slot, w.get(args))));
    bases.set(buffer.name, w.get(at));
  });
  const group = declare("group", "i32");
  names.set("group", group);
  line(w.set(group, w.get(begin)));
  const [done, next]: [Label, Label] = [{ name: "done" }, { name: "next" }];
  const body = inBlock(kernel.body);
  line(
    w.block(done, [
      w.loop(next, [
        w.branch(done, w.plain("i32.ge_u", w.get(group), w.get(end))),
        ...body,
        w.set(group, w.plain("i32.add", w.get(group), w.i32(1))),
        w.branch(next),
      ]),
    ]),
  );
  const set = [...constants.values()].map(({ local: constant, value }) => w.set(constant, value));
  const made: WasmFunction = {
    name: `k${number}`,
    comment: kernel.name,
    params: [args, scratch, begin, end],
    locals: [...locals, ...[...constants.values()].map(({ local: constant }) => constant)],
    body: [...set, ...code],
  };
  return { function: made, scratchBytes };
}

/**
 * Whether two turns of a loop are written as one in engines with relaxed SIMD: those of an innermost loop without
 * stores. 6% of a matrix product's time there; the older engines spill registers then, and lose a third.
 */
function runsTwice({ from, to, step, body }: Extract<Stmt, { readonly kind: "for" }>): boolean {
  if (from.kind !== "const" || to.kind !== "const" || (to.value - from.value) % (2 * step) !== 0) return false;
  return body.every(({ kind }) => kind === "let" || kind === "assign");
}

function missing(name: string): never {
  throw new Error(`codegen: ${name} is not declared`);
}

/** Whether all bits of a vector are known to be 0. */
const isZero = (e: Expr): boolean => e.kind === "splat" && e.a.kind === "const" && Object.is(e.a.value, 0);
