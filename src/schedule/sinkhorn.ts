/**
 * Sinkhorn's projection of n x n matrices onto the doubly stochastic ones, in registers, and its vjp. On a GPU an invocation takes a
 * matrix; on a CPU the four lanes take four matrices, which works for every n and needs no shuffles: entry (i, j) of
 * all four is one vector. (A last block of fewer than four repeats the last matrix, and stores it again where it stands.) The
 * first column-and-row pass runs in the log domain, so logits of +-80 do no harm; afterwards every denominator is at least
 * 1/n^2. The vjp recomputes the projection on chip: it keeps the 2 T n scaling sums, not the 2 T matrices, and walks back
 * from the result by multiplying with them. For P = Q / s with s the sum of Q along an axis (plus epsilon), the cotangent is
 * dQ = (dP - sum(dP * P)) / s, the sum along the same axis.
 */
import type { KernelProfile } from "../../codegen/target.js";
import type { NodeWith } from "../graph/node.js";
import * as k from "../kernel/build.js";
import type { Expr, Type } from "../kernel/ir.js";
import { like, type Emitter } from "./emit.js";
import { kernelize, type Bound, type Places } from "./kernelize.js";
import type { Cluster } from "./partition.js";
import { behindReshapes, sizeOf } from "./views.js";

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
  return kernelize(node.op, cluster, profile, places, lanes, gpu ? profile.workgroup : 1, (bench) => {
    const { emitter: e } = bench;
    const inputs = node.inputs.map((input) => bench.read(behindReshapes(input, places.isBase)));
    const output = bench.write(node);
    const project = createProjection(e, node, lanes);
    /** The matrices from `first`, one a lane. */
    const block = (first: Expr): void => {
      const bases = Array.from({ length: lanes }, (_, l) => {
        const index = count % lanes === 0 || l === 0 ? k.add(first, k.idx(l)) : k.min(k.add(first, k.idx(l)), k.idx(count - 1));
        return e.bind(k.mul(index, k.idx(n * n)));
      });
      project(
        (input, i) => loadLanes(inputs[input]!, bases, i),
        (i, value) => storeLanes(e, output, bases, i, value),
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
  });
}

/** Word `i` after each of the bases: a scalar for one, a vector for four. */
export function loadLanes(buffer: string, bases: readonly Expr[], i: number): Expr {
  const items = bases.map((base) => k.load(buffer, k.add(base, k.idx(i)), k.F32));
  return items.length === 1 ? items[0]! : k.lanes(items as [Expr, Expr, Expr, Expr]);
}

export function storeLanes(e: Emitter, buffer: string, bases: readonly Expr[], i: number, value: Expr): void {
  bases.forEach((base, l) => e.push(k.store(buffer, k.add(base, k.idx(i)), bases.length === 1 ? value : k.extract(value, l as 0 | 1 | 2 | 3))));
}

/** Projects one matrix, or four in lanes: `read` gives entry i of an operand (logits; for the vjp also the cotangent), `write` takes that of the result. */
export type Projection = (read: (input: number, i: number) => Expr, write: (i: number, value: Expr) => void) => void;

/** Declares what a projection keeps for the way back; to be called in the outermost scope. */
export function createProjection(e: Emitter, node: Sinkhorn, lanes: 1 | 4): Projection {
  const n = node.shape[node.shape.length - 1]!;
  const scales = node.op === "sinkhorn_vjp" ? e.fresh("scales") : null;
  if (scales) e.push(k.arrayS(scales, "f32", 2 * node.attrs.iterations * n * lanes));
  return (read, write) => project(e, node, lanes, scales, read, write);
}

function project(e: Emitter, node: Sinkhorn, lanes: 1 | 4, scales: string | null, ...[read, write]: Parameters<Projection>): void {
  const n = node.shape[node.shape.length - 1]!;
  const type: Type = { of: "f32", lanes };
  const { iterations, convention, epsilon } = node.attrs;
  const all = Array.from({ length: n * n }, (_, i) => i);
  const line = (direction: Direction, i: number): number[] =>
    Array.from({ length: n }, (_, j) => (direction === "rows" ? i * n + j : j * n + i));
  const z = all.map((i) => e.bind(read(0, i)));
  const variable = (value: Expr): string => {
    const name = e.fresh("p");
    e.push(k.varS(name, value));
    return name;
  };
  const get = (name: string): Expr => k.ref(name, type);
  const sum = (items: readonly Expr[]): Expr => e.bind(items.reduce((a, b) => k.add(a, b)));
  /** logits minus the log of the sum of their exponentials along a line: the largest is taken out first. */
  const logNormalized = (values: readonly Expr[], direction: Direction): Expr[] => {
    const result = [...values];
    for (let i = 0; i < n; i++) {
      const places = line(direction, i);
      const largest = e.bind(places.map((p) => values[p]!).reduce((a, b) => k.max(a, b)));
      const total = sum(places.map((p) => k.unary("exp", k.sub(values[p]!, largest))));
      const shift = e.bind(k.add(largest, k.unary("log", total)));
      for (const p of places) result[p] = e.bind(k.sub(values[p]!, shift));
    }
    return result;
  };
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
  /** Undoes `normalize` on p and pulls the cotangent g back through it. */
  const pullBack = (p: readonly string[], g: readonly string[], direction: Direction, at: Expr): void => {
    for (let i = 0; i < n; i++) {
      const places = line(direction, i);
      const s = e.bind(k.load(scales!, k.add(at, k.idx(i * lanes)), type));
      const inverse = e.bind(k.div(like(s, 1), s));
      const dot = sum(places.map((place) => k.mul(get(g[place]!), get(p[place]!))));
      for (const place of places) {
        e.push(k.assign(g[place]!, k.mul(k.sub(get(g[place]!), dot), inverse)));
        e.push(k.assign(p[place]!, k.mul(get(p[place]!), s)));
      }
    }
  };

  const paper = convention === "paper";
  const order: readonly [Direction, Direction] = paper ? ["columns", "rows"] : ["rows", "columns"];
  const plus = paper ? 0 : epsilon;
  // The first pass. Paper: columns, then rows, both as logarithms. DeepSeek: softmax of rows plus epsilon, then columns.
  const first = logNormalized(z, order[0]);
  const second = paper ? logNormalized(first, "rows") : null;
  const p = all.map((i) => variable(paper ? k.unary("exp", second![i]!) : k.add(k.unary("exp", first[i]!), like(first[i]!, epsilon))));
  const slot = (t: Expr, half: 0 | 1): Expr => k.add(k.mul(t, k.idx(2 * n * lanes)), k.idx(half * n * lanes));
  if (!paper) normalize(p, "columns", plus, scales ? k.idx(0) : null);
  if (iterations > 1) {
    e.loop(k.idx(1), k.idx(iterations), 1, (t) => {
      normalize(p, order[0], plus, scales ? e.bind(slot(t.at, 0)) : null);
      normalize(p, order[1], plus, scales ? e.bind(slot(t.at, 1)) : null);
    });
  }
  if (!scales) {
    all.forEach((i) => write(i, get(p[i]!)));
    return;
  }

  const g = all.map((i) => variable(read(1, i)));
  if (iterations > 1) {
    e.loop(k.idx(1), k.idx(iterations), 1, (back) => {
      const t = e.bind(k.sub(k.idx(iterations), back.at));
      pullBack(p, g, order[1], e.bind(slot(t, 1)));
      pullBack(p, g, order[0], e.bind(slot(t, 0)));
    });
  }
  if (!paper) pullBack(p, g, "columns", k.idx(0));
  // Softmax along a line: dz = q * (dq - sum(dq * q)) for q = exp(log-normalized); through logarithms: dz = dl - q * sum(dl).
  const throughSoftmax = (logits: readonly Expr[], cotangent: readonly Expr[], direction: Direction, ofLogarithm: boolean): Expr[] => {
    const result = [...cotangent];
    for (let i = 0; i < n; i++) {
      const places = line(direction, i);
      const q = places.map((place) => e.bind(k.unary("exp", logits[place]!)));
      const total = sum(places.map((place, j) => (ofLogarithm ? cotangent[place]! : k.mul(cotangent[place]!, q[j]!))));
      places.forEach((place, j) => {
        const value = ofLogarithm ? k.sub(cotangent[place]!, k.mul(q[j]!, total)) : k.mul(q[j]!, k.sub(cotangent[place]!, total));
        result[place] = e.bind(value);
      });
    }
    return result;
  };
  const outer = throughSoftmax(paper ? second! : first, g.map(get), "rows", false);
  const dz = paper ? throughSoftmax(first, outer, "columns", true) : outer;
  dz.forEach((value, i) => write(i, value));
}
