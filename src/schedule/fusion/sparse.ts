/** Finds sums whose terms are almost all zero, which `scatter.ts` computes from the others alone. */
import { isReduction, sizeOf } from "../../graph/record.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Lanes } from "../../kernel/ir.js";
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node } from "../../graph/node.js";
import type { Cluster } from "./clusters.js";

/** A sum that is a scatter: row `index[i]` of the result is the sum of all `values[i]`, [tokens, columns]. */
export interface Scatter {
  readonly sum: Node;
  /** The only result: the sum, or the sum and something that waits for no sum. */
  readonly root: Node;
  readonly index: Node;
  readonly values: Node;
}

/** What a cluster scatters, when that is all that it does and a CPU does it. */
export function scatterOf(cluster: Cluster, { kind, lanes }: KernelProfile): Scatter | null {
  if (kind !== "cpu" || cluster.kind !== "map") return null;
  const [root, ...others] = cluster.roots;
  const sums = [...cluster.members].filter(isReduction);
  const [sum] = sums;
  if (
    !root ||
    !sum ||
    sum.op !== "sum" ||
    sums.length > 1 ||
    others.length > 0 ||
    cluster.shape.length - sum.attrs.axes.length !== 2
  )
    return null;
  if (
    root !== sum &&
    !(
      root.op === "add" &&
      root.inputs.includes(sum) &&
      root.inputs.every((input) => input === sum || cluster.reads.has(input))
    )
  )
    return null;
  const [select] = sum.inputs;
  // Terms that are in memory are summed from there.
  if (!select || cluster.reads.has(select)) return null;
  if (select.op !== "select" || !isZero(select.inputs[2])) return null;
  const [hit, values] = select.inputs as [Node, Node, Node];
  const [row, chosen] = hit.op === "eq" ? (hit.inputs as [Node, Node]) : [];
  if (row?.op !== "iota" || row.attrs.axis !== 0 || chosen?.op !== "broadcast" || values.op !== "broadcast")
    return null;
  const tokens = sum.attrs.axes;
  const fits =
    isTable(tokens, mustAt(sum.shape, 1), lanes) &&
    chosen.attrs.axes.every((axis, i) => axis === tokens[i]) &&
    values.attrs.axes.every((axis, i) => axis === i + 1);
  return fits &&
    sizeOf(chosen.inputs[0].shape) === sizeOf(tokens.map((axis) => mustAt(cluster.shape, axis))) &&
    sizeOf(values.inputs[0].shape) === sizeOf(cluster.shape.slice(1))
    ? { sum, root, index: chosen.inputs[0], values: values.inputs[0] }
    : null;
}

const isZero = (node: Node): boolean =>
  node.op === "broadcast" ? isZero(node.inputs[0]) : node.op === "constant" && node.attrs.value === 0;

/** Whether rows come first, tokens after them, and columns in whole vectors last. */
const isTable = (tokens: readonly number[], columns: number, lanes: Lanes): boolean =>
  tokens.every((axis, i) => axis === i + 1) && columns % lanes === 0;
