/** Attention forward on a CPU, four queries at a time against a block of keys (`cpu.ts` has the idea). */
import { sizeOf } from "../../../graph/record.js";
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { outermost } from "../../emit/coords.js";
import type { Workbench } from "../../emit/kernelize.js";
import {
  array,
  copyRows,
  createBlocks,
  eachColumns,
  eachRows,
  fillWords,
  folded,
  product,
  rowAt,
  storeLanes,
  transposeRows,
  variable,
  vector,
  wholeBlock,
  wide,
  word,
  type Blocks,
  type ScratchRows,
} from "./blocks.js";
import { blockOf, edgesOf, FORWARD, up, type Strip } from "./cpu.js";
import { shapeOf, type Attention, type ForwardAt, type ForwardOperands } from "./operands.js";

const group = k.ref("group", k.INDEX);

/** What rows carry from block to block: largest score, sum of exponentials, sum of weighted values. */
interface CarriedRows {
  readonly largest: string;
  readonly total: string;
  readonly sums: string;
}

/** One task: a batch, a head and a block of queries. */
interface ForwardTask {
  readonly s: Blocks;
  readonly attention: Attention;
  readonly operands: ForwardOperands;
  /** Keys of a block, transposed; scores of four queries; and values of a block of keys, if any are read. */
  readonly panel: ScratchRows;
  readonly scores: ScratchRows;
  readonly values: ScratchRows | null;
  /** Words between rows of weighted sums. */
  readonly sumsPitch: number;
  /** Null when one block holds all keys. */
  readonly carried: CarriedRows | null;
  /** The queries of the task. */
  readonly r0: Expr;
  readonly r1: Expr;
}

/** Makes the kernel; the number of its groups. */
export function forwardCpu(bench: Workbench, attention: Attention, at: ForwardAt): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys, depth, width, causal } = attention;
  const knobs = bench.choose("attention", shapeOf(attention), FORWARD);
  const s = createBlocks(e, profile);
  const rowsOf = blockOf(s, knobs.queries, queries);
  const keysOf = blockOf(s, knobs.keys, keys);
  const pitch = up(keysOf, s.block);
  const sumsPitch = up(width, s.block);
  const sizes = [batch, heads, Math.ceil(queries / rowsOf)] as const;
  const panel = { name: array(s, "panel", depth * pitch), pitch };
  const scores = { name: array(s, "scores", s.height * pitch), pitch };
  const carried = keysOf >= keys ? null : carriedBy(s, rowsOf, sumsPitch);

  const [b, h, i] = e.split(outermost(group), sizes);
  const operands = at(b, h);
  const values = operands.v && { name: array(s, "values", keysOf * sumsPitch), pitch: sumsPitch };
  const r0 = e.bind(k.mul(i.at, k.idx(rowsOf)));
  const r1 = e.bind(k.min(k.add(r0, k.idx(rowsOf)), k.idx(queries)));
  const keyEnd = e.bind(causal ? k.min(r1, k.idx(keys)) : k.idx(keys));
  const task: ForwardTask = { s, attention, operands, panel, scores, values, sumsPitch, carried, r0, r1 };
  if (carried) {
    clear(s, carried, rowsOf, sumsPitch);
    e.loop(k.idx(0), keyEnd, keysOf, (u0) => {
      const count = e.bind(k.min(k.idx(keysOf), k.sub(keyEnd, u0.at)));
      pack(task, u0.at, count);
      eachRows(s, r0, r1, queries, (t, height) => {
        const run = (): void => runStrip(task, { t, height, u0: u0.at, count });
        if (causal) e.guard(k.lt(u0.at, k.add(t, k.idx(height))), run);
        else run();
      });
    });
    eachRows(s, r0, r1, queries, (t, height) => finish(task, carried, t, height));
  } else {
    pack(task, k.idx(0), keyEnd);
    eachRows(s, r0, r1, queries, (t, height) => runStrip(task, { t, height, u0: k.idx(0), count: keyEnd }));
  }
  return sizeOf(sizes);
}

const carriedBy = (s: Blocks, rows: number, sumsPitch: number): CarriedRows => ({
  largest: array(s, "largest", rows),
  total: array(s, "total", rows),
  sums: array(s, "sums", rows * sumsPitch),
});

function clear({ e }: Blocks, carried: CarriedRows, rows: number, sumsPitch: number): void {
  e.loop(k.idx(0), k.idx(rows), 1, (r) => {
    e.push(k.store(carried.largest, r.at, k.f32(ABSENT)));
    e.push(k.store(carried.total, r.at, k.f32(0)));
  });
  e.loop(k.idx(0), k.idx(rows * sumsPitch), 1, (n) => e.push(k.store(carried.sums, n.at, k.f32(0))));
}

/** Brings a block of keys, and of values, into scratch. */
function pack({ s, attention, operands, panel, values }: ForwardTask, first: Expr, count: Expr): void {
  const { depth, width, keys } = attention;
  transposeRows(s, { rows: operands.k, columns: depth, first, count }, keys, panel);
  if (operands.v && values) copyRows(s, { rows: operands.v, columns: width, first, count }, values);
}

/** Rows of a strip: what they have after a block of keys. */
interface StripRows {
  /** The first row's place in what the task carries. */
  readonly local: Expr;
  /** Keys that one of the rows sees. */
  readonly seen: Expr;
  /** Largest score and sum of exponentials of every row. */
  readonly top: readonly Expr[];
  readonly total: readonly Expr[];
  /** What the sums of the blocks before are multiplied with; null when there are none. */
  readonly fade: readonly Expr[] | null;
}

/** Four queries and one block of keys. */
function runStrip(task: ForwardTask, strip: Strip): void {
  const { s, carried, operands, r0 } = task;
  const { e } = s;
  const { t, height } = strip;
  const edge = edgesOf(s, task.attention, strip);
  const seen = e.bind(edge.end);
  scoreStrip(task, strip, seen);
  const end = e.bind(edge.padded);
  if (edge.ragged) {
    for (let r = 0; r < height; r++) {
      const row = k.idx(r * task.scores.pitch);
      fillWords(s, task.scores.name, row, [e.bind(edge.seen(r)), end], ABSENT);
    }
  }
  const largest = largestOf(task, height, end);
  const local = carried ? e.bind(k.sub(t, r0)) : t;
  const before = carried && largest.map((_, r) => e.bind(word(carried.largest, k.add(local, k.idx(r)))));
  const top = largest.map((score, r) => {
    const inBlock = folded(s, score, k.max);
    return e.bind(before ? k.max(mustAt(before, r), inBlock) : inBlock);
  });
  const total = exponentials(task, top, end);
  const fade = before && top.map((score, r) => e.bind(k.exp(k.sub(mustAt(before, r), score))));
  const rows: StripRows = { local, seen, top, total, fade };
  if (carried && fade) carry(task, carried, rows, fade);
  else if (operands.lse) {
    const { lse } = operands;
    for (const [r, score] of top.entries()) {
      const to = k.add(e.bind(rowAt(lse, t).at), k.idx(r * lse.row));
      e.push(k.store(lse.buffer, to, k.add(score, k.log(mustAt(total, r)))));
    }
  }
  weighValues(task, t, rows);
}

/** Scores of four queries for the keys of a block that one of them sees. */
function scoreStrip({ s, attention, operands, panel, scores }: ForwardTask, { t, height }: Strip, seen: Expr): void {
  const { e, lanes } = s;
  const { depth, scale } = attention;
  const { q } = operands;
  e.loop(k.idx(0), seen, s.block, (j) => {
    const products = product(s, {
      x: { buffer: q.buffer, at: e.bind(rowAt(q, t).at), step: q.column, across: q.row },
      y: { buffer: panel.name, at: j.at, step: panel.pitch },
      height,
      used: wholeBlock(s),
      from: k.idx(0),
      to: k.idx(depth),
    });
    for (const [r, row] of products.entries()) {
      for (const [c, score] of row.entries()) {
        const to = k.add(j.at, k.idx(r * scores.pitch + c * lanes));
        e.push(k.store(scores.name, to, k.mul(score, wide(s, k.f32(scale)))));
      }
    }
  });
}

/** Vectors of the largest scores of every row. */
function largestOf({ s, scores }: ForwardTask, height: number, end: Expr): Expr[] {
  const { e, lanes } = s;
  const largest = Array.from({ length: height }, () => variable(s, wide(s, k.f32(ABSENT))));
  e.loop(k.idx(0), end, lanes, (j) => {
    for (const [r, score] of largest.entries()) {
      const at = k.add(j.at, k.idx(r * scores.pitch));
      e.push(k.assign(k.nameOf(score), k.max(score, vector(s, scores.name, at))));
    }
  });
  return largest;
}

/** Exponentials in place of scores, after the largest of each row is taken off; their sums. */
function exponentials({ s, scores }: ForwardTask, top: readonly Expr[], end: Expr): Expr[] {
  const { e, lanes } = s;
  const wideTop = top.map((score) => e.bind(wide(s, score)));
  const sums = top.map(() => variable(s, wide(s, k.f32(0))));
  e.loop(k.idx(0), end, lanes, (j) => {
    for (const [r, sum] of sums.entries()) {
      const at = k.add(j.at, k.idx(r * scores.pitch));
      const power = e.bind(k.exp(k.sub(vector(s, scores.name, at), mustAt(wideTop, r))));
      e.push(k.store(scores.name, at, power));
      e.push(k.assign(k.nameOf(sum), k.add(sum, power)));
    }
  });
  return sums.map((sum) => folded(s, sum, k.add));
}

/** Keeps the largest scores and the sums of exponentials for the next block of keys. */
function carry(
  { s }: ForwardTask,
  carried: CarriedRows,
  { local, top, total }: StripRows,
  fade: readonly Expr[],
): void {
  const { e } = s;
  for (const [r, score] of top.entries()) {
    const place = k.add(local, k.idx(r));
    e.push(k.store(carried.largest, place, score));
    const sum = k.fma(word(carried.total, place), mustAt(fade, r), mustAt(total, r));
    e.push(k.store(carried.total, place, sum));
  }
}

/** The product of the exponentials and the values: carried on, or divided by the sums and stored. */
function weighValues(task: ForwardTask, t: Expr, { local, seen, total, fade }: StripRows): void {
  const { s, attention, operands, scores, values, sumsPitch, carried } = task;
  const { e, lanes } = s;
  const { out } = operands;
  if (!values || !out) return;
  const inverse = carried ? null : total.map((sum) => e.bind(k.div(k.f32(1), sum)));
  eachColumns(s, attention.width, (c, used) => {
    const place = (r: number, n: number): Expr =>
      k.add(c, k.add(k.mul(local, k.idx(sumsPitch)), k.idx(r * sumsPitch + n * lanes)));
    const sums = product(s, {
      x: { buffer: scores.name, at: k.idx(0), step: 1, across: scores.pitch },
      y: { buffer: values.name, at: c, step: values.pitch },
      height: total.length,
      used,
      from: k.idx(0),
      to: seen,
      start:
        carried && fade ? (r, n) => k.mul(vector(s, carried.sums, place(r, n)), wide(s, mustAt(fade, r))) : undefined,
    });
    const outAt = e.bind(k.add(rowAt(out, t).at, c));
    for (const [r, row] of sums.entries()) {
      for (const [n, sum] of row.entries()) {
        if (carried) e.push(k.store(carried.sums, place(r, n), sum));
        if (!inverse) continue;
        const value = k.mul(sum, wide(s, mustAt(inverse, r)));
        storeLanes(s, out.buffer, k.add(outAt, k.idx(r * out.row + n * lanes)), mustAt(used, n), value);
      }
    }
  });
}

/** Divides what four rows have carried by their sums. */
function finish(
  { s, attention, operands, sumsPitch, r0 }: ForwardTask,
  carried: CarriedRows,
  t: Expr,
  height: number,
): void {
  const { e, lanes } = s;
  const { out, lse } = operands;
  const local = e.bind(k.sub(t, r0));
  for (let r = 0; r < height; r++) {
    const place = k.add(local, k.idx(r));
    const total = e.bind(word(carried.total, place));
    if (lse) {
      const log = k.add(word(carried.largest, place), k.log(total));
      e.push(k.store(lse.buffer, k.add(rowAt(lse, t).at, k.idx(r * lse.row)), log));
    }
    if (!out) continue;
    const inverse = e.bind(k.div(k.f32(1), total));
    const from = e.bind(k.mul(place, k.idx(sumsPitch)));
    const to = e.bind(k.add(rowAt(out, t).at, k.idx(r * out.row)));
    eachColumns(s, attention.width, (c, used) => {
      for (const [n, words] of used.entries()) {
        const offset = k.add(c, k.idx(n * lanes));
        const value = k.mul(vector(s, carried.sums, k.add(from, offset)), wide(s, inverse));
        storeLanes(s, out.buffer, k.add(to, offset), words, value);
      }
    });
  }
}
