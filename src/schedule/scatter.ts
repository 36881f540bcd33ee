/**
 * The gradient of a table of rows that tokens chose (an embedding) is, row by row, a sum over all tokens of which almost all terms are zero: the
 * graph says so (`scatter_add` expands to it), and a GPU computes it so, without atomics. On a CPU a group takes some columns of the whole table, and
 * adds every token's values to the row that it chose: no two groups meet, and the order of the sums is that of the tokens.
 */
import type { Node } from "../graph/node.js";
import * as k from "../kernel/build.js";
import type { Coord } from "./emit.js";
import type { Workbench } from "./kernelize.js";
import type { Cluster } from "./partition.js";
import { sizeOf } from "./views.js";

/** Columns of a group: a cache line. */
const COLUMNS = 16;

export interface Scatter {
  readonly sum: Node;
  /** The only result: the sum, or the sum and something that waits for no sum. */
  readonly root: Node;
  readonly index: Node;
  readonly values: Node;
}

/** What a cluster scatters, when that is all that it does. */
export function scatterOf(cluster: Cluster, lanes: 1 | 4): Scatter | null {
  const [root, ...others] = cluster.roots;
  const sums = [...cluster.members].filter(({ op }) => op === "sum" || op === "reduce_max");
  const [sum] = sums;
  if (!sum || sum.op !== "sum" || sums.length > 1 || others.length > 0 || cluster.shape.length - sum.attrs.axes.length !== 2) return null;
  if (root !== sum && !(root!.op === "add" && root!.inputs.includes(sum) && root!.inputs.every((input) => input === sum || cluster.reads.has(input)))) return null;
  const [select] = sum.inputs;
  if (select?.op !== "select" || !isZero(select.inputs[2]!)) return null;
  const [hit, values] = select.inputs as [Node, Node, Node];
  const [row, chosen] = hit.op === "eq" ? (hit.inputs as [Node, Node]) : [];
  if (row?.op !== "iota" || row.attrs.axis !== 0 || chosen?.op !== "broadcast" || values.op !== "broadcast") return null;
  const tokens = sum.attrs.axes;
  const fits = isTable(tokens, sum.shape[1]!, lanes) && chosen.attrs.axes.every((axis, i) => axis === tokens[i]) && values.attrs.axes.every((axis, i) => axis === i + 1);
  return fits && sizeOf(chosen.inputs[0]!.shape) === sizeOf(tokens.map((axis) => cluster.shape[axis]!)) && sizeOf(values.inputs[0]!.shape) === sizeOf(cluster.shape.slice(1))
    ? { sum, root: root!, index: chosen.inputs[0]!, values: values.inputs[0]! } : null;
}

const isZero = (node: Node): boolean => (node.op === "broadcast" ? isZero(node.inputs[0]!) : node.op === "constant" && node.attrs.value === 0);

/** Whether rows come first, tokens after them, and columns in whole vectors last. */
const isTable = (tokens: readonly number[], columns: number, lanes: 1 | 4): boolean => tokens.every((axis, i) => axis === i + 1) && columns % lanes === 0;

export function scatter(bench: Workbench, { sum, root, index, values }: Scatter): number {
  const { emitter: e, profile } = bench;
  const [rows, columns] = sum.shape as [number, number];
  const lane = profile.lanes === 4 ? 1 : 0;
  const to = bench.write(root);
  const from = e.bind(k.mul(k.ref("group", k.INDEX), k.idx(COLUMNS)));
  const end = columns % COLUMNS === 0 ? e.bind(k.add(from, k.idx(COLUMNS))) : e.bind(k.min(k.add(from, k.idx(COLUMNS)), k.idx(columns)));
  const eachColumn = (body: (column: Coord) => void): void => e.loop(from, end, profile.lanes, (column) => body({ ...column, lane }));
  e.loop(k.idx(0), k.idx(rows), 1, (row) => eachColumn((column) => {
    const zero = k.f32(0);
    e.define(sum, [row, column], lane ? k.splat(zero) : zero);
    e.store(to, root, [row, column], e.emit(root, [row, column]));
  }));
  e.nest(index.shape, (token) => {
    const row = e.coord(k.cast(e.emit(index, token), k.INDEX));
    e.guard(k.lt(row.at, k.idx(rows)), () => eachColumn((column) => {
      const before = k.load(bench.read(root), e.address([row, { ...column, lane: 0 }], [columns, 1]).at, { of: "f32", lanes: profile.lanes });
      const value = e.emit(values, [...token, column]);
      e.store(to, root, [row, column], k.add(before, value.type.lanes === profile.lanes ? value : k.splat(value)));
    }));
  });
  return Math.ceil(columns / COLUMNS);
}
