/**
 * Attention for a GPU: an invocation owns a row, a workgroup the rows of one batch and head. What belongs to the row (a
 * query, its cotangent, what is summed for it) stays in registers, one name a column, since arrays that a loop indexes
 * would not; the rows that it is compared with pass by in tiles of shared memory, loaded by all invocations together.
 * No two invocations write to one place, so nothing is atomic and sums have one order. Backward: workgroups that own
 * queries and workgroups that own keys, in one dispatch; both make the weights again. A tile is as tall as fits the 16
 * KiB that every adapter has; `legalize.ts` keeps rows away of which four would not.
 */
import type { Choice } from "../../../kernel/profile.js";
import { ABSENT } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { backwardRows, forwardRows } from "./gpu-emulated.js";
import { shapeOf, type Attention, type Backward, type Forward, type Roles, type Rows } from "./operands.js";
import type { Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";

/**
 * Through workgroup memory, with the rows of a tile, a multiple of four; or not, with the rows of an invocation
 * (`attention-rows.ts`).
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
const SHARED_WORDS = 4096;
/** Keys that update the largest score together: one rescaling for four. */
const TOGETHER = 4;
/** Products that one expression sums. */
const RUN = 16;

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);
const word = (buffer: string, at: Expr): Expr => k.load(buffer, at, k.F32);
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** A tile of rows of a tensor: where word `column` of row j is. */
interface Tile {
  readonly load: (j: Expr, column: number) => Expr;
}

function createRegisters({ emitter: e, profile }: Workbench, attention: Attention, rows: number) {
  const { depth, width } = attention;
  const wanted = Math.ceil(Math.max(1, rows) / TOGETHER) * TOGETHER;
  const tile = Math.min(wanted, Math.floor(SHARED_WORDS / (depth + width + 2) / TOGETHER) * TOGETHER);
  const names = { a: "tilea", b: "tileb", logs: "logs", deltas: "deltas" };
  for (const [name, size] of [
    [names.a, tile * depth],
    [names.b, tile * width],
    [names.logs, tile],
    [names.deltas, tile],
  ] as const)
    if (size > 0) e.push(k.sharedS(name, "f32", size));
  const variable = (value: Expr): string => {
    const name = e.fresh("r");
    e.push(k.varS(name, value));
    return name;
  };
  const get = (name: string): Expr => k.ref(name, k.F32);
  const sums = (count: number): string[] => times(count, () => variable(k.f32(0)));
  const row = (rows: Rows, r: Expr): Expr => e.bind(k.add(rows.base, k.mul(r, k.idx(rows.row))));
  const registers = (rows: Rows, r: Expr, count: number): Expr[] => {
    const at = row(rows, r);
    return times(count, (c) => e.bind(word(rows.buffer, k.add(at, k.idx(c * rows.column)))));
  };
  /** In short runs: readers of WGSL refuse expressions that nest too deep. */
  const dot = (x: readonly Expr[], y: (column: number) => Expr): Expr =>
    x.slice(1).reduce(
      (sum, value, i) => {
        const next = k.fma(value, y(i + 1), sum);
        return (i + 1) % RUN === 0 || i + 2 === x.length ? e.bind(next) : next;
      },
      k.mul(x[0]!, y(0)),
    );
  const accumulate = (into: readonly string[], factor: Expr, y: (column: number) => Expr): void =>
    into.forEach((name, c) => e.push(k.assign(name, k.fma(factor, y(c), get(name)))));
  const store = (rows: Rows, r: Expr, values: readonly Expr[]): void => {
    const at = row(rows, r);
    values.forEach((value, c) => e.push(k.store(rows.buffer, k.add(at, k.idx(c * rows.column)), value)));
  };

  /** Brings rows `first` … of a tensor to shared memory; rows beyond the last repeat it. */
  function load(rows: Rows, name: string, first: Expr, total: number, columns: number): Tile {
    e.loop(local, k.idx(tile * columns), profile.workgroup, (n) => {
      const j = k.div(n.at, k.idx(columns));
      const c = k.rem(n.at, k.idx(columns));
      e.push(
        k.store(
          name,
          n.at,
          word(
            rows.buffer,
            k.add(
              k.add(rows.base, k.mul(k.min(k.add(first, j), k.idx(total - 1)), k.idx(rows.row))),
              k.mul(c, k.idx(rows.column)),
            ),
          ),
        ),
      );
    });
    return { load: (j, c) => word(name, k.add(k.mul(j, k.idx(columns)), k.idx(c))) };
  }

  /** Walks over tiles of rows from `from`, a multiple of the tile, to `to`; both the same for the whole workgroup. */
  function tiles(
    from: Expr,
    to: Expr,
    fill: (first: Expr) => readonly Tile[],
    body: (first: Expr, tiles: readonly Tile[]) => void,
  ): void {
    e.loop(from, to, tile, (c) => {
      e.push(k.barrier());
      const filled = fill(c.at);
      e.push(k.barrier());
      body(c.at, filled);
    });
  }

  return { e, tile, names, variable, get, sums, registers, dot, accumulate, store, load, tiles };
}

export function forwardGpu(bench: Workbench, attention: Attention, at: (b: Coord, h: Coord) => Forward): number {
  const { batch, heads, queries, keys, depth, width, scale, causal } = attention;
  const { workgroup } = bench.profile;
  const knobs = bench.choose("attention", shapeOf(attention), GPU_ATTENTION);
  if (!knobs.shared) return forwardRows(bench, attention, Math.max(1, knobs.rows), at);
  const r = createRegisters(bench, attention, knobs.tile);
  const { e, get } = r;
  const sizes = [batch, heads, Math.ceil(queries / workgroup)];
  const [b, h, i] = e.split({ at: group, lane: 0, depth: 0 }, sizes) as [Coord, Coord, Coord];
  const { q, k: key, v, out, lse } = at(b, h);
  const first = e.bind(k.mul(i.at, k.idx(workgroup)));
  const t = e.bind(k.add(first, local));
  const query = r.registers(q, e.bind(k.min(t, k.idx(queries - 1))), depth);
  const largest = r.variable(k.f32(ABSENT));
  const total = r.variable(k.f32(0));
  const sums = r.sums(v ? width : 0);
  const end = e.bind(causal ? k.min(k.add(first, k.idx(workgroup)), k.idx(keys)) : k.idx(keys));
  r.tiles(
    k.idx(0),
    end,
    (u0) => [r.load(key, r.names.a, u0, keys, depth), ...(v ? [r.load(v, r.names.b, u0, keys, width)] : [])],
    (u0, [keyTile, valueTile]) => {
      e.loop(k.idx(0), k.idx(r.tile), TOGETHER, (c) => {
        const four = times(TOGETHER, (n) => e.bind(k.add(c.at, k.idx(n))));
        const scores = four.map((j) => {
          const u = k.add(u0, j);
          const seen = causal ? k.and(k.lt(u, k.idx(keys)), k.le(u, t)) : k.lt(u, k.idx(keys));
          return e.bind(
            k.select(
              seen,
              k.mul(
                r.dot(query, (d) => keyTile!.load(j, d)),
                k.f32(scale),
              ),
              k.f32(ABSENT),
            ),
          );
        });
        const top = e.bind(scores.reduce(k.max, get(largest)));
        const fade = e.bind(k.exp(k.sub(get(largest), top)));
        const weights = scores.map((score) => e.bind(k.exp(k.sub(score, top))));
        e.push(k.assign(largest, top));
        e.push(k.assign(total, k.fma(get(total), fade, weights.reduce(k.add))));
        sums.forEach((name, column) =>
          e.push(
            k.assign(
              name,
              weights.reduce(
                (sum, weight, n) => k.fma(weight, valueTile!.load(four[n]!, column), sum),
                k.mul(get(name), fade),
              ),
            ),
          ),
        );
      });
    },
  );
  e.guard(k.lt(t, k.idx(queries)), () => {
    if (out)
      r.store(
        out,
        t,
        sums.map((name) => k.div(get(name), get(total))),
      );
    if (lse) r.store(lse, t, [k.add(get(largest), k.log(get(total)))]);
  });
  return sizes.reduce((x, y) => x * y);
}

export function backwardGpu(
  bench: Workbench,
  attention: Attention,
  roles: Roles,
  at: (b: Coord, h: Coord, accumulates: boolean) => Backward,
): number {
  const { batch, heads, queries, keys, depth, width, scale, causal } = attention;
  const { workgroup } = bench.profile;
  const knobs = bench.choose("attention_vjp", shapeOf(attention), GPU_ATTENTION);
  if (!knobs.shared) return backwardRows(bench, attention, roles, Math.max(1, knobs.rows), at);
  const r = createRegisters(bench, attention, knobs.tile);
  const { e, get } = r;
  const tasks = [
    ...(roles.queries ? [{ rows: queries, run: ownQueries }] : []),
    ...(roles.keys ? [{ rows: keys, run: ownKeys }] : []),
  ];
  let begin = 0;
  for (const { rows, run } of tasks) {
    const sizes = [batch, heads, Math.ceil(rows / workgroup)];
    const from = begin;
    begin += sizes.reduce((x, y) => x * y);
    const body = (): void => {
      const [b, h, i] = e.split(e.coord(k.sub(group, k.idx(from))), sizes) as [Coord, Coord, Coord];
      run(at(b, h, false), e.bind(k.mul(i.at, k.idx(workgroup))));
    };
    if (tasks.length === 1) body();
    else e.guard(from === 0 ? k.lt(group, k.idx(begin)) : k.le(k.idx(from), group), body);
  }
  return begin;

  function ownQueries(x: Backward, first: Expr): void {
    const t = e.bind(k.add(first, local));
    const row = e.bind(k.min(t, k.idx(queries - 1)));
    const query = r.registers(x.q, row, depth);
    const cotangent = r.registers(x.cotangent, row, width);
    const out = r.registers(x.out, row, width);
    const delta = r.dot(cotangent, (c) => out[c]!);
    const log = r.registers(x.lse, row, 1)[0]!;
    const sums = r.sums(depth);
    const end = e.bind(causal ? k.min(k.add(first, k.idx(workgroup)), k.idx(keys)) : k.idx(keys));
    r.tiles(
      k.idx(0),
      end,
      (u0) => [r.load(x.k, r.names.a, u0, keys, depth), r.load(x.v, r.names.b, u0, keys, width)],
      (u0, [keyTile, valueTile]) => {
        e.loop(k.idx(0), k.idx(r.tile), 1, ({ at: j }) => {
          const { slope } = weigh(
            query,
            (d) => keyTile!.load(j, d),
            cotangent,
            (c) => valueTile!.load(j, c),
            log,
            delta,
            t,
            e.bind(k.add(u0, j)),
          );
          r.accumulate(sums, slope, (d) => keyTile!.load(j, d));
        });
      },
    );
    e.guard(k.lt(t, k.idx(queries)), () => r.store(x.dq!, t, sums.map(get)));
  }

  function ownKeys(x: Backward, first: Expr): void {
    const u = e.bind(k.add(first, local));
    const row = e.bind(k.min(u, k.idx(keys - 1)));
    const key = r.registers(x.k, row, depth);
    const value = r.registers(x.v, row, width);
    const dk = r.sums(x.dk ? depth : 0);
    const dv = r.sums(x.dv ? width : 0);
    const from = causal ? e.bind(k.mul(k.div(first, k.idx(r.tile)), k.idx(r.tile))) : k.idx(0);
    r.tiles(
      from,
      k.idx(queries),
      (t0) => [
        r.load(x.q, r.names.a, t0, queries, depth),
        r.load(x.cotangent, r.names.b, t0, queries, width),
        logsOf(x, t0),
        deltasOf(x, t0),
      ],
      (t0, [queryTile, backTile, logTile, deltaTile]) => {
        e.loop(k.idx(0), k.idx(r.tile), 1, ({ at: j }) => {
          const { weight, slope } = weigh(
            key,
            (d) => queryTile!.load(j, d),
            value,
            (c) => backTile!.load(j, c),
            e.bind(logTile!.load(j, 0)),
            e.bind(deltaTile!.load(j, 0)),
            e.bind(k.add(t0, j)),
            u,
          );
          r.accumulate(dv, weight, (c) => backTile!.load(j, c));
          r.accumulate(dk, slope, (d) => queryTile!.load(j, d));
        });
      },
    );
    e.guard(k.lt(u, k.idx(keys)), () => {
      if (x.dk) r.store(x.dk, u, dk.map(get));
      if (x.dv) r.store(x.dv, u, dv.map(get));
    });
  }

  /**
   * The weight of query t for key u and the cotangent of its score, of the row that is owned and the row that passes
   * by.
   */
  function weigh(
    own: readonly Expr[],
    other: (d: number) => Expr,
    ownBack: readonly Expr[],
    otherBack: (c: number) => Expr,
    log: Expr,
    delta: Expr,
    t: Expr,
    u: Expr,
  ): { readonly weight: Expr; readonly slope: Expr } {
    const inside = k.and(k.lt(t, k.idx(queries)), k.lt(u, k.idx(keys)));
    const seen = causal ? k.and(inside, k.le(u, t)) : inside;
    const score = k.mul(r.dot(own, other), k.f32(scale));
    const weight = e.bind(k.select(seen, k.exp(k.sub(score, log)), k.f32(0)));
    const slope = e.bind(k.mul(k.mul(weight, k.f32(scale)), k.sub(r.dot(ownBack, otherBack), delta)));
    return { weight, slope };
  }

  function logsOf(x: Backward, t0: Expr): Tile {
    return r.load(x.lse, r.names.logs, t0, queries, 1);
  }

  /** Sums of the result times its cotangent along the rows of a tile. */
  function deltasOf(x: Backward, t0: Expr): Tile {
    const sumOf = (j: Expr): Expr => {
      const row = e.bind(k.min(k.add(t0, j), k.idx(queries - 1)));
      const out = r.registers(x.out, row, width);
      return r.dot(out, (c) =>
        word(
          x.cotangent.buffer,
          k.add(k.add(x.cotangent.base, k.mul(row, k.idx(x.cotangent.row))), k.idx(c * x.cotangent.column)),
        ),
      );
    };
    const name = r.names.deltas;
    e.loop(local, k.idx(r.tile), workgroup, (j) => e.push(k.store(name, j.at, sumOf(j.at))));
    return { load: (j) => word(name, j) };
  }
}
