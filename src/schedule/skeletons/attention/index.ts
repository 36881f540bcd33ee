/**
 * Attention and its derivative without a value for each pair of a query and a key in memory (Dao 2023,
 * FlashAttention-2): a kernel walks over blocks of keys, keeps the scores of a block on chip, and carries each row's
 * largest score and sum of exponentials along. The derivative makes the weights again from the log of that sum. This
 * file reads the operands, whatever their order in memory; the skeletons are in `attention-cpu.ts` and
 * `attention-gpu.ts`.
 *
 * A cluster holds one or more results of the same operands: attention with its logs, or the cotangents of queries, keys
 * and values. One kernel makes all of them, and only those that are stored.
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node, NodeWith } from "../../../graph/node.js";
import { attentionSizes } from "../../../graph/ops/attention.js";
import * as k from "../../../kernel/build.js";
import { backwardCpu, forwardCpu } from "./cpu.js";
import { backwardGpu, forwardGpu, GPU_ATTENTION } from "./gpu.js";
import { shapeOf, type Attention, type Backward, type Forward, type Rows } from "./operands.js";
import { chosen } from "../../emit/choices.js";
import type { Coord, Emitter } from "../../emit/emit.js";
import { kernelize, type Bound, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { access, rowMajor } from "../../fusion/views.js";

type Anchor = NodeWith<"attention"> | NodeWith<"attention_lse"> | NodeWith<"attention_vjp">;

export function attentionKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const members = [...cluster.members] as Anchor[];
  // The member with most operands: a cluster of logs alone has no values.
  const node = members.reduce((most, member) => (member.inputs.length > most.inputs.length ? member : most));
  const attention: Attention = { ...attentionSizes(node.inputs), scale: node.attrs.scale, causal: node.attrs.causal };
  const root = (which: (member: Anchor) => boolean): Node | null =>
    cluster.roots.find((stored) => which(stored as Anchor)) ?? null;
  const gpu = profile.kind === "gpu";
  const workgroup = gpu ? profile.workgroup : 1;
  const name = node.op === "attention_vjp" ? "attention_vjp" : "attention";
  return kernelize(
    { name, clusters: [cluster], profile, places, lanes: gpu ? 1 : profile.lanes, workgroup },
    (bench) => {
      if (node.op !== "attention_vjp") {
        const at = (b: Coord, h: Coord): Forward => {
          const [q, keys, v] = node.inputs.map((input) => operand(bench, input, b, h)) as [
            Rows,
            Rows,
            Rows | undefined,
          ];
          const out = root(({ op }) => op === "attention");
          return {
            q,
            k: keys,
            v: v && out ? v : null,
            out: out && result(bench, out, b, h, false),
            lse: logs(
              bench,
              root(({ op }) => op === "attention_lse"),
              b,
              h,
            ),
          };
        };
        return gpu ? forwardGpu(bench, attention, at) : forwardCpu(bench, attention, at);
      }
      const wanted = (["query", "key", "value"] as const).map((wrt) =>
        root((member) => member.op === "attention_vjp" && member.attrs.wrt === wrt),
      );
      const at = (b: Coord, h: Coord, accumulates: boolean): Backward => {
        const [q, keys, v, out, lse, cotangent] = node.inputs.map((input, i) =>
          i === 4 ? logs(bench, input, b, h) : operand(bench, input, b, h),
        ) as [Rows, Rows, Rows, Rows, Rows, Rows];
        const [dq, dk, dv] = wanted.map((stored) => stored && result(bench, stored, b, h, accumulates)) as [
          Rows | null,
          Rows | null,
          Rows | null,
        ];
        return { q, k: keys, v, out, lse, cotangent, dq, dk, dv };
      };
      const roles = { queries: wanted[0] !== null, keys: wanted[1] !== null || wanted[2] !== null };
      return gpu ? backwardGpu(bench, attention, roles, at) : backwardCpu(bench, attention, roles, at);
    },
  );

  function operand(bench: Workbench, input: Node, b: Coord, h: Coord): Rows {
    const found = access(input, places.isBase);
    if (!found) throw new Error("schedule: an operand of attention is not in memory");
    return rowsOf(bench.emitter, bench.read(found.base), found.strides, b, h);
  }

  /** The logs [batch, heads, row], which are read by the derivative and written otherwise. */
  function logs(bench: Workbench, stored: Node | null, b: Coord, h: Coord): Rows | null {
    if (!stored) return null;
    const own = cluster.members.has(stored);
    const found = own ? null : access(stored, places.isBase);
    const [batch, heads, row] = (found?.strides ?? rowMajor(stored.shape)) as [number, number, number];
    return rowsOf(bench.emitter, found ? bench.read(found.base) : bench.write(stored), [batch, row, heads, 0], b, h);
  }
}

/**
 * The parts of a cluster that are kernels of their own: without workgroup memory, what queries own and what keys own
 * (`attention-rows.ts`).
 */
export function rolesOf(cluster: Cluster, profile: KernelProfile): Cluster[] {
  const node = cluster.anchor;
  if (profile.kind !== "gpu" || node?.op !== "attention_vjp") return [cluster];
  const { scale, causal } = node.attrs;
  if (
    chosen(profile, "attention_vjp", shapeOf({ ...attentionSizes(node.inputs), scale, causal }), GPU_ATTENTION).shared
  )
    return [cluster];
  const byQuery = (member: Node): boolean => member.op === "attention_vjp" && member.attrs.wrt === "query";
  return [byQuery, (member: Node): boolean => !byQuery(member)].flatMap((isOwn) => {
    const members = [...cluster.members].filter(isOwn);
    return members.length
      ? [
          {
            ...cluster,
            anchor: members[0] as NodeWith<"attention_vjp">,
            members: new Set(members),
            roots: cluster.roots.filter(isOwn),
          },
        ]
      : [];
  });
}

function rowsOf(e: Emitter, buffer: string, strides: readonly number[], b: Coord, h: Coord): Rows {
  const [batch, row, heads, column] = strides as [number, number, number, number];
  return { buffer, base: e.bind(k.add(k.mul(b.at, k.idx(batch)), k.mul(h.at, k.idx(heads)))), row, column };
}

/** A result; one that is summed over blocks in its own memory is read too. */
function result(bench: Workbench, stored: Node, b: Coord, h: Coord, accumulates: boolean): Rows {
  if (accumulates) bench.read(stored);
  return rowsOf(bench.emitter, bench.write(stored), rowMajor(stored.shape), b, h);
}
