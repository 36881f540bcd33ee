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
  TILE,
  type Expr,
  type Kernel,
  type PanelAt,
  type PoolName,
  type ScalarKind,
  type Stmt,
  type Type,
} from "./ir.js";
import { CASTS, fits, fitsOperand, same, TAKES } from "./operand-types.js";
import { printExpr } from "./text.js";

/** What is known of a name in scope. */
interface Name {
  readonly type: Type;
  readonly kind: "let" | "var" | "loop";
  uniform: boolean;
}

/** What is known of a buffer or an array in scope. */
interface MemoryFacts {
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
  "prefetch",
  "tiles",
  "true",
  "false",
  "nan",
  "inf",
  "group",
  "local",
]);
const NAME = /^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$/;

const show = (type: Type): string => (type.lanes === 1 ? type.of : `${type.of}x${type.lanes}`);

/** The state of checking one kernel. */
interface Checking {
  readonly kernel: Kernel;
  readonly faults: string[];
  readonly names: Map<string, Name>;
  readonly memories: Map<string, MemoryFacts>;
  /** Names that an assignment changes somewhere. */
  readonly assigned: ReadonlySet<string>;
  /** Whether the kernel is one of a CPU, whose workgroups are of one. */
  readonly cpu: boolean;
  /** Whether all invocations run the statement that is looked at. */
  together: boolean;
}

/** Where a statement stands. */
interface BlockPlace {
  /** Whether all invocations of a workgroup come there. */
  readonly uniform: boolean;
  /** Whether it stands at the top of the body. */
  readonly top: boolean;
}

const SCALAR_INDEX: Type = { of: "index", lanes: 1 };

/** What is wrong with a kernel, one message a fault; nothing when it may be printed. */
export function verifyKernel(kernel: Kernel): readonly string[] {
  const state: Checking = {
    kernel,
    faults: [],
    names: new Map(),
    memories: new Map(),
    assigned: assignments(kernel.body),
    cpu: kernel.workgroup === 1,
    together: true,
  };
  if (!Number.isInteger(kernel.groups) || kernel.groups < 1) fault(state, `${kernel.groups} groups`);
  if (!Number.isInteger(kernel.workgroup) || kernel.workgroup < 1) fault(state, `a workgroup of ${kernel.workgroup}`);
  const written = new Set<PoolName>(kernel.buffers.filter(({ access }) => access !== "read").map(({ pool }) => pool));
  for (const { name, pool, access } of kernel.buffers) {
    checkFresh(state, name);
    state.memories.set(name, {
      of: poolType[pool],
      size: null,
      reads: access !== "write",
      writes: access !== "read",
      uniform: !written.has(pool),
    });
  }
  state.names.set("group", { type: SCALAR_INDEX, kind: "loop", uniform: true });
  if (!state.cpu) state.names.set("local", { type: SCALAR_INDEX, kind: "loop", uniform: false });
  checkBlock(state, kernel.body, { uniform: true, top: true });
  return state.faults;
}

const fault = ({ faults, kernel }: Checking, text: string): void => void faults.push(`${kernel.name}: ${text}`);

/** That a name may be declared here. */
function checkFresh(state: Checking, name: string): void {
  if (!NAME.test(name) || name.includes("__") || RESERVED.has(name)) fault(state, `${name} cannot be a name`);
  if (state.names.has(name) || state.memories.has(name)) fault(state, `${name} is declared twice`);
}

function checkBlock(state: Checking, stmts: readonly Stmt[], place: BlockPlace): void {
  const { names, memories } = state;
  const before = new Set([...names.keys(), ...memories.keys()]);
  for (const s of stmts) checkStmt(state, s, place);
  if (place.top) return;
  for (const scope of [names, memories]) for (const name of scope.keys()) if (!before.has(name)) scope.delete(name);
}

function checkStmt(state: Checking, s: Stmt, place: BlockPlace): void {
  const { uniform } = place;
  state.together = uniform;
  switch (s.kind) {
    case "let":
    case "var": {
      const value = checkExpr(state, s.value);
      checkFresh(state, s.name);
      // A variable that changes is taken to differ between invocations.
      const isUniform = value && uniform && !state.assigned.has(s.name);
      state.names.set(s.name, { type: s.value.type, kind: s.kind, uniform: isUniform });
      return;
    }
    case "assign":
      checkExpr(state, s.value);
      checkAssigned(state, s.name, s.value.type);
      return;
    case "store": {
      checkExpr(state, s.value);
      const memory = checkAccess(state, s.to, s.index, s.value.type);
      if (memory && !memory.writes) fault(state, `${s.to} is stored to, and is for reading`);
      return;
    }
    case "prefetch":
      if (!state.cpu) fault(state, `${s.of} is fetched ahead in a workgroup`);
      if (!state.memories.has(s.of)) fault(state, `${s.of} is no buffer or array here`);
      checkExpr(state, s.index);
      checkScalar(state, s.index, "index");
      return;
    case "tiles":
      return checkTiles(state, s);
    case "for":
      checkLoop(state, s, uniform);
      return;
    case "if": {
      const condition = checkExpr(state, s.condition);
      checkScalar(state, s.condition, "bool");
      checkBlock(state, s.then, { uniform: uniform && condition, top: false });
      checkBlock(state, s.else, { uniform: uniform && condition, top: false });
      return;
    }
    case "array":
    case "shared":
      checkFresh(state, s.name);
      if (!Number.isInteger(s.size) || s.size < 1) fault(state, `${s.name} has ${s.size} words`);
      if (s.kind === "shared" && state.cpu) fault(state, `${s.name} is shared by a workgroup of one`);
      if (s.kind === "shared" && !place.top) fault(state, `${s.name} is shared and not at the top of the body`);
      state.memories.set(s.name, { of: s.of, size: s.size, reads: true, writes: true, uniform: false });
      return;
    case "barrier":
      if (state.cpu) fault(state, "a barrier in a workgroup of one");
      if (!uniform) fault(state, "a barrier that some invocations may not reach");
      return;
    default:
      s satisfies never;
  }
}

function checkAssigned(state: Checking, name: string, type: Type): void {
  const declared = state.names.get(name);
  if (!declared) fault(state, `${name} is assigned and not declared`);
  else if (declared.kind !== "var") fault(state, `${name} is assigned and is no var`);
  else if (!same(declared.type, type)) fault(state, `${name}: ${show(declared.type)} is assigned a ${show(type)}`);
}

function checkLoop(state: Checking, s: Extract<Stmt, { readonly kind: "for" }>, uniform: boolean): void {
  const from = checkExpr(state, s.from);
  const to = checkExpr(state, s.to);
  checkScalar(state, s.from, "index");
  checkScalar(state, s.to, "index");
  if (!Number.isInteger(s.step) || s.step < 1) fault(state, `the loop over ${s.name} has step ${s.step}`);
  checkFresh(state, s.name);
  const isUniform = from && to && uniform;
  state.names.set(s.name, { type: SCALAR_INDEX, kind: "loop", uniform: isUniform });
  checkBlock(state, s.body, { uniform: isUniform, top: false });
  state.names.delete(s.name);
}

function checkTiles(state: Checking, s: Extract<Stmt, { readonly kind: "tiles" }>): void {
  if (!state.cpu) fault(state, `${s.to} takes products of bf16 in a workgroup`);
  if (s.line < TILE) fault(state, `${s.to} takes ${TILE} columns in lines of ${s.line}`);
  checkExpr(state, s.blocks);
  checkScalar(state, s.blocks, "index");
  const panel = ({ of, index }: PanelAt, kind: "f32" | "u32", size: number): void => {
    const memory = checkAccess(state, of, index, { of: kind, lanes: 1 });
    if (!memory) return;
    if (memory.size === null) fault(state, `${of} is a buffer: panels are arrays`);
    else if (index.kind === "const" && index.value + size > memory.size)
      fault(state, `${of}[${index.value}] is outside its ${memory.size} words`);
  };
  panel({ of: s.to, index: s.index }, "f32", (TILE - 1) * s.line + TILE);
  for (const operand of [s.a, s.b]) panel(operand, "u32", (TILE * TILE) / 2);
}

function checkScalar(state: Checking, e: Expr, of: ScalarKind): void {
  if (e.type.of !== of || e.type.lanes !== 1) fault(state, `${printExpr(e)} is ${show(e.type)}, not ${of}`);
}

/** Checks where a load or a store goes; null when there is no such buffer or array. */
function checkAccess(state: Checking, name: string, index: Expr, type: Type): MemoryFacts | null {
  checkExpr(state, index);
  checkScalar(state, index, "index");
  const memory = state.memories.get(name);
  if (!memory) {
    fault(state, `${name} is no buffer or array here`);
    return null;
  }
  if (memory.of !== type.of) fault(state, `${name} holds ${memory.of}, not ${show(type)}`);
  if (index.kind === "const" && memory.size !== null && index.value + type.lanes > memory.size)
    fault(state, `${name}[${index.value}] is outside its ${memory.size} words`);
  return memory;
}

const wrongType = (state: Checking, e: Expr): void => fault(state, `${printExpr(e)} is typed ${show(e.type)}`);

/** Checks an expression; true when it is uniform. */
function checkExpr(state: Checking, e: Expr): boolean {
  if (e.type.lanes !== 1 && e.type.of === "index") fault(state, `${printExpr(e)} is an index of several lanes`);
  switch (e.kind) {
    case "const":
      if (e.type.lanes !== 1 || !fits(e.value, e.type.of)) fault(state, `${e.value} is no ${show(e.type)}`);
      return true;
    case "ref": {
      const name = state.names.get(e.name);
      if (!name) fault(state, `${e.name} is not declared here`);
      else if (!same(name.type, e.type)) fault(state, `${e.name}: ${show(name.type)} is used as ${show(e.type)}`);
      return name?.uniform ?? false;
    }
    case "unary":
    case "bitcast":
    case "splat":
    case "extract":
      if (!fitsOperand(e)) wrongType(state, e);
      return checkExpr(state, e.a);
    case "binary":
      return checkBinary(state, e);
    case "fma": {
      const parts = [checkExpr(state, e.a), checkExpr(state, e.b), checkExpr(state, e.c)];
      if (e.type.of !== "f32" || ![e.a, e.b, e.c].every((part) => same(part.type, e.type))) wrongType(state, e);
      return parts.every(Boolean);
    }
    case "select": {
      const parts = [checkExpr(state, e.condition), checkExpr(state, e.then), checkExpr(state, e.else)];
      if (e.condition.type.of !== "bool" || e.condition.type.lanes !== e.type.lanes)
        fault(state, `${printExpr(e.condition)} selects ${show(e.type)}`);
      if (!same(e.then.type, e.type) || !same(e.else.type, e.type)) wrongType(state, e);
      return parts.every(Boolean);
    }
    case "load": {
      const memory = checkAccess(state, e.from, e.index, e.type);
      if (memory && !memory.reads) fault(state, `${e.from} is loaded, and is for writing`);
      return (memory?.uniform ?? false) && checkExpr(state, e.index);
    }
    case "cast":
      if (!CASTS[e.a.type.of].includes(e.type.of) || e.a.type.lanes !== e.type.lanes)
        fault(state, `${printExpr(e)} casts a ${show(e.a.type)}`);
      return checkExpr(state, e.a);
    case "lanes":
      if (e.type.lanes !== e.items.length || !e.items.every(({ type }) => type.lanes === 1 && type.of === e.type.of))
        wrongType(state, e);
      return e.items.map((item) => checkExpr(state, item)).every(Boolean);
    case "shuffle":
      return checkShuffle(state, e);
    case "exchange":
      return checkExchange(state, e);
    default:
      return e satisfies never;
  }
}

function checkBinary(state: Checking, e: Extract<Expr, { readonly kind: "binary" }>): boolean {
  const a = checkExpr(state, e.a);
  const b = checkExpr(state, e.b);
  const { type } = e.a;
  if (!same(type, e.b.type)) fault(state, `${printExpr(e)} takes ${show(type)} and ${show(e.b.type)}`);
  if (!TAKES[e.op].includes(type.of)) fault(state, `${printExpr(e)}: ${e.op} does not take ${show(type)}`);
  const isComparison = e.op === "lt" || e.op === "le" || e.op === "eq" || e.op === "ne";
  if (e.type.of !== (isComparison ? "bool" : type.of) || e.type.lanes !== type.lanes) wrongType(state, e);
  if (type.lanes !== 1 && (e.op === "shl" || e.op === "shr") && e.b.kind !== "splat")
    fault(state, `${printExpr(e)} shifts lanes by different distances`);
  if (type.lanes !== 1 && type.of === "u32" && (e.op === "div" || e.op === "rem"))
    fault(state, `${printExpr(e)}: no ${e.op} of vectors`);
  return a && b;
}

function checkShuffle(state: Checking, e: Extract<Expr, { readonly kind: "shuffle" }>): boolean {
  const { lanes } = e.type;
  const areLanes = e.order.every((lane) => Number.isInteger(lane) && lane >= 0 && lane < 2 * lanes);
  if (!areLanes || lanes === 1 || e.order.length !== lanes || ![e.a, e.b].every(({ type }) => same(type, e.type)))
    wrongType(state, e);
  const a = checkExpr(state, e.a);
  return checkExpr(state, e.b) && a;
}

/** What an exchange gives differs between invocations. */
function checkExchange(state: Checking, e: Extract<Expr, { readonly kind: "exchange" }>): false {
  const { workgroup } = state.kernel;
  if (state.cpu) fault(state, `${printExpr(e)} in a workgroup of one`);
  else if (e.width < 2 || (e.width & (e.width - 1)) !== 0 || workgroup % e.width !== 0)
    fault(state, `${printExpr(e)}: a workgroup of ${workgroup} has no clusters of ${e.width}`);
  if (!state.together) fault(state, `${printExpr(e)} is not reached by all invocations`);
  if (!same(e.type, e.a.type) || e.type.of === "bool") wrongType(state, e);
  checkScalar(state, e.lane, "index");
  if (!checkExpr(state, e.lane)) fault(state, `${printExpr(e)} takes a lane that differs between invocations`);
  checkExpr(state, e.a);
  return false;
}

/** Names that statements assign to. */
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
