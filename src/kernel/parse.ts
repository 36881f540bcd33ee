/**
 * Reads the text that text.ts prints, so that a test of a printer or a pass can be written as text. Types of names come
 * from their declarations, those of expressions from build.ts's rules. It trusts types that do not fit to the verifier,
 * and throws on text that is no kernel: its readers are developers, not users.
 */
import * as k from "./build.js";
import {
  poolType,
  type BinaryOp,
  type Buffer,
  type Expr,
  type Kernel,
  type Lanes,
  type PoolName,
  type ScalarKind,
  type Stmt,
  type Type,
  type UnaryOp,
  type PanelAt,
} from "./ir.js";
import { SYMBOLS } from "./text.js";

const TOKEN =
  /\s*(?:([A-Za-z_]\w*)|(-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?u?|inf\b))|(<<|>>|<=|==|!=|[-+*/%<&|^?:()[\]{},.=]))/y;

const OPERATORS: ReadonlyMap<string, BinaryOp> = new Map(
  Object.entries(SYMBOLS).map(([op, symbol]) => [symbol, op as BinaryOp]),
);
const UNARY: ReadonlySet<string> = new Set<UnaryOp>([
  "neg",
  "exp",
  "log",
  "sqrt",
  "tanh",
  "erf",
  "abs",
  "sin",
  "cos",
  "floor",
  "not",
]);
const CALLED: ReadonlySet<string> = new Set<BinaryOp>(["min", "max", "pow"]);
const SCALARS: ReadonlySet<string> = new Set<ScalarKind>(["f32", "u32", "bool", "index"]);

/** What is read so far, and what it declares. */
interface KernelReader {
  readonly tokens: readonly string[];
  /** The token that comes next. */
  at: number;
  /** Types of declared names. */
  readonly types: Map<string, Type>;
  /** Element types of buffers and arrays. */
  readonly memories: Map<string, "f32" | "u32">;
}

/** A minus sign that touches digits is part of the number: text.ts puts spaces around operators. */
function tokenize(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const [, word, number, sign] = TOKEN.exec(text) ?? [];
    const token = word ?? number ?? sign;
    if (token === undefined) throw new Error(`kernel text: cannot read ${JSON.stringify(text.slice(at, at + 20))}`);
    tokens.push(token);
    // "v.2" and "x[i].x4.0" would otherwise read the rest as a decimal.
    const digit = text[TOKEN.lastIndex] ?? "";
    if (token === "." && /\d/.test(digit)) {
      tokens.push(digit);
      TOKEN.lastIndex++;
    }
  }
  return tokens;
}

/** The kernel of a text. Throws an Error that shows what stands where something else was expected. */
export function parseKernel(text: string): Kernel {
  const types = new Map<string, Type>([
    ["group", k.INDEX],
    ["local", k.INDEX],
  ]);
  const reader: KernelReader = { tokens: tokenize(text), at: 0, types, memories: new Map() };
  expect(reader, "kernel");
  const name = readName(reader);
  const buffers: Buffer[] = [];
  expect(reader, "(");
  while (!accept(reader, ")")) {
    buffers.push(readBuffer(reader));
    if (peek(reader) !== ")") expect(reader, ",");
  }
  expect(reader, "groups");
  const groups = readInteger(reader);
  expect(reader, "workgroup");
  const workgroup = readInteger(reader);
  const body = readBlock(reader);
  if (reader.at !== reader.tokens.length) fail(reader, "the end");
  return { name, groups, workgroup, buffers, body };
}

function fail({ tokens, at }: KernelReader, wanted: string): never {
  throw new Error(`kernel text: expected ${wanted}, found ${tokens.slice(at, at + 5).join(" ") || "the end"}`);
}

/** The next token, or the one so many behind it; "" at the end. */
const peek = ({ tokens, at }: KernelReader, ahead = 0): string => tokens[at + ahead] ?? "";

function next(reader: KernelReader): string {
  const token = reader.tokens[reader.at++];
  return token ?? fail(reader, "more");
}

/** Steps over a token, if it is the next. */
function accept(reader: KernelReader, token: string): boolean {
  const isNext = reader.tokens[reader.at] === token;
  if (isNext) reader.at++;
  return isNext;
}

const expect = (reader: KernelReader, token: string): void => void (accept(reader, token) || fail(reader, token));

const readName = (reader: KernelReader): string =>
  /^[A-Za-z_]/.test(peek(reader)) ? next(reader) : fail(reader, "a name");

const readInteger = (reader: KernelReader): number =>
  /^\d+$/.test(peek(reader)) ? Number(next(reader)) : fail(reader, "a whole number");

function readOneOf<T extends string>(reader: KernelReader, ...words: readonly T[]): T {
  const match = words.find((word) => word === reader.tokens[reader.at]);
  if (match === undefined) return fail(reader, words.join(" or "));
  reader.at++;
  return match;
}

const isScalar = (word: string): word is ScalarKind => SCALARS.has(word);
const isUnary = (word: string): word is UnaryOp => UNARY.has(word);
const isCalled = (word: string): word is BinaryOp => CALLED.has(word);

function readType(reader: KernelReader): Type {
  const word = next(reader);
  const [, of = word, lanes = "1"] = /^(.*?)x(4|8|16)$/.exec(word) ?? [];
  return isScalar(of) ? { of, lanes: lanesOf(reader, lanes) } : fail(reader, "a type");
}

function readExpr(reader: KernelReader): Expr {
  let e = readPrimary(reader);
  while (peek(reader) === "." && /^\d+$/.test(peek(reader, 1))) {
    reader.at++;
    e = k.extract(e, Number(next(reader)));
  }
  return e;
}

function readPrimary(reader: KernelReader): Expr {
  if (accept(reader, "(")) return readParenthesized(reader);
  const word = next(reader);
  if (/^-?\d|^-?inf$/.test(word)) return literal(word);
  if (word === "nan") return k.f32(Number.NaN);
  if (word === "true" || word === "false") return k.bool(word === "true");
  if (peek(reader) === "[") return readLoad(reader, word);
  if (peek(reader) === "(") return readCall(reader, word);
  return k.ref(word, reader.types.get(word) ?? fail(reader, `a declared name instead of ${word}`));
}

/** What follows a parenthesis: a choice or a binary operation. */
function readParenthesized(reader: KernelReader): Expr {
  const a = readExpr(reader);
  if (accept(reader, "?")) {
    const then = readExpr(reader);
    expect(reader, ":");
    const otherwise = readExpr(reader);
    expect(reader, ")");
    return k.select(a, then, otherwise);
  }
  const op = OPERATORS.get(next(reader)) ?? fail(reader, "an operator");
  const b = readExpr(reader);
  expect(reader, ")");
  return unfolded(op, a, b);
}

function readLoad(reader: KernelReader, from: string): Expr {
  const index = readIndex(reader);
  const of = reader.memories.get(from) ?? fail(reader, `memory instead of ${from}`);
  return k.load(from, index, { of, lanes: acceptWide(reader) });
}

/** An index in brackets. */
function readIndex(reader: KernelReader): Expr {
  expect(reader, "[");
  const index = readExpr(reader);
  expect(reader, "]");
  return index;
}

/** Steps over ".x4" and the like, if it is next: the lanes of an access. */
function acceptWide(reader: KernelReader): Lanes {
  const word = peek(reader) === "." ? peek(reader, 1) : "";
  if (!/^x\d+$/.test(word)) return 1;
  reader.at += 2;
  return lanesOf(reader, word.slice(1));
}

function lanesOf(reader: KernelReader, word: string): Lanes {
  const lanes = Number(word);
  return k.isLanes(lanes) ? lanes : fail(reader, "1, 4, 8 or 16 lanes");
}

/** An operation that is written as a call. */
function readCall(reader: KernelReader, word: string): Expr {
  const items = readItems(reader);
  const [a, b, c] = items;
  if (isUnary(word)) return k.unary(word, a);
  if (isCalled(word)) return unfolded(word, a, b ?? fail(reader, "two operands"));
  if (isScalar(word)) return { kind: "cast", a, type: { of: word, lanes: a.type.lanes } };
  switch (word) {
    case "bits_f32":
      return k.bitcast(a, "f32");
    case "bits_u32":
      return k.bitcast(a, "u32");
    case "splat":
    case "splat8":
    case "splat16":
      return k.splat(a, lanesOf(reader, word.slice("splat".length) || "4"));
    case "fma":
      return b && c ? k.fma(a, b, c) : fail(reader, "three operands");
    case "lanes":
      return k.isLanes(items.length) && b ? k.lanes(items) : fail(reader, "4, 8 or 16 items");
    case "shuffle": {
      const order = items.slice(2).map((lane) => (lane.kind === "const" ? lane.value : fail(reader, "a lane")));
      if (!b || order.length !== a.type.lanes) return fail(reader, "two vectors and as many lanes as they have");
      return k.shuffle(a, b, order);
    }
    case "exchange":
      if (!b) return fail(reader, "a lane");
      return k.exchange(a, b, c?.kind === "const" ? c.value : fail(reader, "a width"));
    default:
      return fail(reader, `an operation instead of ${word}`);
  }
}

/** Expressions in parentheses, one at least. */
function readItems(reader: KernelReader): [Expr, ...Expr[]] {
  expect(reader, "(");
  const items: [Expr, ...Expr[]] = [readExpr(reader)];
  while (accept(reader, ",")) items.push(readExpr(reader));
  expect(reader, ")");
  return items;
}

/** A binary operation as it is written: nothing is folded. */
function unfolded(op: BinaryOp, a: Expr, b: Expr): Expr {
  const isComparison = op === "lt" || op === "le" || op === "eq" || op === "ne";
  return { kind: "binary", op, a, b, type: isComparison ? { of: "bool", lanes: a.type.lanes } : a.type };
}

function literal(word: string): Expr {
  if (word.endsWith("inf")) return k.f32(word.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
  if (word.endsWith("u")) return k.u32(Number(word.slice(0, -1)));
  return /[.e]/.test(word) ? k.f32(Number(word)) : k.idx(Number(word));
}

function readBlock(reader: KernelReader): Stmt[] {
  const stmts: Stmt[] = [];
  expect(reader, "{");
  while (!accept(reader, "}")) stmts.push(readStmt(reader));
  return stmts;
}

function readStmt(reader: KernelReader): Stmt {
  const word = readName(reader);
  switch (word) {
    case "let":
    case "var": {
      const name = readName(reader);
      expect(reader, ":");
      const type = readType(reader);
      expect(reader, "=");
      const value = readExpr(reader);
      reader.types.set(name, type);
      return { kind: word, name, value };
    }
    case "for":
      return readLoop(reader);
    case "if": {
      const condition = readExpr(reader);
      const then = readBlock(reader);
      return k.ifS(condition, then, accept(reader, "else") ? readBlock(reader) : []);
    }
    case "array":
    case "shared":
      return readArray(reader, word);
    case "barrier": {
      const storage = accept(reader, "(");
      if (storage) {
        expect(reader, "storage");
        expect(reader, ")");
      }
      return k.barrier(storage);
    }
    case "prefetch": {
      const of = readName(reader);
      const write = of === "write" && peek(reader) !== "[";
      return k.prefetch(write ? readName(reader) : of, readIndex(reader), write);
    }
    case "tiles":
      return readTiles(reader);
    default: {
      if (accept(reader, "=")) return k.assign(word, readExpr(reader));
      const index = readIndex(reader);
      acceptWide(reader);
      expect(reader, "=");
      return k.store(word, index, readExpr(reader));
    }
  }
}

function readTiles(reader: KernelReader): Stmt {
  const panel = (): PanelAt => ({ of: readName(reader), index: readIndex(reader) });
  const { of: to, index } = panel();
  expect(reader, "line");
  const line = readInteger(reader);
  const adds = accept(reader, "+");
  expect(reader, "=");
  const a = panel();
  expect(reader, "*");
  const b = panel();
  expect(reader, "over");
  return k.tiles({ to, index, line, a, b, blocks: readExpr(reader), adds });
}

function readLoop(reader: KernelReader): Stmt {
  const name = readName(reader);
  expect(reader, "=");
  const from = readExpr(reader);
  expect(reader, "to");
  const to = readExpr(reader);
  expect(reader, "step");
  const step = readInteger(reader);
  reader.types.set(name, k.INDEX);
  return k.forS(name, from, to, step, readBlock(reader));
}

function readArray(reader: KernelReader, kind: "array" | "shared"): Stmt {
  const name = readName(reader);
  expect(reader, ":");
  const of = readOneOf(reader, "f32", "u32");
  expect(reader, "[");
  const size = readInteger(reader);
  expect(reader, "]");
  reader.memories.set(name, of);
  return { kind, name, of, size };
}

function readBuffer(reader: KernelReader): Buffer {
  const name = readName(reader);
  expect(reader, ":");
  const access = readOneOf(reader, "read", "write", "read_write");
  const pool = readOneOf<PoolName>(reader, "state", "work", "ints", "out", "half");
  reader.memories.set(name, poolType[pool]);
  return { name, pool, access };
}
