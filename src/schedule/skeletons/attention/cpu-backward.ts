/** Attention's derivative on a CPU, a block of queries against a block of keys at a time (`cpu.ts` has the idea). */
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Workbench } from "../../emit/kernelize.js";
import {
  array,
  copyRows,
  createBlocks,
  dot,
  eachColumns,
  eachRows,
  fillWords,
  product,
  rowAt,
  storeLanes,
  transposeRows,
  vector,
  wholeBlock,
  wide,
  word,
  type Blocks,
  type LeftOperand,
  type ScratchRows,
  type TensorRow,
} from "./blocks.js";
import { BACKWARD, backwardFor, blockOf, edgesOf, up, type Strip } from "./cpu.js";
import {
  shapeOf,
  type Attention,
  type BackwardAt,
  type BackwardOperands,
  type GradientRoles,
  type TensorRows,
} from "./operands.js";

/** With fewer heads than this in all, the tasks of the derivative own blocks. */
const FEW_HEADS = 3;
const group = k.ref("group", k.INDEX);

/** The kernel while it is made. */
interface BackwardKernel {
  readonly s: Blocks;
  readonly attention: Attention;
  /** Queries and keys of a block, and how many blocks there are. */
  readonly rowsOf: number;
  readonly keysOf: number;
  readonly rowBlocks: number;
  readonly keyBlocks: number;
  /** Keys and values of a block, transposed; and keys as they are. */
  readonly panel: ScratchRows;
  readonly valuePanel: ScratchRows;
  readonly keyRows: ScratchRows;
  /** Queries of a block, and the cotangents of their results. */
  readonly queryRows: ScratchRows;
  readonly backRows: ScratchRows;
  /** The weights of a block of queries for a block of keys, and the cotangents of their scores. */
  readonly weights: ScratchRows;
  readonly slopes: ScratchRows;
}

/** Keys of a block: `count` from `u0`. */
interface KeyRange {
  readonly u0: Expr;
  readonly count: Expr;
}

/** Queries of a block: from `i0` to before `i1`. */
interface QueryRange {
  readonly i0: Expr;
  readonly i1: Expr;
}

/** Tasks of one kind: how many for a batch and head, and what the n-th does. */
interface BackwardTasks {
  readonly count: number;
  readonly run: (x: BackwardOperands, n: Expr) => void;
}

/** Makes the kernel; the number of its groups. */
export function backwardCpu(bench: Workbench, attention: Attention, roles: GradientRoles, at: BackwardAt): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys } = attention;
  const split = batch * heads < FEW_HEADS && queries * keys > BACKWARD.queries * BACKWARD.keys ? 1 : 0;
  const knobs = bench.choose("attention_vjp", shapeOf(attention), { ...backwardFor(profile), split });
  const s = createBlocks(e, profile);
  const kernel = createKernel(s, attention, blockOf(s, knobs.queries, queries), blockOf(s, knobs.keys, keys));
  const outer = batch * heads;
  const tasks =
    knobs.split === 0
      ? [wholeHeads(kernel, roles)]
      : [...(roles.queries ? [queryBlocks(kernel)] : []), ...(roles.keys ? [keyBlocks(kernel)] : [])];
  let first = 0;
  for (const { count, run } of tasks) {
    const begin = first * outer;
    first += count;
    const body = (): void => {
      const flat = e.coord(k.sub(group, k.idx(begin)));
      const [b, h, n] = e.split(flat, [batch, heads, count]);
      run(at(b, h, hasSeveral(kernel)), n.at);
    };
    if (begin > 0) e.guard(k.le(k.idx(begin), group), body);
    else if (tasks.length > 1) e.guard(k.lt(group, k.idx(first * outer)), body);
    else body();
  }
  return first * outer;
}

function createKernel(s: Blocks, attention: Attention, rowsOf: number, keysOf: number): BackwardKernel {
  const { queries, keys, depth, width } = attention;
  const pitch = up(keysOf, s.block);
  const depthPitch = up(depth, s.block);
  const widthPitch = up(width, s.block);
  const scratch = (stem: string, rows: number, rowPitch: number): ScratchRows => ({
    name: array(s, stem, rows * rowPitch),
    pitch: rowPitch,
  });
  return {
    s,
    attention,
    rowsOf,
    keysOf,
    rowBlocks: Math.ceil(queries / rowsOf),
    keyBlocks: Math.ceil(keys / keysOf),
    panel: scratch("panel", depth, pitch),
    valuePanel: scratch("panel", width, pitch),
    weights: scratch("weights", rowsOf, pitch),
    slopes: scratch("slopes", rowsOf, pitch),
    keyRows: scratch("keys", keysOf, depthPitch),
    queryRows: scratch("queries", rowsOf, depthPitch),
    backRows: scratch("cotangents", rowsOf, widthPitch),
  };
}

/** Whether results are summed over several blocks. */
const hasSeveral = ({ rowBlocks, keyBlocks: blocks }: BackwardKernel): boolean => rowBlocks > 1 || blocks > 1;

/** A task for each batch and head. */
const wholeHeads = (kernel: BackwardKernel, roles: GradientRoles): BackwardTasks => ({
  count: 1,
  run: (x) => {
    const { queries, keys } = kernel.attention;
    if (roles.queries) clearQueries(kernel, x, { i0: k.idx(0), i1: k.idx(queries) });
    if (roles.keys) clearKeys(kernel, x, k.idx(0), k.idx(keys));
    eachKeys(kernel, x, k.idx(keys), (range) =>
      eachQueries(kernel, range.u0, (rows) => pairBlocks(kernel, x, range, rows, roles)),
    );
  },
});

/** Tasks that own a block of queries each. */
const queryBlocks = (kernel: BackwardKernel): BackwardTasks => ({
  count: kernel.rowBlocks,
  run: (x, n) => {
    const { s, attention, rowsOf } = kernel;
    const { queries, keys, causal } = attention;
    const i0 = s.e.bind(k.mul(n, k.idx(rowsOf)));
    const i1 = s.e.bind(k.min(k.add(i0, k.idx(rowsOf)), k.idx(queries)));
    clearQueries(kernel, x, { i0, i1 });
    const end = causal ? s.e.bind(k.min(i1, k.idx(keys))) : k.idx(keys);
    const roles = { queries: true, keys: false };
    eachKeys(kernel, x, end, (range) => pairBlocks(kernel, x, range, { i0, i1 }, roles));
  },
});

/** Tasks that own a block of keys each. */
const keyBlocks = (kernel: BackwardKernel): BackwardTasks => ({
  count: kernel.keyBlocks,
  run: (x, n) => {
    const { s, attention, keysOf } = kernel;
    const u0 = s.e.bind(k.mul(n, k.idx(keysOf)));
    const count = s.e.bind(k.min(k.idx(keysOf), k.sub(k.idx(attention.keys), u0)));
    clearKeys(kernel, x, u0, s.e.bind(k.add(u0, count)));
    packKeys(kernel, x, { u0, count });
    const roles = { queries: false, keys: true };
    eachQueries(kernel, u0, (rows) => pairBlocks(kernel, x, { u0, count }, rows, roles));
  },
});

/** Blocks of keys up to `end`, each brought into scratch. */
function eachKeys(kernel: BackwardKernel, x: BackwardOperands, end: Expr, body: (range: KeyRange) => void): void {
  const { e } = kernel.s;
  const packed = (u0: Expr): void => {
    const range = { u0, count: e.bind(k.min(k.idx(kernel.keysOf), k.sub(end, u0))) };
    packKeys(kernel, x, range);
    body(range);
  };
  if (kernel.keyBlocks === 1) packed(k.idx(0));
  else e.loop(k.idx(0), end, kernel.keysOf, (c) => packed(c.at));
}

/** Blocks of queries of which one sees the key u0. */
function eachQueries(kernel: BackwardKernel, u0: Expr, body: (rows: QueryRange) => void): void {
  const { s, attention, rowsOf, rowBlocks } = kernel;
  const { queries, causal } = attention;
  if (rowBlocks === 1) return body({ i0: k.idx(0), i1: k.idx(queries) });
  const from = causal ? s.e.bind(k.mul(k.div(u0, k.idx(rowsOf)), k.idx(rowsOf))) : k.idx(0);
  s.e.loop(from, k.idx(queries), rowsOf, (c) =>
    body({ i0: c.at, i1: s.e.bind(k.min(k.add(c.at, k.idx(rowsOf)), k.idx(queries))) }),
  );
}

function packKeys(kernel: BackwardKernel, x: BackwardOperands, { u0, count }: KeyRange): void {
  const { s, attention, panel, valuePanel, keyRows } = kernel;
  const { depth, width, keys } = attention;
  transposeRows(s, { rows: x.k, columns: depth, first: u0, count }, keys, panel);
  transposeRows(s, { rows: x.v, columns: width, first: u0, count }, keys, valuePanel);
  if (x.dq) copyRows(s, { rows: x.k, columns: depth, first: u0, count }, keyRows);
}

/** Zeros in what is summed over several blocks of keys. */
function clearQueries(
  { s, attention, keyBlocks: blocks }: BackwardKernel,
  x: BackwardOperands,
  rows: QueryRange,
): void {
  if (blocks > 1) clearRows(s, x.dq, rows.i0, rows.i1, attention.depth);
}

/** Zeros in what is summed over several blocks of queries. */
function clearKeys({ s, attention, rowBlocks }: BackwardKernel, x: BackwardOperands, from: Expr, to: Expr): void {
  if (rowBlocks === 1) return;
  clearRows(s, x.dk, from, to, attention.depth);
  clearRows(s, x.dv, from, to, attention.width);
}

function clearRows(s: Blocks, rows: TensorRows | null, from: Expr, to: Expr, columns: number): void {
  if (!rows) return;
  s.e.loop(from, to, 1, (r) => {
    const line = s.e.bind(rowAt(rows, r.at).at);
    eachColumns(s, columns, (c, used) => {
      for (const [n, words] of used.entries())
        storeLanes(s, rows.buffer, k.add(line, k.add(c, k.idx(n * s.lanes))), words, wide(s, k.f32(0)));
    });
  });
}

/**
 * A block of queries and a block of keys: the weights and their cotangents (slopes), and what they add to the results.
 */
function pairBlocks(
  kernel: BackwardKernel,
  x: BackwardOperands,
  { u0, count }: KeyRange,
  { i0, i1 }: QueryRange,
  roles: GradientRoles,
): void {
  const { s, attention, queryRows, backRows } = kernel;
  const { e } = s;
  const { queries, depth, width, causal } = attention;
  const rowCount = e.bind(k.sub(i1, i0));
  copyRows(s, { rows: x.q, columns: depth, first: i0, count: rowCount }, queryRows);
  copyRows(s, { rows: x.cotangent, columns: width, first: i0, count: rowCount }, backRows);
  eachRows(s, i0, i1, queries, (t, height) => {
    const run = (): void => runStrip(kernel, x, { t, height, u0, count }, i0, roles);
    if (causal && hasSeveral(kernel)) e.guard(k.lt(u0, k.add(t, k.idx(height))), run);
    else run();
  });
  if (roles.keys) sumForKeys(kernel, x, { u0, count }, { i0, i1 }, rowCount);
}

/** What a block of queries adds to the cotangents of a block of keys, and of their values. */
function sumForKeys(
  kernel: BackwardKernel,
  x: BackwardOperands,
  { u0, count }: KeyRange,
  { i0, i1 }: QueryRange,
  rowCount: Expr,
): void {
  const { s, attention, rowBlocks, weights, slopes, queryRows, backRows } = kernel;
  const { e } = s;
  const { keys, depth, width, causal } = attention;
  const end = e.bind(k.add(u0, count));
  eachRows(s, u0, end, keys, (row, height) => {
    // The first query that sees one of these keys, counted from i0; the weights of those before it are not there.
    const from = e.bind(causal ? k.sub(k.min(k.max(i0, row), i1), i0) : k.idx(0));
    const left = ({ name, pitch }: ScratchRows): LeftOperand => ({
      buffer: name,
      at: k.sub(row, u0),
      step: pitch,
      across: 1,
    });
    const block = { row, height, adds: rowBlocks > 1, from, to: rowCount };
    if (x.dv) accumulate(s, { ...block, rows: x.dv, columns: width }, left(weights), backRows);
    if (x.dk) accumulate(s, { ...block, rows: x.dk, columns: depth }, left(slopes), queryRows);
  });
}

/** Rows of a result, and the sum that makes them. */
interface ResultBlock {
  readonly rows: TensorRows;
  readonly columns: number;
  /** The first row, and how many. */
  readonly row: Expr;
  readonly height: number;
  /** Whether the product is added to what is there. */
  readonly adds: boolean;
  /** The range of the sum. */
  readonly from: Expr;
  readonly to: Expr;
}

/** Sets rows of a result to the product of `left` and rows of `right`, or adds it to them. */
function accumulate(s: Blocks, result: ResultBlock, left: LeftOperand, right: ScratchRows): void {
  const { e, lanes } = s;
  const { rows, columns, row, height, adds, from, to } = result;
  const line = e.bind(rowAt(rows, row).at);
  const x = { ...left, at: e.bind(left.at) };
  eachColumns(s, columns, (c, used) => {
    const place = (r: number, n: number): Expr => k.add(k.add(line, c), k.idx(r * rows.row + n * lanes));
    const start = adds ? (r: number, n: number): Expr => vector(s, rows.buffer, place(r, n)) : undefined;
    const y = { buffer: right.name, at: c, step: right.pitch };
    const sums = product(s, { x, y, height, used, from, to, start });
    for (const [r, rowSums] of sums.entries())
      for (const [n, sum] of rowSums.entries()) storeLanes(s, rows.buffer, place(r, n), mustAt(used, n), sum);
  });
}

/** Four queries and one block of keys: their weights and slopes, and what they add to the queries' cotangents. */
function runStrip(kernel: BackwardKernel, x: BackwardOperands, strip: Strip, i0: Expr, roles: GradientRoles): void {
  const { s, attention, keyBlocks: blocks, weights, slopes, keyRows } = kernel;
  const { e } = s;
  const { t, height } = strip;
  const edge = edgesOf(s, attention, strip);
  const row = e.bind(k.sub(t, i0));
  const local = e.bind(k.mul(row, k.idx(weights.pitch)));
  const end = weighStrip(kernel, x, strip, row, local);
  if (edge.ragged) {
    const padded = e.bind(edge.padded);
    for (let r = 0; r < height; r++) {
      const from = e.bind(edge.seen(r));
      const line = e.bind(k.add(local, k.idx(r * weights.pitch)));
      for (const { name } of [weights, slopes]) fillWords(s, name, line, [from, padded], 0);
    }
  }
  if (!roles.queries || !x.dq) return;
  const left = { buffer: slopes.name, at: local, step: 1, across: slopes.pitch };
  const result = { rows: x.dq, columns: attention.depth, row: t, height, adds: blocks > 1, from: k.idx(0), to: end };
  accumulate(s, result, left, keyRows);
}

/**
 * The weights and slopes of four queries for the keys of a block that one of them sees, the end of which is returned.
 * `row` is the first query's place in its block, `local` the place of its weights.
 */
function weighStrip(kernel: BackwardKernel, x: BackwardOperands, strip: Strip, row: Expr, local: Expr): Expr {
  const { s, attention, panel, valuePanel, queryRows, backRows, weights, slopes } = kernel;
  const { e, lanes } = s;
  const { depth, width, scale } = attention;
  const { t, height } = strip;
  const lines = Array.from({ length: height }, (_, r) => r);
  const logs = lines.map((r) => e.bind(wide(s, word(x.lse.buffer, k.add(rowAt(x.lse, t).at, k.idx(r * x.lse.row))))));
  const deltas = lines.map((r) => {
    const line = k.add(t, k.idx(r));
    return e.bind(wide(s, dot(s, bound(s, x.out, line), bound(s, x.cotangent, line), width)));
  });
  const query = e.bind(k.mul(row, k.idx(queryRows.pitch)));
  const cotangent = e.bind(k.mul(row, k.idx(backRows.pitch)));
  const end = e.bind(edgesOf(s, attention, strip).end);
  const block = { height, used: wholeBlock(s), from: k.idx(0) };
  e.loop(k.idx(0), end, s.block, (j) => {
    const place = (r: number, n: number): Expr => k.add(k.add(local, j.at), k.idx(r * weights.pitch + n * lanes));
    const scores = product(s, {
      ...block,
      x: { buffer: queryRows.name, at: query, step: 1, across: queryRows.pitch },
      y: { buffer: panel.name, at: j.at, step: panel.pitch },
      to: k.idx(depth),
    });
    for (const [r, sums] of scores.entries()) {
      for (const [n, score] of sums.entries()) {
        const weight = k.exp(k.sub(k.mul(score, wide(s, k.f32(scale))), mustAt(logs, r)));
        e.push(k.store(weights.name, place(r, n), weight));
      }
    }
    const back = product(s, {
      ...block,
      x: { buffer: backRows.name, at: cotangent, step: 1, across: backRows.pitch },
      y: { buffer: valuePanel.name, at: j.at, step: valuePanel.pitch },
      to: k.idx(width),
    });
    for (const [r, sums] of back.entries()) {
      for (const [n, sum] of sums.entries()) {
        const weight = k.mul(vector(s, weights.name, place(r, n)), wide(s, k.f32(scale)));
        e.push(k.store(slopes.name, place(r, n), k.mul(weight, k.sub(sum, mustAt(deltas, r)))));
      }
    }
  });
  return end;
}

function bound({ e }: Blocks, rows: TensorRows, r: Expr): TensorRow {
  const line = rowAt(rows, r);
  return { ...line, at: e.bind(line.at) };
}
