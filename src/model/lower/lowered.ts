/** What lowering makes of a typed model: the nodes that entries are built of. */
import type { Node } from "../../graph/node.js";
import type { Chain } from "../../graph/streams.js";
import type { Head } from "./heads.js";
import type { LoweredParameter, SetUse } from "./parameters.js";

/** A page as nodes of one graph. Shapes have the batch first where the value comes from the data. */
export interface Lowered {
  /** In the order in which they are first read. */
  readonly parameters: readonly LoweredParameter[];
  /** Mean over the batch; null without a loss. */
  readonly loss: Node | null;
  /** [batch] */
  readonly losses: Node | null;
  /** What can be sampled: the scores of every `cross_entropy` against next tokens, in the order of the loss. */
  readonly heads: readonly Head[];
  /** What is fed, by name: data and inputs, [batch, …axes]. */
  readonly inputs: ReadonlyMap<string, Node>;
  /** The page's outputs by name: [batch, …axes]. */
  readonly outputs: ReadonlyMap<string, Node>;
  /** Largest violation over all uses, by the name of the manifold, and of the parameter that is on a set. */
  readonly constraints: ReadonlyMap<string, Node>;
  /** All uses, by the same names. */
  readonly uses: ReadonlyMap<string, readonly SetUse[]>;
  /** Options that are learned or scheduled, by name: `Mixing.relax`. */
  readonly adapted: ReadonlyMap<string, Node>;
  /** What training descends beside the loss, so that ranks fall: a scalar; null when no rank adapts. */
  readonly pull: Node | null;
  /** Values of the parameters whose norms are claimed, by name. */
  readonly weights: ReadonlyMap<string, Node>;
  /** Layers by the name of their `repeat`. */
  readonly repeats: ReadonlyMap<string, number>;
  /** The connections of every stream that has some, in the order of the page. */
  readonly chains: readonly Chain[];
  /**
   * What the gains of streams hold (`held.ts`): nodes that no derivative goes through; none where gains are not
   * measured.
   */
  readonly held: ReadonlySet<Node>;
}
