/**
 * Sinkhorn's projection of a matrix, or of one in each lane, and its vjp, in the registers and small arrays of whoever
 * asks for it: the kernels of `sinkhorn.ts`, and the regions that project between other stages. The idea and its
 * numbers stand in `sinkhorn.ts`.
 */
import type { NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr, Lanes, Type } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { constant, like, type Coord, type Emitter } from "../emit/emit.js";

/** The projection, or its vjp. */
export type SinkhornNode = NodeWith<"sinkhorn"> | NodeWith<"sinkhorn_vjp">;
type Direction = "rows" | "columns";

/**
 * Projects one matrix, or one in each lane: `read` gives an entry of an operand (logits; for the vjp also the
 * cotangent), `write` takes that of the result.
 */
export type Projection = (
  read: (input: number, row: Coord, column: Coord) => Expr,
  write: (row: Coord, column: Coord, value: Expr) => void,
) => void;

/** A pass that begins in the log domain. */
interface LogPass {
  readonly direction: Direction;
  /** The array for what the pass leaves, as shares of a line; null where it is not needed again. */
  readonly shares: string | null;
}

/** What the parts of one projection share. */
interface Projecting {
  readonly e: Emitter;
  readonly node: SinkhornNode;
  /** Rows and columns of a matrix. */
  readonly n: number;
  readonly lanes: Lanes;
  readonly type: Type;
  /** Whether operands are read and results written at constant coordinates. */
  readonly spelt: boolean;
  /** An array of n x n entries: the logits, and what their logarithmic passes make of them; then the cotangent. */
  readonly logits: string;
  readonly logPasses: readonly LogPass[];
  /** The last pass of these leaves what the iterations begin with here. */
  readonly shares: string;
  /** An array for the scaling sums, which the vjp needs; null without one. */
  readonly scales: string | null;
  /** The directions of an iteration, first and second, and what is added to every sum. */
  readonly order: readonly [Direction, Direction];
  readonly plus: number;
}

/**
 * Declares what a projection keeps; to be called in the outermost scope. `spelt`: whether it reads and writes at
 * constant coordinates, for entries that are at hand.
 */
export function createProjection(e: Emitter, node: SinkhornNode, lanes: Lanes, spelt: boolean): Projection {
  const n = mustAt(node.shape, node.shape.length - 1);
  const array = (stem: string, entries: number): string => {
    const name = e.fresh(stem);
    e.push(k.arrayS(name, "f32", entries * lanes));
    return name;
  };
  const isVjp = node.op === "sinkhorn_vjp";
  const isPaper = node.attrs.convention === "paper";
  const logits = array("logits", n * n);
  // Paper: columns, then rows. DeepSeek: a softmax of rows.
  const directions: readonly Direction[] = isPaper ? ["columns", "rows"] : ["rows"];
  let shares = logits;
  const logPasses = directions.map((direction, i): LogPass => {
    const isLast = i + 1 === directions.length;
    const leaves = isVjp ? array("shares", n * n) : isLast ? logits : null;
    shares = leaves ?? shares;
    return { direction, shares: leaves };
  });
  const p: Projecting = {
    e,
    node,
    n,
    lanes,
    type: { of: "f32", lanes },
    spelt,
    logits,
    logPasses,
    shares,
    scales: isVjp ? array("scales", 2 * node.attrs.iterations * n) : null,
    order: isPaper ? ["columns", "rows"] : ["rows", "columns"],
    plus: isPaper ? 0 : node.attrs.epsilon,
  };
  return (read, write) => {
    const entries = project(p, read);
    if (p.scales) pullBack(p, p.scales, entries, read);
    else keep(p, entries);
    eachOutside(p, (row, column) => write(row, column, load(p, p.logits, entryAt(p, row, column))));
  };
}

/** The projection forward: its entries in registers. */
function project(p: Projecting, read: Parameters<Projection>[0]): Expr[] {
  const { e, scales } = p;
  const { iterations, convention, epsilon } = p.node.attrs;
  eachOutside(p, (row, column) => e.push(k.store(p.logits, entryAt(p, row, column), read(0, row, column))));
  for (const [i, pass] of p.logPasses.entries()) softmax(p, pass, i + 1 === p.logPasses.length);
  const entries = registers(p, p.shares, (share) =>
    convention === "paper" ? share : k.add(share, like(share, epsilon)),
  );
  if (convention !== "paper") normalize(p, entries, "columns", scales ? k.idx(0) : null);
  if (iterations > 1) {
    e.loop(k.idx(1), k.idx(iterations), 1, (t) => {
      for (const [half, direction] of p.order.entries())
        normalize(p, entries, direction, scales ? e.bind(slotAt(p, t.at, half)) : null);
    });
  }
  return entries;
}

/**
 * The cotangent of the logits, left in their array: that of the result goes back through the iterations, which are
 * undone on the entries, and through the logarithmic passes.
 */
function pullBack(p: Projecting, scales: string, entries: readonly Expr[], read: Parameters<Projection>[0]): void {
  const { e, n, lanes, type } = p;
  const { iterations, convention } = p.node.attrs;
  eachOutside(p, (row, column) => e.push(k.store(p.logits, entryAt(p, row, column), read(1, row, column))));
  const cotangents = registers(p, p.logits, (cotangent, i) => k.mul(cotangent, mustAt(entries, i)));
  const undo = (direction: Direction, at: Expr): void => {
    for (let i = 0; i < n; i++) {
      const s = e.bind(k.load(scales, k.add(at, k.idx(i * lanes)), type));
      undoLine(p, entries, cotangents, lineOf(n, direction, i), s);
    }
  };
  if (iterations > 1) {
    const [first, second] = p.order;
    e.loop(k.idx(1), k.idx(iterations), 1, (back) => {
      const t = e.bind(k.sub(k.idx(iterations), back.at));
      undo(second, e.bind(slotAt(p, t, 1)));
      undo(first, e.bind(slotAt(p, t, 0)));
    });
  }
  if (convention !== "paper") {
    undo("columns", k.idx(0));
    // From the share plus epsilon to the share.
    for (const [i, cotangent] of cotangents.entries()) {
      const ratio = k.div(k.load(p.shares, k.idx(i * lanes), type), mustAt(entries, i));
      e.push(k.assign(k.nameOf(cotangent), k.mul(cotangent, ratio)));
    }
  }
  keep(p, cotangents);
  for (const { direction, shares } of [...p.logPasses].reverse()) {
    if (shares === null) throw new Error("bug: the derivative of a projection has no shares of a pass");
    undoSoftmax(p, direction, shares);
  }
}

/** Takes the cotangents of the logarithms of a line back through `normalize`, and undoes that on the entries. */
function undoLine(
  { e }: Projecting,
  entries: readonly Expr[],
  cotangents: readonly Expr[],
  line: readonly number[],
  scale: Expr,
): void {
  const pairs = line.map((place) => ({ entry: mustAt(entries, place), cotangent: mustAt(cotangents, place) }));
  const less = e.bind(
    k.neg(
      sum(
        e,
        pairs.map(({ cotangent }) => cotangent),
      ),
    ),
  );
  for (const { entry, cotangent } of pairs) {
    e.push(k.assign(k.nameOf(cotangent), k.fma(less, entry, cotangent)));
    e.push(k.assign(k.nameOf(entry), k.mul(entry, scale)));
  }
}

/** The logarithm of a share q: dz = dl - q * sum(dl) along its line. */
function undoSoftmax(p: Projecting, direction: Direction, shares: string): void {
  const { e, type } = p;
  eachLine(p, direction, (places) => {
    const cotangents = places.map((place) => load(p, p.logits, place));
    const less = e.bind(k.neg(sum(e, cotangents)));
    for (const [j, place] of places.entries())
      e.push(k.store(p.logits, place, k.fma(less, k.load(shares, place, type), mustAt(cotangents, j))));
  });
}

/**
 * Shares of the exponentials along every line, the largest of which is taken out first; and their logarithms in place
 * of the logits, where another pass follows.
 */
function softmax(p: Projecting, { direction, shares }: LogPass, isLast: boolean): void {
  const { e, logits } = p;
  eachLine(p, direction, (places) => {
    const values = places.map((place) => load(p, logits, place));
    const largest = e.bind(values.reduce((a, b) => k.max(a, b)));
    const powers = values.map((value) => e.bind(k.unary("exp", k.sub(value, largest))));
    const total = sum(e, powers);
    if (!isLast) {
      const shift = e.bind(k.add(largest, k.unary("log", total)));
      for (const [j, place] of places.entries()) e.push(k.store(logits, place, k.sub(mustAt(values, j), shift)));
    }
    if (shares === null) return;
    const inverse = e.bind(k.div(like(total, 1), total));
    for (const [j, place] of places.entries()) e.push(k.store(shares, place, k.mul(mustAt(powers, j), inverse)));
  });
}

/** Sums to 1 along every line, remembering the denominators at `at` when the vjp will need them. */
function normalize(p: Projecting, entries: readonly Expr[], direction: Direction, at: Expr | null): void {
  const { e, n, lanes, plus, scales } = p;
  for (let i = 0; i < n; i++) {
    const line = lineOf(n, direction, i).map((place) => mustAt(entries, place));
    const total = sum(e, line);
    const s = plus === 0 ? total : e.bind(k.add(total, like(total, plus)));
    if (at && scales) e.push(k.store(scales, k.add(at, k.idx(i * lanes)), s));
    const inverse = e.bind(k.div(like(s, 1), s));
    for (const entry of line) e.push(k.assign(k.nameOf(entry), k.mul(entry, inverse)));
  }
}

/** The numbers of the entries of a line. */
const lineOf = (n: number, direction: Direction, i: number): number[] =>
  Array.from({ length: n }, (_, j) => (direction === "rows" ? i * n + j : j * n + i));

/** Words of entry (row, column) in an array. */
const entryAt = ({ n, lanes }: Projecting, row: Coord, column: Coord): Expr =>
  k.add(k.mul(row.at, k.idx(n * lanes)), k.mul(column.at, k.idx(lanes)));

/** Where the scaling sums of half an iteration begin. */
const slotAt = ({ n, lanes }: Projecting, t: Expr, half: number): Expr =>
  k.add(k.mul(t, k.idx(2 * n * lanes)), k.idx(half * n * lanes));

const sum = (e: Emitter, items: readonly Expr[]): Expr => e.bind(items.reduce((a, b) => k.add(a, b)));

const load = ({ e, type }: Projecting, array: string, at: Expr): Expr => e.bind(k.load(array, at, type));

/** All entries of an array as variables. */
const registers = ({ e, n, lanes, type }: Projecting, array: string, of: (value: Expr, i: number) => Expr): Expr[] =>
  Array.from({ length: n * n }, (_, i) => {
    const value = of(k.load(array, k.idx(i * lanes), type), i);
    const name = e.fresh("p");
    e.push(k.varS(name, value));
    return k.ref(name, type);
  });

/** Stores all entries in the array of the logits. */
function keep({ e, lanes, logits }: Projecting, entries: readonly Expr[]): void {
  for (const [i, entry] of entries.entries()) e.push(k.store(logits, k.idx(i * lanes), entry));
}

/** Every entry where operands are read and results written: at constant coordinates, or in a loop. */
function eachOutside({ e, n, spelt }: Projecting, body: (row: Coord, column: Coord) => void): void {
  if (!spelt) return e.nest([n, n], (coords) => body(mustAt(coords, 0), mustAt(coords, 1)));
  for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) body(constant(row), constant(column));
}

/** Runs `body` for every line, with the words of its n entries. */
function eachLine({ e, n, lanes }: Projecting, direction: Direction, body: (places: readonly Expr[]) => void): void {
  const isRows = direction === "rows";
  e.loop(k.idx(0), k.idx(n), 1, (i) => {
    const start = e.bind(k.mul(i.at, k.idx(isRows ? n * lanes : lanes)));
    body(Array.from({ length: n }, (_, j) => k.add(start, k.idx(j * (isRows ? lanes : n * lanes)))));
  });
}
