/**
 * Fusion: the graph is cut into clusters, one kernel each. A cluster has a domain (the shape it loops over and the axes
 * its reductions remove) and perhaps an anchor (a matrix product, a Sinkhorn projection, attention, or a pack, whose
 * kernels are copies if any). Nodes are taken in topological order; a node joins the newest cluster among its producers
 * when it fits that cluster's loops, so that dependencies only run from older to newer clusters and no circle can form.
 * Inside a cluster nothing is stored but what another cluster or the host reads. Views, constants, conditions, and the
 * single-use operands of reductions are never stored: they are emitted where they are used (`emit.ts`), so a wrong
 * guess here costs time, never correctness.
 */
import type { Graph, Node, Shape } from "../../graph/node.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import { countUses, findFloating, findForced, isAnchor, isAttention, isElementwise, reachable } from "./inline.js";
import { isLeaf, partitionOf, type Cluster, type ClusterKind, type Partition } from "./clusters.js";
import { isReduction, sameShape, sizeOf } from "../../graph/record.js";
import { behindReshapes, isView, rangeOf } from "./views.js";

/**
 * Whether two nodes are results of one run of a kernel: the tensors of a recurrence, attention and its logs, or the
 * cotangents of its operands.
 */
function isSibling(a: Node, b: Node): boolean {
  if (a.op === "recurrence")
    return (
      b.op === "recurrence" &&
      a.attrs.body === b.attrs.body &&
      a.attrs.axis === b.attrs.axis &&
      a.attrs.reversed === b.attrs.reversed &&
      a.attrs.result !== b.attrs.result &&
      a.inputs.every((input, at) => input === b.inputs[at])
    );
  if (a.op === "attention_vjp" && b.op === "attention_vjp") {
    return (
      a.attrs.wrt !== b.attrs.wrt &&
      a.attrs.scale === b.attrs.scale &&
      a.attrs.causal === b.attrs.causal &&
      a.inputs.every((input, i) => input === b.inputs[i])
    );
  }
  const [result, logs] = a.op === "attention" ? [a, b] : [b, a];
  return (
    result.op === "attention" &&
    logs.op === "attention_lse" &&
    result.attrs.scale === logs.attrs.scale &&
    result.attrs.causal === logs.attrs.causal &&
    logs.inputs.every((input, i) => input === result.inputs[i])
  );
}

/** A cluster whose reductions leave fewer rows than this keeps one core busy at most. */
const FEW_ROWS = 64;
const LARGE = 4096;
/**
 * Tensors that one kernel reads at most. Without a limit a sum over many tensors would be one kernel that grows with
 * depth; with it the sum is a row of equal kernels.
 */
const MOST_READS = 12;

/** The sizes that are left when some axes are summed over. */
export const without = (shape: Shape, axes: readonly number[]): number[] => shape.filter((_, i) => !axes.includes(i));

/** A cluster while nodes still join it. */
interface Draft {
  readonly order: number;
  readonly kind: ClusterKind;
  readonly shape: Shape;
  axes: readonly number[] | null;
  readonly anchor: Node | null;
  readonly members: Set<Node>;
  readonly reads: Set<Node>;
}

/** What is known while the nodes of a graph are taken one after the other. */
interface Cutting {
  readonly uses: ReadonlyMap<Node, readonly Node[]>;
  /** Nodes that must be stored although they could be emitted in place. */
  readonly forced: ReadonlySet<Node>;
  /** Whether a node is emitted where it is used. */
  readonly inline: (node: Node) => boolean;
  readonly clusters: Draft[];
  readonly home: Map<Node, Draft>;
  /** Clusters that read a node, newest last: where siblings meet. */
  readonly readers: Map<Node, Draft[]>;
  /**
   * The oldest cluster that a node of an epoch may join: none that was there when the epoch began. What recompute makes
   * again from kept tensors would fit the kernels of the forward pass, and then live as long as if it had been kept.
   */
  readonly began: Map<number, number>;
}

/** The graph cut into clusters as large as the skeletons take. */
export const partition = (graph: Graph): Partition => cut(graph, true);

/** The graph with a cluster for every node that is not a view, a constant or a condition: fusion turned off. */
export const partitionUnfused = (graph: Graph): Partition => cut(graph, false);

function cut(graph: Graph, fuse: boolean): Partition {
  const nodes = reachable(graph);
  // The host reads an output whole; a new value may be a slice of what is in memory (`placement.ts` stores or copies it
  // from there).
  const outputs = [...graph.outputs.values()];
  const values = [...graph.updates.values()];
  const results = [...outputs, ...values];
  const uses = countUses(nodes, results);
  const floating = fuse ? findFloating(nodes, uses, new Set(results)) : new Set<Node>();
  const never = (node: Node): boolean =>
    isView(node) || node.op === "constant" || node.op === "iota" || node.dtype === "bool" || floating.has(node);
  const forced = findForced(nodes, outputs, values, never);
  /** Elementwise nodes that fit no cluster and are read once: they wait for their reader, and are emitted there. */
  const waiting = new Set<Node>();
  const cutting: Cutting = {
    uses,
    forced,
    inline: (node) => (never(node) && !forced.has(node)) || waiting.has(node),
    clusters: [],
    home: new Map(),
    readers: new Map(),
    began: new Map([[0, 0]]),
  };
  for (const node of nodes) {
    if (isLeaf(node) || cutting.inline(node)) continue;
    const producers = producersOf(node, cutting.inline);
    const cluster = fuse ? clusterFor(cutting, node, producers) : open(cutting, node);
    if (cluster) join(cutting, node, producers, cluster);
    else waiting.add(node);
  }
  return settled(cutting, outputs, values);
}

/** The cluster that a node joins; null when it waits for its reader. */
function clusterFor(cutting: Cutting, node: Node, producers: readonly Node[]): Draft | null {
  const { began, clusters, home, forced, uses } = cutting;
  if (!began.has(node.epoch)) began.set(node.epoch, clusters.length);
  const newest = producers.reduce((order, producer) => Math.max(order, home.get(producer)?.order ?? -1), -1);
  const fitting = isAnchor(node) ? findSiblings(cutting, node, newest) : findHome(cutting, node, producers, newest);
  if (fitting) return fitting;
  return !forced.has(node) && waits(node, uses) ? null : open(cutting, node);
}

function join({ home, readers }: Cutting, node: Node, producers: readonly Node[], cluster: Draft): void {
  cluster.members.add(node);
  for (const producer of producers) if (home.get(producer) !== cluster) cluster.reads.add(producer);
  if (isReduction(node)) cluster.axes ??= reducedAxes(node);
  home.set(node, cluster);
  for (const producer of producers) {
    const list = readers.get(producer) ?? [];
    if (list[list.length - 1] !== cluster) list.push(cluster);
    readers.set(producer, list);
  }
}

/** The clusters that store something, once it is known what other clusters and the host read. */
function settled(
  { home, inline, forced, clusters }: Cutting,
  outputs: readonly Node[],
  values: readonly Node[],
): Partition {
  const stores = new Map<Node, Draft>();
  const store = (node: Node): void => {
    const cluster = home.get(node);
    if (cluster) stores.set(node, cluster);
  };
  for (const [node, cluster] of home) {
    for (const producer of producersOf(node, inline)) {
      if (home.get(producer) !== cluster) store(producer);
    }
  }
  for (const output of outputs) store(behindReshapes(output, (node) => forced.has(node)));
  for (const value of values) store(rangeOf(value, (node) => isLeaf(node) || forced.has(node)).base);
  const whole = new Map<Draft, Cluster>();
  for (const draft of clusters) {
    const roots = [...draft.members].filter((node) => stores.has(node)).sort((a, b) => a.id - b.id);
    if (roots.length > 0) whole.set(draft, { ...draft, roots });
  }
  return partitionOf([...whole.values()], new Map([...stores].map(([node, draft]) => [node, mustGet(whole, draft)])));
}

const kindOf = (node: Node): ClusterKind =>
  node.op === "contract"
    ? "matmul"
    : node.op === "pack"
      ? "pack"
      : node.op === "recurrence"
        ? "recurrence"
        : isAttention(node)
          ? "attention"
          : isAnchor(node)
            ? "sinkhorn"
            : "map";

function open({ clusters }: Cutting, node: Node): Draft {
  const cluster: Draft = {
    order: clusters.length,
    kind: kindOf(node),
    shape: isReduction(node) ? mustAt(node.inputs, 0).shape : node.shape,
    axes: null,
    anchor: isAnchor(node) ? node : null,
    members: new Set(),
    reads: new Set(),
  };
  clusters.push(cluster);
  return cluster;
}

/** The cluster of attention or of a recurrence that gives this result too, when all that it reads is there by then. */
function findSiblings({ clusters }: Cutting, node: Node, newest: number): Draft | null {
  const own = kindOf(node);
  if (own !== "attention" && own !== "recurrence") return null;
  return (
    clusters.find(
      ({ kind, members, order }) =>
        kind === own && order > newest && [...members].every((member) => isSibling(member, node)),
    ) ?? null
  );
}

/** The newest producer's cluster, or a later one that reads the same tensors; either keeps the order of clusters. */
function findHome(cutting: Cutting, node: Node, producers: readonly Node[], newest: number): Draft | null {
  const { clusters, home, readers } = cutting;
  const oldest = Math.max(newest, mustGet(cutting.began, node.epoch));
  const room = (cluster: Draft): boolean =>
    cluster.reads.size +
      producers.filter((producer) => home.get(producer) !== cluster && !cluster.reads.has(producer)).length <=
    MOST_READS;
  const first = clusters[newest];
  if (first && newest >= oldest && room(first) && fits(cutting, node, first)) return first;
  for (const producer of producers) {
    const list = readers.get(producer) ?? [];
    for (let i = list.length - 1; i >= 0; i--) {
      const reader = mustAt(list, i);
      if (reader.order < oldest) break;
      if (reader.kind === "map" && room(reader) && fits(cutting, node, reader)) return reader;
    }
  }
  // A number that depends on leaves alone (a rate, say) goes where numbers are made already: a kernel of its own
  // costs more than it does.
  const numbers = node.shape.length === 0 && newest < 0 ? clusters.findLast(makesNumbers) : undefined;
  return numbers && numbers.order >= oldest && room(numbers) && fits(cutting, node, numbers) ? numbers : null;
}

/** Whether a node can be computed in the loops of a cluster. */
function fits(cutting: Cutting, node: Node, cluster: Draft): boolean {
  if (cluster.kind !== "map" && cluster.kind !== "matmul") return false;
  const isOutside = (input: Node): boolean => isForeign(cutting, input, cluster);
  // A view that is stored itself reads at other coordinates than it is stored at.
  if (isView(node) && !node.inputs.every(isOutside)) return false;
  // So does a gather: its table must be in memory, whole.
  if (node.op === "gather" && !isOutside(mustAt(node.inputs, 0))) return false;
  if (isReduction(node)) {
    const axes = reducedAxes(node);
    const input = mustAt(node.inputs, 0);
    if (cluster.kind === "matmul" || !sameShape(input.shape, cluster.shape)) return false;
    if (cluster.axes ? !sameShape(axes, cluster.axes) : !keepsCoresBusy(cluster.shape, axes)) return false;
    return axes.includes(input.shape.length - 1) && isAligned(cutting, input, cluster, true);
  }
  if (sameShape(node.shape, cluster.shape)) {
    if (
      cluster.axes &&
      !(cluster.axes.includes(cluster.shape.length - 1) && keepsCoresBusy(cluster.shape, cluster.axes))
    )
      return false;
    return node.inputs.every((input) => isAligned(cutting, input, cluster, true));
  }
  return (
    cluster.axes !== null &&
    sameShape(node.shape, without(cluster.shape, cluster.axes)) &&
    node.inputs.every((input) => isAligned(cutting, input, cluster, false))
  );
}

/**
 * Whether all members of the cluster that `node` reads are read at the cluster's own loop variables: those of its whole
 * domain when `full`, else those that its reductions leave.
 */
function isAligned(cutting: Cutting, node: Node, cluster: Draft, full: boolean): boolean {
  const { axes } = cluster;
  if (cluster.members.has(node))
    return sameShape(node.shape, full ? cluster.shape : without(cluster.shape, axes ?? []));
  if (!cutting.inline(node) || isLeaf(node)) return true;
  if (node.op === "broadcast" && full && axes) {
    const kept = node.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    if (sameShape(node.shape, cluster.shape) && sameShape(node.attrs.axes, kept))
      return isAligned(cutting, mustAt(node.inputs, 0), cluster, false);
  }
  if (isView(node)) return node.inputs.every((input) => isForeign(cutting, input, cluster));
  return node.inputs.every((input) => isAligned(cutting, input, cluster, full));
}

/** Whether nothing that the cluster computes is behind a node that is emitted in place. */
const isForeign = (cutting: Cutting, node: Node, cluster: Draft): boolean =>
  !cluster.members.has(node) &&
  (!cutting.inline(node) || node.inputs.every((input) => isForeign(cutting, input, cluster)));

const reducedAxes = (node: Node): readonly number[] => (isReduction(node) ? node.attrs.axes : []);

/** Whether a cluster's rows are single numbers. */
const makesNumbers = (cluster: Draft): boolean =>
  cluster.kind === "map" && without(cluster.shape, cluster.axes ?? []).length === 0;

/**
 * Whether the one reader of an elementwise node is elementwise too, over the same shape. A condition is no reader to
 * wait for: it may be emitted at many places.
 */
function waits(node: Node, uses: ReadonlyMap<Node, readonly Node[]>): boolean {
  const [reader, ...others] = mustGet(uses, node);
  return (
    reader !== undefined &&
    others.length === 0 &&
    reader !== node &&
    reader.dtype !== "bool" &&
    isElementwise(node) &&
    isElementwise(reader) &&
    sameShape(reader.shape, node.shape)
  );
}

const keepsCoresBusy = (shape: Shape, axes: readonly number[]): boolean =>
  sizeOf(without(shape, axes)) >= FEW_ROWS || sizeOf(shape) <= LARGE;

/** The nearest nodes behind `node` that are not emitted in place. */
function producersOf(node: Node, inline: (node: Node) => boolean): Node[] {
  const producers = new Set<Node>();
  const visit = (input: Node): void => {
    if (inline(input)) input.inputs.forEach(visit);
    else producers.add(input);
  };
  node.inputs.forEach(visit);
  return [...producers];
}
