/**
 * What every device is tested with: one graph of all ops, in every case of the op table and in the shapes that reach
 * every branch of the skeletons. Users' devices are held to it by `mhc target-test`, those of mhc by the tests too.
 */
import type { Builder } from "../../graph/builder.js";
import { createBuilder } from "../../graph/create-builder.js";
import type { Graph, Node } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import { allCases, build, random } from "./cases.js";

/** A builder, and what makes an input of a shape. */
interface Shaping {
  readonly b: Builder;
  readonly x: (shape: readonly number[]) => Node;
}

type Outputs = readonly (readonly [name: string, node: Node])[];

/** Reductions and products of odd sizes: tails, long rows, leading and mixed axes, long sums. */
function products({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  for (const n of [1, 3, 5, 37, 64, 130]) {
    out.push([`softmax ${n}`, b.softmax(x([7, n]))]);
    out.push([`columns ${n}`, b.sum(x([9, 5, n]), [0, 1])]);
    out.push([`middle ${n}`, b.sum(x([3, 4, n, 5]), [1, 3])]);
    const a = x([5, n]);
    out.push([
      `norm ${n}`,
      b.div(a, b.broadcast(b.sqrt(b.add(b.mean(b.mul(a, a), [1]), b.fill(1e-5, [5]))), [5, n], [0])),
    ]);
  }
  out.push(["long sum", b.sum(x([10_000]), [0])]);
  out.push(["long max", b.reduceMax(x([3, 5_000]), [1])]);
  for (const [m, n, k] of [
    [1, 1, 1],
    [1, 9, 7],
    [9, 1, 7],
    [4, 8, 16],
    [5, 13, 3],
    [130, 12, 33],
    [66, 37, 70],
    [12, 3, 200],
  ] as const) {
    out.push([`mn ${m} ${n} ${k}`, b.contract("mk,kn->mn", x([m, k]), x([k, n]))]);
    out.push([`tn ${m} ${n} ${k}`, b.contract("km,kn->mn", x([k, m]), x([k, n]))]);
    out.push([`nt ${m} ${n} ${k}`, b.contract("mk,nk->mn", x([m, k]), x([n, k]))]);
    out.push([`tt ${m} ${n} ${k}`, b.contract("km,nk->mn", x([k, m]), x([n, k]))]);
  }
  return out;
}

/** Products with what is computed of them, and changes of layout. */
function fused({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  out.push(["epilogue", b.tanh(b.add(b.contract("bth,hdw->btwd", x([2, 3, 5]), x([5, 3, 6])), x([2, 3, 6, 3])))]);
  const grown = b.contract("btw,whd->bthd", x([2, 5, 6]), x([6, 3, 4]));
  out.push(["merged epilogue", b.mul(b.exp(grown), b.broadcast(x([3]), [2, 5, 3, 4], [2]))]);
  out.push(["two outputs", b.add(grown, x([2, 5, 3, 4]))]);
  out.push(["transposed map", b.add(b.transpose(x([4, 6, 5]), [2, 0, 1]), x([5, 4, 6]))]);
  out.push(["split", b.mul(b.reshape(x([3, 24]), [3, 4, 6]), b.reshape(x([6, 12]), [3, 4, 6]))]);
  out.push(["copy", b.transpose(x([3, 5]), [1, 0])]);
  out.push(["reshape operand", b.contract("ab,bc->ac", b.reshape(b.transpose(x([4, 6]), [1, 0]), [8, 3]), x([3, 5]))]);
  out.push(["transposed product", b.transpose(b.contract("ij,kj->ik", x([12, 5]), x([12, 5])), [1, 0])]);
  return out;
}

/** More matrices than one group of a CPU kernel or a workgroup takes, and every size that fits in registers. */
function matrices({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  for (const n of [1, 2, 3, 4, 5, 8]) {
    for (const convention of ["paper", "deepseek"] as const) {
      const attrs = { iterations: n === 8 ? 3 : 20, convention, epsilon: convention === "paper" ? 0 : 1e-6 };
      const logits = b.mul(x([n === 4 ? 70 : 3, n, n]), b.fill(3, [n === 4 ? 70 : 3, n, n]));
      out.push([`sinkhorn ${n} ${convention}`, b.sinkhorn(logits, attrs)]);
      out.push([`sinkhorn_vjp ${n} ${convention}`, b.sinkhornVjp(logits, x(logits.shape), attrs)]);
    }
  }
  return out;
}

/** Products over axes that do not merge, and operands that are laid out otherwise. */
function axes({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  out.push(["outer axes", b.contract("xkaybl,ylxdkc->axycbd", x([2, 3, 5, 3, 2, 4]), x([3, 4, 2, 3, 3, 9]))]);
  out.push([
    "transposed operands",
    b.contract("ab,bc->ac", b.transpose(x([7, 10]), [1, 0]), b.transpose(x([11, 7]), [1, 0])),
  ]);
  out.push([
    "repeated operand",
    b.contract("ab,bc->ac", b.broadcast(x([5]), [9, 5], [1]), b.broadcast(x([5]), [5, 10], [0])),
  ]);
  out.push(["long product", b.contract("mk,kn->mn", x([3, 3_000]), x([3_000, 9]))]);
  out.push(["merged, odd columns", b.tanh(b.contract("ab,bcd->acd", x([10, 3]), x([3, 5, 3])))]);
  out.push([
    "merged rows",
    b.mul(b.contract("abk,kc->abc", x([5, 3, 6]), x([6, 8])), b.broadcast(x([3]), [5, 3, 8], [1])),
  ]);
  return out;
}

/** Maps over reductions, look-ups, and sums into rows. */
function statistics({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  out.push(["columns of reductions", b.mul(b.sum(x([300, 70]), [0]), x([70]))]);
  const wide = x([70, 37]);
  out.push([
    "row statistics",
    b.sub(wide, b.broadcast(b.add(b.mean(wide, [1]), b.reduceMax(wide, [1])), [70, 37], [0])),
  ]);
  const tall = x([130, 6]);
  out.push([
    "column statistics",
    b.div(tall, b.broadcast(b.add(b.sum(b.mul(tall, tall), [0]), b.fill(1, [6])), [130, 6], [1])),
  ]);
  out.push(["all axes", b.sum(b.mul(x([4, 5, 13]), x([4, 5, 13])), [0, 1, 2])]);
  out.push(["leading long", b.reduceMax(x([5_000, 3]), [0])]);
  const index = b.cast(b.mul(b.abs(x([3, 4])), b.fill(9.9, [3, 4])), "u32");
  out.push(["gather by lane", b.gather(x([10]), index)]);
  const backwards = b.sub(b.fill(11, [12], "u32"), b.iota([12], 0));
  out.push(["an index older than its table", b.cast(backwards, "f32")]);
  const square = b.contract("ij,kj->ik", x([12, 5]), x([12, 5]));
  out.push(["product", square]);
  out.push(["gather of a product", b.gather(square, backwards)]);
  out.push(["gather of a map", b.gather(b.exp(x([12, 7])), backwards)]);
  out.push(["gather transposed", b.gather(b.transpose(x([6, 10]), [1, 0]), index)]);
  out.push(["scatter rows", b.scatterAdd(index, x([3, 4, 37]), 10)]);
  out.push(["scatter scalars", b.scatterAdd(index, x([3, 4]), 10)]);
  out.push(["split lanes", b.exp(b.reshape(b.transpose(x([5, 6]), [1, 0]), [2, 15]))]);
  out.push(["iota by lane", b.cast(b.add(b.iota([3, 17], 1), b.iota([3, 17], 0)), "f32")]);
  out.push(["outer", b.contract("a,b->ab", x([5]), x([7]))]);
  out.push(["batch last", b.contract("ka,ka->a", x([9, 14]), x([9, 14]))]);
  return out;
}

/** Products along axes. */
function factors({ b, x }: Shaping): Outputs {
  const out: [string, Node][] = [];
  const nearOne = (shape: readonly number[]): Node => b.add(b.fill(1, shape), b.mul(x(shape), b.fill(0.1, shape)));
  for (const n of [1, 5, 37, 130]) out.push([`factors ${n}`, b.reduceProd(nearOne([7, n]), [1])]);
  out.push(["factors of columns", b.reduceProd(nearOne([9, 5, 13]), [0, 1])]);
  // Products of signs are exact, of however many.
  const many = x([20_480]);
  const signs = b.select(b.lt(b.fill(0, [20_480]), many), b.fill(-1, [20_480]), b.fill(1, [20_480]));
  out.push(["many factors", b.reduceProd(signs, [0])]);
  return out;
}

/** Where functions are tried beside the ops' own cases, each range by itself: its ends, and whether by logarithms. */
const RANGES: readonly (readonly [op: keyof Functions, low: number, high: number, logarithmic?: true])[] = [
  ["exp", -80, -5],
  ["exp", 5, 80],
  ["log", 1e-30, 1e-4, true],
  ["log", 1e4, 1e30, true],
  ["sqrt", 1e-30, 1e-4, true],
  ["sqrt", 1e4, 1e30, true],
  ["tanh", -12, -2],
  ["tanh", 2, 12],
  ["erf", -6, -2],
  ["erf", 2, 6],
  ["sigmoid", -80, -5],
  ["sigmoid", 5, 80],
  ["sin", -1000, 1000],
  ["cos", -1000, 1000],
  ["floor", -1000, 1000],
  ["floor", 1e-6, 1e6, true],
];

type Functions = Pick<Builder, "exp" | "log" | "sqrt" | "tanh" | "erf" | "sigmoid" | "sin" | "cos" | "floor">;

/** Numbers at which a function has a value of its own: zeros, infinities, what overflows, and what is no number. */
const EDGES: readonly number[] = [0, -0, 1, -1, Infinity, -Infinity, Number.NaN, 200, -200];

/** What makes an input of given values. */
type Given = (values: readonly number[]) => Node;

/** Angles of points around the origin, near it and far from it, and on the axes. */
function angles(b: Builder, given: Given): Outputs {
  const turns = Array.from({ length: 144 }, (_, i) => (2 * Math.PI * (i + 0.5)) / 144);
  const around = [1e-12, 1, 1e12].map((radius): readonly [string, Node] => [
    `angles at ${radius}`,
    b.atan2(
      given(turns.map((turn) => Math.fround(radius * Math.sin(turn)))),
      given(turns.map((turn) => Math.fround(radius * Math.cos(turn)))),
    ),
  ]);
  return [...around, ["angles of the axes", b.atan2(given([0, 2, 0, -2, 0]), given([3, 0, -3, 0, 0]))]];
}

/** Functions over their whole range. */
function ranges(b: Builder, given: Given): Outputs {
  const list = RANGES.map(([op, low, high, logarithmic]) => {
    const at = (share: number): number => (logarithmic ? low * (high / low) ** share : low + (high - low) * share);
    const x = given(Array.from({ length: 101 }, (_, i) => Math.fround(at(i / 100))));
    return [`${op} from ${low} to ${high}`, b[op](x)] as const;
  });
  return [...list, ...angles(b, given)];
}

/** Functions and comparisons at the edges, and of what is no number. A GPU promises nothing there. */
function edges(b: Builder, given: Given): Outputs {
  const x = given(EDGES.flatMap((a) => EDGES.map(() => a)));
  const y = given(EDGES.flatMap(() => EDGES));
  const out: [string, Node][] = [];
  for (const op of ["exp", "log", "sqrt", "tanh", "erf", "sigmoid", "abs", "floor"] as const)
    out.push([`${op} at the edges`, b[op](given(EDGES))]);
  for (const op of ["min", "max", "atan2"] as const) out.push([`${op} at the edges`, b[op](x, y)]);
  for (const op of ["lt", "le"] as const) out.push([`${op} at the edges`, b.cast(b[op](x, y), "f32")]);
  return out;
}

/** A graph with values of its inputs. */
export interface OpGraph {
  readonly graph: Graph;
  readonly values: ReadonlyMap<string, readonly number[]>;
  /** Outputs that are truth values, which must be the same. */
  readonly exact: ReadonlySet<string>;
}

/**
 * Every case of every op, odd shapes, and functions over their ranges: an output each; with `edges` also where a value
 * is no number, or not finite.
 */
export function opGraph({ edges: has = false }: { readonly edges?: boolean } = {}): OpGraph {
  const b = createBuilder();
  const values = new Map<string, readonly number[]>();
  const outputs = new Map<string, Node>();
  const exact = new Set<string>();
  allCases.forEach(({ op, index, item }, i) => {
    const built = build(b, op, item, `c${i}`, random(31 * i + 7));
    built.values.forEach((value, key) => values.set(key, value));
    const key = `${op} case ${index}`;
    if (built.node.dtype === "bool") exact.add(key);
    outputs.set(key, built.node.dtype === "bool" ? b.cast(built.node, "f32") : built.node);
  });
  const next = random(99);
  let count = 0;
  const x = (shape: readonly number[]): Node => {
    const key = `e${count++}`;
    values.set(
      key,
      Array.from({ length: sizeOf(shape) }, () => Math.fround(2 * next() - 1)),
    );
    return b.input(key, shape, "f32");
  };
  for (const shapes of [products, fused, matrices, axes, statistics, factors])
    for (const [key, node] of shapes({ b, x })) outputs.set(key, node);
  const given: Given = (numbers) => {
    const key = `e${count++}`;
    values.set(key, numbers);
    return b.input(key, [numbers.length], "f32");
  };
  for (const [key, node] of [...ranges(b, given), ...(has ? edges(b, given) : [])]) outputs.set(key, node);
  return { graph: { name: "ops", outputs, updates: new Map() }, values, exact };
}
