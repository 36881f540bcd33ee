/**
 * Runs kernels of a CPU tree by tree and counts: an implementation of the kernel IR that shares nothing with the
 * printers, slow and plain. What is computed on values (f32, u32, bool) counts, a multiply-add twice, four lanes four
 * times; what is computed on indices does not, nor does a number that is made whole only to be one.
 */
import type { Expr, Kernel, Stmt, Type } from "../../src/kernel/ir.js";

export interface Counted {
  readonly operations: number;
  /** Of these, what stands outside of all loops: values that every group makes for itself. */
  readonly prologue: number;
  /** By buffer and word: what was written. */
  readonly values: ReadonlyMap<string, ReadonlyMap<number, number>>;
  /** By buffer: words that were read before this kernel had written them, and words that were written. */
  readonly touched: ReadonlyMap<string, { readonly read: number; readonly written: number }>;
}

type Value = number | readonly number[];

/** `word` gives what a buffer holds before the kernel runs. */
export function count(kernel: Kernel, word: (buffer: string, at: number) => number): Counted {
  let operations = 0;
  let prologue = 0;
  let depth = 0;
  const pools = new Map(kernel.buffers.map(({ name, pool }) => [name, pool]));
  const written = new Map(kernel.buffers.map(({ name }) => [name, new Map<number, number>()]));
  const read = new Map(kernel.buffers.map(({ name }) => [name, new Set<number>()]));
  const arrays = new Map<string, number[]>();
  const names = new Map<string, Value>();
  const places = placesIn(kernel);

  const lanes = (f: (...values: number[]) => number, ...values: readonly Value[]): Value => {
    const wide = values.find((value) => typeof value !== "number") as readonly number[] | undefined;
    return wide
      ? wide.map((_, i) => f(...values.map((value) => (typeof value === "number" ? value : value[i]!))))
      : f(...(values as number[]));
  };
  const counts = ({ of, lanes: width }: Type, times = 1): void => {
    const more = of === "index" ? 0 : times * width;
    operations += more;
    if (depth === 0) prologue += more;
  };
  const rounded = (type: Type, value: number): number =>
    type.of === "f32"
      ? Math.fround(value)
      : type.of === "u32"
        ? value >>> 0
        : type.of === "bool"
          ? Number(value !== 0)
          : value;

  function load(from: string, at: number): number {
    const array = arrays.get(from);
    if (array) return array[at]!;
    const own = written.get(from);
    if (!own) throw new Error(`no buffer ${from}`);
    const before = own.get(at);
    if (before !== undefined) return before;
    read.get(from)!.add(at);
    return word(from, at);
  }

  function store(to: string, at: number, value: number): void {
    const array = arrays.get(to);
    if (array) array[at] = value;
    else written.get(to)!.set(at, pools.get(to) === "ints" ? value >>> 0 : Math.fround(value));
  }

  const index = (e: Expr): number => evaluate(e) as number;

  function evaluate(e: Expr): Value {
    switch (e.kind) {
      case "const":
        return e.value;
      case "ref": {
        const value = names.get(e.name);
        if (value === undefined) throw new Error(`${e.name} has no value`);
        return value;
      }
      case "unary": {
        counts(e.a.type);
        const f = {
          neg: (x: number) => -x,
          exp: Math.exp,
          log: Math.log,
          sqrt: Math.sqrt,
          tanh: Math.tanh,
          erf: Math.tanh,
          abs: Math.abs,
          sin: Math.sin,
          cos: Math.cos,
          floor: Math.floor,
          not: (x: number) => Number(x === 0),
        }[e.op];
        return lanes((x) => rounded(e.type, f(x)), evaluate(e.a));
      }
      case "binary": {
        // A place, in four lanes, is an index as well.
        if (e.b.kind !== "lanes" || e.type.of !== "u32") counts(e.a.type);
        const { of } = e.a.type;
        const f = {
          add: (x: number, y: number) => x + y,
          sub: (x: number, y: number) => x - y,
          mul: (x: number, y: number) => (of === "u32" ? Math.imul(x, y) : x * y),
          div: (x: number, y: number) => (of === "f32" ? x / y : Math.floor(x / y)),
          rem: (x: number, y: number) => x % y,
          min: Math.min,
          max: Math.max,
          pow: Math.pow,
          lt: (x: number, y: number) => Number(x < y),
          le: (x: number, y: number) => Number(x <= y),
          eq: (x: number, y: number) => Number(x === y),
          ne: (x: number, y: number) => Number(x !== y),
          and: (x: number, y: number) => x & y,
          or: (x: number, y: number) => x | y,
          xor: (x: number, y: number) => x ^ y,
          shl: (x: number, y: number) => x << y,
          shr: (x: number, y: number) => x >>> y,
        }[e.op];
        return lanes((x, y) => rounded(e.type, f(x, y)), evaluate(e.a), evaluate(e.b));
      }
      case "fma":
        counts(e.type, 2);
        return lanes((x, y, z) => Math.fround(x * y + z), evaluate(e.a), evaluate(e.b), evaluate(e.c));
      case "select":
        counts(e.type);
        return lanes((c, x, y) => (c ? x : y), evaluate(e.condition), evaluate(e.then), evaluate(e.else));
      case "load": {
        const at = index(e.index);
        if (e.type.lanes === 1) return load(e.from, at);
        return Array.from({ length: e.type.lanes }, (_, l) => load(e.from, at + l));
      }
      case "cast":
        if (e.a.type.of !== "index" && e.type.of !== "index") counts(e.type);
        return lanes((x) => rounded(e.type, Math.trunc(x)), evaluate(e.a));
      case "bitcast": {
        const words = new Uint32Array(1);
        const floats = new Float32Array(words.buffer);
        return lanes((x) => {
          if (e.type.of === "f32") words[0] = x;
          else floats[0] = x;
          return e.type.of === "f32" ? floats[0]! : words[0]!;
        }, evaluate(e.a));
      }
      case "splat": {
        const value = evaluate(e.a) as number;
        return new Array<number>(e.type.lanes).fill(value);
      }
      case "lanes":
        return e.items.map((item) => evaluate(item) as number);
      case "shuffle": {
        const both = [...(evaluate(e.a) as readonly number[]), ...(evaluate(e.b) as readonly number[])];
        return e.order.map((from) => both[from]!);
      }
      case "extract":
        return (evaluate(e.a) as readonly number[])[e.lane]!;
      case "exchange":
        throw new Error("a kernel of a GPU");
      default:
        return e satisfies never;
    }
  }

  function run(list: readonly Stmt[]): void {
    for (const s of list) {
      switch (s.kind) {
        case "let":
        case "var":
        case "assign": {
          const before = [operations, prologue] as const;
          names.set(s.name, evaluate(s.value));
          if (places.has(s.name)) [operations, prologue] = before;
          break;
        }
        case "store": {
          const value = evaluate(s.value);
          const at = index(s.index);
          if (typeof value === "number") store(s.to, at, value);
          else value.forEach((one, l) => store(s.to, at + l, one));
          break;
        }
        case "for": {
          const to = index(s.to);
          for (let at = index(s.from); at < to; at += s.step) {
            names.set(s.name, at);
            depth++;
            run(s.body);
            depth--;
          }
          break;
        }
        case "if":
          run(evaluate(s.condition) ? s.then : s.else);
          break;
        case "array":
          arrays.set(s.name, new Array<number>(s.size).fill(0));
          break;
        // Nothing depends on it.
        case "prefetch":
          break;
        case "tiles":
          throw new Error("a product of bf16");
        case "shared":
        case "barrier":
          throw new Error("a kernel of a GPU");
        default:
          s satisfies never;
      }
    }
  }

  for (let group = 0; group < kernel.groups; group++) {
    names.clear();
    arrays.clear();
    names.set("group", group);
    run(kernel.body);
  }
  return {
    operations,
    prologue,
    values: written,
    touched: new Map(
      kernel.buffers.map(({ name }) => [name, { read: read.get(name)!.size, written: written.get(name)!.size }]),
    ),
  };
}

/** Names of whole numbers made of floats that are read as indices and as nothing else. */
function placesIn(kernel: Kernel): ReadonlySet<string> {
  const casts = new Set<string>();
  const reads = { index: new Map<string, number>(), all: new Map<string, number>() };
  const add = (to: Map<string, number>, name: string): void => void to.set(name, (to.get(name) ?? 0) + 1);
  const walk = (part: unknown): void => {
    if (Array.isArray(part)) return part.forEach(walk);
    if (typeof part !== "object" || part === null) return;
    const node = part as {
      readonly kind?: string;
      readonly name?: string;
      readonly type?: Type;
      readonly a?: { readonly kind?: string; readonly name?: string };
      readonly value?: { readonly kind?: string; readonly type?: Type };
    };
    if (node.kind === "let" && node.value?.kind === "cast" && node.value.type?.of === "u32") casts.add(node.name!);
    if (node.kind === "ref") add(reads.all, node.name!);
    if (node.kind === "cast" && node.type?.of === "index" && node.a?.kind === "ref") add(reads.index, node.a.name!);
    Object.values(node).forEach(walk);
  };
  walk(kernel.body);
  return new Set([...casts].filter((name) => reads.index.has(name) && reads.index.get(name) === reads.all.get(name)));
}
