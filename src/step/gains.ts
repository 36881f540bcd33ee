/**
 * Gains as `mhc verify` measures them: from the derivative of the stream after a connection by the stream before it,
 * with what a gain holds cut out of the graph (`src/model/held.ts`). No reading of a mix is asked, so that a proof is
 * held against what is computed. For every example one number of the stream is chosen, and one connection:
 *
 * - `gain:x:rows`: the sum of absolute values of the row of that number, in the derivative of the stream after that
 *   connection by the stream before the first: of the composite of all mixes up to there. The largest of all is the
 *   forward gain.
 * - `gain:x:columns`: that of its column, in the derivative of the last stream by the stream before that connection:
 *   the backward gain.
 *
 * A row comes of a cotangent that is carried backward, connection by connection. A column needs tangents carried
 * forward: the transpose of a derivative is the derivative of it by its cotangent, in which it is linear.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { sameShape } from "../graph/record.js";
import type { Chain, Connection } from "../graph/streams.js";
import { vjp } from "../graph/differentiate.js";
import type { InputRole } from "../../runtime/roles.js";
import { inputId, output, type Output } from "./roles.js";

/** The inputs that choose numbers of a stream: its connections, and a place along each axis behind the batch. */
export const probeInputs = (stream: string, axes: number): readonly InputRole[] => [
  { kind: "depth", stream },
  ...Array.from({ length: axes }, (_, axis): InputRole => ({ kind: "place", stream, axis })),
];

/**
 * Sums [batch] of streams, and the roles of the inputs that they ask for. `held`: the nodes that no derivative goes
 * through.
 */
export function gains(
  b: Builder,
  chains: readonly Chain[],
  held: ReadonlySet<Node>,
): { readonly outputs: readonly Output[]; readonly inputs: readonly InputRole[] } {
  const measured = chains.flatMap((chain) => {
    const [first] = chain;
    return first ? [gainSums(b, chain, first, held)] : [];
  });
  return {
    outputs: measured.flatMap(({ outputs }) => outputs),
    inputs: measured.flatMap(({ inputs }) => inputs),
  };
}

function gainSums(
  b: Builder,
  chain: Chain,
  { stream, before }: Connection,
  held: ReadonlySet<Node>,
): { readonly outputs: readonly Output[]; readonly inputs: readonly InputRole[] } {
  const { shape } = before;
  const [batch, ...sizes] = shape;
  if (batch === undefined) throw new Error(`bug: the stream ${stream} has no batch`);
  const chosen = sizes
    .map((size, axis) =>
      b.broadcast(b.input(inputId({ kind: "place", stream, axis }), [batch, size], "f32"), shape, [0, axis + 1]),
    )
    .reduce((x, y) => b.mul(x, y));
  const depths = [batch, chain.length];
  const depth = b.input(inputId({ kind: "depth", stream }), depths, "f32");
  /** The chosen number where this connection is the chosen one, else 0. */
  const at = (i: number): Node => {
    const isHere = b.cast(b.eq(b.iota(depths, 1), b.fill(i, depths, "u32")), "f32");
    return b.mul(chosen, b.broadcast(b.sum(b.mul(depth, isHere), [1]), shape, [0]));
  };
  const zero = b.fill(0, shape);
  const row = chain.reduceRight<Node>(
    (cotangent, connection, i) => backward(b, connection, b.add(cotangent, at(i)), held),
    zero,
  );
  const column = chain.reduce<Node>(
    (tangent, connection, i) => forward(b, connection, b.add(tangent, at(i)), held),
    zero,
  );
  const axes = sizes.map((_, axis) => axis + 1);
  return {
    outputs: [
      output({ kind: "rowSum", name: stream }, b.sum(b.abs(row), axes)),
      output({ kind: "columnSum", name: stream }, b.sum(b.abs(column), axes)),
    ],
    inputs: probeInputs(stream, sizes.length),
  };
}

/** Whether the stream's new value is of every example; if not, it is not made of the stream at all. */
const isPassed = ({ before, after }: Connection): boolean => sameShape(before.shape, after.shape);

/** The derivative of a connection's new value by the old one, for a cotangent of the stream's shape. */
function slope(b: Builder, { before, after }: Connection, cotangent: Node, held: ReadonlySet<Node>): Node {
  return mustAt(vjp(b, [after], [cotangent], [before], held), 0);
}

/** The cotangent of the stream before a connection, for that of the stream after it. */
function backward(b: Builder, connection: Connection, cotangent: Node, held: ReadonlySet<Node>): Node {
  return isPassed(connection) ? slope(b, connection, cotangent, held) : b.fill(0, connection.before.shape);
}

/** The tangent of the stream after a connection, for that of the stream before it. */
function forward(b: Builder, connection: Connection, tangent: Node, held: ReadonlySet<Node>): Node {
  const { before, after } = connection;
  if (!isPassed(connection)) return b.fill(0, before.shape);
  // The derivative is linear in the cotangent, so that its own derivative by it does not depend on its value.
  const cotangent = b.input("cotangent", after.shape, "f32");
  const row = slope(b, connection, cotangent, held);
  return mustAt(vjp(b, [row], [tangent], [cotangent]), 0);
}
