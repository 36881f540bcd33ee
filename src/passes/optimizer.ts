/**
 * The update as graph: gradients are clipped by their global norm, the rate is an expression of the input "step" (0 at the first
 * step), moments are states. AdamW is decoupled weight decay (Loshchilov and Hutter, ICLR 2019) with epsilon outside the
 * root, as PyTorch places it; clipping divides by norm + 1e-6, as PyTorch does. Decay applies where the parameter says so.
 *
 * All parameters are updated as one vector, and so are their moments: `pack` makes one of the leaves, `slice` gives each leaf its part of the
 * new one. The graph does not grow with the number of parameters but for these, and the schedule makes of it one kernel in place
 * (`src/schedule/packs.ts`, `inplace.ts`). Parameters that move on a manifold are updated one by one (`riemannian.ts`).
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { SLOT, slotsOf } from "../graph/packing.js";
import { sizeOf } from "../graph/record.js";
import { move, type OnManifold } from "./riemannian.js";
import type { LossScale, State } from "./scaling.js";

/** A rate over the steps. `warmup` steps rise linearly; then `from` falls to `to` at `steps`. */
export type Schedule =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "cosine" | "linear"; readonly from: number; readonly to: number; readonly warmup: number; readonly steps: number };

export type OptimizerSpec =
  | { readonly kind: "adamw"; readonly rate: Schedule; readonly betas: readonly [number, number]; readonly epsilon: number; readonly decay: number }
  | { readonly kind: "sgd"; readonly rate: Schedule; readonly momentum: number; readonly decay: number };

export interface Trained {
  readonly node: Node;
  readonly name: string;
  readonly decay: boolean;
  /** The manifold that it moves on; nothing when it is free. */
  readonly manifold?: OnManifold | null;
}

export interface Update {
  /** Parameter or state -> its new value. */
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly State[];
  /** Names of parameters and states in the order in which the update works on them: so laid out, its vectors are the memory as it lies. */
  readonly order: readonly string[];
  /** Norm of all gradients, unscaled, before clipping; null when nobody needs it. */
  readonly norm: Node | null;
}

interface Vector {
  readonly before: Node;
  readonly becomes: (after: Node) => void;
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
  const free = trained.map((_, i) => i).filter((i) => !trained[i]!.manifold);
  const moving = trained.flatMap(({ manifold }, i) => (manifold ? [{ manifold, gradient: allGradients[i]! }] : []));
  const parameters = free.map((i) => trained[i]!);
  const gradients = free.map((i) => allGradients[i]!);
  const order = inOrder(parameters);
  const sorted = order.map((i) => parameters[i]!);
  const { offsets } = slotsOf(sorted.map(({ node }) => node.shape));
  const updates = new Map<Node, Node>();
  const kinds = spec.kind === "adamw" ? ["m", "v"] : spec.momentum === 0 ? [] : ["momentum"];
  /** One vector of the tensors of `leaves`, and what to do with its new value. */
  const vector = (leaves: readonly Node[]): Vector => ({
    before: b.pack(leaves),
    becomes: (after) => {
      const kept = good === null ? after : b.select(b.broadcast(good, after.shape, []), after, b.pack(leaves));
      leaves.forEach((leaf, i) => updates.set(leaf, b.slice(kept, offsets[i]!, leaf.shape)));
    },
  });
  const packed = order.length ? {
    all: vector(sorted.map(({ node }) => node)),
    moments: kinds.map((kind) => vector(sorted.map(({ name, node }) => b.state(`${kind}:${name}`, node.shape)))),
    raw: b.pack(order.map((i) => gradients[i]!)),
  } : null;

  const unscaled = scaling ? b.div(b.constant(1), scaling.scale) : b.constant(1);
  const squares = [...(packed ? [packed.raw] : []), ...moving.map(({ gradient }) => gradient)].map((g) => b.sum(b.mul(g, g), g.shape.map((_, axis) => axis)));
  const norm = clip === null && !scaling ? null : b.mul(b.sqrt(squares.reduce((sum, square) => b.add(sum, square))), unscaled);
  // What a number that is not finite came from can be looked at afterwards only if the step has not spread it over every parameter.
  const good = scaling ? b.finite(norm!) : loss ? b.finite(norm ? b.add(loss, norm) : loss) : null;
  const step = b.cast(b.input("step", [], "u32"), "f32");
  const rate = scheduled(b, spec.rate, step);
  const clipped = clip === null ? b.constant(1) : b.min(b.constant(1), b.div(b.constant(clip), b.add(norm!, b.constant(1e-6))));
  const factor = b.mul(clipped, unscaled);
  // Moments know of the steps that changed them.
  const made = scaling ? b.sub(step, scaling.skipped) : step;
  const corrections = spec.kind === "adamw" ? ([correction(b, spec.betas[0], made), correction(b, spec.betas[1], made)] as const) : null;

  if (packed) {
    const { all, moments, raw } = packed;
    const over = (scalar: Node): Node => b.broadcast(scalar, raw.shape, []);
    const scale = (value: number): Node => b.fill(value, raw.shape);
    const g = b.mul(raw, over(factor));
    const decayed = (p: Node): Node => {
      const plain = sorted.findIndex(({ decay }) => !decay);
      if (spec.decay === 0 || plain === 0) return p;
      const keep = over(b.sub(b.constant(1), b.mul(rate, b.constant(spec.decay))));
      if (plain < 0) return b.mul(p, keep);
      return b.mul(p, b.select(b.lt(b.iota(p.shape, 0), b.fill(offsets[plain]!, p.shape, "u32")), keep, scale(1)));
    };
    if (spec.kind === "sgd") {
      const [momentum] = moments;
      const direction = momentum ? b.add(b.mul(momentum.before, scale(spec.momentum)), g) : g;
      momentum?.becomes(direction);
      all.becomes(b.sub(decayed(all.before), b.mul(over(rate), direction)));
    } else {
      const [beta1, beta2] = spec.betas;
      const [m, v] = moments as [Vector, Vector];
      const [correction1, correction2] = corrections!;
      const m1 = b.add(b.mul(m.before, scale(beta1)), b.mul(g, scale(1 - beta1)));
      const v1 = b.add(b.mul(v.before, scale(beta2)), b.mul(b.mul(g, g), scale(1 - beta2)));
      // What is one number for all is divided once: rate / (1 - beta1^t), and the second moment's correction as a factor.
      const denominator = b.add(b.sqrt(b.mul(v1, over(b.div(b.constant(1), correction2)))), scale(spec.epsilon));
      const moved = b.div(b.mul(m1, over(b.div(rate, correction1))), denominator);
      m.becomes(m1);
      v.becomes(v1);
      all.becomes(b.sub(decayed(all.before), moved));
    }
  }
  const steps = moving.map(({ manifold, gradient }) => move(b, manifold, gradient, {
    factor, rate, good,
    moments: spec.kind === "sgd" ? { kind: "momentum", momentum: spec.momentum } : { kind: "adam", betas: spec.betas, epsilon: spec.epsilon, corrections: corrections! },
  }));
  for (const one of steps) for (const [leaf, value] of one.updates) updates.set(leaf, value);
  if (scaling) for (const [leaf, value] of scaling.after(good!)) updates.set(leaf, value);
  const names = sorted.map(({ name }) => name);
  const rest = [...steps.flatMap((one) => one.states), ...(scaling?.states ?? [])];
  return {
    updates, norm,
    states: [...parameters.flatMap(({ name, node }) => kinds.map((kind) => ({ name: `${kind}:${name}`, shape: node.shape }))), ...rest],
    order: [...names, ...kinds.flatMap((kind) => names.map((name) => `${kind}:${name}`)), ...moving.map(({ manifold }) => manifold.name), ...rest.map(({ name }) => name)],
  };
}

/**
 * The order of the parameters in the vectors: those that decay first, so that decay is a comparison with one index; within each class the page's
 * order, but with what fills its slot on the outside, so that all padding lies together in the middle.
 */
function inOrder(parameters: readonly Trained[]): number[] {
  const rank = ({ decay, node }: Trained): number => {
    const full = sizeOf(node.shape) % SLOT === 0;
    return decay ? (full ? 0 : 1) : full ? 3 : 2;
  };
  return parameters.map((_, i) => i).sort((a, c) => rank(parameters[a]!) - rank(parameters[c]!) || a - c);
}

/** 1 - beta^(step + 1). For small exponents the series keeps what the subtraction would lose in f32. */
function correction(b: Builder, beta: number, step: Node): Node {
  const x = b.mul(b.add(step, b.constant(1)), b.constant(-Math.log(beta)));
  // -expm1(-x) = x (1 - x/2 + x^2/6 - x^3/24 + …); at x = 0.1 the ninth term is below 1e-13.
  const terms = [1, -1 / 2, 1 / 6, -1 / 24, 1 / 120, -1 / 720, 1 / 5040, -1 / 40320, 1 / 362880];
  const series = terms.reduceRight<Node>((sum, coefficient) => b.add(b.mul(sum, x), b.constant(coefficient)), b.constant(0));
  return b.select(b.lt(x, b.constant(0.1)), b.mul(x, series), b.sub(b.constant(1), b.exp(b.neg(x))));
}

/** The rate at `step`, as nanoGPT counts: warm-up is from * (step + 1) / (warmup + 1). */
export function scheduled(b: Builder, schedule: Schedule, step: Node): Node {
  if (schedule.kind === "constant") return b.constant(schedule.value);
  const { from, to, warmup, steps } = schedule;
  const rising = b.mul(b.add(step, b.constant(1)), b.constant(from / (warmup + 1)));
  const progress = b.min(b.constant(1), b.div(b.max(b.constant(0), b.sub(step, b.constant(warmup))), b.constant(Math.max(1, steps - warmup))));
  const share =
    schedule.kind === "linear"
      ? b.sub(b.constant(1), progress)
      : b.mul(b.constant(0.5), b.add(b.constant(1), b.cos(b.mul(progress, b.constant(Math.PI)))));
  const falling = b.add(b.constant(to), b.mul(share, b.constant(from - to)));
  return b.select(b.lt(step, b.constant(warmup)), rising, falling);
}
