/**
 * Attention for a CPU. Forward: a task is a batch, a head and a block of queries. It walks over blocks of keys,
 * transposed into scratch so that keys are lanes; four queries at a time have their scores, their exponentials and the
 * product with the values made while all of it is in the first-level cache. Backward: a task is a batch and a head. It
 * makes the weights of a block again, and from them what the block adds to the three cotangents, in their own memory,
 * which belongs to the task alone. With few heads that would leave cores idle: then tasks that own a block of queries
 * and tasks that own a block of keys make the weights twice.
 *
 * Blocks begin at multiples of four, so that with the mask a block of four queries either sees a key of a block each,
 * or none. Scores are computed for whole vectors of keys; those that do not exist are overwritten before anything reads
 * them.
 */
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { createBlocks, HEIGHT, rowAt, type Blocks, type Row, type Walk } from "./blocks.js";
import { shapeOf, type Attention, type Backward, type Forward, type Roles, type Rows } from "./operands.js";
import type { Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";

/** Knobs: queries and keys of a block, multiples of four; and whether the derivative's tasks own blocks. */
const FORWARD = { queries: 64, keys: 128 };
const BACKWARD = { queries: 32, keys: 64 };
/** With fewer heads than this in all, the tasks of the derivative own blocks. */
const FEW_HEADS = 3;

const MEMBERS = [
  { queries: 16, keys: 32 },
  { queries: 32, keys: 64 },
  { queries: 64, keys: 64 },
  { queries: 64, keys: 128 },
  { queries: 128, keys: 64 },
];
/** The two families, for tests and tuning. */
export const cpuAttentions = MEMBERS;
export const cpuAttentionVjps = MEMBERS.flatMap((member) => [
  { ...member, split: 0 },
  { ...member, split: 1 },
]);

const group = k.ref("group", k.INDEX);
const blockOf = (knob: number, size: number): number => up(Math.max(1, Math.min(knob, size)), HEIGHT);
const up = (size: number, to: number): number => Math.ceil(size / to) * to;
export function forwardCpu(bench: Workbench, attention: Attention, at: (b: Coord, h: Coord) => Forward): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys, depth, width, scale, causal } = attention;
  const knobs = bench.choose("attention", shapeOf(attention), FORWARD);
  const rowsOf = blockOf(knobs.queries, queries);
  const keysOf = blockOf(knobs.keys, keys);
  const single = keysOf >= keys;
  const s = createBlocks(e, profile.lanes);
  const pitch = up(keysOf, s.block);
  const sizes = [batch, heads, Math.ceil(queries / rowsOf)];
  const panel = s.array("panel", depth * pitch);
  const scores = s.array("scores", HEIGHT * pitch);
  const sumsPitch = up(width, s.block);
  // What rows carry from block to block: largest score, sum of exponentials, sum of weighted values.
  const carried = single
    ? null
    : {
        largest: s.array("largest", rowsOf),
        total: s.array("total", rowsOf),
        sums: s.array("sums", rowsOf * sumsPitch),
      };

  const [b, h, i] = e.split({ at: group, lane: 0, depth: 0 }, sizes) as [Coord, Coord, Coord];
  const { q, k: key, v, out, lse } = at(b, h);
  const values = v && s.array("values", keysOf * sumsPitch);
  const pack = (u0: Expr, count: Expr): void => {
    s.transpose(key, depth, u0, count, keys, panel, pitch);
    if (v && values) s.copy(v, width, u0, count, values, sumsPitch);
  };
  const r0 = e.bind(k.mul(i.at, k.idx(rowsOf)));
  const r1 = e.bind(k.min(k.add(r0, k.idx(rowsOf)), k.idx(queries)));
  const keyEnd = e.bind(causal ? k.min(r1, k.idx(keys)) : k.idx(keys));
  if (carried) {
    e.loop(k.idx(0), k.idx(rowsOf), 1, (r) => {
      e.push(k.store(carried.largest, r.at, k.f32(ABSENT)));
      e.push(k.store(carried.total, r.at, k.f32(0)));
    });
    e.loop(k.idx(0), k.idx(rowsOf * sumsPitch), 1, (n) => e.push(k.store(carried.sums, n.at, k.f32(0))));
    e.loop(k.idx(0), keyEnd, keysOf, (u0) => {
      const count = e.bind(k.min(k.idx(keysOf), k.sub(keyEnd, u0.at)));
      pack(u0.at, count);
      s.rows(r0, r1, queries, (t, height) => {
        if (causal) e.guard(k.lt(u0.at, k.add(t, k.idx(height))), () => strip(t, height, u0.at, count));
        else strip(t, height, u0.at, count);
      });
    });
    s.rows(r0, r1, queries, finish);
  } else {
    pack(k.idx(0), keyEnd);
    s.rows(r0, r1, queries, (t, height) => strip(t, height, k.idx(0), keyEnd));
  }
  return sizes.reduce((x, y) => x * y);

  /** Four queries and one block of keys. */
  function strip(t: Expr, height: number, u0: Expr, count: Expr): void {
    const edge = edgesOf(t, height, u0, count, attention, s);
    const seen = e.bind(edge.end);
    e.loop(k.idx(0), seen, s.block, (j) => {
      const x = e.bind(rowAt(q, t).at);
      const made = s.product(
        { buffer: q.buffer, at: x, step: q.column, across: q.row },
        height,
        { buffer: panel, at: j.at, step: pitch },
        vectors(s),
        k.idx(0),
        k.idx(depth),
      );
      made.forEach((row, r) =>
        row.forEach((name, c) =>
          e.push(
            k.store(
              scores,
              k.add(j.at, k.idx(r * pitch + c * s.type.lanes)),
              k.mul(k.ref(name, s.type), s.wide(k.f32(scale))),
            ),
          ),
        ),
      );
    });
    const lines = Array.from({ length: height }, (_, r) => r);
    const end = e.bind(edge.padded);
    if (edge.ragged) lines.forEach((r) => s.fill(scores, k.idx(r * pitch), e.bind(edge.seen(r)), end, ABSENT));

    const largest = lines.map(() => s.variable(s.wide(k.f32(ABSENT))));
    const scoresAt = (j: Expr, r: number): Expr => k.add(j, k.idx(r * pitch));
    e.loop(k.idx(0), end, s.type.lanes, (j) =>
      lines.forEach((r) =>
        e.push(k.assign(largest[r]!, k.max(k.ref(largest[r]!, s.type), s.vector(scores, scoresAt(j.at, r))))),
      ),
    );
    const local = carried ? e.bind(k.sub(t, r0)) : t;
    const before = carried ? lines.map((r) => e.bind(s.word(carried.largest, k.add(local, k.idx(r))))) : null;
    const top = lines.map((r) => {
      const own = s.folded(k.ref(largest[r]!, s.type), k.max);
      return e.bind(before ? k.max(before[r]!, own) : own);
    });
    const wideTop = top.map((x) => e.bind(s.wide(x)));
    const sums = lines.map(() => s.variable(s.wide(k.f32(0))));
    e.loop(k.idx(0), end, s.type.lanes, (j) =>
      lines.forEach((r) => {
        const p = e.bind(k.exp(k.sub(s.vector(scores, scoresAt(j.at, r)), wideTop[r]!)));
        e.push(k.store(scores, scoresAt(j.at, r), p));
        e.push(k.assign(sums[r]!, k.add(k.ref(sums[r]!, s.type), p)));
      }),
    );
    const total = lines.map((r) => s.folded(k.ref(sums[r]!, s.type), k.add));
    const fade = before ? lines.map((r) => e.bind(k.exp(k.sub(before[r]!, top[r]!)))) : null;
    if (carried && fade) {
      lines.forEach((r) => {
        const place = k.add(local, k.idx(r));
        e.push(k.store(carried.largest, place, top[r]!));
        e.push(k.store(carried.total, place, k.fma(s.word(carried.total, place), fade[r]!, total[r]!)));
      });
    } else if (lse)
      lines.forEach((r) =>
        e.push(
          k.store(lse.buffer, k.add(e.bind(rowAt(lse, t).at), k.idx(r * lse.row)), k.add(top[r]!, k.log(total[r]!))),
        ),
      );
    if (!values || !out) return;
    const inverse = carried ? null : lines.map((r) => e.bind(k.div(k.f32(1), total[r]!)));
    s.columns(width, (c, used) => {
      const place = (r: number, n: number): Expr =>
        k.add(c, k.add(k.mul(local, k.idx(sumsPitch)), k.idx(r * sumsPitch + n * s.type.lanes)));
      const start =
        carried && fade
          ? (r: number, n: number): Expr => k.mul(s.vector(carried.sums, place(r, n)), s.wide(fade[r]!))
          : undefined;
      const made = s.product(
        { buffer: scores, at: k.idx(0), step: 1, across: pitch },
        height,
        { buffer: values, at: c, step: sumsPitch },
        used,
        k.idx(0),
        seen,
        start,
      );
      const outAt = e.bind(k.add(rowAt(out, t).at, c));
      made.forEach((row, r) =>
        row.forEach((name, n) => {
          const value = k.ref(name, s.type);
          if (carried) e.push(k.store(carried.sums, place(r, n), value));
          else
            s.scattered(
              out.buffer,
              k.add(outAt, k.idx(r * out.row + n * s.type.lanes)),
              used[n]!,
              k.mul(value, s.wide(inverse![r]!)),
            );
        }),
      );
    });
  }

  /** Divides what four rows have carried by their sums. */
  function finish(t: Expr, height: number): void {
    if (!carried) return;
    const local = e.bind(k.sub(t, r0));
    for (let r = 0; r < height; r++) {
      const place = k.add(local, k.idx(r));
      const total = e.bind(s.word(carried.total, place));
      if (lse)
        e.push(
          k.store(
            lse.buffer,
            k.add(rowAt(lse, t).at, k.idx(r * lse.row)),
            k.add(s.word(carried.largest, place), k.log(total)),
          ),
        );
      if (!out) continue;
      const inverse = e.bind(k.div(k.f32(1), total));
      const from = e.bind(k.mul(place, k.idx(sumsPitch)));
      const to = e.bind(k.add(rowAt(out, t).at, k.idx(r * out.row)));
      s.columns(width, (c, used) =>
        used.forEach((words, n) => {
          const offset = k.add(c, k.idx(n * s.type.lanes));
          s.scattered(
            out.buffer,
            k.add(to, offset),
            words,
            k.mul(s.vector(carried.sums, k.add(from, offset)), s.wide(inverse)),
          );
        }),
      );
    }
  }
}

const vectors = (s: Blocks): number[] => Array.from({ length: s.block / s.type.lanes }, () => s.type.lanes);

interface Edges {
  /** Keys of the block that one of the rows sees; the same in whole blocks of columns. */
  readonly end: Expr;
  readonly padded: Expr;
  /** Keys of the block that row r sees. */
  readonly seen: (r: number) => Expr;
  /** Whether rows have columns that stand for nothing. */
  readonly ragged: boolean;
}

function edgesOf(t: Expr, height: number, u0: Expr, count: Expr, { causal, keys }: Attention, s: Blocks): Edges {
  const seen = (r: number): Expr => (causal ? k.min(count, k.sub(k.add(t, k.idx(r + 1)), u0)) : count);
  const end = seen(height - 1);
  const padded = k.mul(k.div(k.add(end, k.idx(s.block - 1)), k.idx(s.block)), k.idx(s.block));
  return { end, padded, seen, ragged: causal || keys % s.block !== 0 };
}

export function backwardCpu(
  bench: Workbench,
  attention: Attention,
  roles: Roles,
  at: (b: Coord, h: Coord, accumulates: boolean) => Backward,
): number {
  const { emitter: e, profile } = bench;
  const { batch, heads, queries, keys, depth, width, scale, causal } = attention;
  const split = batch * heads < FEW_HEADS && queries * keys > BACKWARD.queries * BACKWARD.keys ? 1 : 0;
  const knobs = bench.choose("attention_vjp", shapeOf(attention), { ...BACKWARD, split });
  const rowsOf = blockOf(knobs.queries, queries);
  const keysOf = blockOf(knobs.keys, keys);
  const rowBlocks = Math.ceil(queries / rowsOf);
  const keyBlocks = Math.ceil(keys / keysOf);
  const s = createBlocks(e, profile.lanes);
  const pitch = up(keysOf, s.block);
  const panel = s.array("panel", depth * pitch);
  const valuePanel = s.array("panel", width * pitch);
  const weights = s.array("weights", rowsOf * pitch);
  const slopes = s.array("slopes", rowsOf * pitch);
  const depthPitch = up(depth, s.block);
  const widthPitch = up(width, s.block);
  const keyRows = s.array("keys", keysOf * depthPitch);
  const queryRows = s.array("queries", rowsOf * depthPitch);
  const backRows = s.array("cotangents", rowsOf * widthPitch);
  const outer = batch * heads;
  const several = rowBlocks > 1 || keyBlocks > 1;

  const tasks =
    knobs.split === 0
      ? [
          {
            count: 1,
            run: (x: Backward) => {
              clear(x, k.idx(0), k.idx(queries), k.idx(0), k.idx(keys), roles);
              keyLoop(k.idx(keys), (u0, count) => rowLoop(u0, (i0, i1) => pair(x, u0, count, i0, i1, roles)), x);
            },
          },
        ]
      : [
          ...(roles.queries
            ? [
                {
                  count: rowBlocks,
                  run: (x: Backward, i: Expr) => {
                    const i0 = e.bind(k.mul(i, k.idx(rowsOf)));
                    const i1 = e.bind(k.min(k.add(i0, k.idx(rowsOf)), k.idx(queries)));
                    const own = { queries: true, keys: false };
                    clear(x, i0, i1, k.idx(0), k.idx(0), own);
                    keyLoop(
                      causal ? e.bind(k.min(i1, k.idx(keys))) : k.idx(keys),
                      (u0, count) => pair(x, u0, count, i0, i1, own),
                      x,
                    );
                  },
                },
              ]
            : []),
          ...(roles.keys
            ? [
                {
                  count: keyBlocks,
                  run: (x: Backward, j: Expr) => {
                    const u0 = e.bind(k.mul(j, k.idx(keysOf)));
                    const count = e.bind(k.min(k.idx(keysOf), k.sub(k.idx(keys), u0)));
                    const own = { queries: false, keys: true };
                    clear(x, k.idx(0), k.idx(0), u0, e.bind(k.add(u0, count)), own);
                    pack(x, u0, count);
                    rowLoop(u0, (i0, i1) => pair(x, u0, count, i0, i1, own));
                  },
                },
              ]
            : []),
        ];
  let first = 0;
  for (const { count, run } of tasks) {
    const begin = first * outer;
    first += count;
    const body = (): void => {
      const flat = e.coord(k.sub(group, k.idx(begin)));
      const [b, h, n] = e.split(flat, [batch, heads, count]) as [Coord, Coord, Coord];
      run(at(b, h, several), n.at);
    };
    const inside = [
      ...(begin > 0 ? [k.le(k.idx(begin), group)] : []),
      ...(tasks.length > 1 && begin === 0 ? [k.lt(group, k.idx(first * outer))] : []),
    ];
    if (inside.length) e.guard(inside.reduce(k.and), body);
    else body();
  }
  return first * outer;

  function keyLoop(end: Expr, body: (u0: Expr, count: Expr) => void, x: Backward): void {
    const one = (u0: Expr): void => {
      const count = e.bind(k.min(k.idx(keysOf), k.sub(end, u0)));
      pack(x, u0, count);
      body(u0, count);
    };
    if (keyBlocks === 1) one(k.idx(0));
    else e.loop(k.idx(0), end, keysOf, (c) => one(c.at));
  }

  /** Blocks of queries of which one sees the key u0. */
  function rowLoop(u0: Expr, body: (i0: Expr, i1: Expr) => void): void {
    if (rowBlocks === 1) return body(k.idx(0), k.idx(queries));
    const from = causal ? e.bind(k.mul(k.div(u0, k.idx(rowsOf)), k.idx(rowsOf))) : k.idx(0);
    e.loop(from, k.idx(queries), rowsOf, (c) => body(c.at, e.bind(k.min(k.add(c.at, k.idx(rowsOf)), k.idx(queries)))));
  }

  function pack(x: Backward, u0: Expr, count: Expr): void {
    s.transpose(x.k, depth, u0, count, keys, panel, pitch);
    s.transpose(x.v, width, u0, count, keys, valuePanel, pitch);
    if (x.dq) s.copy(x.k, depth, u0, count, keyRows, depthPitch);
  }

  /** Zeros in what is summed over several blocks. */
  function clear(x: Backward, i0: Expr, i1: Expr, u0: Expr, u1: Expr, own: Roles): void {
    const zero = (rows: Rows | null, from: Expr, to: Expr, columns: number): void => {
      if (rows)
        e.loop(from, to, 1, (r) => {
          const line = e.bind(rowAt(rows, r.at).at);
          s.columns(columns, (c, used) =>
            used.forEach((words, n) =>
              s.scattered(rows.buffer, k.add(line, k.add(c, k.idx(n * s.type.lanes))), words, s.wide(k.f32(0))),
            ),
          );
        });
    };
    if (own.queries && keyBlocks > 1) zero(x.dq, i0, i1, depth);
    if (own.keys && rowBlocks > 1) zero(x.dk, u0, u1, depth);
    if (own.keys && rowBlocks > 1) zero(x.dv, u0, u1, width);
  }

  /**
   * A block of queries and a block of keys: the weights and their cotangents (slopes), and what they add to the
   * results.
   */
  function pair(x: Backward, u0: Expr, count: Expr, i0: Expr, i1: Expr, own: Roles): void {
    const rowCount = e.bind(k.sub(i1, i0));
    s.copy(x.q, depth, i0, rowCount, queryRows, depthPitch);
    s.copy(x.cotangent, width, i0, rowCount, backRows, widthPitch);
    s.rows(i0, i1, queries, (t, height) => {
      if (causal && several) e.guard(k.lt(u0, k.add(t, k.idx(height))), () => strip(x, u0, count, i0, t, height, own));
      else strip(x, u0, count, i0, t, height, own);
    });
    if (!own.keys) return;
    const end = e.bind(k.add(u0, count));
    s.rows(u0, end, keys, (u, height) => {
      // The first query that sees one of these keys, counted from i0; the weights of those before it are not there.
      const first = e.bind(causal ? k.sub(k.min(k.max(i0, u), i1), i0) : k.idx(0));
      const left = (buffer: string): Walk => ({ buffer, at: k.sub(u, u0), step: pitch, across: 1 });
      if (x.dv) accumulate(x.dv, u, height, width, rowBlocks > 1, left(weights), backRows, widthPitch, first, rowCount);
      if (x.dk) accumulate(x.dk, u, height, depth, rowBlocks > 1, left(slopes), queryRows, depthPitch, first, rowCount);
    });
  }

  /** Sets four rows of a result to the product of `left` and rows of `right`, or adds it to them. */
  function accumulate(
    target: Rows,
    row: Expr,
    height: number,
    size: number,
    add: boolean,
    left: Walk,
    right: string,
    rightPitch: number,
    from: Expr,
    to: Expr,
  ): void {
    const line = e.bind(rowAt(target, row).at);
    const x = { ...left, at: e.bind(left.at) };
    s.columns(size, (c, used) => {
      const place = (r: number, n: number): Expr => k.add(k.add(line, c), k.idx(r * target.row + n * s.type.lanes));
      const start = add ? (r: number, n: number): Expr => s.vector(target.buffer, place(r, n)) : undefined;
      const made = s.product(x, height, { buffer: right, at: c, step: rightPitch }, used, from, to, start);
      made.forEach((names, r) =>
        names.forEach((name, n) => s.scattered(target.buffer, place(r, n), used[n]!, k.ref(name, s.type))),
      );
    });
  }

  function strip(x: Backward, u0: Expr, count: Expr, i0: Expr, t: Expr, height: number, own: Roles): void {
    const edge = edgesOf(t, height, u0, count, attention, s);
    const lines = Array.from({ length: height }, (_, r) => r);
    const row = e.bind(k.sub(t, i0));
    const local = e.bind(k.mul(row, k.idx(pitch)));
    const logs = lines.map((r) =>
      e.bind(s.wide(s.word(x.lse.buffer, k.add(rowAt(x.lse, t).at, k.idx(r * x.lse.row))))),
    );
    const deltas = lines.map((r) => {
      const line = k.add(t, k.idx(r));
      return e.bind(s.wide(s.dot(bound(x.out, line), bound(x.cotangent, line), width)));
    });
    const query = e.bind(k.mul(row, k.idx(depthPitch)));
    const cotangent = e.bind(k.mul(row, k.idx(widthPitch)));
    const end = e.bind(edge.end);
    e.loop(k.idx(0), end, s.block, (j) => {
      const place = (r: number, n: number): Expr => k.add(k.add(local, j.at), k.idx(r * pitch + n * s.type.lanes));
      const products = s.product(
        { buffer: queryRows, at: query, step: 1, across: depthPitch },
        height,
        { buffer: panel, at: j.at, step: pitch },
        vectors(s),
        k.idx(0),
        k.idx(depth),
      );
      products.forEach((row, r) =>
        row.forEach((name, n) =>
          e.push(
            k.store(weights, place(r, n), k.exp(k.sub(k.mul(k.ref(name, s.type), s.wide(k.f32(scale))), logs[r]!))),
          ),
        ),
      );
      const back = s.product(
        { buffer: backRows, at: cotangent, step: 1, across: widthPitch },
        height,
        { buffer: valuePanel, at: j.at, step: pitch },
        vectors(s),
        k.idx(0),
        k.idx(width),
      );
      back.forEach((row, r) =>
        row.forEach((name, n) =>
          e.push(
            k.store(
              slopes,
              place(r, n),
              k.mul(
                k.mul(s.vector(weights, place(r, n)), s.wide(k.f32(scale))),
                k.sub(k.ref(name, s.type), deltas[r]!),
              ),
            ),
          ),
        ),
      );
    });
    if (edge.ragged) {
      const padded = e.bind(edge.padded);
      for (const r of lines) {
        const from = e.bind(edge.seen(r));
        const line = e.bind(k.add(local, k.idx(r * pitch)));
        for (const buffer of [weights, slopes]) s.fill(buffer, line, from, padded, 0);
      }
    }
    if (own.queries && x.dq)
      accumulate(
        x.dq,
        t,
        height,
        depth,
        keyBlocks > 1,
        { buffer: slopes, at: local, step: 1, across: pitch },
        keyRows,
        depthPitch,
        k.idx(0),
        end,
      );
  }

  function bound(rows: Rows, r: Expr): Row {
    const line = rowAt(rows, r);
    return { ...line, at: e.bind(line.at) };
  }
}
