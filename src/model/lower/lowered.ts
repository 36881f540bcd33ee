/**
 * What lowering makes of a typed model: the nodes that entries are built of. A pass makes all nodes anew, and
 * `mapLowered` brings over what is here: a table says for every field where its nodes are, and a field that it lacks
 * does not compile.
 */
import type { Node } from "../../graph/node.js";
import type { Chain, Connection } from "../../graph/streams.js";
import type { MapNode } from "../../passes/rewrite.js";
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
  /** The named parts of the loss, and the metrics, by name: [batch]. */
  readonly terms: ReadonlyMap<string, Node>;
  readonly metrics: ReadonlyMap<string, Node>;
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

/** How a value is, with its nodes where they are now. */
type Mapping<T> = (value: T, now: MapNode) => T;

/** For every field of a record, how it is mapped. */
export type FieldMappings<T> = { readonly [K in keyof T]-?: Mapping<T[K]> };

/** All nodes of `lowered` where they are now. */
export const mapLowered = (lowered: Lowered, now: MapNode): Lowered => LOWERED(lowered, now);

const node: Mapping<Node> = (value, now) => now(value);

/** Of what holds no node. */
const same = <T>(value: T): T => value;

const orNull =
  <T>(mapping: Mapping<T>): Mapping<T | null> =>
  (value, now) =>
    value === null ? null : mapping(value, now);

const each =
  <T>(mapping: Mapping<T>): Mapping<readonly T[]> =>
  (values, now) =>
    values.map((value) => mapping(value, now));

const byName =
  <T>(mapping: Mapping<T>): Mapping<ReadonlyMap<string, T>> =>
  (values, now) =>
    new Map([...values].map(([name, value]) => [name, mapping(value, now)]));

function record<T extends object>(fields: FieldMappings<T>): Mapping<T> {
  const keys = Object.keys(fields) as (keyof T)[];
  return (value, now) => {
    const mapped = { ...value };
    for (const key of keys) mapped[key] = fields[key](value[key], now);
    return mapped;
  };
}

const PARAMETER = record<LoweredParameter>({
  name: same,
  axes: same,
  shape: same,
  start: same,
  doc: same,
  node,
  decay: same,
  // A point that moves is on a set of which nothing adapts (`memberOf`), so that its setting has numbers alone.
  points: same,
  trained: same,
  frozen: same,
  group: same,
  matrix: same,
  cuts: same,
});

const HEAD = record<Head>({ name: same, predicts: same, logits: node });

const USE = record<SetUse>({ distances: node, points: node, free: each(node) });

const mix: Mapping<Connection["mix"]> = (value, now) =>
  value.kind === "matrix" ? { ...value, node: now(value.node) } : value;

const CONNECTION = record<Connection>({
  before: node,
  after: node,
  blocks: each(record<Connection["blocks"][number]>({ inputs: each(node), output: node })),
  stream: same,
  mix,
});

const LOWERED = record<Lowered>({
  parameters: each(PARAMETER),
  loss: orNull(node),
  losses: orNull(node),
  terms: byName(node),
  metrics: byName(node),
  heads: each(HEAD),
  inputs: byName(node),
  outputs: byName(node),
  constraints: byName(node),
  uses: byName(each(USE)),
  adapted: byName(node),
  pull: orNull(node),
  weights: byName(node),
  repeats: same,
  chains: each(each(CONNECTION)),
  held: (nodes, now) => new Set([...nodes].map(now)),
});
