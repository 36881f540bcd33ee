/**
 * Sinkhorn's projection of n x n matrices onto the doubly stochastic ones, in registers, and its vjp. On a GPU an
 * invocation takes a matrix; on a CPU the four lanes take four matrices, which works for every n and needs no shuffles:
 * entry (i, j) of all four is one vector. (A last block of fewer than four repeats the last matrix, and stores it again
 * where it stands.) The first column-and-row pass runs in the log domain, so logits of +-80 do no harm; afterwards
 * every denominator is at least 1/n^2. What is done once (reading, the first pass, writing) goes line by line through
 * small arrays, so that the text of a kernel does not hold an exponential for every entry; the iterations are in
 * registers. The vjp recomputes the projection on chip: it keeps the 2 T n scaling sums, not the 2 T matrices, and
 * walks back from the result by multiplying with them. It carries the cotangents of logarithms: for P = Q / s with s
 * the sum of Q along an axis (plus epsilon) and G = dP * P, that of log Q is G - sum(G) * P, the sum along the same
 * axis: no division, and half of the operations of dQ = (dP - sum(dP * P)) / s.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr, Type } from "../../kernel/ir.js";
import { constant, like, type Coord, type Emitter } from "../emit/emit.js";
import { kernelize, type Bound, type Places } from "../emit/kernelize.js";
import type { Cluster } from "../fusion/partition.js";
import { sizeOf } from "../../graph/record.js";
import { behindReshapes } from "../fusion/views.js";

/** Matrices a group of a CPU kernel takes. */
const GROUP = 64;

type Sinkhorn = NodeWith<"sinkhorn"> | NodeWith<"sinkhorn_vjp">;
type Direction = "rows" | "columns";

export function sinkhornKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = cluster.anchor as Sinkhorn;
  const n = node.shape[node.shape.length - 1]!;
  const count = sizeOf(node.shape) / (n * n);
  const gpu = profile.kind === "gpu";
  const lanes = gpu ? 1 : profile.lanes;
  return kernelize(
    { name: node.op, clusters: [cluster], profile, places, lanes, workgroup: gpu ? profile.workgroup : 1 },
    (bench) => {
      const { emitter: e } = bench;
      const inputs = node.inputs.map((input) => bench.read(behindReshapes(input, places.isBase)));
      const output = bench.write(node);
      const project = createProjection(e, node, lanes, false);
      const entry = (row: Coord, column: Coord): Expr => k.add(k.mul(row.at, k.idx(n)), column.at);
      /** The matrices from `first`, one a lane. */
      const block = (first: Expr): void => {
        const bases = Array.from({ length: lanes }, (_, l) => {
          const index =
            count % lanes === 0 || l === 0 ? k.add(first, k.idx(l)) : k.min(k.add(first, k.idx(l)), k.idx(count - 1));
          return e.bind(k.mul(index, k.idx(n * n)));
        });
        project(
          (input, row, column) => loadLanes(inputs[input]!, bases, entry(row, column)),
          (row, column, value) => storeLanes(e, output, bases, entry(row, column), value),
        );
      };
      const group = k.ref("group", k.INDEX);
      if (gpu) {
        const flat = k.add(k.mul(group, k.idx(profile.workgroup)), k.ref("local", k.INDEX));
        e.guard(k.lt(flat, k.idx(count)), () => block(e.bind(flat)));
        return Math.ceil(count / profile.workgroup);
      }
      const from = e.bind(k.mul(group, k.idx(GROUP)));
      e.loop(from, e.bind(k.min(k.add(from, k.idx(GROUP)), k.idx(count))), lanes, (index) => block(index.at));
      return Math.ceil(count / GROUP);
    },
  );
}

/** Word `i` after each of the bases: a scalar for one, a vector for four. */
function loadLanes(buffer: string, bases: readonly Expr[], i: Expr): Expr {
  const items = bases.map((base) => k.load(buffer, k.add(base, i), k.F32));
  return items.length === 1 ? items[0]! : k.lanes(items as [Expr, Expr, Expr, Expr]);
}

function storeLanes(e: Emitter, buffer: string, bases: readonly Expr[], i: Expr, value: Expr): void {
  bases.forEach((base, l) =>
    e.push(k.store(buffer, k.add(base, i), bases.length === 1 ? value : k.extract(value, l as 0 | 1 | 2 | 3))),
  );
}

/**
 * Projects one matrix, or four in lanes: `read` gives an entry of an operand (logits; for the vjp also the cotangent),
 * `write` takes that of the result.
 */
export type Projection = (
  read: (input: number, row: Coord, column: Coord) => Expr,
  write: (row: Coord, column: Coord, value: Expr) => void,
) => void;

/** Arrays of n x n entries, and the scaling sums. */
interface Scratch {
  /** The logits, and what their logarithmic passes make of them; then the cotangent. */
  readonly logits: string;
  /** What each pass leaves, as shares of a line; null where it is not needed again. */
  readonly shares: readonly (string | null)[];
  readonly scales: string | null;
}

/** The passes that begin in the log domain. Paper: columns, then rows. DeepSeek: a softmax of rows. */
const passesOf = ({ attrs: { convention } }: Sinkhorn): readonly Direction[] =>
  convention === "paper" ? ["columns", "rows"] : ["rows"];

/**
 * Declares what a projection keeps; to be called in the outermost scope. `spelt`: whether it reads and writes at
 * constant coordinates, for entries that are at hand.
 */
export function createProjection(e: Emitter, node: Sinkhorn, lanes: 1 | 4, spelt: boolean): Projection {
  const n = node.shape[node.shape.length - 1]!;
  const array = (stem: string, entries: number): string => {
    const name = e.fresh(stem);
    e.push(k.arrayS(name, "f32", entries * lanes));
    return name;
  };
  const backwards = node.op === "sinkhorn_vjp";
  const logits = array("logits", n * n);
  const passes = passesOf(node);
  const scratch: Scratch = {
    logits,
    shares: passes.map((_, i) => (backwards ? array("shares", n * n) : i + 1 === passes.length ? logits : null)),
    scales: backwards ? array("scales", 2 * node.attrs.iterations * n) : null,
  };
  return (read, write) => project(e, node, lanes, spelt, scratch, read, write);
}

function project(
  e: Emitter,
  node: Sinkhorn,
  lanes: 1 | 4,
  spelt: boolean,
  { logits, shares, scales }: Scratch,
  ...[read, write]: Parameters<Projection>
): void {
  const n = node.shape[node.shape.length - 1]!;
  const type: Type = { of: "f32", lanes };
  const { iterations, convention, epsilon } = node.attrs;
  const all = Array.from({ length: n * n }, (_, i) => i);
  const line = (direction: Direction, i: number): number[] =>
    Array.from({ length: n }, (_, j) => (direction === "rows" ? i * n + j : j * n + i));
  const variable = (value: Expr): string => {
    const name = e.fresh("p");
    e.push(k.varS(name, value));
    return name;
  };
  const get = (name: string): Expr => k.ref(name, type);
  const sum = (items: readonly Expr[]): Expr => e.bind(items.reduce((a, b) => k.add(a, b)));
  const load = (array: string, at: Expr): Expr => e.bind(k.load(array, at, type));
  /** Words of entry (row, column) in an array. */
  const entry = (row: Coord, column: Coord): Expr =>
    k.add(k.mul(row.at, k.idx(n * lanes)), k.mul(column.at, k.idx(lanes)));
  const eachEntry = (body: (row: Coord, column: Coord) => void): void =>
    e.nest([n, n], ([row, column]) => body(row!, column!));
  const outside = spelt
    ? (body: (row: Coord, column: Coord) => void): void =>
        all.forEach((i) => body(constant(Math.floor(i / n)), constant(i % n)))
    : eachEntry;
  /** Runs `body` for every line, with the words of its n entries. */
  const eachLine = (direction: Direction, body: (places: readonly Expr[]) => void): void =>
    e.loop(k.idx(0), k.idx(n), 1, (i) => {
      const start = e.bind(k.mul(i.at, k.idx(direction === "rows" ? n * lanes : lanes)));
      body(Array.from({ length: n }, (_, j) => k.add(start, k.idx(j * (direction === "rows" ? lanes : n * lanes)))));
    });
  const keep = (array: string, values: readonly string[]): void =>
    values.forEach((name, i) => e.push(k.store(array, k.idx(i * lanes), get(name))));
  const entries = (array: string, of: (value: Expr, i: number) => Expr): string[] =>
    all.map((i) => variable(of(k.load(array, k.idx(i * lanes), type), i)));
  /**
   * Shares of the exponentials along every line, the largest of which is taken out first; and their logarithms in place
   * of the logits, where another pass follows.
   */
  const softmax = (direction: Direction, to: string | null, isLast: boolean): void =>
    eachLine(direction, (places) => {
      const values = places.map((place) => load(logits, place));
      const largest = e.bind(values.reduce((a, b) => k.max(a, b)));
      const powers = values.map((value) => e.bind(k.unary("exp", k.sub(value, largest))));
      const total = sum(powers);
      if (!isLast) {
        const shift = e.bind(k.add(largest, k.unary("log", total)));
        places.forEach((place, j) => e.push(k.store(logits, place, k.sub(values[j]!, shift))));
      }
      if (to === null) return;
      const inverse = e.bind(k.div(like(total, 1), total));
      places.forEach((place, j) => e.push(k.store(to, place, k.mul(powers[j]!, inverse))));
    });
  /** Sums to 1 along every line, remembering the denominators at `at` when the vjp will need them. */
  const normalize = (p: readonly string[], direction: Direction, plus: number, at: Expr | null): void => {
    for (let i = 0; i < n; i++) {
      const places = line(direction, i);
      const total = sum(places.map((place) => get(p[place]!)));
      const s = plus === 0 ? total : e.bind(k.add(total, like(total, plus)));
      if (at && scales) e.push(k.store(scales, k.add(at, k.idx(i * lanes)), s));
      const inverse = e.bind(k.div(like(s, 1), s));
      for (const place of places) e.push(k.assign(p[place]!, k.mul(get(p[place]!), inverse)));
    }
  };
  /** Pulls the cotangent g of the logarithms back through `normalize`, and undoes that on p. */
  const pullBack = (p: readonly string[], g: readonly string[], direction: Direction, at: Expr): void => {
    for (let i = 0; i < n; i++) {
      const places = line(direction, i);
      const s = e.bind(k.load(scales!, k.add(at, k.idx(i * lanes)), type));
      const less = e.bind(k.neg(sum(places.map((place) => get(g[place]!)))));
      for (const place of places) {
        e.push(k.assign(g[place]!, k.fma(less, get(p[place]!), get(g[place]!))));
        e.push(k.assign(p[place]!, k.mul(get(p[place]!), s)));
      }
    }
  };

  const paper = convention === "paper";
  const order: readonly [Direction, Direction] = paper ? ["columns", "rows"] : ["rows", "columns"];
  const plus = paper ? 0 : epsilon;
  const passes = passesOf(node);
  outside((row, column) => e.push(k.store(logits, entry(row, column), read(0, row, column))));
  passes.forEach((direction, i) => softmax(direction, shares[i]!, i + 1 === passes.length));
  const last = shares[passes.length - 1]!;
  const p = entries(last, (share) => (paper ? share : k.add(share, like(share, epsilon))));
  const slot = (t: Expr, half: 0 | 1): Expr => k.add(k.mul(t, k.idx(2 * n * lanes)), k.idx(half * n * lanes));
  if (!paper) normalize(p, "columns", plus, scales ? k.idx(0) : null);
  if (iterations > 1) {
    e.loop(k.idx(1), k.idx(iterations), 1, (t) => {
      normalize(p, order[0], plus, scales ? e.bind(slot(t.at, 0)) : null);
      normalize(p, order[1], plus, scales ? e.bind(slot(t.at, 1)) : null);
    });
  }
  const writeAll = (): void => outside((row, column) => write(row, column, load(logits, entry(row, column))));
  if (!scales) {
    keep(logits, p);
    return writeAll();
  }

  outside((row, column) => e.push(k.store(logits, entry(row, column), read(1, row, column))));
  const g = entries(logits, (cotangent, i) => k.mul(cotangent, get(p[i]!)));
  if (iterations > 1) {
    e.loop(k.idx(1), k.idx(iterations), 1, (back) => {
      const t = e.bind(k.sub(k.idx(iterations), back.at));
      pullBack(p, g, order[1], e.bind(slot(t, 1)));
      pullBack(p, g, order[0], e.bind(slot(t, 0)));
    });
  }
  if (!paper) {
    pullBack(p, g, "columns", k.idx(0));
    // From the share plus epsilon to the share.
    g.forEach((name, i) =>
      e.push(k.assign(name, k.mul(get(name), k.div(k.load(last, k.idx(i * lanes), type), get(p[i]!))))),
    );
  }
  keep(logits, g);
  // The logarithm of a share q: dz = dl - q * sum(dl) along its line.
  [...passes.keys()].reverse().forEach((i) =>
    eachLine(passes[i]!, (places) => {
      const d = places.map((place) => load(logits, place));
      const less = e.bind(k.neg(sum(d)));
      places.forEach((place, j) => e.push(k.store(logits, place, k.fma(less, k.load(shares[i]!, place, type), d[j]!))));
    }),
  );
  writeAll();
}
