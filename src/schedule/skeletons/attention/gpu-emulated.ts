/**
 * Attention for a GPU that a CPU emulates: an invocation owns a few neighbouring rows and reads all that they are
 * compared with itself, four words at a time. There is no memory of a workgroup and no barrier, which would make a
 * coroutine of the kernel, with all registers in its frame. A load is what costs on such a GPU, as much as sixty
 * multiplications: each is used for all rows that the invocation owns, and is in the text once (`shift-registers.ts`).
 * Keys that none of the rows sees are not visited. The cotangents of queries are a kernel, and those of keys and values
 * another, since two texts are compiled in two thirds of the time of one that has both.
 */
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import type { Attention, Backward, Forward, Roles, Rows } from "./operands.js";
import type { Coord, Emitter } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import { drain, fill, register, set } from "../shift-registers.js";

/** Neighbouring rows; those beyond the last of `total` repeat it when they are read, and are not written. */
interface Run {
  readonly first: Expr;
  readonly count: number;
  readonly total: number;
}

/** The columns of a row in registers: as many vectors as are whole, then single ones. */
type Row = readonly Expr[];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const wide = (x: Expr, { type }: Expr): Expr => (type.lanes === 4 ? k.splat(x) : x);

function createRows(e: Emitter) {
  /** Where the column of a part lies, for part i of all rows: parts are vectors, or the single columns behind them. */
  function place(
    rows: Rows,
    { first, count, total }: Run,
    size: number,
    lanes: 1 | 4,
    i: Coord,
  ): { readonly row: Expr; readonly at: (clamped: Expr) => Expr } {
    const parts = lanes === 4 ? size >> 2 : size & 3;
    const [n, part] = e.split(i, [count, parts]) as [Coord, Coord];
    const row = e.bind(k.add(first, n.at));
    const column = k.add(k.mul(part.at, k.idx(lanes)), k.idx(lanes === 4 ? 0 : size & ~3));
    return {
      row: total % count === 0 ? row : e.bind(k.min(row, k.idx(total - 1))),
      at: (r) => e.bind(k.add(k.add(rows.base, k.mul(r, k.idx(rows.row))), k.mul(column, k.idx(rows.column)))),
    };
  }

  function load(rows: Rows, run: Run, size: number): Row[] {
    const kinds = ([4, 1] as const).map((lanes) => {
      const parts = lanes === 4 ? size >> 2 : size & 3;
      const found = fill(e, run.count * parts, { of: "f32", lanes }, (i) => {
        const { row, at } = place(rows, run, size, lanes, i);
        const start = at(row);
        if (lanes === 1 || rows.column === 1) return k.load(rows.buffer, start, { of: "f32", lanes });
        const word = (l: number): Expr => k.load(rows.buffer, k.add(start, k.idx(l * rows.column)), k.F32);
        return k.lanes([word(0), word(1), word(2), word(3)]);
      });
      return times(run.count, (n) => found.slice(n * parts, (n + 1) * parts));
    });
    return times(run.count, (n) => kinds.flatMap((rowsOf) => rowsOf[n]!));
  }

  function store(rows: Rows, run: Run, size: number, values: readonly Row[]): void {
    for (const lanes of [4, 1] as const) {
      drain(
        e,
        values.flatMap((row) => row.filter(({ type }) => type.lanes === lanes)),
        (i, value) => {
          const [n] = e.split(i, [run.count, lanes === 4 ? size >> 2 : size & 3]) as [Coord, Coord];
          const write = (): void => {
            const start = place(rows, run, size, lanes, i).at(k.add(run.first, n.at));
            if (lanes === 1 || rows.column === 1) return e.push(k.store(rows.buffer, start, value));
            for (const l of [0, 1, 2, 3] as const)
              e.push(k.store(rows.buffer, k.add(start, k.idx(l * rows.column)), k.extract(value, l)));
          };
          if (run.total % run.count === 0) write();
          else e.guard(k.lt(k.add(run.first, n.at), k.idx(run.total)), write);
        },
      );
    }
  }

  function dot(x: Row, y: Row): Expr {
    const sum = (lanes: 1 | 4): Expr | null =>
      x.reduce<Expr | null>((total, value, i) => {
        if (value.type.lanes !== lanes) return total;
        return e.bind(total ? k.fma(value, y[i]!, total) : k.mul(value, y[i]!));
      }, null);
    const four = sum(4);
    const folded =
      four && k.add(k.add(k.extract(four, 0), k.extract(four, 1)), k.add(k.extract(four, 2), k.extract(four, 3)));
    const one = sum(1);
    return e.bind(folded && one ? k.add(folded, one) : (folded ?? one)!);
  }

  /** Registers for the sum of rows. */
  const sums = (size: number): Row => [
    ...times(size >> 2, () => register(e, k.splat(k.f32(0)))),
    ...times(size & 3, () => register(e, k.f32(0))),
  ];
  const accumulate = (into: Row, factor: Expr, row: Row): void =>
    into.forEach((sum, i) => set(e, sum, k.fma(wide(factor, sum), row[i]!, sum)));
  const one = (rows: Rows, at: Expr, size: number): Row => load(rows, { first: at, count: 1, total: 1 }, size)[0]!;

  return { load, store, dot, sums, accumulate, one };
}

/** Runs `body` for the rows that each invocation owns. Returns the number of groups. */
function owners(
  { emitter: e, profile }: Workbench,
  { batch, heads }: Attention,
  total: number,
  each: number,
  body: (b: Coord, h: Coord, own: Run) => void,
): number {
  const sizes = [batch, heads, Math.ceil(total / each)];
  const tasks = sizes.reduce((x, y) => x * y);
  const flat = e.bind(k.add(k.mul(group, k.idx(profile.workgroup)), local));
  const run = (): void => {
    const [b, h, i] = e.split(e.coord(flat), sizes) as [Coord, Coord, Coord];
    body(b, h, { first: e.bind(k.mul(i.at, k.idx(each))), count: each, total });
  };
  if (tasks % profile.workgroup === 0) run();
  else e.guard(k.lt(flat, k.idx(tasks)), run);
  return Math.ceil(tasks / profile.workgroup);
}

export function forwardRows(
  bench: Workbench,
  attention: Attention,
  rows: number,
  at: (b: Coord, h: Coord) => Forward,
): number {
  const { queries, keys, depth, width, scale, causal } = attention;
  const e = bench.emitter;
  const r = createRows(e);
  const each = Math.min(rows, queries);
  return owners(bench, attention, queries, each, (b, h, own) => {
    const { q, k: key, v, out, lse } = at(b, h);
    const mine = r.load(q, own, depth).map((query, n) => ({
      query,
      t: e.bind(k.add(own.first, k.idx(n))),
      sums: r.sums(v ? width : 0),
      largest: register(e, k.f32(ABSENT)),
      total: register(e, k.f32(0)),
    }));
    e.loop(
      k.idx(0),
      causal ? e.bind(k.min(k.add(own.first, k.idx(each)), k.idx(keys))) : k.idx(keys),
      1,
      ({ at: u }) => {
        const passing = r.one(key, u, depth);
        const value = v ? r.one(v, u, width) : [];
        for (const { query, t, sums, largest, total } of mine) {
          const score = k.mul(r.dot(query, passing), k.f32(scale));
          const seen = e.bind(causal && each > 1 ? k.select(k.le(u, t), score, k.f32(ABSENT)) : score);
          const top = e.bind(k.max(largest, seen));
          const fade = e.bind(k.exp(k.sub(largest, top)));
          const weight = e.bind(k.exp(k.sub(seen, top)));
          set(e, largest, top);
          set(e, total, k.fma(total, fade, weight));
          sums.forEach((sum, i) => set(e, sum, k.fma(wide(weight, sum), value[i]!, k.mul(sum, wide(fade, sum)))));
        }
      },
    );
    if (lse)
      r.store(
        lse,
        own,
        1,
        mine.map(({ largest, total }) => [register(e, k.add(largest, k.log(total)))]),
      );
    if (!out) return;
    for (const { sums, total } of mine) for (const sum of sums) set(e, sum, k.div(sum, wide(total, sum)));
    r.store(
      out,
      own,
      width,
      mine.map(({ sums }) => sums),
    );
  });
}

/** Of one role (`rolesOf`). */
export function backwardRows(
  bench: Workbench,
  attention: Attention,
  roles: Roles,
  rows: number,
  at: (b: Coord, h: Coord, accumulates: boolean) => Backward,
): number {
  const { queries, keys, depth, width, scale, causal } = attention;
  const e = bench.emitter;
  const r = createRows(e);
  return roles.queries ? ownQueries() : ownKeys();

  /** The weight of a query for a key, and the cotangent of its score. */
  function weigh(
    score: Expr,
    back: Expr,
    log: Expr,
    delta: Expr,
    seen: Expr | null,
  ): { readonly weight: Expr; readonly slope: Expr } {
    const exact = k.exp(k.sub(k.mul(score, k.f32(scale)), log));
    const weight = e.bind(seen ? k.select(seen, exact, k.f32(0)) : exact);
    return { weight, slope: e.bind(k.mul(k.mul(weight, k.f32(scale)), k.sub(back, delta))) };
  }

  function ownQueries(): number {
    const each = Math.min(rows, queries);
    return owners(bench, attention, queries, each, (b, h, own) => {
      const x = at(b, h, false);
      const cotangents = r.load(x.cotangent, own, width);
      const deltas = r.load(x.out, own, width).map((out, n) => r.dot(cotangents[n]!, out));
      const [mine, logs] = [r.load(x.q, own, depth), r.load(x.lse, own, 1)];
      const sums = mine.map(() => r.sums(depth));
      e.loop(
        k.idx(0),
        causal ? e.bind(k.min(k.add(own.first, k.idx(each)), k.idx(keys))) : k.idx(keys),
        1,
        ({ at: u }) => {
          const [key, value] = [r.one(x.k, u, depth), r.one(x.v, u, width)];
          mine.forEach((query, n) => {
            const seen = causal && each > 1 ? k.le(u, k.add(own.first, k.idx(n))) : null;
            r.accumulate(
              sums[n]!,
              weigh(r.dot(query, key), r.dot(cotangents[n]!, value), logs[n]![0]!, deltas[n]!, seen).slope,
              key,
            );
          });
        },
      );
      r.store(x.dq!, own, depth, sums);
    });
  }

  function ownKeys(): number {
    const each = Math.min(rows, keys);
    return owners(bench, attention, keys, each, (b, h, own) => {
      const x = at(b, h, false);
      const [mine, values] = [r.load(x.k, own, depth), r.load(x.v, own, width)];
      const [dk, dv] = [mine.map(() => r.sums(x.dk ? depth : 0)), mine.map(() => r.sums(x.dv ? width : 0))];
      e.loop(causal ? own.first : k.idx(0), k.idx(queries), 1, ({ at: t }) => {
        const [query, cotangent] = [r.one(x.q, t, depth), r.one(x.cotangent, t, width)];
        const delta = r.dot(cotangent, r.one(x.out, t, width));
        const log = r.one(x.lse, t, 1)[0]!;
        mine.forEach((key, n) => {
          const seen = causal && each > 1 ? k.le(k.add(own.first, k.idx(n)), t) : null;
          const { weight, slope } = weigh(r.dot(query, key), r.dot(cotangent, values[n]!), log, delta, seen);
          r.accumulate(dv[n]!, weight, cotangent);
          r.accumulate(dk[n]!, slope, query);
        });
      });
      if (x.dk) r.store(x.dk, own, depth, dk);
      if (x.dv) r.store(x.dv, own, width, dv);
    });
  }
}
