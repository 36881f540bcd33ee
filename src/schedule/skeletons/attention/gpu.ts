/**
 * Attention for a GPU: an invocation owns a row, a workgroup the rows of one batch and head. What belongs to the row (a
 * query, its cotangent, what is summed for it) stays in registers, one name a column, since arrays that a loop indexes
 * would not; the rows that it is compared with pass by in tiles of shared memory, loaded by all invocations together.
 * No two invocations write to one place, so nothing is atomic and sums have one order. Backward: workgroups that own
 * queries and workgroups that own keys, in one dispatch; both make the weights again. A tile is as tall as fits the 16
 * KiB that every adapter has; `../../fusion/legalize.ts` keeps rows away of which four would not.
 */
import { sizeOf } from "../../../graph/record.js";
import type { Choice } from "../../../kernel/profile.js";
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { outermost } from "../../emit/coords.js";
import type { Workbench } from "../../emit/kernelize.js";
import { backwardRows, forwardRows } from "./gpu-emulated.js";
import {
  accumulate,
  createTiles,
  dot,
  eachTile,
  loadRow,
  loadTile,
  storeRow,
  sumRegisters,
  times,
  TOGETHER,
  variable,
  word,
  type OperandTile,
  type SharedTiles,
} from "./gpu-tiles.js";
import {
  shapeOf,
  type Attention,
  type BackwardAt,
  type BackwardOperands,
  type ForwardAt,
  type GradientRoles,
} from "./operands.js";

/**
 * Through workgroup memory, with the rows of a tile, a multiple of four; or not, with the rows of an invocation
 * (`gpu-emulated.ts`).
 */
export const GPU_ATTENTION = { shared: 1, tile: 32, rows: 2 };
/** The family, for tests and tuning; the derivative has the same. */
export const gpuAttentions: readonly Choice[] = [
  { shared: 1, tile: 4 },
  { shared: 1, tile: 16 },
  { shared: 1, tile: 32 },
  { shared: 0, rows: 1 },
  { shared: 0, rows: 2 },
  { shared: 0, rows: 4 },
];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** Makes the kernel of attention; the number of its workgroups. */
export function forwardGpu(bench: Workbench, attention: Attention, at: ForwardAt): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys, depth, width, causal } = attention;
  const { workgroup } = profile;
  const knobs = bench.choose("attention", shapeOf(attention), GPU_ATTENTION);
  if (!knobs.shared) return forwardRows(bench, attention, Math.max(1, knobs.rows), at);
  const tiles = createTiles(bench, attention, knobs.tile);
  const sizes = [batch, heads, Math.ceil(queries / workgroup)] as const;
  const [b, h, i] = e.split(outermost(group), sizes);
  const { q, k: key, v, out, lse } = at(b, h);
  const first = e.bind(k.mul(i.at, k.idx(workgroup)));
  const t = e.bind(k.add(first, local));
  const row: QueryRow = {
    t,
    query: loadRow(e, q, e.bind(k.min(t, k.idx(queries - 1))), depth),
    largest: variable(e, k.f32(ABSENT)),
    total: variable(e, k.f32(0)),
    sums: sumRegisters(e, v ? width : 0),
  };
  const end = e.bind(causal ? k.min(k.add(first, k.idx(workgroup)), k.idx(keys)) : k.idx(keys));
  eachTile(
    tiles,
    k.idx(0),
    end,
    (u0) => ({
      keyTile: loadTile(tiles, key, tiles.names.a, u0, { total: keys, columns: depth }),
      valueTile: v && loadTile(tiles, v, tiles.names.b, u0, { total: keys, columns: width }),
    }),
    (u0, passing) => attend(tiles, attention, row, u0, passing),
  );
  const { largest, total, sums } = row;
  e.guard(k.lt(t, k.idx(queries)), () => {
    if (out) {
      const values = sums.map((sum) => k.div(sum, total));
      storeRow(e, out, t, values);
    }
    if (lse) storeRow(e, lse, t, [k.add(largest, k.log(total))]);
  });
  return sizeOf(sizes);
}

/** A query that an invocation owns, and what it has seen: the largest score, and the sums after that is taken off. */
interface QueryRow {
  readonly t: Expr;
  readonly query: readonly Expr[];
  readonly largest: Expr;
  readonly total: Expr;
  /** Of weighted values. */
  readonly sums: readonly Expr[];
}

/** The keys and values that pass by. */
interface PassingKeys {
  readonly keyTile: OperandTile;
  readonly valueTile: OperandTile | null;
}

/** A query and a tile of keys from `u0`. */
function attend(
  { e, height }: SharedTiles,
  { keys, scale, causal }: Attention,
  { t, query, largest, total, sums }: QueryRow,
  u0: Expr,
  { keyTile, valueTile }: PassingKeys,
): void {
  e.loop(k.idx(0), k.idx(height), TOGETHER, (c) => {
    const positions = times(TOGETHER, (n) => e.bind(k.add(c.at, k.idx(n))));
    const scores = positions.map((j) => {
      const u = k.add(u0, j);
      const seen = causal ? k.and(k.lt(u, k.idx(keys)), k.le(u, t)) : k.lt(u, k.idx(keys));
      const score = dot(e, query, (d) => keyTile.load(j, d));
      return e.bind(k.select(seen, k.mul(score, k.f32(scale)), k.f32(ABSENT)));
    });
    const top = e.bind(scores.reduce(k.max, largest));
    const fade = e.bind(k.exp(k.sub(largest, top)));
    const weights = scores.map((score) => e.bind(k.exp(k.sub(score, top))));
    e.push(k.assign(k.nameOf(largest), top));
    e.push(k.assign(k.nameOf(total), k.fma(total, fade, weights.reduce(k.add))));
    if (!valueTile) return;
    for (const [column, sum] of sums.entries()) {
      const next = weights.reduce(
        (partial, weight, n) => k.fma(weight, valueTile.load(mustAt(positions, n), column), partial),
        k.mul(sum, fade),
      );
      e.push(k.assign(k.nameOf(sum), next));
    }
  });
}

/** Makes the kernel of attention's derivative; the number of its workgroups. */
export function backwardGpu(bench: Workbench, attention: Attention, roles: GradientRoles, at: BackwardAt): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys } = attention;
  const { workgroup } = profile;
  const knobs = bench.choose("attention_vjp", shapeOf(attention), GPU_ATTENTION);
  if (!knobs.shared) return backwardRows(bench, attention, roles, Math.max(1, knobs.rows), at);
  const tiles = createTiles(bench, attention, knobs.tile);
  const tasks = [
    ...(roles.queries ? [{ rows: queries, run: ownQueries }] : []),
    ...(roles.keys ? [{ rows: keys, run: ownKeys }] : []),
  ];
  let begin = 0;
  for (const { rows, run } of tasks) {
    const sizes = [batch, heads, Math.ceil(rows / workgroup)] as const;
    const from = begin;
    begin += sizeOf(sizes);
    const body = (): void => {
      const [b, h, i] = e.split(e.coord(k.sub(group, k.idx(from))), sizes);
      run(tiles, attention, at(b, h, false), e.bind(k.mul(i.at, k.idx(workgroup))));
    };
    if (tasks.length === 1) body();
    else e.guard(from === 0 ? k.lt(group, k.idx(begin)) : k.le(k.idx(from), group), body);
  }
  return begin;
}

/** A workgroup that owns queries from `first` on; keys and values pass by. */
function ownQueries(tiles: SharedTiles, attention: Attention, x: BackwardOperands, first: Expr): void {
  const { e, names, height, workgroup } = tiles;
  const { queries, keys, depth, width, causal } = attention;
  if (!x.dq) throw new Error("bug: no cotangent of queries is stored");
  const t = e.bind(k.add(first, local));
  const row = e.bind(k.min(t, k.idx(queries - 1)));
  const query = loadRow(e, x.q, row, depth);
  const cotangent = loadRow(e, x.cotangent, row, width);
  const out = loadRow(e, x.out, row, width);
  const delta = dot(e, cotangent, (c) => mustAt(out, c));
  const log = mustAt(loadRow(e, x.lse, row, 1), 0);
  const sums = sumRegisters(e, depth);
  const end = e.bind(causal ? k.min(k.add(first, k.idx(workgroup)), k.idx(keys)) : k.idx(keys));
  eachTile(
    tiles,
    k.idx(0),
    end,
    (u0) => ({
      keyTile: loadTile(tiles, x.k, names.a, u0, { total: keys, columns: depth }),
      valueTile: loadTile(tiles, x.v, names.b, u0, { total: keys, columns: width }),
    }),
    (u0, { keyTile, valueTile }) => {
      e.loop(k.idx(0), k.idx(height), 1, ({ at: j }) => {
        const { slope } = weigh(tiles, attention, {
          owned: { row: query, back: cotangent },
          passing: { row: (d) => keyTile.load(j, d), back: (c) => valueTile.load(j, c) },
          log,
          delta,
          t,
          u: e.bind(k.add(u0, j)),
        });
        accumulate(e, sums, slope, (d) => keyTile.load(j, d));
      });
    },
  );
  const { dq } = x;
  e.guard(k.lt(t, k.idx(queries)), () => storeRow(e, dq, t, sums));
}

/** A workgroup that owns keys from `first` on; queries and cotangents pass by. */
function ownKeys(tiles: SharedTiles, attention: Attention, x: BackwardOperands, first: Expr): void {
  const { e, names, height } = tiles;
  const { queries, keys, depth, width, causal } = attention;
  const u = e.bind(k.add(first, local));
  const row = e.bind(k.min(u, k.idx(keys - 1)));
  const key = loadRow(e, x.k, row, depth);
  const value = loadRow(e, x.v, row, width);
  const dk = sumRegisters(e, x.dk ? depth : 0);
  const dv = sumRegisters(e, x.dv ? width : 0);
  const from = causal ? e.bind(k.mul(k.div(first, k.idx(height)), k.idx(height))) : k.idx(0);
  eachTile(
    tiles,
    from,
    k.idx(queries),
    (t0) => ({
      queryTile: loadTile(tiles, x.q, names.a, t0, { total: queries, columns: depth }),
      backTile: loadTile(tiles, x.cotangent, names.b, t0, { total: queries, columns: width }),
      logTile: loadTile(tiles, x.lse, names.logs, t0, { total: queries, columns: 1 }),
      deltaTile: deltasOf(tiles, attention, x, t0),
    }),
    (t0, { queryTile, backTile, logTile, deltaTile }) => {
      e.loop(k.idx(0), k.idx(height), 1, ({ at: j }) => {
        const { weight, slope } = weigh(tiles, attention, {
          owned: { row: key, back: value },
          passing: { row: (d) => queryTile.load(j, d), back: (c) => backTile.load(j, c) },
          log: e.bind(logTile.load(j, 0)),
          delta: e.bind(deltaTile.load(j, 0)),
          t: e.bind(k.add(t0, j)),
          u,
        });
        accumulate(e, dv, weight, (c) => backTile.load(j, c));
        accumulate(e, dk, slope, (d) => queryTile.load(j, d));
      });
    },
  );
  e.guard(k.lt(u, k.idx(keys)), () => {
    if (x.dk) storeRow(e, x.dk, u, dk);
    if (x.dv) storeRow(e, x.dv, u, dv);
  });
}

/** A query and a key, one of which is owned while the other passes by. */
interface OwnedPair {
  /** The query or key, and with it the cotangent or value. */
  readonly owned: { readonly row: readonly Expr[]; readonly back: readonly Expr[] };
  readonly passing: { readonly row: (column: number) => Expr; readonly back: (column: number) => Expr };
  /** The log of the query's sum of exponentials. */
  readonly log: Expr;
  /** The query's result times its cotangent. */
  readonly delta: Expr;
  /** The positions of the query and of the key. */
  readonly t: Expr;
  readonly u: Expr;
}

/** The weight of a query for a key and the cotangent of its score. */
function weigh(
  { e }: SharedTiles,
  { queries, keys, scale, causal }: Attention,
  { owned, passing, log, delta, t, u }: OwnedPair,
): { readonly weight: Expr; readonly slope: Expr } {
  const inside = k.and(k.lt(t, k.idx(queries)), k.lt(u, k.idx(keys)));
  const seen = causal ? k.and(inside, k.le(u, t)) : inside;
  const score = k.mul(dot(e, owned.row, passing.row), k.f32(scale));
  const weight = e.bind(k.select(seen, k.exp(k.sub(score, log)), k.f32(0)));
  const back = k.sub(dot(e, owned.back, passing.back), delta);
  return { weight, slope: e.bind(k.mul(k.mul(weight, k.f32(scale)), back)) };
}

/** Sums of the result times its cotangent along the rows of a tile. */
function deltasOf(tiles: SharedTiles, { queries, width }: Attention, x: BackwardOperands, t0: Expr): OperandTile {
  const { e, names, height, workgroup } = tiles;
  const { buffer, base, row: words, column } = x.cotangent;
  e.loop(local, k.idx(height), workgroup, ({ at: j }) => {
    const row = e.bind(k.min(k.add(t0, j), k.idx(queries - 1)));
    const out = loadRow(e, x.out, row, width);
    const sum = dot(e, out, (c) => word(buffer, k.add(k.add(base, k.mul(row, k.idx(words))), k.idx(c * column))));
    e.push(k.store(names.deltas, j, sum));
  });
  return { load: (j) => word(names.deltas, j) };
}
