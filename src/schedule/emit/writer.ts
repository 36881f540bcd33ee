/**
 * Writes the body of a kernel from the outside in: loops and branches are scopes, a stack of which is open while they
 * are written. Every scope remembers the values that were computed in it, so that an expression is bound once, in the
 * outermost scope where all of its coordinates exist; loop-invariant values leave the inner loops by that alone. Names
 * are counted through (`v0`, `i1`, `a2`, …), so that equal clusters give equal text.
 *
 * The writer knows expressions and coordinates only; `emit.ts` adds the values of graph nodes.
 */
import * as k from "../../kernel/build.js";
import type { Expr, Stmt } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { rowMajor } from "../fusion/views.js";
import { constant, keyOf, still, widthOf, type Coord, type EachOf } from "./coords.js";

/** The statements of one open block of the kernel, and the values that are bound in it by their keys. */
interface KernelScope {
  readonly stmts: Stmt[];
  readonly memo: Map<string, Expr>;
}

/** The text of one kernel while it is written. */
export class Writer {
  private readonly scopes: KernelScope[] = [{ stmts: [], memo: new Map() }];
  private names = 0;
  /** Memory of the workgroup, by name, in words. */
  private readonly workgroupMemory = new Map<string, number>();

  /** A name that the kernel has not yet: the stem and a number. */
  fresh(stem: string): string {
    return `${stem}${this.names++}`;
  }

  /** The depth of the innermost open scope; 0 is the body of the kernel. */
  depth(): number {
    return this.scopes.length - 1;
  }

  /** Appends a statement to the innermost open scope. */
  push(stmt: Stmt): void {
    this.scope(this.depth()).stmts.push(stmt);
  }

  /** Names an expression in the scope of depth `at`, unless it is a constant or a name already. */
  bind(value: Expr, at = this.depth(), stem = "v"): Expr {
    if (value.kind === "const" || value.kind === "ref") return value;
    const name = this.fresh(stem);
    this.scope(at).stmts.push(k.letS(name, value));
    return k.ref(name, value.type);
  }

  /** The values that the scope of depth `at` remembers, by their keys. */
  memoAt(at: number): Map<string, Expr> {
    return this.scope(at).memo;
  }

  /** The value that the scope of depth `at` remembers under `id`; `make` makes it the first time. */
  remember(at: number, id: string, make: () => Expr): Expr {
    const memo = this.memoAt(at);
    const remembered = memo.get(id);
    if (remembered) return remembered;
    const value = make();
    memo.set(id, value);
    return value;
  }

  /** Runs `body` in a new scope and returns its statements. */
  scoped(body: () => void): Stmt[] {
    const scope: KernelScope = { stmts: [], memo: new Map() };
    this.scopes.push(scope);
    body();
    this.scopes.pop();
    return scope.stmts;
  }

  /** Runs `body` as if only the scopes down to depth `at` were open. */
  within<T>(at: number, body: () => T): T {
    const inner = this.scopes.splice(at + 1);
    const result = body();
    this.scopes.push(...inner);
    return result;
  }

  /** A loop over `from`, `from + step`, … below `to`. */
  loop(from: Expr, to: Expr, step: number, body: (coord: Coord) => void): void {
    const name = this.fresh("i");
    const stmts = this.scoped(() => body({ at: k.ref(name, k.INDEX), lane: 0, width: 1, depth: this.depth() }));
    this.push(k.forS(name, from, to, step, stmts));
  }

  /** A branch that is taken where the condition holds. */
  guard(condition: Expr, body: () => void): void {
    const stmts = this.scoped(body);
    this.push(k.ifS(condition, stmts));
  }

  /** Loops over all of `sizes`, the last innermost. */
  nest(sizes: readonly number[], body: (coords: Coord[]) => void, outer: Coord[] = []): void {
    const [size, ...rest] = sizes;
    if (size === undefined) body(outer);
    else if (size === 1) this.nest(rest, body, [...outer, constant(0)]);
    else this.loop(k.idx(0), k.idx(size), 1, (c) => this.nest(rest, body, [...outer, c]));
  }

  /** A new coordinate for an index expression, bound in the current scope. */
  coord(at: Expr): Coord {
    return { at: this.bind(at), lane: 0, width: 1, depth: at.kind === "const" ? 0 : this.depth() };
  }

  /** Coordinates of a flat index, by division, bound in the current scope. */
  split<T extends readonly number[]>(flat: Coord, sizes: readonly [...T]): EachOf<T, Coord> {
    const strides = rowMajor(sizes);
    const leading = sizes.findIndex((size) => size !== 1);
    const coords = sizes.map((size, i) => {
      if (size === 1) return constant(0);
      const quotient = k.div(flat.at, k.idx(mustAt(strides, i)));
      return this.coord(i === leading ? quotient : k.rem(quotient, k.idx(size)));
    });
    return coords as EachOf<T, Coord>;
  }

  /**
   * The sum of coordinate * stride, each part bound in the scope of its coordinates; `lane` is the step from lane to
   * lane.
   */
  address(coords: readonly Coord[], strides: readonly number[]): Coord {
    const terms = coords
      .map((c, i) => ({ c, stride: mustAt(strides, i) }))
      .filter(({ c, stride }) => stride !== 0 && !(c.at.kind === "const" && c.at.value === 0));
    terms.sort((a, b) => a.c.depth - b.c.depth);
    const lane = coords.reduce((sum, c, i) => sum + c.lane * mustAt(strides, i), 0);
    let at: Expr = k.idx(0);
    let id = "address";
    let reached = 0;
    for (const [i, { c, stride }] of terms.entries()) {
      at = k.add(at, k.mul(c.at, k.idx(stride)));
      id += `|${keyOf(still(c))}*${stride}`;
      reached = c.depth;
      if (terms[i + 1]?.c.depth === c.depth) continue;
      const value = at;
      at = this.remember(c.depth, id, () => this.bind(value, c.depth, "a"));
    }
    return { at, lane, width: lane === 0 ? 1 : widthOf(coords), depth: reached };
  }

  /** Each of the lanes of coordinates by itself, without a step from lane to lane. */
  inLane(coords: readonly Coord[], l: number): Coord[] {
    return coords.map((c) => {
      if (c.lane === 0) return c;
      return this.within(c.depth, () => {
        const at = this.remember(c.depth, `lane|${keyOf(still(c))}|${l * c.lane}`, () =>
          this.bind(k.add(c.at, k.idx(l * c.lane)), c.depth, "i"),
        );
        return { ...still(c), at };
      });
    });
  }

  /**
   * Memory of the workgroup under a name, of that many words at least; what one reduction left in it, the next may
   * overwrite.
   */
  shared(name: string, words: number): void {
    this.workgroupMemory.set(name, Math.max(words, this.workgroupMemory.get(name) ?? 0));
  }

  /** The statements of the kernel: its memory of the workgroup, then all that was written. */
  body(): Stmt[] {
    return [
      ...Array.from(this.workgroupMemory, ([name, words]) => k.sharedS(name, "f32", words)),
      ...this.scope(0).stmts,
    ];
  }

  private scope(at: number): KernelScope {
    return mustAt(this.scopes, at);
  }
}
