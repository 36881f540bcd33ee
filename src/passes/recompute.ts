/**
 * Recompute: trades time for memory in the way of the mHC paper (arXiv 2512.24880, section 4.3.2). The connections of a
 * stream are cut into segments of `every`. From the forward to the backward pass only the stream before each segment
 * lives on, and what the blocks return; the rest of the connections (streams, coefficients, what the blocks read and
 * their norms) is computed a second time when the backward pass reaches the segment. The heavy functions inside are not
 * (`src/graph/streams.ts` says what is heavy).
 *
 * For L connections over n lanes of C values a token, segments of k keep n C ceil(L / k) and the segment at work holds
 * (n + 2) C k; the sum is smallest near k = sqrt(n L / (n + 2)). The last segment is left alone: the backward pass
 * begins where the forward pass ends, so dropping it would save nothing. That is also why the shorter segment, if one
 * is, is the last.
 *
 * A second computation is a clone with an epoch of its own, so that hash-consing keeps it apart, and with the site of
 * its original, so that it draws the same random numbers. Clones are made where the backward pass first reads them: the
 * order of nodes is the order of the schedule, so they live no longer than the segment's derivatives.
 */
import { mustAt } from "../../runtime/lookup.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Graph, Node } from "../graph/node.js";
import { headsOf, lanesOf, type Chain, type Forward } from "../graph/streams.js";
import { topological } from "../graph/topology.js";
import { remake, rewrite } from "./rewrite.js";

/** Values a token that stream activations take at their peak, in units of C: what the paper minimises. */
export const footprint = (lanes: number, connections: number, every: number): number =>
  lanes * Math.ceil(connections / every) + (lanes + 2) * every;

/** The length of segments with the smallest footprint: a whole number beside sqrt(n L / (n + 2)). */
export function segmentLength(lanes: number, connections: number): number {
  const root = Math.sqrt((lanes * connections) / (lanes + 2));
  const [low, high] = [Math.max(1, Math.floor(root)), Math.max(1, Math.ceil(root))];
  return footprint(lanes, connections, low) <= footprint(lanes, connections, high) ? low : high;
}

/** The graph of a derivative of `forward`, with segments of `every(chain)` connections. */
export function recompute(graph: Graph, forward: Forward, every: (chain: Chain) => number): Graph {
  const ahead = new Set(topological(forward.results));
  const epochs = epochsOf(forward.chains, every);
  const b = createBuilder();
  const clones = new Map<Node, Node>();
  const { graph: recomputed, moved } = rewrite(graph, (node, now) => {
    /** What the backward pass reads of a node: where the node is dropped, its clone. */
    const second = (input: Node): Node => {
      const epoch = epochs.get(input);
      if (epoch === undefined) return now(input);
      const before = clones.get(input);
      if (before) return before;
      const clone = remake(b, { ...input, epoch }, input.inputs.map(second));
      clones.set(input, clone);
      return clone;
    };
    return remake(b, node, node.inputs.map(ahead.has(node) ? now : second));
  });
  if (!graph.streams) return recomputed;
  // A stream is alive where it is computed first, and where it is computed again.
  const streams = [...graph.streams].flatMap((node) => [moved.get(node) ?? [], clones.get(node) ?? []].flat());
  return { ...recomputed, streams: new Set(streams) };
}

/** The epoch of the clone of every node that is dropped: one for each segment but the last of a chain. */
function epochsOf(chains: readonly Chain[], every: (chain: Chain) => number): ReadonlyMap<Node, number> {
  const epochs = new Map<Node, number>();
  let epoch = 0;
  for (const chain of chains) {
    for (const segment of segments(chain, every(chain)).slice(0, -1)) {
      epoch++;
      for (const node of droppable(segment)) epochs.set(node, epoch);
    }
  }
  return epochs;
}

/** A chain cut into parts of `every` connections, the last of which may be shorter. */
export function segments(chain: Chain, every: number): Chain[] {
  return Array.from({ length: Math.ceil(chain.length / every) }, (_, i) => chain.slice(i * every, (i + 1) * every));
}

/**
 * The nodes that a segment need not keep: all that its connections make from the stream before them, except for the
 * results of their blocks and the stream after them.
 */
function droppable(segment: Chain): Node[] {
  const { before } = mustAt(segment, 0);
  const { after } = mustAt(segment, segment.length - 1);
  const kept = new Set<Node>(
    [before, ...segment.flatMap(({ blocks }) => blocks.map(({ output }) => output))].flatMap(behindViews),
  );
  const ends = new Set(behindViews(after));
  const wanted = segment.flatMap((connection) => [
    connection.after,
    ...connection.blocks.flatMap(({ inputs }) => inputs),
    ...headsOf(connection),
  ]);
  // Nodes that are older than the segment's stream were not made by these connections.
  return topological(wanted, kept).filter(
    (node) => node.inputs.length > 0 && node.id > before.id && !kept.has(node) && !ends.has(node),
  );
}

/** A node and, if it only shows another one differently, that one too: storing the one is storing the other. */
function behindViews(node: Node): Node[] {
  const [shown] = node.inputs;
  return (node.op === "broadcast" || node.op === "reshape") && shown ? [node, ...behindViews(shown)] : [node];
}

/** The paper's length for a chain. */
export const paperLength = (chain: Chain): number => segmentLength(lanesOf(chain), chain.length);
