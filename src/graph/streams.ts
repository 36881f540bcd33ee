/**
 * Residual streams as nodes. A graph has no streams, only nodes; what recompute needs to know of the model is written
 * down here while it is lowered: for every connection the stream before and after, and what the block inside read and
 * made. From that follows which nodes are *light*: those of the connections, and what a block does to its input before
 * its first product (its norm). All others belong to the heavy function F of the mHC paper, which is never computed
 * twice.
 */
import type { Builder } from "./builder.js";
import type { Node, Op } from "./node.js";
import { sizeOf } from "./record.js";
import { topological } from "./topology.js";

/** One use of a connection. */
export interface Connection {
  /** The stream that it reads, and the stream that it makes. */
  readonly before: Node;
  readonly after: Node;
  /** The uses of the block that it wraps: what F read and what it made. */
  readonly blocks: readonly { readonly inputs: readonly Node[]; readonly output: Node }[];
  /** The name of the stream. */
  readonly stream: string;
  /** How it mixes the lanes that pass beside its block: [batch, …outer, n, n], or nothing, or something else. */
  readonly mix:
    | { readonly kind: "identity" }
    | { readonly kind: "unknown" }
    | {
        readonly kind: "matrix";
        readonly node: Node;
        /** The lanes' place among the stream's axes. */
        readonly lane: number;
        /** The places of those axes, in order, that it has a matrix for each value of. */
        readonly outer: readonly number[];
      };
}

/** The connections of one stream, from the first to the last: each reads what the one before made. */
export type Chain = readonly Connection[];

/** The forward pass that a derivative was taken of: the results of the forward pass, and the streams in it. */
export interface Forward {
  readonly results: readonly Node[];
  readonly chains: readonly Chain[];
}

/**
 * The same values as a node of its own, which is no other with these values: a place in the graph to differentiate by,
 * or to hold.
 */
export const ofItsOwn = (b: Builder, x: Node, site: "stream" | "held"): Node =>
  b.make("reshape", [x], {}, { shape: x.shape, site });

/** Lanes of a stream: how much larger it is than what a block reads of it. */
export function lanesOf(chain: Chain): number {
  const read = chain.flatMap(({ before, blocks }) =>
    blocks.flatMap(({ inputs }) => inputs.map((input) => sizeOf(before.shape) / sizeOf(input.shape))),
  );
  return Math.max(1, ...read.map(Math.round));
}

/**
 * Ops that make a block heavy. Everything else is elementwise, a view or a sum along an axis, or works on what a
 * product made.
 */
const PRODUCTS: ReadonlySet<Op> = new Set<Op>([
  "contract",
  "gather",
  "scatter_add",
  "sinkhorn",
  "sinkhorn_vjp",
  "attention",
  "attention_lse",
  "attention_vjp",
]);

/** The nodes of a connection's blocks between their inputs and their first product, the inputs not included. */
export function headsOf({ blocks }: Connection): Set<Node> {
  const heads = new Set<Node>();
  for (const { inputs, output } of blocks) {
    const body = between(inputs, output);
    const heavy = new Set<Node>();
    for (const node of body) {
      if (PRODUCTS.has(node.op) || node.inputs.some((input) => heavy.has(input))) heavy.add(node);
      else if (node !== output) heads.add(node);
    }
  }
  return heads;
}

/**
 * The nodes on the way from some of `inputs` to `output`, producers first: `inputs` not included, and nothing that does
 * not depend on them.
 */
function between(inputs: readonly Node[], output: Node): Node[] {
  const reached = new Set<Node>(inputs);
  return topological([output], inputs).filter((node) => {
    if (reached.has(node) || !node.inputs.some((input) => reached.has(input))) return false;
    reached.add(node);
    return true;
  });
}

/**
 * Values of the narrowest activation that a block reads of the streams, or, where there are none, that a product with
 * parameters reads. Coefficients of connections have fewer.
 */
export function narrowestRead({ results, chains }: Forward): number {
  const blocks = chains.flat().flatMap((connection) => connection.blocks);
  if (blocks.length)
    return Math.min(...blocks.map(({ inputs }) => Math.max(...inputs.map(({ shape }) => sizeOf(shape)))));
  const fed = new Set<Node>();
  const read: Node[] = [];
  for (const node of topological(results)) {
    const operands = node.inputs.filter((input) => fed.has(input));
    if (node.op === "input" || operands.length) fed.add(node);
    if (node.op === "contract" && operands.length === 1) read.push(...operands);
  }
  return Math.min(...read.map(({ shape }) => sizeOf(shape)));
}

/**
 * The activations that the paper's formula counts: the stream before and after every connection, what the blocks read
 * of it, and what they make of that before their first product. Coefficients are left out, as in the paper, and so is
 * what the blocks return.
 */
export function activationsOf(chains: readonly Chain[]): Set<Node> {
  return new Set(
    chains
      .flat()
      .flatMap((connection) => [
        connection.before,
        connection.after,
        ...connection.blocks.flatMap(({ inputs }) => inputs),
        ...headsOf(connection),
      ]),
  );
}
