/**
 * The update as graph: gradients are clipped by their global norm, the rate is an expression of the input "step" (0 at
 * the first step), moments are states. AdamW is decoupled weight decay (Loshchilov and Hutter, ICLR 2019) with epsilon
 * outside the root, as PyTorch places it; clipping divides by norm + 1e-6, as PyTorch does. Decay applies where the
 * parameter says so.
 *
 * All parameters are updated as one vector, and so are their moments: `pack` makes one of the leaves, `slice` gives
 * each leaf its part of the new one. The graph does not grow with the number of parameters but for these, and the
 * schedule makes of it one kernel in place (`src/schedule/memory/packs.ts`, `inplace.ts`). Under Muon the matrices are a
 * vector of their own, and the others are left to AdamW; between the momentum and the step stand products of what is
 * the same matrix in every layer, all at once (`muon.ts`). Parameters that move on a manifold are updated one by one
 * (`riemannian.ts`).
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { SLOT, slotsOf } from "../graph/packing.js";
import { sizeOf } from "../graph/record.js";
import { scheduled, stepOf, type Schedule } from "../graph/schedules.js";
import type { Sides } from "../model/lower/matrices.js";
import { batchesOf, direction, inBatches, matrixOf, type Matrix } from "./muon.js";
import { move, type OnManifold } from "./riemannian.js";
import type { Moment } from "../../runtime/roles.js";
import { stateId, stateNode, stateOfRole, type State } from "./roles.js";
import type { LossScale } from "./scaling.js";

export type OptimizerSpec =
  | {
      readonly kind: "adamw";
      readonly rate: Schedule;
      readonly betas: readonly [number, number];
      readonly epsilon: number;
      readonly decay: number;
    }
  | { readonly kind: "sgd"; readonly rate: Schedule; readonly momentum: number; readonly decay: number }
  /** Betas and epsilon are those of AdamW, for what is no matrix. */
  | {
      readonly kind: "muon";
      readonly rate: Schedule;
      readonly momentum: number;
      readonly nesterov: boolean;
      readonly betas: readonly [number, number];
      readonly epsilon: number;
      readonly decay: number;
    };

export interface Trained {
  readonly node: Node;
  readonly name: string;
  readonly decay: boolean;
  /** How it is a matrix, for Muon; nothing when it is none. Matrices decay. */
  readonly matrix?: Sides | null;
  /** The manifold that it moves on; nothing when it is free. */
  readonly manifold?: OnManifold | null;
}

export interface Update {
  /** Parameter or state -> its new value. */
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly State[];
  /**
   * Names of parameters and states in the order in which the update works on them: so laid out, its vectors are the
   * memory as it lies.
   */
  readonly order: readonly string[];
  /** Norm of all gradients, unscaled, before clipping; null when nobody needs it. */
  readonly norm: Node | null;
  /** Whether the step is made at all: not where the loss or the norm is not finite. Null when nothing asks. */
  readonly good: Node | null;
}

interface Vector {
  readonly before: Node;
  /** Says what the new value is, and returns it: that before where the step is skipped. */
  readonly becomes: (after: Node) => Node;
}

/** Parameters that are updated as one vector. */
interface Packed {
  readonly members: readonly Trained[];
  readonly offsets: readonly number[];
  readonly all: Vector;
  readonly moments: readonly Vector[];
  /** Their gradients, as they come. */
  readonly raw: Node;
}

export function applyOptimizer(
  b: Builder,
  trained: readonly Trained[],
  allGradients: readonly Node[],
  spec: OptimizerSpec,
  clip: number | null,
  scaling: LossScale | null = null,
  loss: Node | null = null,
): Update {
  const byMuon = spec.kind === "muon" ? trained.filter(({ manifold, matrix }) => !manifold && matrix) : [];
  const plain = trained.filter((one) => !one.manifold && !byMuon.includes(one));
  const gradients = new Map(trained.map((one, i) => [one, allGradients[i]!]));
  const moving = trained.flatMap((one) =>
    one.manifold ? [{ manifold: one.manifold, gradient: gradients.get(one)! }] : [],
  );
  const updates = new Map<Node, Node>();
  const packed = (members: readonly Trained[], kinds: readonly Moment[]): Packed | null => {
    if (members.length === 0) return null;
    const { offsets } = slotsOf(members.map(({ node }) => node.shape));
    /** One vector of the tensors of `leaves`, and what to do with its new value. */
    const vector = (leaves: readonly Node[]): Vector => ({
      before: b.pack(leaves),
      becomes: (after) => {
        const kept = good === null ? after : b.select(b.broadcast(good, after.shape, []), after, b.pack(leaves));
        leaves.forEach((leaf, i) => updates.set(leaf, b.slice(kept, offsets[i]!, leaf.shape)));
        return kept;
      },
    });
    return {
      members,
      offsets,
      all: vector(members.map(({ node }) => node)),
      moments: kinds.map((kind) =>
        vector(members.map(({ name, node }) => stateNode(b, momentOf(name, kind), node.shape))),
      ),
      raw: b.pack(members.map((one) => gradients.get(one)!)),
    };
  };
  const kinds: readonly Moment[] = spec.kind !== "sgd" ? ["m", "v"] : spec.momentum === 0 ? [] : ["momentum"];
  const vectors = packed(
    inOrder(plain).map((i) => plain[i]!),
    kinds,
  );
  const matrices = packed(
    inBatches(byMuon.map(asMatrix)).map((i) => byMuon[i]!),
    ["momentum"],
  );

  const unscaled = scaling ? b.div(b.constant(1), scaling.scale) : b.constant(1);
  const squares = [vectors?.raw, matrices?.raw, ...moving.map(({ gradient }) => gradient)]
    .filter((g) => g !== undefined)
    .map((g) =>
      b.sum(
        b.mul(g, g),
        g.shape.map((_, axis) => axis),
      ),
    );
  if (squares.length === 0) squares.push(b.constant(0));
  const norm =
    clip === null && !scaling ? null : b.mul(b.sqrt(squares.reduce((sum, square) => b.add(sum, square))), unscaled);
  // What a number that is not finite came from can be looked at afterwards only if the step has not spread it over
  // every parameter.
  const good = scaling ? b.finite(norm!) : loss ? b.finite(norm ? b.add(loss, norm) : loss) : null;
  const step = stepOf(b);
  const rate = scheduled(b, spec.rate, step);
  const clipped =
    clip === null ? b.constant(1) : b.min(b.constant(1), b.div(b.constant(clip), b.add(norm!, b.constant(1e-6))));
  const factor = b.mul(clipped, unscaled);
  // Moments know of the steps that changed them.
  const made = scaling ? b.sub(step, scaling.skipped) : step;
  const corrections =
    spec.kind !== "sgd" ? ([correction(b, spec.betas[0], made), correction(b, spec.betas[1], made)] as const) : null;
  const times = (x: Node, scalar: Node): Node => b.mul(x, b.broadcast(scalar, x.shape, []));
  const scale = (x: Node, value: number): Node => b.mul(x, b.fill(value, x.shape));
  const decayed = ({ members, offsets, all: { before: p } }: Packed): Node => {
    const first = members.findIndex(({ decay }) => !decay);
    if (spec.decay === 0 || first === 0) return p;
    const keep = b.broadcast(b.sub(b.constant(1), b.mul(rate, b.constant(spec.decay))), p.shape, []);
    if (first < 0) return b.mul(p, keep);
    return b.mul(
      p,
      b.select(b.lt(b.iota(p.shape, 0), b.fill(offsets[first]!, p.shape, "u32")), keep, b.fill(1, p.shape)),
    );
  };

  if (vectors) {
    const { all, moments, raw } = vectors;
    const g = times(raw, factor);
    if (spec.kind === "sgd") {
      const [momentum] = moments;
      const along = momentum ? b.add(scale(momentum.before, spec.momentum), g) : g;
      momentum?.becomes(along);
      all.becomes(b.sub(decayed(vectors), times(along, rate)));
    } else {
      const [beta1, beta2] = spec.betas;
      const [m, v] = moments as [Vector, Vector];
      const [correction1, correction2] = corrections!;
      const m1 = b.add(scale(m.before, beta1), scale(g, 1 - beta1));
      const v1 = b.add(scale(v.before, beta2), scale(b.mul(g, g), 1 - beta2));
      // What is one number for all is divided once: rate / (1 - beta1^t), and the second moment's correction as a
      // factor.
      const denominator = b.add(b.sqrt(times(v1, b.div(b.constant(1), correction2))), b.fill(spec.epsilon, raw.shape));
      const moved = b.div(times(m1, b.div(rate, correction1)), denominator);
      m.becomes(m1);
      v.becomes(v1);
      all.becomes(b.sub(decayed(vectors), moved));
    }
  }
  if (matrices && spec.kind === "muon") {
    const {
      members,
      offsets,
      all,
      moments: [momentum],
      raw,
    } = matrices;
    const g = times(raw, factor);
    // What is kept is what is used, so that nothing but this kernel asks for the momentum before.
    const m1 = momentum!.becomes(b.add(scale(momentum!.before, spec.momentum), g));
    const ahead = spec.nesterov ? b.add(g, scale(m1, spec.momentum)) : m1;
    const along = batchesOf(members.map(asMatrix)).map((batch) =>
      direction(b, b.slice(ahead, offsets[batch.first]!, [batch.count, ...batch.shape]), batch),
    );
    all.becomes(b.sub(decayed(matrices), times(b.pack(along), rate)));
  }
  const steps = moving.map(({ manifold, gradient }) =>
    move(b, manifold, gradient, {
      factor,
      rate,
      good,
      moments:
        spec.kind === "sgd"
          ? { kind: "momentum", momentum: spec.momentum }
          : { kind: "adam", betas: spec.betas, epsilon: spec.epsilon, corrections: corrections! },
    }),
  );
  for (const one of steps) for (const [leaf, value] of one.updates) updates.set(leaf, value);
  if (scaling) for (const [leaf, value] of scaling.after(good!)) updates.set(leaf, value);
  const rest = [...steps.flatMap((one) => one.states), ...(scaling?.states ?? [])];
  const kindsOf = (one: Trained): readonly Moment[] =>
    one.manifold ? [] : byMuon.includes(one) ? ["momentum"] : kinds;
  const names = (own: Packed | null, moment: Moment | null = null): string[] =>
    (own?.members ?? []).map(({ name }) => (moment ? stateId(momentOf(name, moment)) : name));
  return {
    updates,
    norm,
    good,
    states: [
      ...trained.flatMap((one) => kindsOf(one).map((kind) => stateOfRole(momentOf(one.name, kind), one.node.shape))),
      ...rest,
    ],
    order: [
      ...names(vectors),
      ...kinds.flatMap((kind) => names(vectors, kind)),
      ...names(matrices),
      ...names(matrices, "momentum"),
      ...moving.map(({ manifold }) => manifold.name),
      ...rest.map(({ name }) => name),
    ],
  };
}

const momentOf = (parameter: string, moment: Moment) => ({ kind: "moment", moment, parameter }) as const;

const asMatrix = ({ node, matrix }: Trained): Matrix => matrixOf({ shape: node.shape, sides: matrix! });

/**
 * The order of the parameters in the vectors: those that decay first, so that decay is a comparison with one index;
 * within each class the page's order, but with what fills its slot on the outside, so that all padding lies together in
 * the middle.
 */
function inOrder(parameters: readonly Trained[]): number[] {
  const rank = ({ decay, node }: Trained): number => {
    const full = sizeOf(node.shape) % SLOT === 0;
    return decay ? (full ? 0 : 1) : full ? 3 : 2;
  };
  return parameters.map((_, i) => i).sort((a, c) => rank(parameters[a]!) - rank(parameters[c]!) || a - c);
}

/** 1 - beta^(step + 1). For small exponents the series keeps what the subtraction would lose in f32. */
export function correction(b: Builder, beta: number, step: Node): Node {
  const x = b.mul(b.add(step, b.constant(1)), b.constant(-Math.log(beta)));
  // -expm1(-x) = x (1 - x/2 + x^2/6 - x^3/24 + …); at x = 0.1 the ninth term is below 1e-13.
  const terms = [1, -1 / 2, 1 / 6, -1 / 24, 1 / 120, -1 / 720, 1 / 5040, -1 / 40320, 1 / 362880];
  const series = terms.reduceRight<Node>(
    (sum, coefficient) => b.add(b.mul(sum, x), b.constant(coefficient)),
    b.constant(0),
  );
  return b.select(b.lt(x, b.constant(0.1)), b.mul(x, series), b.sub(b.constant(1), b.exp(b.neg(x))));
}
