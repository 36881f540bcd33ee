/**
 * Attention and its derivative without a value for each pair of a query and a key in memory (Dao 2023,
 * FlashAttention-2): a kernel walks over blocks of keys, keeps the scores of a block on chip, and carries each row's
 * largest score and sum of exponentials along. The derivative makes the weights again from the log of that sum. This
 * file reads the operands, whatever their order in memory; the skeletons are in `cpu.ts` and `gpu.ts`.
 *
 * A cluster holds one or more results of the same operands: attention with its logs, or the cotangents of queries, keys
 * and values. One kernel makes all of them, and only those that are stored.
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node, NodeWith } from "../../../graph/node.js";
import { attentionSizes } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import { backwardCpu } from "./cpu-backward.js";
import { forwardCpu } from "./cpu-forward.js";
import { backwardGpu, forwardGpu, GPU_ATTENTION } from "./gpu.js";
import { shapeOf, type Attention, type BackwardOperands, type ForwardOperands, type TensorRows } from "./operands.js";
import { chosen } from "../../emit/choices.js";
import type { Coord, Emitter } from "../../emit/emit.js";
import { kernelize, type Bound, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { access, rowMajor } from "../../fusion/views.js";

type Anchor = NodeWith<"attention"> | NodeWith<"attention_lse"> | NodeWith<"attention_vjp">;

/** A cluster's kernel while it is made, at one batch and head. */
interface HeadReader {
  readonly bench: Workbench;
  readonly cluster: Cluster;
  readonly b: Coord;
  readonly h: Coord;
}

/** The kernel of a cluster whose anchor is attention, its logs or its derivative. */
export function attentionKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const members = [...cluster.members] as Anchor[];
  // The member with most operands: a cluster of logs alone has no values.
  const node = members.reduce((most, member) => (member.inputs.length > most.inputs.length ? member : most));
  const attention: Attention = { ...attentionSizes(node.inputs), scale: node.attrs.scale, causal: node.attrs.causal };
  const isGpu = profile.kind === "gpu";
  const name = node.op === "attention_vjp" ? "attention_vjp" : "attention";
  const request = { name, clusters: [cluster], profile, places, workgroup: isGpu ? profile.workgroup : 1 };
  return kernelize({ ...request, lanes: isGpu ? 1 : profile.lanes }, (bench) => {
    if (node.op !== "attention_vjp") {
      const at = (b: Coord, h: Coord): ForwardOperands => forwardOperands({ bench, cluster, b, h }, node);
      return (isGpu ? forwardGpu : forwardCpu)(bench, attention, at);
    }
    const at = (b: Coord, h: Coord, accumulates: boolean): BackwardOperands =>
      backwardOperands({ bench, cluster, b, h }, node, accumulates);
    const roles = {
      queries: cotangentOf(cluster, "query") !== null,
      keys: cotangentOf(cluster, "key") !== null || cotangentOf(cluster, "value") !== null,
    };
    return (isGpu ? backwardGpu : backwardCpu)(bench, attention, roles, at);
  });
}

/** The stored result of one op. */
const rootOf = (cluster: Cluster, op: "attention" | "attention_lse"): Node | null =>
  cluster.roots.find((root) => root.op === op) ?? null;

/** The stored cotangent of one operand. */
const cotangentOf = (cluster: Cluster, wrt: "query" | "key" | "value"): Node | null =>
  cluster.roots.find((root) => root.op === "attention_vjp" && root.attrs.wrt === wrt) ?? null;

function forwardOperands(reader: HeadReader, node: Anchor): ForwardOperands {
  const [q, keys, v] = node.inputs.map((input) => operand(reader, input)) as [TensorRows, TensorRows, TensorRows?];
  const out = rootOf(reader.cluster, "attention");
  const lse = rootOf(reader.cluster, "attention_lse");
  return {
    q,
    k: keys,
    v: v && out ? v : null,
    out: out && result(reader, out, false),
    lse: lse && logs(reader, lse),
  };
}

function backwardOperands(reader: HeadReader, node: Anchor, accumulates: boolean): BackwardOperands {
  const [q, keys, v, out, lse, cotangent] = node.inputs.map((input, i) =>
    i === 4 ? logs(reader, input) : operand(reader, input),
  ) as [TensorRows, TensorRows, TensorRows, TensorRows, TensorRows, TensorRows];
  const cotangentRows = (wrt: "query" | "key" | "value"): TensorRows | null => {
    const stored = cotangentOf(reader.cluster, wrt);
    return stored && result(reader, stored, accumulates);
  };
  const dq = cotangentRows("query");
  const dk = cotangentRows("key");
  const dv = cotangentRows("value");
  return { q, k: keys, v, out, lse, cotangent, dq, dk, dv };
}

function operand({ bench, b, h }: HeadReader, input: Node): TensorRows {
  const stored = access(input, bench.places.isBase);
  if (!stored) throw new Error("schedule: an operand of attention is not in memory");
  return rowsOf(bench.emitter, bench.read(stored.base), stored.strides, b, h);
}

/** The logs [batch, heads, row], which are read by the derivative and written otherwise. */
function logs({ bench, cluster, b, h }: HeadReader, node: Node): TensorRows {
  const stored = cluster.members.has(node) ? null : access(node, bench.places.isBase);
  const [batch, heads, row] = (stored?.strides ?? rowMajor(node.shape)) as [number, number, number];
  const buffer = stored ? bench.read(stored.base) : bench.write(node);
  return rowsOf(bench.emitter, buffer, [batch, row, heads, 0], b, h);
}

/** A result; one that is summed over blocks in its own memory is read too. */
function result({ bench, b, h }: HeadReader, stored: Node, accumulates: boolean): TensorRows {
  if (accumulates) bench.read(stored);
  return rowsOf(bench.emitter, bench.write(stored), rowMajor(stored.shape), b, h);
}

function rowsOf(e: Emitter, buffer: string, strides: readonly number[], b: Coord, h: Coord): TensorRows {
  const [batch, row, heads, column] = strides as [number, number, number, number];
  return { buffer, base: e.bind(k.add(k.mul(b.at, k.idx(batch)), k.mul(h.at, k.idx(heads)))), row, column };
}

/**
 * The parts of a cluster that are kernels of their own: without workgroup memory, what queries own and what keys own
 * (`gpu-emulated.ts`).
 */
export function rolesOf(cluster: Cluster, profile: KernelProfile): Cluster[] {
  const { anchor } = cluster;
  if (profile.kind !== "gpu" || anchor?.op !== "attention_vjp") return [cluster];
  const { scale, causal } = anchor.attrs;
  const shape = shapeOf({ ...attentionSizes(anchor.inputs), scale, causal });
  if (chosen(profile, "attention_vjp", shape, GPU_ATTENTION).shared) return [cluster];
  const byQuery = (member: Node): boolean => member.op === "attention_vjp" && member.attrs.wrt === "query";
  const partOf = (isIn: (member: Node) => boolean): Cluster[] => {
    const members = [...cluster.members].filter(isIn);
    const [first] = members;
    return first ? [{ ...cluster, anchor: first, members: new Set(members), roots: cluster.roots.filter(isIn) }] : [];
  };
  return [...partOf(byQuery), ...partOf((member) => !byQuery(member))];
}
