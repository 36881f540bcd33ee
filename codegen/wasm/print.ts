/**
 * Prints kernels as WebAssembly text. A kernel is a function (args, scratch, begin, end): at `args` stand the byte addresses of
 * its buffers, `scratch` is memory private to the calling thread for its arrays. `run` walks a table of dispatches and meets the other
 * threads after each, without leaving WebAssembly.
 *
 * Elementary functions (src/kernel/mathematics.ts) are printed where they are used. As functions of the module they took two and a half
 * times as long: V8 inlines no call, and inside a function it makes a dozen constants anew for every four elements; in place the
 * constants leave the loop, provided that they are vectors (a splat of a constant takes one and a half times as long) and stand before it:
 * newer engines seem to keep an instruction where it is written (docs/performance.md). So each is a local that is set at the start.
 */
import { elementary, isElementary, power } from "../../src/kernel/mathematics.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, Stmt, Type } from "../../src/kernel/ir.js";
import { keyOf, linear, type Names } from "../../src/kernel/linear.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import { driver } from "./driver.js";

export interface WasmText {
  readonly text: string;
  /** Private memory that a thread needs, in bytes. */
  readonly scratchBytes: number;
}

const valueType = (type: Type): string => (type.lanes === 4 ? "v128" : type.of === "f32" ? "f32" : "i32");

/** `relaxed`: multiply-add of four lanes is one instruction, rounded once or twice as the machine likes. */
export function printModule(kernels: readonly Kernel[], relaxed = false): WasmText {
  let scratchBytes = 0;
  const functions = kernels.map((kernel, i) => {
    const printed = printFunction(`(func $k${i} (export "k${i}") (type $kernel) (param $args i32) (param $scratch i32) (param $begin i32) (param $end i32)`, relaxed, (f) => {
      kernel.buffers.forEach((buffer, slot) => {
        f.declare(`$${buffer.name}.at`, "i32");
        f.line(`(local.set $${buffer.name}.at (i32.load offset=${4 * slot} (local.get $args)))`);
        f.bases.set(buffer.name, `(local.get $${buffer.name}.at)`);
      });
      f.declare("$group", "i32");
      f.names.set("group", "$group");
      f.line("(local.set $group (local.get $begin))");
      f.line("(block $done (loop $next");
      f.line("(br_if $done (i32.ge_u (local.get $group) (local.get $end)))");
      f.stmts(kernel.body);
      f.line("(local.set $group (i32.add (local.get $group) (i32.const 1)))");
      f.line("(br $next)))");
    });
    scratchBytes = Math.max(scratchBytes, printed.scratch);
    return `;; ${kernel.name}\n${printed.text}`;
  });
  const text = [
    "(module",
    `(import "env" "memory" (memory 1 65536 shared))`,
    "(type $kernel (func (param i32 i32 i32 i32)))",
    `(table ${kernels.length} funcref)`,
    `(elem (i32.const 0) ${kernels.map((_, i) => `$k${i}`).join(" ")})`,
    ...functions,
    driver,
    ")",
  ].join("\n");
  return { text, scratchBytes: Math.ceil(scratchBytes / 16) * 16 };
}

/** An address in a local, of the place that is `constant` words behind the varying part of an index. */
interface Pointer {
  readonly local: string;
  readonly constant: number;
}

interface FunctionPrinter {
  readonly names: Map<string, string>;
  /** Byte address of a buffer or array. */
  readonly bases: Map<string, string>;
  declare(local: string, type: string): void;
  line(text: string): void;
  stmts(list: readonly Stmt[]): void;
}

function printFunction(head: string, relaxed: boolean, body: (f: FunctionPrinter) => void): { text: string; scratch: number } {
  const locals: string[] = [];
  const lines: string[] = [];
  const names = new Map<string, string>();
  const bases = new Map<string, string>();
  let count = 0;
  let scratch = 0;
  const declare = (local: string, type: string): void => void locals.push(`(local ${local} ${type})`);
  const local = (name: string, type: Type): string => {
    const fresh = `$${name}_${count++}`;
    declare(fresh, valueType(type));
    names.set(name, fresh);
    return fresh;
  };
  const line = (text: string): void => void lines.push(text);
  const constants = new Map<string, string>();
  /** A vector of four equal words. Zero is one instruction anywhere. */
  const vector = (shape: "f32x4" | "i32x4", word: string): string => {
    const text = `(v128.const ${shape} ${word} ${word} ${word} ${word})`;
    if (word === "0") return text;
    const known = constants.get(text) ?? `$constant_${constants.size}`;
    constants.set(text, known);
    return `(local.get ${known})`;
  };
  // Computes an expression once, into a local. Expressions read memory and write nothing, so that a part of one may be computed before the whole.
  const bind = (e: Expr): Expr => {
    if (e.kind === "ref" || e.kind === "const" || (e.kind === "splat" && e.a.kind === "const")) return e;
    const name = `t${count}.`;
    const value = expr(e);
    line(`(local.set ${local(name, e.type)} ${value})`);
    return k.ref(name, e.type);
  };

  /** Address expression and immediate offset of word `index` of a buffer or array. */
  function address(base: string, index: Expr): { at: string; offset: number } {
    if (index.kind === "const") return { at: base, offset: 4 * index.value };
    if (index.kind === "binary" && index.op === "add" && index.b.kind === "const") {
      const inner = address(base, index.a);
      return { at: inner.at, offset: inner.offset + 4 * index.b.value };
    }
    return { at: `(i32.add ${base} (i32.shl ${expr(index)} (i32.const 2)))`, offset: 0 };
  }

  /** Where index values stand as sums, and the addresses that are at hand in the open blocks, by buffer and varying part. */
  const sums: Names = new Map();
  const pointers = new Map<string, Pointer>();
  /** What the open block has put among the addresses, with what was there. */
  let added: (readonly [key: string, before: Pointer | undefined])[] = [];
  /** Index variables, whose names stand for more than one value. */
  const variables = new Set<string>();

  /**
   * Places that differ by a constant have one address, and immediate offsets: engines neither reorder sums to find that out, nor
   * add a constant to a word's index while they load.
   */
  function pointer(name: string, base: string, index: Expr): { readonly at: string; readonly offset: number } {
    const place = linear(index, sums);
    const { terms, constant } = place;
    const key = keyOf(place);
    if (key === "" || [...terms.keys()].some((term) => variables.has(term))) return address(base, index);
    const own = `${name} ${key}`;
    const known = pointers.get(own);
    if (known && known.constant <= constant) return { at: `(local.get ${known.local})`, offset: 4 * (constant - known.constant) };
    const { at, offset } = address(base, index);
    const fresh = `$at_${count++}`;
    declare(fresh, "i32");
    line(`(local.set ${fresh} ${at})`);
    added.push([own, known]);
    pointers.set(own, { local: fresh, constant: constant - offset / 4 });
    return { at: `(local.get ${fresh})`, offset };
  }

  /** Prints a block, whose addresses are known inside it only. */
  function inBlock(list: readonly Stmt[]): void {
    const outside = added;
    added = [];
    stmts(list);
    for (const [key, before] of added.toReversed()) {
      if (before) pointers.set(key, before);
      else pointers.delete(key);
    }
    added = outside;
  }

  function memory(op: string, name: string, index: Expr, value: string): string {
    const base = bases.get(name);
    if (base === undefined) throw new Error(`codegen: ${name} is not declared`);
    const { at, offset } = pointer(name, base, index);
    // Vectors stand anywhere: the natural alignment of 16 would be a false hint.
    return `(${op}${offset ? ` offset=${offset}` : ""}${op === "v128.load" || op === "v128.store" ? " align=4" : ""} ${at}${value})`;
  }

  function expr(e: Expr): string {
    const v = e.type.lanes === 4;
    switch (e.kind) {
      case "const": return e.type.of === "f32" ? `(f32.const ${float(e.value)})` : `(i32.const ${e.value | 0})`;
      case "ref": return `(local.get ${names.get(e.name) ?? missing(e.name)})`;
      case "unary": {
        if (isElementary(e.op)) return expr(elementary[e.op](bind(e.a), bind));
        const a = expr(e.a);
        if (e.op === "not") return v ? `(v128.not ${a})` : `(i32.eqz ${a})`;
        return `(${v ? "f32x4" : "f32"}.${e.op} ${a})`;
      }
      case "binary": return binary(e);
      case "fma": {
        if (v && relaxed) return `(f32x4.relaxed_madd ${expr(e.a)} ${expr(e.b)} ${expr(e.c)})`;
        const s = v ? "f32x4" : "f32";
        return `(${s}.add (${s}.mul ${expr(e.a)} ${expr(e.b)}) ${expr(e.c)})`;
      }
      case "select":
        // A blend costs three instructions, but one when a side is all zeros.
        if (v && isZero(e.then)) return `(v128.andnot ${expr(e.else)} ${expr(e.condition)})`;
        if (v && isZero(e.else)) return `(v128.and ${expr(e.then)} ${expr(e.condition)})`;
        return v
          ? `(v128.bitselect ${expr(e.then)} ${expr(e.else)} ${expr(e.condition)})`
          : `(select ${expr(e.then)} ${expr(e.else)} ${expr(e.condition)})`;
      case "load": return memory(v ? "v128.load" : e.type.of === "f32" ? "f32.load" : "i32.load", e.from, e.index, "");
      case "cast": return cast(e.a, e.type);
      case "bitcast": return v ? expr(e.a) : e.type.of === "f32" ? `(f32.reinterpret_i32 ${expr(e.a)})` : `(i32.reinterpret_f32 ${expr(e.a)})`;
      case "splat":
        // A splat of a load is one instruction.
        if (e.a.kind === "load") return memory("v128.load32_splat", e.a.from, e.a.index, "");
        if (e.a.kind === "const" && e.type.of !== "bool") {
          const word = e.type.of === "f32" ? float(e.a.value) : `${e.a.value | 0}`;
          return vector(e.type.of === "f32" ? "f32x4" : "i32x4", word);
        }
        if (e.type.of === "bool") return `(i32x4.splat (i32.sub (i32.const 0) ${expr(e.a)}))`;
        return `(${e.type.of === "f32" ? "f32x4" : "i32x4"}.splat ${expr(e.a)})`;
      case "lanes": {
        const shape = e.type.of === "f32" ? "f32x4" : "i32x4";
        const [first, ...rest] = e.items.map(expr);
        const packed = rest.reduce<string>((vector, item, i) => `(${shape}.replace_lane ${i + 1} ${vector} ${item})`, `(${shape}.splat ${first})`);
        return e.type.of === "bool" ? `(i32x4.ne ${packed} (v128.const i32x4 0 0 0 0))` : packed;
      }
      case "shuffle":
        return `(i8x16.shuffle ${e.order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)).join(" ")} ${expr(e.a)} ${expr(e.b)})`;
      case "extract": {
        const lane = `(${e.type.of === "f32" ? "f32x4" : "i32x4"}.extract_lane ${e.lane} ${expr(e.a)})`;
        return e.type.of === "bool" ? `(i32.and ${lane} (i32.const 1))` : lane;
      }
      case "exchange": throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
      default: return e satisfies never;
    }
  }

  function cast(a: Expr, to: Type): string {
    const from = a.type.of;
    const inner = expr(a);
    if (to.lanes === 4) {
      if (to.of === "f32") return from === "bool" ? `(v128.and ${inner} ${vector("f32x4", "1")})` : `(f32x4.convert_i32x4_u ${inner})`;
      if (from === "f32") return `(i32x4.trunc_sat_f32x4_u ${inner})`;
      return from === "bool" ? `(v128.and ${inner} ${vector("i32x4", "1")})` : inner;
    }
    if (to.of === "f32") return `(f32.convert_i32_u ${inner})`;
    return from === "f32" ? `(i32.trunc_sat_f32_u ${inner})` : inner;
  }

  function binary(e: Extract<Expr, { readonly kind: "binary" }>): string {
    if (e.op === "pow") return expr(power(e.a, e.b, bind));
    const v = e.a.type.lanes === 4;
    // There is no minimum of words: each operand stands twice.
    const twice = !v && e.a.type.of !== "f32" && (e.op === "min" || e.op === "max");
    const a = expr(twice ? bind(e.a) : e.a);
    const b = expr(twice ? bind(e.b) : e.b);
    if (e.a.type.of === "f32") {
      // Against a number that is neither zero nor NaN, the one instruction `pmin` gives what `min` gives in six: `b < a ? b : a` keeps a NaN in a.
      if (v && (e.op === "min" || e.op === "max") && e.b.kind === "splat" && e.b.a.kind === "const" && Math.abs(e.b.a.value) > 0) {
        return `(f32x4.p${e.op} ${a} ${b})`;
      }
      const s = v ? "f32x4" : "f32";
      return `(${s}.${e.op} ${a} ${b})`;
    }
    if (v) {
      // Vectors of words, and masks.
      switch (e.op) {
        case "and": case "or": case "xor": return `(v128.${e.op} ${a} ${b})`;
        case "add": case "sub": case "mul": case "eq": case "ne": return `(i32x4.${e.op} ${a} ${b})`;
        case "lt": case "le": case "min": case "max": return `(i32x4.${e.op}_u ${a} ${b})`;
        case "shl": case "shr": {
          const by = e.b.kind === "splat" ? e.b.a : null;
          if (!by) throw new Error("codegen: lanes shift by one distance");
          return `(i32x4.${e.op === "shl" ? "shl" : "shr_u"} ${a} ${expr(by)})`;
        }
        case "div": case "rem": throw new Error(`codegen: WebAssembly has no ${e.op} of four words`);
        default: return e.op satisfies never;
      }
    }
    switch (e.op) {
      case "lt": case "le": case "div": case "rem": case "shr": return `(i32.${e.op}_u ${a} ${b})`;
      case "min": return `(select ${a} ${b} (i32.lt_u ${a} ${b}))`;
      case "max": return `(select ${b} ${a} (i32.lt_u ${a} ${b}))`;
      case "add": case "sub": case "mul": case "eq": case "ne": case "and": case "or": case "xor": case "shl": return `(i32.${e.op} ${a} ${b})`;
      default: return e.op satisfies never;
    }
  }

  function stmts(list: readonly Stmt[]): void {
    for (const s of list) {
      switch (s.kind) {
        case "let": case "var": {
          const value = expr(s.value);
          line(`(local.set ${local(s.name, s.value.type)} ${value})`);
          if (s.value.type.of === "index" && s.kind === "let") sums.set(s.name, linear(s.value, sums));
          if (s.value.type.of === "index" && s.kind === "var") variables.add(s.name);
          break;
        }
        case "assign": line(`(local.set ${names.get(s.name) ?? missing(s.name)} ${expr(s.value)})`); break;
        case "store": {
          const value = expr(s.value);
          line(memory(s.value.type.lanes === 4 ? "v128.store" : s.value.type.of === "f32" ? "f32.store" : "i32.store", s.to, s.index, ` ${value}`));
          break;
        }
        case "for": {
          const from = expr(s.from);
          const to = expr(s.to);
          const at = local(s.name, k.INDEX);
          const constant = s.to.kind === "const";
          const end = constant ? "" : local(`${s.name}_end`, k.INDEX);
          line(`(local.set ${at} ${from})`);
          if (!constant) line(`(local.set ${end} ${to})`);
          const limit = constant ? to : `(local.get ${end})`;
          const label = count++;
          line(`(if (i32.lt_u (local.get ${at}) ${limit}) (then (loop $l${label}`);
          for (let turn = relaxed ? turnsOf(s) : 1; turn > 0; turn--) {
            inBlock(s.body);
            line(`(local.set ${at} (i32.add (local.get ${at}) (i32.const ${s.step})))`);
          }
          line(`(br_if $l${label} (i32.lt_u (local.get ${at}) ${limit})))))`);
          break;
        }
        case "if":
          line(`(if ${expr(s.condition)} (then`);
          inBlock(s.then);
          if (s.else.length) {
            line(") (else");
            inBlock(s.else);
          }
          line("))");
          break;
        case "array":
          bases.set(s.name, scratch === 0 ? "(local.get $scratch)" : `(i32.add (local.get $scratch) (i32.const ${scratch}))`);
          scratch += Math.ceil((4 * s.size) / 16) * 16;
          break;
        case "shared": case "barrier": throw new Error("codegen: the WebAssembly target takes kernels of a CPU");
        default: s satisfies never;
      }
    }
  }

  body({ names, bases, declare, line, stmts });
  const set = [...constants].map(([text, name]) => `(local.set ${name} ${text})`);
  const declared = [...constants.values()].map((name) => `(local ${name} v128)`);
  return { text: [head, ...locals, ...declared, ...set, ...lines, ")"].join("\n"), scratch };
}

/**
 * Turns of a loop that are printed as one: two of an innermost loop without stores. 6% of a matrix product's time in engines with relaxed
 * SIMD; the older ones spill registers then, and lose a third.
 */
function turnsOf({ from, to, step, body }: Extract<Stmt, { readonly kind: "for" }>): 1 | 2 {
  if (from.kind !== "const" || to.kind !== "const" || (to.value - from.value) % (2 * step) !== 0) return 1;
  return body.every(({ kind }) => kind === "let" || kind === "assign") ? 2 : 1;
}

function missing(name: string): never {
  throw new Error(`codegen: ${name} is not declared`);
}

/** Whether all bits of a vector are known to be 0. */
const isZero = (e: Expr): boolean => e.kind === "splat" && e.a.kind === "const" && Object.is(e.a.value, 0);

/** A decimal that reads back as the same f32. */
function float(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return shortestF32(value);
}
