/**
 * Parameters that are updated as one vector: `pack` makes one of the leaves, `slice` gives each leaf its part of the
 * new one. The graph does not grow with the number of parameters but for these, and the schedule makes of an update one
 * kernel in place (`src/schedule/memory/packs.ts`, `inplace.ts`).
 */
import type { Moment } from "../../runtime/roles.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { SLOT, slotsOf } from "../graph/packing.js";
import { sizeOf } from "../graph/record.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Sides } from "../model/lower/matrices.js";
import type { OnManifold } from "./riemannian.js";
import { stateId, stateNode } from "./roles.js";

/** A parameter that training moves. */
export interface TrainedParameter {
  readonly node: Node;
  readonly name: string;
  /** Whether weight decay is for it. */
  readonly decay: boolean;
  /** How it is a matrix, for Muon; nothing when it is none. Matrices decay. */
  readonly matrix?: Sides | null;
  /** The group whose settings it is updated by, by its number; those of the page when it is in none. */
  readonly group?: number | null;
  /** The manifold that it moves on; nothing when it is free. */
  readonly manifold?: OnManifold | null;
}

/** A parameter with its gradient, which is of its shape. */
export interface PackMember extends TrainedParameter {
  readonly gradient: Node;
}

/** The tensors of some leaves as one vector. */
export interface PackedVector {
  readonly leaves: readonly Node[];
  /** The vector of their values before the step. */
  readonly before: Node;
}

/** Parameters that are updated as one vector. */
export interface ParameterPack<M extends PackMember = PackMember> {
  readonly members: readonly M[];
  /** Where each begins in the vectors. */
  readonly offsets: readonly number[];
  readonly values: PackedVector;
  readonly moments: ReadonlyMap<Moment, PackedVector>;
  /** Their gradients as they come: scaled, and not clipped. */
  readonly gradients: Node;
}

/** What the new values of a step are written into; `good`: whether the step is made at all, null when nothing asks. */
export interface NewValues {
  readonly b: Builder;
  readonly good: Node | null;
  readonly updates: Map<Node, Node>;
}

/** The role of a parameter's moment. */
export const momentOf = (parameter: string, moment: Moment) => ({ kind: "moment", moment, parameter }) as const;

/** Parameters as one vector, with vectors of these moments; null when there are no parameters. */
export function packOf<M extends PackMember>(
  b: Builder,
  members: readonly M[],
  moments: readonly Moment[],
): ParameterPack<M> | null {
  if (members.length === 0) return null;
  const vector = (leaves: readonly Node[]): PackedVector => ({ leaves, before: b.pack(leaves) });
  const states = (moment: Moment): readonly Node[] =>
    members.map(({ name, node }) => stateNode(b, momentOf(name, moment), node.shape));
  return {
    members,
    offsets: slotsOf(members.map(({ node }) => node.shape)).offsets,
    values: vector(members.map(({ node }) => node)),
    moments: new Map(moments.map((moment) => [moment, vector(states(moment))])),
    gradients: b.pack(members.map(({ gradient }) => gradient)),
  };
}

/** The vector of a moment that a pack has. */
export const momentsIn = ({ moments }: ParameterPack, moment: Moment): PackedVector => mustGet(moments, moment);

/** Says what the new value of a vector is, and returns it: that before where the step is skipped. */
export function become(
  { b, good, updates }: NewValues,
  { offsets }: ParameterPack,
  { leaves, before }: PackedVector,
  after: Node,
): Node {
  const value = good === null ? after : b.select(b.broadcast(good, after.shape, []), after, before);
  for (const [i, leaf] of leaves.entries()) updates.set(leaf, b.slice(value, mustAt(offsets, i), leaf.shape));
  return value;
}

/** The names of a pack's parameters, or of one of their moments, in the order of the vectors. */
export const namesIn = (pack: ParameterPack | null, moment: Moment | null = null): readonly string[] =>
  (pack?.members ?? []).map(({ name }) => (moment ? stateId(momentOf(name, moment)) : name));

/**
 * The parameters in the order of the vectors: those that decay first, so that decay is a comparison with one index;
 * within each class the page's order, but with what fills its slot on the outside, so that all padding lies together in
 * the middle.
 */
export function inOrder<M extends PackMember>(members: readonly M[]): readonly M[] {
  const rank = ({ decay, node }: M): number => {
    const isFull = sizeOf(node.shape) % SLOT === 0;
    return decay ? (isFull ? 0 : 1) : isFull ? 3 : 2;
  };
  return members.toSorted((x, y) => rank(x) - rank(y));
}
