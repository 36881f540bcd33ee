/**
 * Regions: clusters that follow each other token by token become one kernel. A boundary between two residual
 * connections is many small clusters over the same tokens (mix and write, the coefficients' products, Sinkhorn, read,
 * the norm after it); alone, each would send the streams through memory once more. A region takes a block of tokens
 * through all of them, and what only its own clusters read never leaves the chip (`skeletons/region/` makes its
 * kernel).
 *
 * Clusters are taken in order; one joins the region of its newest producer when everything in that region stays local
 * to a token, so that dependencies only run from older to newer regions. Then clusters sink: one that is read by a
 * single later region moves there when that saves traffic (the mix of the streams is computed where the new streams are
 * written, not where Sinkhorn ended).
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Graph, Node, NodeWith } from "../../graph/node.js";
import { namesOf } from "../../graph/text.js";
import { letters } from "../../graph/ops/structure.js";
import { axisClasses, type AxisClasses } from "./axes.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import { clusterLine, isLeaf, partitionOf, type Cluster, type Partition } from "./clusters.js";
import { reachable } from "./inline.js";
import { isReduction, sizeOf } from "../../graph/record.js";
import { resultsOf } from "./views.js";

/** Clusters that one kernel computes, token by token; most regions are one cluster, which is a kernel as it is. */
export interface Region {
  /** In an order in which they can run. */
  readonly clusters: readonly Cluster[];
  /** The classes of the tokens' axes; empty for a cluster on its own. */
  readonly tokens: readonly number[];
  /** What only this region reads. */
  readonly onChip: ReadonlySet<Node>;
}

/** The clusters of a graph as regions. */
export interface Arrangement {
  /** In an order in which they can run. */
  readonly regions: readonly Region[];
  /** The partition, with its clusters in the order of the regions. */
  readonly parts: Partition;
  readonly classes: AxisClasses;
}

/** With fewer tokens than this a region would leave cores idle. */
const FEWEST = { cpu: 64, gpu: 128 } as const;
/**
 * A product with weights belongs into a region when it has at most so many columns, or sums at most so many terms: more
 * is work for a matmul kernel, which on a CPU does it at twice the rate (a network of width 32 takes a third longer in
 * regions alone); on a GPU a dispatch costs more than that.
 */
const NARROW = { cpu: 24, gpu: 64 } as const;

/** A product in which a token has so many rows of its own fills a matmul kernel, however narrow its weights are. */
const MANY_ROWS = 64;

/** What is known while clusters find their regions. */
interface Arranging {
  readonly parts: Partition;
  readonly classes: AxisClasses;
  readonly kind: KernelProfile["kind"];
  /** Stored nodes that outlive the entry's kernels. */
  readonly results: ReadonlySet<Node>;
  /** Classes of axes that may be tokens. */
  readonly candidates: readonly number[];
  /** Clusters that are work for a region. */
  readonly small: ReadonlySet<Cluster>;
  readonly regions: (readonly Cluster[])[];
  /** The tokens of each region. */
  readonly tokens: (readonly number[])[];
  readonly home: Map<Cluster, number>;
}

/** The clusters as regions, in the order of the regions. */
export function arrange(graph: Graph, parts: Partition, kind: KernelProfile["kind"]): Arrangement {
  const nodes = reachable(graph);
  const classes = axisClasses(nodes);
  const candidates = tokenClasses(nodes, classes);
  const arranging: Arranging = {
    parts,
    classes,
    kind,
    results: resultsOf(graph, parts.isBase),
    candidates,
    small: new Set(parts.clusters.filter((cluster) => isSmall(cluster, candidates, classes, NARROW[kind]))),
    regions: [],
    tokens: [],
    home: new Map(),
  };
  gather(arranging);
  sink(arranging);
  return arranged(arranging);
}

/** Every cluster as a region of its own: regions turned off. */
export function arrangeAlone(graph: Graph, parts: Partition): Arrangement {
  const regions = parts.clusters.map(alone);
  return { regions, parts, classes: axisClasses(reachable(graph)) };
}

const alone = (cluster: Cluster): Region => ({ clusters: [cluster], tokens: [], onChip: new Set() });
const rootsOf = (clusters: readonly Cluster[]): Node[] => clusters.flatMap(({ roots }) => roots);

/** Puts every cluster into the region of its newest producer where it is local there, else into one of its own. */
function gather(arranging: Arranging): void {
  const { parts, small, candidates, regions, tokens, home } = arranging;
  /**
   * The oldest region that a cluster of an epoch may join, as in the partition: what is made again must not be made
   * when it was made first.
   */
  const began = new Map<number, number>([[0, 0]]);
  for (const cluster of parts.clusters) {
    const epoch = [...cluster.members].reduce((latest, node) => Math.max(latest, node.epoch), 0);
    if (!began.has(epoch)) began.set(epoch, regions.length);
    const producers = storedReads(cluster, parts);
    const newest = producers.reduce((at, node) => Math.max(at, mustGet(home, mustGet(parts.stored, node))), -1);
    const region = regions[newest];
    // Nothing older reads the newcomer: only its own locality is in question.
    const shared =
      region && newest >= mustGet(began, epoch) && small.has(cluster)
        ? localTokens(arranging, [cluster], region, mustAt(tokens, newest))
        : [];
    if (region && shared.length > 0) {
      home.set(cluster, newest);
      regions[newest] = [...region, cluster];
      tokens[newest] = shared;
    } else {
      home.set(cluster, regions.length);
      regions.push([cluster]);
      tokens.push(small.has(cluster) ? localTokens(arranging, [cluster], [], candidates) : []);
    }
  }
}

/**
 * Those of `tokens` in which `clusters` are local when they run with `region`; none when those are too few tokens.
 */
function localTokens(
  { classes, parts, kind }: Arranging,
  clusters: readonly Cluster[],
  region: readonly Cluster[],
  tokens: readonly number[],
): readonly number[] {
  const inside = new Set(rootsOf([...region, ...clusters]));
  const shared = tokens.filter((token) =>
    clusters.every((cluster) => isLocal(cluster, token, { inside, classes, parts })),
  );
  const root = mustAt(mustAt(clusters, 0).roots, 0);
  const sizes = shared.map((token) => mustAt(root.shape, classes(root).indexOf(token)));
  return shared.length > 0 && sizeOf(sizes) >= FEWEST[kind] ? shared : [];
}

/**
 * Moves clusters to their only reading region, the newest first, so that what a moved cluster reads can follow it.
 */
function sink(arranging: Arranging): void {
  const { parts, small, results, regions, tokens, home } = arranging;
  for (const cluster of [...parts.clusters].reverse()) {
    if (!small.has(cluster) || cluster.roots.some((root) => results.has(root))) continue;
    const from = mustGet(home, cluster);
    const targets = new Set(
      cluster.roots.flatMap((root) => parts.readersOf(root).map((reader) => mustGet(home, reader))),
    );
    const [to] = targets;
    if (targets.size !== 1 || to === undefined || to === from || gained(arranging, cluster, from, to) <= 0) continue;
    const region = mustAt(regions, to);
    const readers = region.filter((other) => cluster.roots.some((root) => other.reads.has(root)));
    const shared = localTokens(arranging, [cluster, ...readers], region, mustAt(tokens, to));
    if (shared.length === 0) continue;
    regions[to] = [...region, cluster].sort((a, b) => a.order - b.order);
    tokens[to] = shared;
    regions[from] = mustAt(regions, from).filter((other) => other !== cluster);
    home.set(cluster, to);
  }
}

/** Words of traffic that a move saves: its results stay on the chip, its operands may have to leave it. */
function gained({ parts, regions, home }: Arranging, cluster: Cluster, from: number, to: number): number {
  const inside = new Set(mustAt(regions, to));
  const saved = cluster.roots.reduce((sum, root) => sum + 2 * sizeOf(root.shape), 0);
  const spent = [...cluster.reads].reduce((sum, read) => {
    const producer = parts.stored.get(read);
    if (parts.readersOf(read).some((reader) => inside.has(reader)) || (producer && inside.has(producer))) return sum;
    const leaves =
      producer && home.get(producer) === from && parts.readersOf(read).every((reader) => home.get(reader) === from);
    return sum + (leaves ? 2 : 1) * sizeOf(read.shape);
  }, 0);
  return saved - spent;
}

/** The regions as they are in the end, with their clusters numbered in their order. */
function arranged({ parts, classes, regions, tokens, results }: Arranging): Arrangement {
  const renumbered = new Map<Cluster, Cluster>();
  for (const cluster of regions.flat()) renumbered.set(cluster, { ...cluster, order: renumbered.size });
  const inOrder = partitionOf(
    [...renumbered.values()],
    new Map([...parts.stored].map(([node, cluster]) => [node, mustGet(renumbered, cluster)])),
  );
  return {
    regions: regions.flatMap((region, i) => {
      const clusters = region.map((cluster) => mustGet(renumbered, cluster));
      const [only, ...others] = clusters;
      if (!only) return [];
      if (others.length === 0) return [alone(only)];
      const inside = new Set(clusters);
      const onChip = rootsOf(clusters.filter((cluster) => isOfOneToken(cluster, mustAt(tokens, i), classes))).filter(
        (root) =>
          root.dtype === "f32" && !results.has(root) && inOrder.readersOf(root).every((reader) => inside.has(reader)),
      );
      return [{ clusters, tokens: mustAt(tokens, i), onChip: new Set(onChip) }];
    }),
    parts: inOrder,
    classes,
  };
}

/**
 * Whether a turn of a cluster's loops makes values of one token. Where a reduction has a token's axis twice, of which
 * one goes, a turn makes those of every token: they are in memory, since the chip has room for those of a tile.
 */
const isOfOneToken = ({ members }: Cluster, tokens: readonly number[], classes: AxisClasses): boolean =>
  [...members].every(
    (member) => !isReduction(member) || tokens.every((token) => count(classes(member.inputs[0]), token) <= 1),
  );

/** Regions as text, with the names that the graph's text gives its nodes. */
export function printRegions(graph: Graph, { regions, classes }: Arrangement): string {
  const name = namesOf(graph);
  const lines = regions.flatMap(({ clusters, tokens, onChip }, i) => {
    const own = clusters.map((cluster) => clusterLine(cluster, name));
    if (clusters.length === 1) return [`  region ${i}, ${own.join()}`];
    const root = mustAt(mustAt(clusters, 0).roots, 0);
    const sizes = tokens.map((token) => mustAt(root.shape, classes(root).indexOf(token)));
    const chip = onChip.size ? `, on the chip ${Array.from(onChip, name).join(", ")}` : "";
    return [`  region ${i} of [${sizes.join(",")}] tokens${chip}`, ...own.map((line) => `    ${line}`)];
  });
  return [`regions of ${graph.name} {`, ...lines, "}"].join("\n");
}

const storedReads = (cluster: Cluster, parts: Partition): Node[] =>
  [...cluster.reads].filter((node) => !isLeaf(node) && parts.stored.has(node));

/** The axes of what the host feeds: data comes in tokens. */
function tokenClasses(nodes: readonly Node[], classes: AxisClasses): number[] {
  const inputs = nodes.filter((node) => node.op === "input");
  return [...new Set(inputs.flatMap((node) => classes(node).filter((_, axis) => mustAt(node.shape, axis) > 1)))];
}

const count = (classes: readonly number[], wanted: number): number => classes.filter((c) => c === wanted).length;

/** What locality depends on: the stored nodes inside of a region, and which axes are the same. */
interface Inside {
  readonly inside: ReadonlySet<Node>;
  readonly classes: AxisClasses;
  readonly parts: Partition;
}

/** Whether the roots of the cluster at one token read what is inside the region at that token only. */
export function isLocal(cluster: Cluster, token: number, { inside, classes, parts }: Inside): boolean {
  let local = true;
  const seen = new Map<Node, boolean>();
  const visit = (node: Node): boolean => {
    if (parts.isBase(node) && !cluster.members.has(node)) return inside.has(node);
    const known = seen.get(node);
    if (known !== undefined) return known;
    const touches = node.inputs.map(visit);
    const any = touches.some(Boolean);
    if (
      any &&
      (count(classes(node), token) !== 1 ||
        removes(node, token, classes) ||
        (node.op === "gather" && touches[0] === true))
    )
      local = false;
    seen.set(node, any);
    return any;
  };
  for (const root of cluster.roots) {
    if (count(classes(root), token) !== 1) return false;
    visit(root);
  }
  if ([...cluster.reads].some((read) => inside.has(read)) && losesToken(cluster, token, classes)) return false;
  return local && (cluster.anchor?.op !== "contract" || !removes(cluster.anchor, token, classes));
}

/**
 * Whether the first axis of the token's class in the loops of a cluster, which is what the loops take for the token, is
 * summed over: where a class is there twice, a turn then makes the values of every token.
 */
const losesToken = (cluster: Cluster, token: number, classes: AxisClasses): boolean =>
  [...cluster.members].some(
    (member) => isReduction(member) && member.attrs.axes.includes(classes(member.inputs[0]).indexOf(token)),
  );

/** Whether the node sums over an axis of the class. */
function removes(node: Node, token: number, classes: AxisClasses): boolean {
  if (isReduction(node)) return node.attrs.axes.some((axis) => classes(node.inputs[0])[axis] === token);
  if (node.op !== "contract") return false;
  const l = letters(node.attrs.spec);
  return (
    [...l.a].some((letter, axis) => !l.out.includes(letter) && classes(node.inputs[0])[axis] === token) ||
    [...l.b].some((letter, axis) => !l.out.includes(letter) && classes(node.inputs[1])[axis] === token)
  );
}

/**
 * Whether a cluster is work for a region. A product is where each token brings both operands, or where the operand that
 * tokens share (weights, or a matrix of a sequence) is narrow and a token has few rows: any other has enough rows and
 * columns to fill the registers of a matmul kernel.
 */
function isSmall(cluster: Cluster, candidates: readonly number[], classes: AxisClasses, narrow: number): boolean {
  if (cluster.kind !== "matmul") return cluster.kind === "map" || cluster.kind === "sinkhorn";
  const node = cluster.anchor as NodeWith<"contract">;
  const isToken = (operand: Node, axis: number): boolean => candidates.includes(mustAt(classes(operand), axis));
  const shape =
    weightsOf(node, (operand) => operand.shape.some((_, axis) => isToken(operand, axis))) ?? sharedOf(node, isToken);
  if (shape === null) return true;
  const { a, b, out } = letters(node.attrs.spec);
  const [weights, streams] = shape.operand === 0 ? [a, b] : [b, a];
  const rows = sizeOf(
    [...out].flatMap((letter, axis) =>
      streams.includes(letter) && !weights.includes(letter) && !isToken(node, axis) ? [mustAt(node.shape, axis)] : [],
    ),
  );
  return rows < MANY_ROWS && (shape.columns <= narrow || shape.terms <= narrow);
}

/** An operand of a product that many tokens read. */
interface SharedOperand {
  readonly operand: 0 | 1;
  /** Columns of the result, and terms of the sum. */
  readonly columns: number;
  readonly terms: number;
}

/**
 * The operand that lacks an axis of tokens of the result, where both have tokens: those of a sequence share it. Null
 * where both operands belong to each token by itself.
 */
function sharedOf(node: NodeWith<"contract">, isToken: (operand: Node, axis: number) => boolean): SharedOperand | null {
  const { a, b, out } = letters(node.attrs.spec);
  const lacking = (term: string): boolean =>
    [...out].some((letter, axis) => !term.includes(letter) && isToken(node, axis));
  if (lacking(a) === lacking(b)) return null;
  const operand = lacking(a) ? 0 : 1;
  const [shared, other] = operand === 0 ? [a, b] : [b, a];
  const { shape } = node.inputs[operand];
  const size = (among: (letter: string) => boolean): number =>
    sizeOf(shape.filter((_, axis) => among(mustAt(shared, axis))));
  return {
    operand,
    columns: size((letter) => out.includes(letter) && !other.includes(letter)),
    terms: size((letter) => !out.includes(letter)),
  };
}

/**
 * The operand of a product that is the same for all tokens, as columns of the result and terms of the sum; null when
 * both have tokens.
 */
export function weightsOf(node: NodeWith<"contract">, hasTokens: (node: Node) => boolean): SharedOperand | null {
  const l = letters(node.attrs.spec);
  const [x, y] = node.inputs;
  if (hasTokens(x) && hasTokens(y)) return null;
  const operand = hasTokens(x) ? 1 : 0;
  const [term, { shape }] = operand === 1 ? [l.b, y] : [l.a, x];
  const size = (inResult: boolean): number =>
    sizeOf(shape.filter((_, axis) => l.out.includes(mustAt(term, axis)) === inResult));
  return { operand, columns: size(true), terms: size(false) };
}
