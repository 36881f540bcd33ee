/**
 * What must hold of clusters and regions, whatever pass made them: nothing that is needed is left out, nothing is read
 * before it is made, nothing is computed by two clusters, and what stays on the chip is read by nobody else. An empty
 * list means that they are sound.
 */
import type { Graph, Node } from "../../graph/node.js";
import { namesOf } from "../../graph/text.js";
import type { Cluster, Partition } from "./clusters.js";
import { isEmittable, reachable } from "./inline.js";
import { isLocal, type Arrangement, type Region } from "./regions.js";
import { behindReshapes, rangeOf, resultsOf } from "./views.js";

/** The names of nodes in messages. */
export type Naming = (node: Node) => string;

/** The leaves and stored nodes that what a cluster stores is computed from, as its emission finds them. */
export function basesOf(cluster: Cluster, isBase: (node: Node) => boolean): ReadonlySet<Node> {
  const bases = new Set<Node>();
  walkBehind(
    cluster,
    isBase,
    (node) => void bases.add(node),
    () => undefined,
  );
  return bases;
}

/** Walks from the roots of a cluster to what is in memory; tells of each base, and of what is computed on the way. */
function walkBehind(
  cluster: Cluster,
  isBase: (node: Node) => boolean,
  base: (node: Node) => void,
  computed: (node: Node) => void,
): void {
  const seen = new Set<Node>();
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (isBase(node) && !cluster.members.has(node)) return base(node);
    computed(node);
    node.inputs.forEach(visit);
  };
  cluster.roots.forEach(visit);
}

/** What is wrong with a partition of a graph, in words that name clusters and nodes. */
export function verifyClusters(graph: Graph, parts: Partition): readonly string[] {
  const name = namesOf(graph);
  const home = new Map<Node, Cluster>();
  const wrong: string[] = [];
  let before = -1;
  for (const cluster of parts.clusters) {
    const { order, members } = cluster;
    if (order <= before) wrong.push(`cluster ${order} stands after cluster ${before}`);
    before = order;
    for (const member of members) {
      const other = home.get(member);
      if (other) wrong.push(`${name(member)} is computed by the clusters ${other.order} and ${order}`);
      home.set(member, cluster);
    }
    wrong.push(...wrongRoots(cluster, parts, name), ...wrongReads(cluster, parts, name));
  }
  for (const [node, cluster] of parts.stored) {
    if (!cluster.roots.includes(node)) wrong.push(`${name(node)} is not among what cluster ${cluster.order} stores`);
  }
  return [...wrong, ...wrongResults(graph, parts, name), ...wrongEpochs(graph, parts, name)];
}

function wrongRoots({ order, roots, members, anchor }: Cluster, { stored }: Partition, name: Naming): string[] {
  return [
    ...(anchor && !members.has(anchor) ? [`the anchor ${name(anchor)} of cluster ${order} is no member of it`] : []),
    ...(roots.length === 0 ? [`cluster ${order} stores nothing`] : []),
    ...roots.flatMap((root) => [
      ...(members.has(root) ? [] : [`cluster ${order} stores ${name(root)}, which it does not compute`]),
      ...(stored.get(root)?.order === order ? [] : [`${name(root)} is stored elsewhere than in cluster ${order}`]),
    ]),
  ];
}

/** Whether a cluster says what it reads, reads nothing that is not made yet, and can compute the rest in place. */
function wrongReads(cluster: Cluster, { stored, isBase }: Partition, name: Naming): string[] {
  const wrong: string[] = [];
  const { order, reads, members } = cluster;
  walkBehind(
    cluster,
    isBase,
    (node) => {
      if (!reads.has(node)) wrong.push(`cluster ${order} does not say that it reads ${name(node)}`);
    },
    (node) => {
      if (!members.has(node) && !isEmittable(node))
        wrong.push(`cluster ${order} needs ${name(node)}, which nothing stores and it does not compute`);
    },
  );
  for (const node of reads) {
    const producer = stored.get(node);
    if (!producer && !isBase(node)) wrong.push(`cluster ${order} reads ${name(node)}, which nothing stores`);
    if (producer && producer.order >= order)
      wrong.push(`cluster ${order} reads ${name(node)}, which cluster ${producer.order} makes later`);
  }
  return wrong;
}

/** What the host reads, and new values, are in memory. */
function wrongResults(graph: Graph, { isBase }: Partition, name: Naming): string[] {
  const results = [
    ...[...graph.outputs.values()].map((node) => behindReshapes(node, isBase)),
    ...[...graph.updates.values()].map((node) => rangeOf(node, isBase).base),
  ];
  return results.flatMap((node) => (isBase(node) ? [] : [`the result ${name(node)} is not stored`]));
}

/**
 * What recompute makes again is made in clusters that began after its epoch did: with what was there before it would
 * live as long as if it had been kept. Attention's results may share a kernel whatever their epochs.
 */
function wrongEpochs(graph: Graph, { clusters }: Partition, name: Naming): string[] {
  const began = new Map<number, number>();
  for (const { epoch, id } of reachable(graph)) if (!began.has(epoch)) began.set(epoch, id);
  return clusters.flatMap(({ order, kind, members }) => {
    if (kind === "attention") return [];
    const oldest = [...members].reduce((least, { id }) => Math.min(least, id), Number.POSITIVE_INFINITY);
    return [...members].flatMap((member) =>
      member.epoch > 0 && oldest < (began.get(member.epoch) ?? 0)
        ? [`${name(member)} of epoch ${member.epoch} is in cluster ${order}, which is older than that epoch`]
        : [],
    );
  });
}

/** What is wrong with the regions of a graph, in words that name regions, clusters and nodes. */
export function verifyRegions(graph: Graph, arrangement: Arrangement): readonly string[] {
  const { regions, parts } = arrangement;
  const name = namesOf(graph);
  const wrong = [...verifyClusters(graph, parts)];
  const flat = regions.flatMap(({ clusters }) => clusters);
  for (const [i, cluster] of parts.clusters.entries()) {
    if (flat[i] !== cluster) wrong.push(`cluster ${cluster.order} does not stand where its region does`);
  }
  if (flat.length !== parts.clusters.length)
    wrong.push(`the regions have ${flat.length} clusters, and the partition ${parts.clusters.length}`);
  const results = resultsOf(graph, parts.isBase);
  for (const [i, region] of regions.entries()) {
    wrong.push(...wrongRegion(region, arrangement, name).map((fault) => `region ${i}: ${fault}`));
    wrong.push(...wrongChip(region, parts, results, name).map((fault) => `region ${i}: ${fault}`));
  }
  return wrong;
}

/** Several clusters are a region only where each is local to a token. */
function wrongRegion({ clusters, tokens }: Region, { parts, classes }: Arrangement, name: Naming): string[] {
  if (clusters.length === 0) return ["has no cluster"];
  if (clusters.length === 1) return [];
  if (tokens.length === 0) return ["has several clusters, and no tokens that they follow"];
  const inside = new Set(clusters.flatMap(({ roots }) => roots));
  return clusters.flatMap((cluster) =>
    tokens.every((token) => isLocal(cluster, token, { inside, classes, parts }))
      ? []
      : [`cluster ${cluster.order}, which stores ${cluster.roots.map(name).join(", ")}, reads at other tokens`],
  );
}

/** What is on the chip is stored by the region, read by it alone, and no result. */
function wrongChip({ clusters, onChip }: Region, parts: Partition, results: ReadonlySet<Node>, name: Naming): string[] {
  const inside = new Set(clusters);
  return [...onChip].flatMap((node) => {
    const producer = parts.stored.get(node);
    const reader = parts.readersOf(node).find((cluster) => !inside.has(cluster));
    return [
      ...(producer && inside.has(producer) ? [] : [`${name(node)} is on the chip and made elsewhere`]),
      ...(reader ? [`${name(node)} is on the chip, and cluster ${reader.order} reads it from elsewhere`] : []),
      ...(results.has(node) ? [`${name(node)} is on the chip, and a result`] : []),
      ...(node.dtype === "f32" ? [] : [`${name(node)} is on the chip, and no float`]),
    ];
  });
}
