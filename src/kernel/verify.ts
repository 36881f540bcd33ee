/**
 * What a kernel must obey before it is printed: types, scopes, access to buffers, lanes, and barriers that all
 * invocations of a workgroup reach. Printers rely on it and check nothing again. It returns messages, one a fault; a
 * fault is a bug of a skeleton, never of a user's spec.
 *
 * A value is uniform when all invocations of a workgroup have it in common, by the rules that WGSL has: constants,
 * `group`, what is computed of them, and loads from buffers that the kernel does not write to. A barrier needs uniform
 * control flow around it.
 */
import {
  poolType,
  type BinaryOp,
  type Expr,
  type Kernel,
  type PoolName,
  type Scalar,
  type Stmt,
  type Type,
} from "./ir.js";
import { printExpr } from "./text.js";

interface Name {
  readonly type: Type;
  readonly kind: "let" | "var" | "loop";
  uniform: boolean;
}

interface Memory {
  readonly of: "f32" | "u32";
  /** In words; null for a buffer, whose size the dispatch knows. */
  readonly size: number | null;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Loads at a uniform index are uniform. */
  readonly uniform: boolean;
}

/** Words that open a statement of the text form, its literals, and the names that every kernel has. */
const RESERVED: ReadonlySet<string> = new Set([
  "let",
  "var",
  "for",
  "if",
  "else",
  "array",
  "shared",
  "barrier",
  "true",
  "false",
  "nan",
  "inf",
  "group",
  "local",
]);
const NAME = /^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$/;

const show = (type: Type): string => (type.lanes === 4 ? `${type.of}x4` : type.of);
const same = (a: Type, b: Type): boolean => a.of === b.of && a.lanes === b.lanes;

/** The operand types of each binary operation. */
const TAKES: Readonly<Record<BinaryOp, readonly Scalar[]>> = {
  add: ["f32", "u32", "index"],
  sub: ["f32", "u32", "index"],
  mul: ["f32", "u32", "index"],
  div: ["f32", "u32", "index"],
  rem: ["u32", "index"],
  min: ["f32", "u32", "index"],
  max: ["f32", "u32", "index"],
  pow: ["f32"],
  lt: ["f32", "u32", "index"],
  le: ["f32", "u32", "index"],
  eq: ["f32", "u32", "index", "bool"],
  ne: ["f32", "u32", "index", "bool"],
  and: ["bool", "u32"],
  or: ["bool", "u32"],
  xor: ["u32", "index"],
  shl: ["u32", "index"],
  shr: ["u32", "index"],
};

/** Casts by value, as ir.ts lists them. */
const CASTS: Readonly<Record<Scalar, readonly Scalar[]>> = {
  f32: ["u32"],
  u32: ["f32", "index"],
  index: ["f32", "u32"],
  bool: ["f32", "u32"],
};

export function verifyKernel(kernel: Kernel): readonly string[] {
  const faults: string[] = [];
  const names = new Map<string, Name>();
  const memories = new Map<string, Memory>();
  const cpu = kernel.workgroup === 1;
  /** Whether all invocations run the statement that is looked at. */
  let together = true;
  const fault = (text: string): void => void faults.push(`${kernel.name}: ${text}`);

  if (!Number.isInteger(kernel.groups) || kernel.groups < 1) fault(`${kernel.groups} groups`);
  if (!Number.isInteger(kernel.workgroup) || kernel.workgroup < 1) fault(`a workgroup of ${kernel.workgroup}`);
  const written = new Set<PoolName>(kernel.buffers.filter(({ access }) => access !== "read").map(({ pool }) => pool));
  for (const { name, pool, access } of kernel.buffers) {
    fresh(name);
    memories.set(name, {
      of: poolType[pool],
      size: null,
      reads: access !== "write",
      writes: access !== "read",
      uniform: !written.has(pool),
    });
  }
  names.set("group", { type: { of: "index", lanes: 1 }, kind: "loop", uniform: true });
  if (!cpu) names.set("local", { type: { of: "index", lanes: 1 }, kind: "loop", uniform: false });
  const assigned = assignments(kernel.body);
  block(kernel.body, true, true);
  return faults;

  function fresh(name: string): void {
    if (!NAME.test(name) || name.includes("__") || RESERVED.has(name)) fault(`${name} cannot be a name`);
    if (names.has(name) || memories.has(name)) fault(`${name} is declared twice`);
  }

  function block(stmts: readonly Stmt[], uniform: boolean, top: boolean): void {
    const before = new Set([...names.keys(), ...memories.keys()]);
    for (const s of stmts) stmt(s, uniform, top);
    if (top) return;
    for (const scope of [names, memories]) for (const name of scope.keys()) if (!before.has(name)) scope.delete(name);
  }

  function stmt(s: Stmt, uniform: boolean, top: boolean): void {
    together = uniform;
    switch (s.kind) {
      case "let":
      case "var": {
        const value = expr(s.value);
        fresh(s.name);
        // A variable that changes is taken to differ between invocations.
        names.set(s.name, { type: s.value.type, kind: s.kind, uniform: value && uniform && !assigned.has(s.name) });
        return;
      }
      case "assign": {
        expr(s.value);
        const name = names.get(s.name);
        if (!name) fault(`${s.name} is assigned and not declared`);
        else if (name.kind !== "var") fault(`${s.name} is assigned and is no var`);
        else if (!same(name.type, s.value.type))
          fault(`${s.name}: ${show(name.type)} is assigned a ${show(s.value.type)}`);
        return;
      }
      case "store": {
        expr(s.value);
        const memory = place(s.to, s.index, s.value.type);
        if (memory && !memory.writes) fault(`${s.to} is stored to, and is for reading`);
        return;
      }
      case "for": {
        const from = expr(s.from);
        const to = expr(s.to);
        want(s.from, "index");
        want(s.to, "index");
        if (!Number.isInteger(s.step) || s.step < 1) fault(`the loop over ${s.name} has step ${s.step}`);
        fresh(s.name);
        names.set(s.name, { type: { of: "index", lanes: 1 }, kind: "loop", uniform: from && to && uniform });
        block(s.body, uniform && from && to, false);
        names.delete(s.name);
        return;
      }
      case "if": {
        const condition = expr(s.condition);
        want(s.condition, "bool");
        block(s.then, uniform && condition, false);
        block(s.else, uniform && condition, false);
        return;
      }
      case "array":
      case "shared":
        fresh(s.name);
        if (!Number.isInteger(s.size) || s.size < 1) fault(`${s.name} has ${s.size} words`);
        if (s.kind === "shared" && cpu) fault(`${s.name} is shared by a workgroup of one`);
        if (s.kind === "shared" && !top) fault(`${s.name} is shared and not at the top of the body`);
        memories.set(s.name, { of: s.of, size: s.size, reads: true, writes: true, uniform: false });
        return;
      case "barrier":
        if (cpu) fault("a barrier in a workgroup of one");
        if (!uniform) fault("a barrier that some invocations may not reach");
        return;
      default:
        s satisfies never;
    }
  }

  function want(e: Expr, of: Scalar): void {
    if (e.type.of !== of || e.type.lanes !== 1) fault(`${printExpr(e)} is ${show(e.type)}, not ${of}`);
  }

  function place(name: string, index: Expr, type: Type): Memory | null {
    expr(index);
    want(index, "index");
    const memory = memories.get(name);
    if (!memory) {
      fault(`${name} is no buffer or array here`);
      return null;
    }
    if (memory.of !== type.of) fault(`${name} holds ${memory.of}, not ${show(type)}`);
    if (index.kind === "const" && memory.size !== null && index.value + type.lanes > memory.size)
      fault(`${name}[${index.value}] is outside its ${memory.size} words`);
    return memory;
  }

  /** Checks an expression; true when it is uniform. */
  function expr(e: Expr): boolean {
    if (e.type.lanes === 4 && e.type.of === "index") fault(`${printExpr(e)} is an index of four lanes`);
    const bad = (): void => fault(`${printExpr(e)} is typed ${show(e.type)}`);
    switch (e.kind) {
      case "const":
        if (e.type.lanes !== 1 || !fits(e.value, e.type.of)) fault(`${e.value} is no ${show(e.type)}`);
        return true;
      case "ref": {
        const name = names.get(e.name);
        if (!name) fault(`${e.name} is not declared here`);
        else if (!same(name.type, e.type)) fault(`${e.name}: ${show(name.type)} is used as ${show(e.type)}`);
        return name?.uniform ?? false;
      }
      case "unary":
        if (e.a.type.of !== (e.op === "not" ? "bool" : "f32") || !same(e.type, e.a.type)) bad();
        return expr(e.a);
      case "binary": {
        const a = expr(e.a);
        const b = expr(e.b);
        if (!same(e.a.type, e.b.type)) fault(`${printExpr(e)} takes ${show(e.a.type)} and ${show(e.b.type)}`);
        if (!TAKES[e.op].includes(e.a.type.of)) fault(`${printExpr(e)}: ${e.op} does not take ${show(e.a.type)}`);
        const compared = e.op === "lt" || e.op === "le" || e.op === "eq" || e.op === "ne";
        if (e.type.of !== (compared ? "bool" : e.a.type.of) || e.type.lanes !== e.a.type.lanes) bad();
        if (e.a.type.lanes === 4 && (e.op === "shl" || e.op === "shr") && e.b.kind !== "splat")
          fault(`${printExpr(e)} shifts lanes by different distances`);
        if (e.a.type.lanes === 4 && e.a.type.of === "u32" && (e.op === "div" || e.op === "rem"))
          fault(`${printExpr(e)}: no ${e.op} of four words`);
        return a && b;
      }
      case "fma": {
        const parts = [expr(e.a), expr(e.b), expr(e.c)];
        if (e.type.of !== "f32" || ![e.a, e.b, e.c].every((part) => same(part.type, e.type))) bad();
        return parts.every(Boolean);
      }
      case "select": {
        const parts = [expr(e.condition), expr(e.then), expr(e.else)];
        if (e.condition.type.of !== "bool" || e.condition.type.lanes !== e.type.lanes)
          fault(`${printExpr(e.condition)} selects ${show(e.type)}`);
        if (!same(e.then.type, e.type) || !same(e.else.type, e.type)) bad();
        return parts.every(Boolean);
      }
      case "load": {
        const memory = place(e.from, e.index, e.type);
        if (memory && !memory.reads) fault(`${e.from} is loaded, and is for writing`);
        return (memory?.uniform ?? false) && expr(e.index);
      }
      case "cast":
        if (!CASTS[e.a.type.of].includes(e.type.of) || e.a.type.lanes !== e.type.lanes)
          fault(`${printExpr(e)} casts a ${show(e.a.type)}`);
        return expr(e.a);
      case "bitcast":
        if (
          !((e.type.of === "f32" && e.a.type.of === "u32") || (e.type.of === "u32" && e.a.type.of === "f32")) ||
          e.a.type.lanes !== e.type.lanes
        )
          bad();
        return expr(e.a);
      case "splat":
        if (e.a.type.lanes !== 1 || e.type.lanes !== 4 || e.a.type.of !== e.type.of) bad();
        return expr(e.a);
      case "lanes":
        if (e.type.lanes !== 4 || !e.items.every(({ type }) => type.lanes === 1 && type.of === e.type.of)) bad();
        return e.items.map(expr).every(Boolean);
      case "shuffle": {
        const lanes = e.order.every((lane) => Number.isInteger(lane) && lane >= 0 && lane < 8);
        if (!lanes || [e.a, e.b, e].some(({ type }) => type.lanes !== 4 || type.of !== e.type.of)) bad();
        const a = expr(e.a);
        return expr(e.b) && a;
      }
      case "extract":
        if (e.a.type.lanes !== 4 || e.type.lanes !== 1 || e.a.type.of !== e.type.of) bad();
        return expr(e.a);
      case "exchange":
        if (cpu) fault(`${printExpr(e)} in a workgroup of one`);
        else if (e.width < 2 || (e.width & (e.width - 1)) !== 0 || kernel.workgroup % e.width !== 0)
          fault(`${printExpr(e)}: a workgroup of ${kernel.workgroup} has no clusters of ${e.width}`);
        if (!together) fault(`${printExpr(e)} is not reached by all invocations`);
        if (!same(e.type, e.a.type) || e.type.of === "bool") bad();
        want(e.lane, "index");
        if (!expr(e.lane)) fault(`${printExpr(e)} takes a lane that differs between invocations`);
        expr(e.a);
        return false;
      default:
        return e satisfies never;
    }
  }
}

function fits(value: number, of: Scalar): boolean {
  switch (of) {
    case "f32":
      return Number.isFinite(Math.fround(value));
    case "u32":
      return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
    case "index":
      return Number.isInteger(value) && value >= 0 && value < 2 ** 31;
    case "bool":
      return value === 0 || value === 1;
    default:
      return of satisfies never;
  }
}

function assignments(stmts: readonly Stmt[], into = new Set<string>()): Set<string> {
  for (const s of stmts) {
    if (s.kind === "assign") into.add(s.name);
    else if (s.kind === "for") assignments(s.body, into);
    else if (s.kind === "if") {
      assignments(s.then, into);
      assignments(s.else, into);
    }
  }
  return into;
}
