/**
 * Reductions as loops. Several of one extent may share a walk over it, so that what they read in common is loaded once.
 * Where a workgroup works on one thing (GPU), its invocations stride over the walk and combine what they found through
 * shared memory.
 */
import * as k from "../../kernel/build.js";
import type { Expr, Lanes, Type } from "../../kernel/ir.js";
import { sizeOf } from "../../graph/record.js";
import { mustAt } from "../../../runtime/lookup.js";
import { rowMajor } from "../fusion/views.js";
import { across, constant, inAll, vectorRuns, widen, type Coord, type VectorRun } from "./coords.js";
import type { Writer } from "./writer.js";

/** How a workgroup shares a reduction: in the scope of this depth all its invocations meet. */
export interface Cooperation {
  readonly depth: number;
  readonly workgroup: number;
}

/** What is combined into one value: a sum, a maximum or a product over the positions of a walk. */
export interface KernelReduction {
  readonly op: "sum" | "reduce_max" | "reduce_prod";
  /** Lanes of the result. */
  readonly lanes: Lanes;
  /** What is combined, at a position of the walk. */
  readonly item: (reduced: readonly Coord[]) => Expr;
}

/** What a reduction needs of the emitter: to write, and how loops are made. */
export interface Loops extends Writer {
  readonly lanes: Lanes;
  /** Terms of a sum that is spelt out, at most. */
  readonly spelt: number;
  readonly cooperation: Cooperation | undefined;
}

/** With more reductions than this, a vector for each would not stay in registers with what it sums. */
const FEW = 8;
/**
 * Vectors of accumulators of one walk, at most, when a reduction has several: a sum waits three cycles for the one
 * before it, and two can be begun a cycle.
 */
const SIDE_BY_SIDE = 4;
/** Words that walk together at most; and in how much memory of a workgroup they are combined. */
const TOGETHER = 128;
const SHARES = 2048;
const local = k.ref("local", k.INDEX);
const f32 = (lanes: Lanes): Type => ({ of: "f32", lanes });

const COMBINERS = { sum: k.add, reduce_max: k.max, reduce_prod: k.mul } as const;
const NEUTRAL = { sum: 0, reduce_max: -3.4028234663852886e38, reduce_prod: 1 } as const;
const combiner = (op: KernelReduction["op"]): ((a: Expr, b: Expr) => Expr) => COMBINERS[op];
const neutral = (op: KernelReduction["op"]): number => NEUTRAL[op];

/** Cuts a list into parts that may share a walk. */
export function walks<T>(
  items: readonly T[],
  reductionOf: (item: T) => KernelReduction,
  { cooperation }: Loops,
): T[][] {
  const mostWords = cooperation ? Math.floor(SHARES / (cooperation.workgroup + 1)) : TOGETHER;
  const parts: T[][] = [];
  let part: T[] = [];
  let words = mostWords;
  for (const item of items) {
    const itemWords = reductionOf(item).lanes;
    words += itemWords;
    if (words > mostWords) {
      part = [];
      parts.push(part);
      words = itemWords;
    }
    part.push(item);
  }
  return parts;
}

/** The results of reductions over all positions of `sizes`; all of one op. */
export function reduceAll(e: Loops, sizes: readonly number[], reductions: readonly KernelReduction[]): Expr[] {
  const total = sizeOf(sizes);
  if (e.cooperation && e.depth() === e.cooperation.depth && total > e.spelt)
    return cooperate(e, e.cooperation.workgroup, sizes, reductions);
  if (total <= e.spelt) {
    return reductions.map(({ op, item }) =>
      widen(Array.from({ length: total }, (_, flat) => item(unflatten(flat, sizes).map(constant)))).reduce(
        combiner(op),
      ),
    );
  }
  const last = sizes[sizes.length - 1] ?? 1;
  if (e.lanes === 1 || last < 4 || reductions.length > FEW || reductions.some(({ lanes }) => lanes !== 1)) {
    const accumulators = reductions.map((reduction) => accumulator(e, reduction, reduction.lanes));
    e.nest(sizes, (reduced) => accumulators.forEach(({ accumulate }) => accumulate(reduced)));
    return accumulators.map(({ value }) => value);
  }
  return reduceInVectors(e, sizes.slice(0, -1), last, reductions);
}

/**
 * Partial results along the last axis, in vectors of which several stand side by side; then the last elements, which
 * are no whole vector, in narrower ones and one by one.
 */
function reduceInVectors(
  e: Loops,
  outerSizes: readonly number[],
  last: number,
  reductions: readonly KernelReduction[],
): Expr[] {
  const runs = vectorRuns(last, e.lanes).map((run, i) => {
    const ways = i === 0 ? waysOf((run.to - run.from) / run.width, reductions.length) : 1;
    const accumulators = reductions.map((reduction) =>
      Array.from({ length: ways }, () => accumulator(e, reduction, run.width)),
    );
    return { run, ways, accumulators };
  });
  e.nest(outerSizes, (outer) => {
    for (const { run, ways, accumulators } of runs) reduceRun(e, run, ways, outer, accumulators);
  });
  // All reductions of a walk are of one op.
  const combine = combiner(mustAt(reductions, 0).op);
  const folded = runs.map(({ accumulators }) =>
    foldAll(
      e,
      accumulators.map(
        (ofReduction) => () =>
          pairs(
            ofReduction.map(({ value }) => value),
            combine,
          ),
      ),
      combine,
    ),
  );
  return reductions.map((_, i) => folded.map((values) => mustAt(values, i)).reduce(combine));
}

/**
 * Combines the lanes of some values. Several wide vectors share the work: two of them become one, whose halves are what
 * is left of either, until one vector holds all results. A value is asked for when it is its turn, so that in narrow
 * vectors each is folded where it was made.
 */
function foldAll(w: Writer, values: readonly (() => Expr)[], combine: (a: Expr, b: Expr) => Expr): Expr[] {
  const count = values.length;
  const bound: Expr[] = [];
  const folded: Expr[] = [];
  for (const value of values) {
    const v = w.bind(value());
    bound.push(v);
    if (v.type.lanes <= 4 || count === 1) folded.push(foldLanes(w, v, combine));
  }
  if (folded.length === count) return folded;
  const { lanes } = mustAt(bound, 0).type;
  let vectors = bound;
  // Of each vector, `parts` results have `share` lanes each.
  let share = lanes as number;
  while (vectors.length > 1 && share > 1) {
    const half = share / 2;
    const place = (l: number, upper: boolean): number => {
      // Lanes of the result come from the first vector, then from the second; of each share one half.
      const from = Math.floor(l / (lanes / 2));
      const at = l % (lanes / 2);
      return from * lanes + Math.floor(at / half) * share + (at % half) + (upper ? half : 0);
    };
    const order = (upper: boolean): number[] => Array.from({ length: lanes }, (_, l) => place(l, upper));
    const joined: Expr[] = [];
    for (let i = 0; i < vectors.length; i += 2) {
      const a = mustAt(vectors, i);
      const b = vectors[i + 1] ?? a;
      joined.push(w.bind(combine(k.shuffle(a, b, order(false)), k.shuffle(a, b, order(true)))));
    }
    vectors = joined;
    share = half;
  }
  const results: Expr[] = [];
  for (const vector of vectors) {
    let v = vector;
    for (let half = share / 2; half >= 1; half /= 2) {
      const order = Array.from({ length: lanes }, (_, l) => l ^ half);
      v = w.bind(combine(v, k.shuffle(v, v, order)));
    }
    for (let l = 0; l < lanes; l += share) results.push(k.extract(v, l));
  }
  return results.slice(0, count);
}

/** One run of vectors of the last axis, taken by `ways` accumulators of each reduction in turns. */
function reduceRun(
  e: Loops,
  { from, to, width }: VectorRun,
  ways: number,
  outer: readonly Coord[],
  accumulators: readonly (readonly Accumulator[])[],
): void {
  e.loop(k.idx(from), k.idx(to), width * ways, (c) => {
    for (let way = 0; way < ways; way++) {
      const at = way === 0 ? c : e.coord(k.add(c.at, k.idx(width * way)));
      for (const ofReduction of accumulators) mustAt(ofReduction, way).accumulate([...outer, across(at, width)]);
    }
  });
}

/** Combines the lanes of a value that is bound: halves of a wide vector with each other, then the last four. */
export function foldLanes(w: Writer, value: Expr, combine: (a: Expr, b: Expr) => Expr): Expr {
  const { lanes } = value.type;
  if (lanes === 1) return value;
  let v = value;
  for (let half = lanes / 2; half >= 4; half /= 2) {
    const order = Array.from({ length: lanes }, (_, l) => (l + half) % lanes);
    v = w.bind(combine(v, k.shuffle(v, v, order)));
  }
  return combine(combine(k.extract(v, 0), k.extract(v, 1)), combine(k.extract(v, 2), k.extract(v, 3)));
}

/** Vectors that a reduction collects in: one sum waits for the one before it, so a few of them take turns. */
function waysOf(vectors: number, reductions: number): number {
  let ways = 1;
  while (2 * ways * reductions <= SIDE_BY_SIDE && vectors % (2 * ways) === 0 && vectors > 2 * ways) ways *= 2;
  return ways;
}

/** Combines neighbours first, so that no sum waits for all others. */
const pairs = (items: readonly Expr[], combine: (a: Expr, b: Expr) => Expr): Expr =>
  items.length === 1
    ? mustAt(items, 0)
    : combine(pairs(items.slice(0, items.length / 2), combine), pairs(items.slice(items.length / 2), combine));

/** A variable that collects a reduction. */
interface Accumulator {
  readonly value: Expr;
  readonly accumulate: (reduced: readonly Coord[]) => void;
}

function accumulator(e: Loops, { op, item }: KernelReduction, lanes: Lanes): Accumulator {
  const name = e.fresh("acc");
  const value = k.ref(name, f32(lanes));
  const start = k.f32(neutral(op));
  e.push(k.varS(name, k.splat(start, lanes)));
  return {
    value,
    accumulate: (reduced) => {
      const term = item(reduced);
      e.push(k.assign(name, combiner(op)(value, inAll(term, lanes))));
    },
  };
}

/** All meet twice: once each has its share of every result, and once these shares are combined. */
function cooperate(
  e: Loops,
  workgroup: number,
  sizes: readonly number[],
  reductions: readonly KernelReduction[],
): Expr[] {
  const { op } = mustAt(reductions, 0);
  const accumulators = reductions.map((reduction) => accumulator(e, reduction, reduction.lanes));
  e.loop(local, k.idx(sizeOf(sizes)), workgroup, (flat) => {
    const reduced = e.split(flat, sizes);
    for (const { accumulate } of accumulators) accumulate(reduced);
  });
  const shares = accumulators.flatMap(({ value }) =>
    value.type.lanes === 1 ? [value] : Array.from({ length: value.type.lanes }, (_, l): Expr => k.extract(value, l)),
  );
  const results =
    shares.length === 1 ? foldOne(e, workgroup, mustAt(shares, 0), combiner(op)) : foldMany(e, workgroup, shares, op);
  let at = 0;
  return reductions.map(({ lanes }) => {
    at += lanes;
    return k.lanes(results.slice(at - lanes, at));
  });
}

/** Some invocations combine their part of the shares, then all combine theirs. */
function foldOne(e: Loops, workgroup: number, share: Expr, combine: (a: Expr, b: Expr) => Expr): Expr[] {
  const few = 2 ** Math.ceil(Math.log2(workgroup) / 2);
  const combined = (count: number, from: string, at: (i: number) => Expr): Expr =>
    Array.from({ length: count }, (_, i) => k.load(from, at(i), f32(1))).reduce(combine);
  e.shared("shares", workgroup);
  e.shared("folded", few);
  e.push(k.store("shares", local, share));
  e.push(k.barrier());
  e.guard(k.lt(local, k.idx(few)), () => {
    const part = combined(workgroup / few, "shares", (i) => k.add(local, k.idx(i * few)));
    e.push(k.store("folded", local, part));
  });
  e.push(k.barrier());
  return [e.bind(combined(few, "folded", k.idx))];
}

/**
 * Every result is combined by one invocation. Rows are one word longer than needed, so that they begin in different
 * banks.
 */
function foldMany(e: Loops, workgroup: number, shares: readonly Expr[], op: KernelReduction["op"]): Expr[] {
  const row = workgroup + 1;
  e.shared("shares", shares.length * row);
  e.shared("folded", shares.length);
  for (const [s, share] of shares.entries()) e.push(k.store("shares", k.add(local, k.idx(s * row)), share));
  e.push(k.barrier());
  e.loop(local, k.idx(shares.length), workgroup, (s) => {
    const item: KernelReduction["item"] = (reduced) =>
      k.load("shares", k.add(k.mul(s.at, k.idx(row)), mustAt(reduced, 0).at), f32(1));
    const { value, accumulate } = accumulator(e, { op, lanes: 1, item }, 1);
    e.loop(k.idx(0), k.idx(workgroup), 1, (i) => accumulate([i]));
    e.push(k.store("folded", s.at, value));
  });
  e.push(k.barrier());
  return shares.map((_, s) => e.bind(k.load("folded", k.idx(s), f32(1))));
}

/** The coordinates of an element by its number. */
export function unflatten(flat: number, sizes: readonly number[]): number[] {
  const strides = rowMajor(sizes);
  return sizes.map((size, i) => Math.floor(flat / mustAt(strides, i)) % size);
}
