/**
 * Regions: clusters that follow each other token by token become one kernel. A boundary between two residual
 * connections is many small clusters over the same tokens (mix and write, the coefficients' products, Sinkhorn, read,
 * the norm after it); alone, each would send the streams through memory once more. A region takes a block of tokens
 * through all of them, and what only its own clusters read never leaves the chip (`token.ts` makes the kernel).
 *
 * Clusters are taken in order; one joins the region of its newest producer when everything in that region stays local
 * to a token, so that dependencies only run from older to newer regions. Then clusters sink: one that is read by a
 * single later region moves there when that saves traffic (the mix of the streams is computed where the new streams are
 * written, not where Sinkhorn ended).
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Graph, Node, NodeWith } from "../../graph/node.js";
import { letters } from "../../graph/ops/structure.js";
import { axisClasses, type AxisClasses } from "./axes.js";
import { isLeaf, reachable, type Cluster, type Partition } from "./partition.js";
import { resultsOf, sizeOf } from "./views.js";

export interface Region {
  /** In an order in which they can run. */
  readonly clusters: readonly Cluster[];
  /** The classes of the tokens' axes; empty for a cluster on its own. */
  readonly tokens: readonly number[];
  /** What only this region reads. */
  readonly onChip: ReadonlySet<Node>;
}

export interface Arrangement {
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

export function arrange(graph: Graph, parts: Partition, kind: KernelProfile["kind"]): Arrangement {
  const nodes = reachable(graph);
  const classes = axisClasses(nodes);
  const alone = (cluster: Cluster): Region => ({ clusters: [cluster], tokens: [], onChip: new Set() });
  const results = resultsOf(graph, parts.isBase);
  const candidates = tokenClasses(nodes, classes);
  const small = new Set(parts.clusters.filter((cluster) => isSmall(cluster, candidates, classes, NARROW[kind])));
  const rootsOf = (clusters: readonly Cluster[]): Node[] => clusters.flatMap(({ roots }) => roots);
  /**
   * Those of `tokens` in which `clusters` are local when they run with `region`; none when those are too few tokens.
   */
  const local = (clusters: readonly Cluster[], region: readonly Cluster[], tokens: readonly number[]): number[] => {
    const inside = new Set(rootsOf([...region, ...clusters]));
    const shared = tokens.filter((token) =>
      clusters.every((cluster) => isLocal(cluster, token, inside, classes, parts)),
    );
    const [root] = clusters[0]!.roots as [Node];
    return shared.length > 0 && sizeOf(shared.map((token) => root.shape[classes(root).indexOf(token)]!)) >= FEWEST[kind]
      ? shared
      : [];
  };

  const regions: Cluster[][] = [];
  /** The tokens of each region. */
  const tokens: number[][] = [];
  const home = new Map<Cluster, number>();
  /**
   * The oldest region that a cluster of an epoch may join, as in the partition: what is made again must not be made
   * when it was made first.
   */
  const began = new Map<number, number>([[0, 0]]);
  for (const cluster of parts.clusters) {
    const epoch = [...cluster.members].reduce((latest, node) => Math.max(latest, node.epoch), 0);
    if (!began.has(epoch)) began.set(epoch, regions.length);
    const producers = storedReads(cluster, parts);
    const newest = producers.reduce((latest, node) => Math.max(latest, home.get(parts.stored.get(node)!)!), -1);
    // Nothing older reads the newcomer: only its own locality is in question.
    const shared =
      newest >= began.get(epoch)! && newest >= 0 && small.has(cluster)
        ? local([cluster], regions[newest]!, tokens[newest]!)
        : [];
    if (shared.length > 0) {
      home.set(cluster, newest);
      regions[newest]!.push(cluster);
      tokens[newest] = shared;
    } else {
      home.set(cluster, regions.length);
      regions.push([cluster]);
      tokens.push(small.has(cluster) ? local([cluster], [], candidates) : []);
    }
  }
  sink();

  const position = new Map<Cluster, Cluster>();
  for (const cluster of regions.flat()) position.set(cluster, { ...cluster, order: position.size });
  const moved = (cluster: Cluster): Cluster => position.get(cluster)!;
  const arranged: Partition = {
    clusters: [...position.values()],
    stored: new Map([...parts.stored].map(([node, cluster]) => [node, moved(cluster)])),
    isBase: parts.isBase,
    readersOf: (node) =>
      parts
        .readersOf(node)
        .flatMap((cluster) => (position.has(cluster) ? [moved(cluster)] : []))
        .sort((a, b) => a.order - b.order),
  };
  return {
    regions: regions.flatMap((region, i) => {
      if (region.length === 0) return [];
      const clusters = region.map(moved);
      if (clusters.length === 1) return [alone(clusters[0]!)];
      const own = new Set(clusters);
      const onChip = rootsOf(clusters).filter(
        (root) =>
          root.dtype === "f32" && !results.has(root) && arranged.readersOf(root).every((reader) => own.has(reader)),
      );
      return [{ clusters, tokens: tokens[i]!, onChip: new Set(onChip) }];
    }),
    parts: arranged,
    classes,
  };

  /**
   * Moves clusters to their only reading region, the newest first, so that what a moved cluster reads can follow it.
   */
  function sink(): void {
    for (const cluster of [...parts.clusters].reverse()) {
      if (!small.has(cluster) || cluster.roots.some((root) => results.has(root))) continue;
      const from = home.get(cluster)!;
      const targets = new Set(
        cluster.roots.flatMap((root) =>
          parts.readersOf(root).flatMap((reader) => (home.has(reader) ? [home.get(reader)!] : [])),
        ),
      );
      const [to] = targets;
      if (targets.size !== 1 || to === undefined || to === from || gained(cluster, from, to) <= 0) continue;
      const readers = regions[to]!.filter((other) => cluster.roots.some((root) => other.reads.has(root)));
      const shared = local([cluster, ...readers], regions[to]!, tokens[to]!);
      if (shared.length === 0) continue;
      regions[to] = [...regions[to]!, cluster].sort((a, b) => a.order - b.order);
      tokens[to] = shared;
      regions[from] = regions[from]!.filter((other) => other !== cluster);
      home.set(cluster, to);
    }
  }

  /** Words of traffic that a move saves: its results stay on the chip, its operands may have to leave it. */
  function gained(cluster: Cluster, from: number, to: number): number {
    const inside = new Set(regions[to]!);
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
}

const storedReads = (cluster: Cluster, parts: Partition): Node[] =>
  [...cluster.reads].filter((node) => !isLeaf(node) && parts.stored.has(node));

/** The axes of what the host feeds: data comes in tokens. */
function tokenClasses(nodes: readonly Node[], classes: AxisClasses): number[] {
  const inputs = nodes.filter((node) => node.op === "input");
  return [...new Set(inputs.flatMap((node) => classes(node).filter((_, axis) => node.shape[axis]! > 1)))];
}

const count = (classes: readonly number[], wanted: number): number => classes.filter((c) => c === wanted).length;

/** Whether the roots of the cluster at one token read what is inside the region at that token only. */
function isLocal(
  cluster: Cluster,
  token: number,
  inside: ReadonlySet<Node>,
  classes: AxisClasses,
  parts: Partition,
): boolean {
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
      (count(classes(node), token) !== 1 || removes(node, token, classes) || (node.op === "gather" && touches[0]!))
    )
      local = false;
    seen.set(node, any);
    return any;
  };
  for (const root of cluster.roots) {
    if (count(classes(root), token) !== 1) return false;
    visit(root);
  }
  return local && (cluster.anchor?.op !== "contract" || !removes(cluster.anchor, token, classes));
}

/** Whether the node sums over an axis of the class. */
function removes(node: Node, token: number, classes: AxisClasses): boolean {
  if (node.op === "sum" || node.op === "reduce_max")
    return node.attrs.axes.some((axis) => classes(node.inputs[0]!)[axis] === token);
  if (node.op !== "contract") return false;
  const l = letters(node.attrs.spec)!;
  return (
    [...l.a].some((letter, axis) => !l.out.includes(letter) && classes(node.inputs[0]!)[axis] === token) ||
    [...l.b].some((letter, axis) => !l.out.includes(letter) && classes(node.inputs[1]!)[axis] === token)
  );
}

/** Whether a cluster is work for a region: not a product with wide weights. */
function isSmall(cluster: Cluster, candidates: readonly number[], classes: AxisClasses, narrow: number): boolean {
  if (cluster.kind !== "matmul") return cluster.kind === "map" || cluster.kind === "sinkhorn";
  const shape = weightsOf(cluster.anchor as NodeWith<"contract">, (node) =>
    classes(node).some((c) => candidates.includes(c)),
  );
  return shape === null || shape.columns <= narrow || shape.terms <= narrow;
}

/**
 * The operand of a product that is the same for all tokens, as columns of the result and terms of the sum; null when
 * both have tokens.
 */
export function weightsOf(
  node: NodeWith<"contract">,
  hasTokens: (node: Node) => boolean,
): { readonly operand: 0 | 1; readonly columns: number; readonly terms: number } | null {
  const l = letters(node.attrs.spec)!;
  const [x, y] = node.inputs as [Node, Node];
  if (hasTokens(x) && hasTokens(y)) return null;
  const operand = hasTokens(x) ? 1 : 0;
  const term = operand === 1 ? l.b : l.a;
  const size = (wanted: boolean): number =>
    sizeOf(
      [...term].flatMap((letter, i) => (l.out.includes(letter) === wanted ? [node.inputs[operand]!.shape[i]!] : [])),
    );
  return { operand, columns: size(true), terms: size(false) };
}
