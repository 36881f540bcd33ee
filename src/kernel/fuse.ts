/**
 * Products that are read once, by a sum of vectors, become multiply-adds: one instruction where the engine has it, two
 * as before where it has not. Only what the same block computes from values that never change may move to its reader. A
 * sum that a loop carries stays as it is: its turns wait for each other, three cycles for a sum and four for a
 * multiply-add.
 */
import * as k from "./build.js";
import type { Expr, Stmt } from "./ir.js";
import { eachExpr, mapOperands } from "./operands.js";

/** A product of two vectors. */
type VectorProduct = Extract<Expr, { readonly kind: "binary" }>;

/** What is known of the names of a body. */
interface NamesInBody {
  /** How often each name is read. */
  readonly uses: ReadonlyMap<string, number>;
  /** Variables that are declared so far. */
  readonly variables: Set<string>;
}

/** The products of one block that a sum may take, by their names, and those that one took. */
interface BlockProducts {
  readonly products: Map<string, VectorProduct>;
  readonly taken: Set<string>;
}

/** A body with multiply-adds where a vector product is read once, by a sum. */
export function fuse(body: readonly Stmt[]): Stmt[] {
  const uses = new Map<string, number>();
  eachExpr(body, (e) => {
    if (e.kind === "ref") uses.set(e.name, (uses.get(e.name) ?? 0) + 1);
  });
  return fuseBlock({ uses, variables: new Set() }, body);
}

const isVariable = ({ variables }: NamesInBody, e: Expr): boolean => e.kind === "ref" && variables.has(e.name);

/** Whether an expression has the same value wherever it stands. */
const isFixed = (names: NamesInBody, e: Expr): boolean =>
  e.kind === "const" || (e.kind === "ref" && !isVariable(names, e)) || (e.kind === "splat" && isFixed(names, e.a));

/** The product that an operand is, or names: it is taken then. */
function take({ products, taken }: BlockProducts, e: Expr): VectorProduct | null {
  if (isProduct(e)) return e;
  const product = e.kind === "ref" ? products.get(e.name) : undefined;
  if (e.kind === "ref" && product) taken.add(e.name);
  return product ?? null;
}

function fuseExpr(names: NamesInBody, block: BlockProducts, e: Expr): Expr {
  const fused = mapOperands(e, (operand) => fuseExpr(names, block, operand));
  if (fused.kind !== "binary" || fused.op !== "add" || !isVector(fused)) return fused;
  if (isVariable(names, fused.a) || isVariable(names, fused.b)) return fused;
  const right = take(block, fused.b);
  if (right) return k.fma(right.a, right.b, fused.a);
  const left = take(block, fused.a);
  return left ? k.fma(left.a, left.b, fused.b) : fused;
}

function fuseBlock(names: NamesInBody, stmts: readonly Stmt[]): Stmt[] {
  const block: BlockProducts = { products: new Map(), taken: new Set() };
  return stmts.map((s) => fuseStmt(names, block, s)).filter((s) => s.kind !== "let" || !block.taken.has(s.name));
}

function fuseStmt(names: NamesInBody, block: BlockProducts, s: Stmt): Stmt {
  switch (s.kind) {
    case "let": {
      const value = fuseExpr(names, block, s.value);
      const isMovable = isProduct(value) && isFixed(names, value.a) && isFixed(names, value.b);
      if (isMovable && names.uses.get(s.name) === 1) block.products.set(s.name, value);
      return { ...s, value };
    }
    case "var":
      names.variables.add(s.name);
      return { ...s, value: fuseExpr(names, block, s.value) };
    case "assign":
    case "store":
      return { ...s, value: fuseExpr(names, block, s.value) };
    case "for":
      return { ...s, body: fuseBlock(names, s.body) };
    case "if":
      return { ...s, then: fuseBlock(names, s.then), else: fuseBlock(names, s.else) };
    case "prefetch":
    case "tiles":
    case "array":
    case "shared":
    case "barrier":
      return s;
    default:
      return s satisfies never;
  }
}

const isVector = ({ type }: Expr): boolean => type.of === "f32" && type.lanes !== 1;
const isProduct = (e: Expr): e is VectorProduct => e.kind === "binary" && e.op === "mul" && isVector(e);
