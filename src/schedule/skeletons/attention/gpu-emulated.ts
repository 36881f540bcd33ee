/**
 * Attention for a GPU that a CPU emulates: an invocation owns a few neighbouring rows and reads all that they are
 * compared with itself, four words at a time. There is no memory of a workgroup and no barrier, which would make a
 * coroutine of the kernel, with all registers in its frame. A load is what costs on such a GPU, as much as sixty
 * multiplications: each is used for all rows that the invocation owns, and is in the text once (`shift-registers.ts`).
 * Keys that none of the rows sees are not visited. The cotangents of queries are a kernel, and those of keys and values
 * another, since two texts are compiled in two thirds of the time of one that has both.
 */
import { sizeOf } from "../../../graph/record.js";
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Coord, Emitter } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import { drain, fill, register, set } from "../shift-registers.js";
import { times } from "./gpu-tiles.js";
import type { Attention, BackwardAt, ForwardAt, GradientRoles, TensorRows } from "./operands.js";

/** Neighbouring rows; those beyond the last of `total` repeat it when they are read, and are not written. */
interface RowRun {
  readonly first: Expr;
  readonly count: number;
  readonly total: number;
}

/** The columns of a row in registers: as many vectors as are whole, then single ones. */
type RegisterRow = readonly Expr[];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);
const wide = (x: Expr, { type }: Expr): Expr => k.splat(x, type.lanes);

/** Parts of a row of `size` columns: vectors, or the single columns behind them. */
const partsOf = (size: number, lanes: 1 | 4): number => (lanes === 4 ? size >> 2 : size & 3);

/** Where part i of a run of rows lies: its row, clamped to the last, and the address of its column in a row. */
interface PartPlace {
  readonly row: Expr;
  readonly at: (clamped: Expr) => Expr;
}

function partAt(
  e: Emitter,
  rows: TensorRows,
  { first, count, total }: RowRun,
  { size, lanes }: { readonly size: number; readonly lanes: 1 | 4 },
  i: Coord,
): PartPlace {
  const [n, part] = e.split(i, [count, partsOf(size, lanes)]);
  const row = e.bind(k.add(first, n.at));
  const column = k.add(k.mul(part.at, k.idx(lanes)), k.idx(lanes === 4 ? 0 : size & ~3));
  return {
    row: total % count === 0 ? row : e.bind(k.min(row, k.idx(total - 1))),
    at: (r) => e.bind(k.add(k.add(rows.base, k.mul(r, k.idx(rows.row))), k.mul(column, k.idx(rows.column)))),
  };
}

/** A run of rows in registers. */
function loadRows(e: Emitter, rows: TensorRows, run: RowRun, size: number): RegisterRow[] {
  /** The parts of all rows, one row after the other. */
  const partsIn = (lanes: 1 | 4): Expr[] =>
    fill(e, run.count * partsOf(size, lanes), { of: "f32", lanes }, (i) => {
      const { row, at } = partAt(e, rows, run, { size, lanes }, i);
      const start = at(row);
      if (lanes === 1 || rows.column === 1) return k.load(rows.buffer, start, { of: "f32", lanes });
      const word = (l: number): Expr => k.load(rows.buffer, k.add(start, k.idx(l * rows.column)), k.F32);
      return k.lanes([word(0), word(1), word(2), word(3)]);
    });
  const vectors = partsIn(4);
  const words = partsIn(1);
  const ofRow = (parts: readonly Expr[], n: number): readonly Expr[] => {
    const each = parts.length / run.count;
    return parts.slice(n * each, (n + 1) * each);
  };
  return times(run.count, (n) => [...ofRow(vectors, n), ...ofRow(words, n)]);
}

/** Row `at` in registers. */
const loadRow = (e: Emitter, rows: TensorRows, at: Expr, size: number): RegisterRow =>
  mustAt(loadRows(e, rows, { first: at, count: 1, total: 1 }, size), 0);

/** Stores a run of rows, whose registers hold nothing of use afterwards. */
function storeRows(e: Emitter, rows: TensorRows, run: RowRun, size: number, values: readonly RegisterRow[]): void {
  for (const lanes of [4, 1] as const) {
    const parts = values.flatMap((row) => row.filter(({ type }) => type.lanes === lanes));
    drain(e, parts, (i, value) => {
      const [n] = e.split(i, [run.count, partsOf(size, lanes)]);
      const write = (): void => {
        const start = partAt(e, rows, run, { size, lanes }, i).at(k.add(run.first, n.at));
        if (lanes === 1 || rows.column === 1) return e.push(k.store(rows.buffer, start, value));
        for (const l of [0, 1, 2, 3] as const)
          e.push(k.store(rows.buffer, k.add(start, k.idx(l * rows.column)), k.extract(value, l)));
      };
      if (run.total % run.count === 0) write();
      else e.guard(k.lt(k.add(run.first, n.at), k.idx(run.total)), write);
    });
  }
}

/** The sum of the products of two rows. */
function dot(e: Emitter, x: RegisterRow, y: RegisterRow): Expr {
  const sumOf = (lanes: 1 | 4): Expr | null =>
    x.reduce<Expr | null>((total, value, i) => {
      if (value.type.lanes !== lanes) return total;
      const other = mustAt(y, i);
      return e.bind(total ? k.fma(value, other, total) : k.mul(value, other));
    }, null);
  const vector = sumOf(4);
  const folded =
    vector &&
    k.add(k.add(k.extract(vector, 0), k.extract(vector, 1)), k.add(k.extract(vector, 2), k.extract(vector, 3)));
  const words = sumOf(1);
  const sum = folded && words ? k.add(folded, words) : (folded ?? words);
  if (!sum) throw new Error("bug: rows without columns have no product");
  return e.bind(sum);
}

/** Registers for the sum of rows. */
const sumRegisters = (e: Emitter, size: number): RegisterRow => [
  ...times(partsOf(size, 4), () => register(e, k.splat(k.f32(0), 4))),
  ...times(partsOf(size, 1), () => register(e, k.f32(0))),
];

/** Adds a row, times a factor, to registers. */
function accumulate(e: Emitter, sums: RegisterRow, factor: Expr, row: RegisterRow): void {
  for (const [i, sum] of sums.entries()) set(e, sum, k.fma(wide(factor, sum), mustAt(row, i), sum));
}

/** Runs `body` for the rows, at most `most`, that each invocation owns. Returns the number of groups. */
function eachOwner(
  { emitter: e, profile }: Workbench,
  { batch, heads }: Attention,
  total: number,
  most: number,
  body: (b: Coord, h: Coord, owned: RowRun) => void,
): number {
  const count = Math.min(most, total);
  const sizes = [batch, heads, Math.ceil(total / count)] as const;
  const tasks = sizeOf(sizes);
  const flat = e.bind(k.add(k.mul(group, k.idx(profile.workgroup)), local));
  const run = (): void => {
    const [b, h, i] = e.split(e.coord(flat), sizes);
    body(b, h, { first: e.bind(k.mul(i.at, k.idx(count))), count, total });
  };
  if (tasks % profile.workgroup === 0) run();
  else e.guard(k.lt(flat, k.idx(tasks)), run);
  return Math.ceil(tasks / profile.workgroup);
}

/** The end of the keys that some of a run of queries see. */
const endOfKeys = (e: Emitter, { keys, causal }: Attention, { first, count }: RowRun): Expr =>
  causal ? e.bind(k.min(k.add(first, k.idx(count)), k.idx(keys))) : k.idx(keys);

/** Makes the kernel of attention, whose invocations own at most `rows` queries; the number of its workgroups. */
export function forwardRows(bench: Workbench, attention: Attention, rows: number, at: ForwardAt): number {
  const { queries, depth, width, scale, causal } = attention;
  const { emitter: e } = bench;
  return eachOwner(bench, attention, queries, rows, (b, h, owned) => {
    const { q, k: key, v, out, lse } = at(b, h);
    const states = loadRows(e, q, owned, depth).map((query, n) => ({
      query,
      t: e.bind(k.add(owned.first, k.idx(n))),
      sums: sumRegisters(e, v ? width : 0),
      largest: register(e, k.f32(ABSENT)),
      total: register(e, k.f32(0)),
    }));
    e.loop(k.idx(0), endOfKeys(e, attention, owned), 1, ({ at: u }) => {
      const passing = loadRow(e, key, u, depth);
      const value = v ? loadRow(e, v, u, width) : [];
      for (const { query, t, sums, largest, total } of states) {
        const score = k.mul(dot(e, query, passing), k.f32(scale));
        const seen = e.bind(causal && owned.count > 1 ? k.select(k.le(u, t), score, k.f32(ABSENT)) : score);
        const top = e.bind(k.max(largest, seen));
        const fade = e.bind(k.exp(k.sub(largest, top)));
        const weight = e.bind(k.exp(k.sub(seen, top)));
        set(e, largest, top);
        set(e, total, k.fma(total, fade, weight));
        for (const [i, sum] of sums.entries())
          set(e, sum, k.fma(wide(weight, sum), mustAt(value, i), k.mul(sum, wide(fade, sum))));
      }
    });
    if (lse) {
      const logs = states.map(({ largest, total }) => [register(e, k.add(largest, k.log(total)))]);
      storeRows(e, lse, owned, 1, logs);
    }
    if (!out) return;
    for (const { sums, total } of states) for (const sum of sums) set(e, sum, k.div(sum, wide(total, sum)));
    const results = states.map(({ sums }) => sums);
    storeRows(e, out, owned, width, results);
  });
}

/** Makes the kernel of one role of attention's derivative (`rolesOf`); the number of its workgroups. */
export const backwardRows = (
  bench: Workbench,
  attention: Attention,
  roles: GradientRoles,
  rows: number,
  at: BackwardAt,
): number => (roles.queries ? ownQueries : ownKeys)(bench, attention, rows, at);

/** The kernel of the cotangents of queries. */
function ownQueries(bench: Workbench, attention: Attention, rows: number, at: BackwardAt): number {
  const { queries, depth, width, causal } = attention;
  const { emitter: e } = bench;
  return eachOwner(bench, attention, queries, rows, (b, h, owned) => {
    const x = at(b, h, false);
    if (!x.dq) throw new Error("bug: no cotangent of queries is stored");
    const cotangents = loadRows(e, x.cotangent, owned, width);
    const deltas = loadRows(e, x.out, owned, width).map((out, n) => dot(e, mustAt(cotangents, n), out));
    const loaded = loadRows(e, x.q, owned, depth);
    const logs = loadRows(e, x.lse, owned, 1);
    const states = loaded.map((query, n) => ({
      query,
      cotangent: mustAt(cotangents, n),
      delta: mustAt(deltas, n),
      log: mustAt(mustAt(logs, n), 0),
      sums: sumRegisters(e, depth),
    }));
    e.loop(k.idx(0), endOfKeys(e, attention, owned), 1, ({ at: u }) => {
      const key = loadRow(e, x.k, u, depth);
      const value = loadRow(e, x.v, u, width);
      for (const [n, { query, cotangent, delta, log, sums }] of states.entries()) {
        const seen = causal && owned.count > 1 ? k.le(u, k.add(owned.first, k.idx(n))) : null;
        const pair = { score: dot(e, query, key), back: dot(e, cotangent, value), log, delta, seen };
        accumulate(e, sums, weigh(e, attention, pair).slope, key);
      }
    });
    const results = states.map(({ sums }) => sums);
    storeRows(e, x.dq, owned, depth, results);
  });
}

/** The kernel of the cotangents of keys and values. */
function ownKeys(bench: Workbench, attention: Attention, rows: number, at: BackwardAt): number {
  const { queries, keys, depth, width, causal } = attention;
  const { emitter: e } = bench;
  return eachOwner(bench, attention, keys, rows, (b, h, owned) => {
    const x = at(b, h, false);
    const ownedKeys = loadRows(e, x.k, owned, depth);
    const values = loadRows(e, x.v, owned, width);
    const dk = ownedKeys.map(() => sumRegisters(e, x.dk ? depth : 0));
    const dv = ownedKeys.map(() => sumRegisters(e, x.dv ? width : 0));
    e.loop(causal ? owned.first : k.idx(0), k.idx(queries), 1, ({ at: t }) => {
      const query = loadRow(e, x.q, t, depth);
      const cotangent = loadRow(e, x.cotangent, t, width);
      const delta = dot(e, cotangent, loadRow(e, x.out, t, width));
      const log = mustAt(loadRow(e, x.lse, t, 1), 0);
      for (const [n, key] of ownedKeys.entries()) {
        const seen = causal && owned.count > 1 ? k.le(k.add(owned.first, k.idx(n)), t) : null;
        const pair = { score: dot(e, query, key), back: dot(e, cotangent, mustAt(values, n)), log, delta, seen };
        const { weight, slope } = weigh(e, attention, pair);
        accumulate(e, mustAt(dv, n), weight, cotangent);
        accumulate(e, mustAt(dk, n), slope, query);
      }
    });
    if (x.dk) storeRows(e, x.dk, owned, depth, dk);
    if (x.dv) storeRows(e, x.dv, owned, width, dv);
  });
}

/** A query and a key. */
interface RowPair {
  /** Their product, and that of the cotangent and the value. */
  readonly score: Expr;
  readonly back: Expr;
  /** The log of the query's sum of exponentials. */
  readonly log: Expr;
  /** The query's result times its cotangent. */
  readonly delta: Expr;
  /** Whether the query sees the key; null where it is sure to. */
  readonly seen: Expr | null;
}

/** The weight of a query for a key, and the cotangent of its score. */
function weigh(
  e: Emitter,
  { scale }: Attention,
  { score, back, log, delta, seen }: RowPair,
): { readonly weight: Expr; readonly slope: Expr } {
  const exact = k.exp(k.sub(k.mul(score, k.f32(scale)), log));
  const weight = e.bind(seen ? k.select(seen, exact, k.f32(0)) : exact);
  return { weight, slope: e.bind(k.mul(k.mul(weight, k.f32(scale)), k.sub(back, delta))) };
}
