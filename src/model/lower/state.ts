/**
 * The state of lowering. While a page is lowered, a value is a node with a label for each axis; the batch axis is a
 * label of its own and always comes first. What comes from the data has it, parameters do not. All functions of this
 * room take the state first; what they change of it says where on the page lowering is (the layer, the connection), and
 * what has been found so far.
 */
import type { Builder } from "../../graph/builder.js";
import { arrange, spread, type LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { numberOf } from "../../graph/sizes.js";
import { ofItsOwn, type Connection } from "../../graph/streams.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { Applied, Mixing } from "../mixing.js";
import { numbered } from "../paths.js";
import type { Axis, BlockInstance, Parameter, Tensor, Typed, TypedOf } from "../typed.js";
import type { Head } from "./heads.js";
import type { ParameterState, SetUse } from "./parameters.js";
import { unitsLeft, type GateState } from "./slots.js";

/** The label of the batch axis. */
export const BATCH = "batch";

/** The blocks that a connection wraps, or that an update calls, and their uses so far. */
export interface WrappedBlocks {
  readonly holds: (instance: BlockInstance) => boolean;
  readonly uses: Connection["blocks"][number][];
}

/** What lowering has made of a page so far, and where on the page it is. */
export interface PageLowering {
  readonly b: Builder;
  /** Whether gains are measured: every stream before a connection, and what is held there, is a node of its own. */
  readonly gains: boolean;
  /** Whether `dropout` and `noise` draw numbers: in a training step. */
  readonly draws: boolean;
  /** The numbers that uses of random numbers draw by, by their names. */
  readonly sites: Map<string, number>;
  readonly parameters: ParameterState;
  readonly gates: GateState;
  readonly parameterOf: ReadonlyMap<Tensor, Parameter>;
  /** What the page does to its streams, in order. */
  readonly mixings: ReadonlyMap<Applied, Mixing>;

  /** The label of each axis, and the size of each label. */
  readonly labels: Map<Axis, string>;
  readonly sizes: Map<string, number>;
  /** The values that tensors have at this place of the page. */
  readonly values: Map<Tensor, LabelledTensor>;
  /** Of tensors that recur, while their definitions are lowered, the leaves that stand for their earlier places. */
  readonly earlier: Map<Tensor, LabelledTensor>;
  /** Tensors that have recurred so far: their leaves are told apart by it. */
  recurrences: number;
  /** Tensors that are the image of a map. */
  readonly maps: Map<Tensor, TypedOf<"map">>;

  readonly inputs: Map<string, Node>;
  /** Uses of sets, by the name of the manifold or of the parameter, with stars for layers. */
  readonly uses: Map<string, SetUse[]>;
  readonly chains: Map<Tensor, Connection[]>;
  /** Nodes that no derivative goes through. */
  readonly held: Set<Node>;
  readonly heads: Head[];
  /** Values of blocks' losses, by the loss of an instance and the layer that it is in. */
  readonly losses: Map<Tensor, Map<string, LabelledTensor>>;
  /** Layers by the name of their `repeat`. */
  readonly repeats: Map<string, number>;

  /** The numbers of layers that names have: of each `repeat` around whose layers share nothing, the outermost first. */
  readonly layers: number[];
  /** The number of the layer in each `repeat` around, the outermost first. */
  readonly counters: number[];
  /** The path of the `repeat` around: `layers.*`; "" for the page. */
  repeatPath: string;
  /** The blocks of the connection or update that is being lowered; null outside of one. */
  wrapped: WrappedBlocks | null;
  /** Whether a connection is being lowered, and not the block that it wraps. */
  connecting: boolean;
  /** The calls of the connection that is being lowered whose results are held; null where gains are not measured. */
  holding: ReadonlySet<Typed> | null;
  /** Whether a mix is being made to be watched: then nothing is used anew. */
  watching: boolean;
}

/** The label of an axis, which is a new one where the axis has not been met before. */
export function labelOf({ labels }: PageLowering, axis: Axis): string {
  let label = labels.get(axis);
  if (label === undefined) {
    label = `a${labels.size}`;
    labels.set(axis, label);
  }
  return label;
}

/** The label of an axis, whose size is from now on the one that is left of it in this layer. */
export function labelHere(state: PageLowering, axis: Axis): string {
  const label = labelOf(state, axis);
  state.sizes.set(label, unitsLeft(state.gates, axis) ?? numberOf(axis.size));
  return label;
}

/** The same of several axes. */
export const labelsOf = (state: PageLowering, axes: readonly Axis[]): string[] =>
  axes.map((axis) => labelHere(state, axis));

/** The size of a label that has been met. */
export const sizeOfLabel = ({ sizes }: PageLowering, label: string): number => mustGet(sizes, label);

/** The sizes of labels that have been met. */
export const shapeOf = (state: PageLowering, labels: readonly string[]): number[] =>
  labels.map((label) => sizeOfLabel(state, label));

/** A name with the numbers of the layers in place of its stars. */
export const inThisLayer = ({ layers }: Pick<PageLowering, "layers">, name: string): string => numbered(name, layers);

/** Repeats and reorders a value to exactly these labels. */
export function onto({ b, sizes }: PageLowering, value: LabelledTensor, labels: readonly string[]): Node {
  const repeated = [...value.labels, ...labels.filter((label) => !value.labels.includes(label))];
  return arrange(b, { node: spread(b, value, repeated, sizes), labels: repeated }, labels).node;
}

/** The labels with the batch first, where it is among them. */
export const batchFirst = (labels: readonly string[]): readonly string[] =>
  labels.includes(BATCH) ? [BATCH, ...labels.filter((label) => label !== BATCH)] : labels;

/** Two values on the labels of both. */
export function together(state: PageLowering, x: LabelledTensor, y: LabelledTensor): [LabelledTensor, LabelledTensor] {
  const labels = batchFirst([...new Set([...x.labels, ...y.labels])]);
  return [
    { node: onto(state, x, labels), labels },
    { node: onto(state, y, labels), labels },
  ];
}

/** The same node under the labels of other axes, in order; the batch label stays. */
export function renamed(state: PageLowering, value: LabelledTensor, axes: readonly Axis[]): LabelledTensor {
  const names = labelsOf(state, axes);
  let next = 0;
  return {
    node: value.node,
    labels: value.labels.map((label) => (label === BATCH ? BATCH : mustAt(names, next++))),
  };
}

/** The same values, which no derivative goes through. */
export function hold({ b, held }: PageLowering, value: LabelledTensor): LabelledTensor {
  const node = ofItsOwn(b, value.node, "held");
  held.add(node);
  return { ...value, node };
}

/** Notes a use of a set, but not where a mix is only made to be watched. */
export function noteUse(state: Pick<PageLowering, "uses" | "watching">, name: string, use: SetUse): void {
  if (state.watching) return;
  const uses = state.uses.get(name);
  if (uses) uses.push(use);
  else state.uses.set(name, [use]);
}
