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
  type PoolName,
  type Scalar,
  type Stmt,
  type Type,
  type UnaryOp,
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
const SCALARS: ReadonlySet<string> = new Set<Scalar>(["f32", "u32", "bool", "index"]);

/** A minus sign that touches digits is part of the number: text.ts puts spaces around operators. */
function tokenize(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw new Error(`kernel text: cannot read ${JSON.stringify(text.slice(at, at + 20))}`);
    const token = found[1] ?? found[2] ?? found[3]!;
    tokens.push(token);
    // "v.2" and "x[i].x4.0" would otherwise read the rest as a decimal.
    if (token === "." && /\d/.test(text[TOKEN.lastIndex] ?? "")) {
      tokens.push(text[TOKEN.lastIndex]!);
      TOKEN.lastIndex++;
    }
  }
  return tokens;
}

export function parseKernel(text: string): Kernel {
  const tokens = tokenize(text);
  const types = new Map<string, Type>([
    ["group", k.INDEX],
    ["local", k.INDEX],
  ]);
  const memories = new Map<string, "f32" | "u32">();
  let at = 0;

  const fail = (wanted: string): never => {
    throw new Error(`kernel text: expected ${wanted}, found ${tokens.slice(at, at + 5).join(" ") || "the end"}`);
  };
  const next = (): string => tokens[at++] ?? fail("more");
  const accept = (token: string): boolean => tokens[at] === token && ++at > 0;
  const expect = (token: string): void => void (accept(token) || fail(token));
  const name = (): string => (/^[A-Za-z_]/.test(tokens[at] ?? "") ? next() : fail("a name"));
  const integer = (): number => (/^\d+$/.test(tokens[at] ?? "") ? Number(next()) : fail("a whole number"));
  function oneOf<T extends string>(...words: readonly T[]): T {
    const found = words.find((word) => word === tokens[at]);
    if (found === undefined) return fail(words.join(" or "));
    at++;
    return found;
  }
  const type = (): Type => {
    const word = next();
    const of = word.endsWith("x4") ? word.slice(0, -2) : word;
    if (!SCALARS.has(of)) return fail("a type");
    return { of: of as Scalar, lanes: word.endsWith("x4") ? 4 : 1 };
  };

  function list(): Expr[] {
    expect("(");
    const items = [expr()];
    while (accept(",")) items.push(expr());
    expect(")");
    return items;
  }

  function expr(): Expr {
    let e = primary();
    while (tokens[at] === "." && /^[0-3]$/.test(tokens[at + 1] ?? "")) {
      at++;
      e = k.extract(e, Number(next()) as 0 | 1 | 2 | 3);
    }
    return e;
  }

  function primary(): Expr {
    if (accept("(")) {
      const a = expr();
      if (accept("?")) {
        const then = expr();
        expect(":");
        const otherwise = expr();
        expect(")");
        return k.select(a, then, otherwise);
      }
      const op = OPERATORS.get(next()) ?? fail("an operator");
      const b = expr();
      expect(")");
      return raw(op, a, b);
    }
    const word = next();
    if (/^-?\d|^-?inf$/.test(word)) return literal(word);
    if (word === "nan") return k.f32(Number.NaN);
    if (word === "true" || word === "false") return k.bool(word === "true");
    if (tokens[at] === "[") {
      at++;
      const index = expr();
      expect("]");
      return k.load(word, index, {
        of: memories.get(word) ?? fail(`memory instead of ${word}`),
        lanes: wide() ? 4 : 1,
      });
    }
    if (tokens[at] !== "(") return k.ref(word, types.get(word) ?? fail(`a declared name instead of ${word}`));
    const items = list();
    const [a, b, c, d] = items;
    if (UNARY.has(word)) return k.unary(word as UnaryOp, a!);
    if (CALLED.has(word)) return raw(word as BinaryOp, a!, b ?? fail("two operands"));
    if (SCALARS.has(word)) return { kind: "cast", a: a!, type: { of: word as Scalar, lanes: a!.type.lanes } };
    switch (word) {
      case "bits_f32":
        return k.bitcast(a!, "f32");
      case "bits_u32":
        return k.bitcast(a!, "u32");
      case "splat":
        return k.splat(a!);
      case "fma":
        return k.fma(a!, b ?? fail("three operands"), c ?? fail("three operands"));
      case "lanes":
        return k.lanes([a!, b ?? fail("four items"), c ?? fail("four items"), d ?? fail("four items")]);
      case "shuffle": {
        const order = items.slice(2).map((lane) => (lane.kind === "const" ? lane.value : fail("a lane")));
        if (order.length !== 4) fail("two vectors and four lanes");
        return k.shuffle(a!, b!, order as [number, number, number, number]);
      }
      case "exchange":
        return k.exchange(a!, b ?? fail("a lane"), c?.kind === "const" ? c.value : fail("a width"));
      default:
        return fail(`an operation instead of ${word}`);
    }
  }

  /** As written: nothing is folded. */
  function raw(op: BinaryOp, a: Expr, b: Expr): Expr {
    const compared = op === "lt" || op === "le" || op === "eq" || op === "ne";
    return { kind: "binary", op, a, b, type: compared ? { of: "bool", lanes: a.type.lanes } : a.type };
  }

  function literal(word: string): Expr {
    if (word.endsWith("inf")) return k.f32(word.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
    if (word.endsWith("u")) return k.u32(Number(word.slice(0, -1)));
    return /[.e]/.test(word) ? k.f32(Number(word)) : k.idx(Number(word));
  }

  const wide = (): boolean => tokens[at] === "." && tokens[at + 1] === "x4" && (at += 2) > 0;

  function block(): Stmt[] {
    const stmts: Stmt[] = [];
    expect("{");
    while (!accept("}")) stmts.push(stmt());
    return stmts;
  }

  function memory(kind: "array" | "shared"): Stmt {
    const of = name();
    expect(":");
    const element = oneOf("f32", "u32");
    expect("[");
    const size = integer();
    expect("]");
    memories.set(of, element);
    return { kind, name: of, of: element, size };
  }

  function stmt(): Stmt {
    const word = name();
    switch (word) {
      case "let":
      case "var": {
        const declared = name();
        expect(":");
        const of = type();
        expect("=");
        const value = expr();
        types.set(declared, of);
        return { kind: word, name: declared, value };
      }
      case "for": {
        const loop = name();
        expect("=");
        const from = expr();
        expect("to");
        const to = expr();
        expect("step");
        const step = integer();
        types.set(loop, k.INDEX);
        return k.forS(loop, from, to, step, block());
      }
      case "if": {
        const condition = expr();
        const then = block();
        return k.ifS(condition, then, accept("else") ? block() : []);
      }
      case "array":
      case "shared":
        return memory(word);
      case "barrier": {
        const storage = accept("(");
        if (storage) {
          expect("storage");
          expect(")");
        }
        return k.barrier(storage);
      }
      default: {
        if (accept("=")) return k.assign(word, expr());
        expect("[");
        const index = expr();
        expect("]");
        wide();
        expect("=");
        return k.store(word, index, expr());
      }
    }
  }

  function buffer(): Buffer {
    const of = name();
    expect(":");
    const access = oneOf("read", "write", "read_write");
    const pool = oneOf<PoolName>("state", "work", "ints", "out", "half");
    memories.set(of, poolType[pool]);
    return { name: of, pool, access };
  }

  expect("kernel");
  const called = name();
  const buffers: Buffer[] = [];
  expect("(");
  while (!accept(")")) {
    buffers.push(buffer());
    if (tokens[at] !== ")") expect(",");
  }
  expect("groups");
  const groups = integer();
  expect("workgroup");
  const workgroup = integer();
  const body = block();
  if (at !== tokens.length) fail("the end");
  return { name: called, groups, workgroup, buffers, body };
}
