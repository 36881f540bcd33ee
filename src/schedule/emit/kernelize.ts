/**
 * From a cluster to a kernel: collects the buffers that the emitted body touches, in order of first use, so that two
 * clusters of one shape give the same kernel text whatever tensors they read. The skeletons (`rows.ts`, `matmul.ts`,
 * `sinkhorn.ts`) make bodies; this file knows where values live only by asking `Places`.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node, NodeWith } from "../../graph/node.js";
import type { Buffer, Kernel, Stmt } from "../../kernel/ir.js";
import { keepLoops } from "../../kernel/loops.js";
import { rollAccesses } from "../../kernel/rolled-accesses.js";
import type { PoolName } from "../../../runtime/plan.js";
import { chosen, type Choice, type Tuned } from "./choices.js";
import { createEmitter, type Emitter, type EmitterOptions } from "./emit.js";
import type { Cluster } from "../fusion/partition.js";
import type { Cooperation } from "./reductions.js";
import { isView, sizeOf } from "../fusion/views.js";
import { workOf } from "./node-work.js";

/** One tensor in memory: nodes that share storage have the same object. */
export interface Place {
  readonly pool: PoolName;
}

export interface Places {
  /** Where a leaf or stored node lives, or null when it is emitted in place. */
  readonly of: (node: Node) => Place | null;
  /** Whether a node is readable where `access` ends. */
  readonly isBase: (node: Node) => boolean;
}

/** A kernel and the place of each of its buffers. */
export interface Bound {
  readonly kernel: Kernel;
  readonly places: readonly Place[];
  /**
   * Of each place the words that are read, where the kernel reads some slices of it alone; null where it reads or
   * writes all.
   */
  readonly touched: readonly (number | null)[];
  /** What the kernel writes before it reads it: such reads are not traffic. */
  readonly made: ReadonlySet<Place>;
  /** Floating-point operations of one run, by the op table: what is computed in several lanes or places counts once. */
  readonly flops: number;
  /** The choice that was made for it, when it has one to make. */
  readonly tuned: Tuned | null;
}

export interface Workbench {
  readonly profile: KernelProfile;
  readonly places: Places;
  readonly emitter: Emitter;
  /** The name of the buffer for reading or writing the place of a stored node. */
  readonly read: (node: Node) => string;
  readonly write: (node: Node) => string;
  /** The member of a skeleton's family to build. */
  readonly choose: <C extends Choice>(skeleton: string, shape: string, fallback: C) => C;
}

interface Use {
  readonly name: string;
  readonly place: Place;
  reads: boolean;
  writes: boolean;
  /** Written before it was read. */
  made: boolean;
}

/** Memory of a kernel's own, for kernels of several stages: tensors that one stage makes and a later one reads. */
export interface Chip {
  /** Whether the stage that is being emitted computes the node, rather than an earlier one. */
  readonly isMade: (node: Node) => boolean;
  /** The array that holds a node, or null when it lives in memory. */
  readonly arrayOf: (node: Node) => string | null;
  readonly emission: Pick<EmitterOptions, "placed" | "spelt" | "wideLoads">;
}

/**
 * Runs `emit`, which emits into the workbench and returns the number of groups, and wraps up the kernel.
 */
export function kernelize(
  name: string,
  clusters: readonly Cluster[],
  profile: KernelProfile,
  places: Places,
  lanes: 1 | 4,
  workgroup: number,
  emit: (bench: Workbench) => number,
  cooperation?: Cooperation,
  chip?: Chip,
): Bound {
  const uses = new Map<Place, Use>();
  const use = (node: Node): Use => {
    const place = places.of(node);
    if (!place) throw new Error(`schedule: ${node.op} is not stored`);
    let found = uses.get(place);
    if (!found) {
      found = { name: `b${uses.size}`, place, reads: false, writes: false, made: false };
      uses.set(place, found);
    }
    return found;
  };
  const read = (node: Node): string => {
    const found = use(node);
    found.reads = true;
    return found.name;
  };
  const write = (node: Node): string => {
    const found = use(node);
    found.made ||= !found.reads;
    found.writes = true;
    return found.name;
  };
  const isMade = chip?.isMade ?? ((node: Node): boolean => clusters.some(({ members }) => members.has(node)));
  const bufferOf = (node: Node): string | null =>
    isMade(node) || !places.isBase(node) ? null : (chip?.arrayOf(node) ?? read(node));
  const emitter = createEmitter({ lanes, bufferOf, ...(cooperation ? { cooperation } : {}), ...chip?.emission });
  let sliced: ReadonlyMap<Place, number> | null = null;
  const slices = (): ReadonlyMap<Place, number> => (sliced ??= slicesOf(clusters, places));
  let tuned: Tuned | null = null;
  const choose = <C extends Choice>(skeleton: string, shape: string, fallback: C): C => {
    const choice = chosen(profile, skeleton, shape, fallback);
    tuned = { key: `${skeleton}/${shape}`, choice };
    return choice;
  };
  const groups = emit({ profile, places, emitter, read, write: (node) => chip?.arrayOf(node) ?? write(node), choose });
  const buffers: Buffer[] = [...uses.values()].map(({ name: buffer, place, reads, writes }) => ({
    name: buffer,
    pool: place.pool,
    access: reads && writes ? "read_write" : writes ? "write" : "read",
  }));
  const body: readonly Stmt[] = emitter.body();
  const stmts =
    profile.kind === "gpu" && chosen(profile, "loop", name, { kept: 0 }).kept
      ? keepLoops(rollAccesses({ name, groups, workgroup, buffers, body }))
      : body;
  return {
    kernel: { name, groups, workgroup, buffers, body: stmts },
    places: [...uses.values()].map(({ place }) => place),
    touched: [...uses.values()].map(({ place, writes }) => (writes ? null : (slices().get(place) ?? null))),
    made: new Set([...uses.values()].filter(({ made }) => made).map(({ place }) => place)),
    flops: workOf(clusters, profile, places.isBase).reduce((sum, { flops }) => sum + flops, 0),
    tuned,
  };
}

/** Words of the places that clusters read as slices alone. */
function slicesOf(clusters: readonly Cluster[], places: Places): ReadonlyMap<Place, number> {
  const members = new Set(clusters.flatMap((cluster) => [...cluster.members]));
  /** Sizes by offset; null once all is read. */
  const read = new Map<Place, Map<number, number> | null>();
  const visit = (node: Node, slice: NodeWith<"slice"> | null): void => {
    if (members.has(node)) return;
    if (!places.isBase(node))
      return isView(node)
        ? visit(node.inputs[0]!, node.op === "slice" ? node : node.op === "reshape" ? slice : null)
        : node.inputs.forEach((input) => visit(input, null));
    const place = places.of(node)!;
    const before = read.get(place);
    if (!slice || before === null) read.set(place, null);
    else read.set(place, (before ?? new Map<number, number>()).set(slice.attrs.offset, sizeOf(slice.shape)));
  };
  for (const member of members) for (const input of member.inputs) visit(input, member.op === "slice" ? member : null);
  return new Map(
    [...read].flatMap(([place, ranges]) =>
      ranges ? [[place, [...ranges.values()].reduce((sum, words) => sum + words, 0)]] : [],
    ),
  );
}
