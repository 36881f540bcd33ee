/**
 * From a cluster to a kernel: collects the buffers that the emitted body touches, in order of first use, so that two
 * clusters of one shape give the same kernel text whatever tensors they read. The skeletons (`../skeletons`) make
 * bodies; this file knows where values live only by asking `Places`.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node, NodeWith } from "../../graph/node.js";
import type { Buffer, Kernel, Lanes, Stmt } from "../../kernel/ir.js";
import { keepLoops } from "../../kernel/loops.js";
import { rollAccesses } from "../../kernel/rolled-accesses.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { PoolName } from "../../../runtime/plan.js";
import { chosen, type Choice, type Tuned } from "./choices.js";
import { Emitter, type EmitterOptions } from "./emit.js";
import type { Cluster } from "../fusion/clusters.js";
import type { Cooperation } from "./reductions.js";
import { sizeOf } from "../../graph/record.js";
import { isView } from "../fusion/views.js";
import { workOf } from "./node-work.js";

/** One tensor in memory: nodes that share storage have the same object. */
export interface Place {
  readonly pool: PoolName;
}

/** Where the values of a graph live. */
export interface Places {
  /** Where a leaf or stored node lives, or null when it is emitted in place. */
  readonly of: (node: Node) => Place | null;
  /** Whether a node is readable where `access` ends. */
  readonly isBase: (node: Node) => boolean;
  /** So many words of memory that are a kernel's own while it runs: nothing is in them before or after. */
  readonly scratch: (words: number) => Place;
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
  /** Places that are the kernel's own, with their words. */
  readonly scratch: ReadonlyMap<Place, number>;
  /** Floating-point operations of one run, by the op table: what is computed in several lanes or places counts once. */
  readonly flops: number;
  /** The choice that was made for it, when it has one to make. */
  readonly tuned: Tuned | null;
}

/** What a skeleton works with while it makes one kernel. */
export interface Workbench {
  readonly profile: KernelProfile;
  readonly places: Places;
  readonly emitter: Emitter;
  /** The name of the buffer for reading the place of a stored node. Throws an Error for a node that is not stored. */
  readonly read: (node: Node) => string;
  /** The name of the buffer for writing it. */
  readonly write: (node: Node) => string;
  /** The name of a buffer of so many floats that is the kernel's own: what has no room on the chip. */
  readonly scratch: (words: number) => string;
  /** The member of a skeleton's family to build. */
  readonly choose: <C extends Choice>(skeleton: string, shape: string, fallback: C) => C;
}

/** Memory of a kernel's own, for kernels of several stages: tensors that one stage makes and a later one reads. */
export interface Chip {
  /** Whether the stage that is being emitted computes the node, rather than an earlier one. */
  readonly isMade: (node: Node) => boolean;
  /** The array that holds a node, or null when it lives in memory. */
  readonly arrayOf: (node: Node) => string | null;
  readonly emission: Pick<EmitterOptions, "placed" | "spelt" | "wideLoads">;
}

/** What a kernel is made of. */
export interface KernelRequest {
  /** A readable stem such as "row"; the plan makes it unique. */
  readonly name: string;
  readonly clusters: readonly Cluster[];
  readonly profile: KernelProfile;
  readonly places: Places;
  /** Lanes of the vectors that the body may use. */
  readonly lanes: Lanes;
  /** Invocations in a workgroup; 1 on a CPU. */
  readonly workgroup: number;
  readonly cooperation?: Cooperation;
  readonly chip?: Chip;
  /** Where a kernel computes a graph of its own, and not the cluster's: where its nodes are read. */
  readonly own?: OwnGraph;
}

/** A graph whose nodes a kernel computes, beside those of the entry. */
export interface OwnGraph {
  /** The array or buffer that holds a node; null for one that is computed. */
  readonly bufferOf: (node: Node, read: (node: Node) => string) => string | null;
  readonly placed: NonNullable<EmitterOptions["placed"]>;
}

/** How a kernel uses one place. */
interface BufferUse {
  readonly name: string;
  readonly place: Place;
  reads: boolean;
  writes: boolean;
  /** Written before it was read. */
  made: boolean;
}

/** The buffers of a kernel in order of first use, by their places. */
type BufferUses = Map<Place, BufferUse>;

function useOf(uses: BufferUses, places: Places, node: Node): BufferUse {
  const place = places.of(node);
  if (!place) throw new Error(`schedule: ${node.op} is not stored`);
  const earlier = uses.get(place);
  if (earlier) return earlier;
  const use: BufferUse = { name: `b${uses.size}`, place, reads: false, writes: false, made: false };
  uses.set(place, use);
  return use;
}

/**
 * Runs `emit`, which emits into the workbench and returns the number of groups, and wraps up the kernel.
 */
export function kernelize(request: KernelRequest, emit: (bench: Workbench) => number): Bound {
  const { name, clusters, profile, places, workgroup, chip } = request;
  const uses: BufferUses = new Map();
  const read = (node: Node): string => {
    const use = useOf(uses, places, node);
    use.reads = true;
    return use.name;
  };
  const write = (node: Node): string => {
    const use = useOf(uses, places, node);
    use.made ||= !use.reads;
    use.writes = true;
    return use.name;
  };
  const owned = new Map<Place, number>();
  const scratch = (words: number): string => {
    const place = places.scratch(words);
    owned.set(place, words);
    const buffer = `b${uses.size}`;
    uses.set(place, { name: buffer, place, reads: true, writes: true, made: true });
    return buffer;
  };
  let tuned: Tuned | null = null;
  const choose = <C extends Choice>(skeleton: string, shape: string, fallback: C): C => {
    const choice = chosen(profile, skeleton, shape, fallback);
    tuned = { key: `${skeleton}/${shape}`, choice };
    return choice;
  };
  const emitter = emitterOf(request, read);
  const writeTo = (node: Node): string => chip?.arrayOf(node) ?? write(node);
  const groups = emit({ profile, places, emitter, read, write: writeTo, scratch, choose });
  const used = [...uses.values()];
  const buffers: Buffer[] = used.map(({ name: buffer, place, reads, writes }) => ({
    name: buffer,
    pool: place.pool,
    access: reads && writes ? "read_write" : writes ? "write" : "read",
  }));
  const body: readonly Stmt[] = emitter.body();
  const keepsLoops = profile.kind === "gpu" && chosen(profile, "loop", name, { kept: 0 }).kept;
  const slices = used.some(({ writes }) => !writes) ? slicesOf(clusters, places) : null;
  return {
    kernel: {
      name,
      groups,
      workgroup,
      buffers,
      body: keepsLoops ? keepLoops(rollAccesses({ name, groups, workgroup, buffers, body })) : body,
    },
    places: used.map(({ place }) => place),
    touched: used.map(({ place, writes }) => (writes ? null : (slices?.get(place) ?? null))),
    made: new Set(used.filter(({ made }) => made).map(({ place }) => place)),
    scratch: owned,
    flops: workOf(clusters, profile, places.isBase).reduce((sum, { flops }) => sum + flops, 0),
    tuned,
  };
}

/** The emitter of a kernel: what its clusters do not make themselves is on the chip, or read. */
function emitterOf(request: KernelRequest, read: Workbench["read"]): Emitter {
  const { clusters, places, lanes, cooperation, chip, own } = request;
  if (own) return new Emitter({ lanes, placed: own.placed, bufferOf: (node) => own.bufferOf(node, read) });
  const isMade = chip?.isMade ?? ((node: Node): boolean => clusters.some(({ members }) => members.has(node)));
  const bufferOf = (node: Node): string | null =>
    isMade(node) || !places.isBase(node) ? null : (chip?.arrayOf(node) ?? read(node));
  return new Emitter({ lanes, bufferOf, ...(cooperation ? { cooperation } : {}), ...chip?.emission });
}

/** Words of the places that clusters read as slices alone. */
function slicesOf(clusters: readonly Cluster[], places: Places): ReadonlyMap<Place, number> {
  const members = new Set(clusters.flatMap((cluster) => [...cluster.members]));
  /** Sizes by offset; null once all is read. */
  const read = new Map<Place, Map<number, number> | null>();
  const visit = (node: Node, slice: NodeWith<"slice"> | null): void => {
    if (members.has(node)) return;
    if (!places.isBase(node)) {
      if (!isView(node)) return node.inputs.forEach((input) => visit(input, null));
      return visit(mustAt(node.inputs, 0), node.op === "slice" ? node : node.op === "reshape" ? slice : null);
    }
    const place = places.of(node);
    if (!place) throw new Error(`schedule: ${node.op} is not stored`);
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
