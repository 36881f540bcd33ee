/**
 * The update as graph: gradients are clipped by their global norm, the rate is an expression of the input "step" (0 at the first
 * step), moments are states. AdamW is decoupled weight decay (Loshchilov and Hutter, ICLR 2019) with epsilon outside the
 * root, as PyTorch places it; clipping divides by norm + 1e-6, as PyTorch does. Decay applies where the parameter says so.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";

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
}

export interface Update {
  /** Parameter or state -> its new value. */
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Norm of all gradients before clipping. */
  readonly norm: Node | null;
}

export function applyOptimizer(
  b: Builder,
  parameters: readonly Trained[],
  gradients: readonly Node[],
  spec: OptimizerSpec,
  clip: number | null,
): Update {
  const updates = new Map<Node, Node>();
  const states: { name: string; shape: readonly number[] }[] = [];
  const state = (kind: string, { name, node }: Trained): Node => {
    const full = `${kind}:${name}`;
    states.push({ name: full, shape: node.shape });
    return b.state(full, node.shape);
  };
  const step = b.cast(b.input("step", [], "u32"), "f32");
  const rate = scheduled(b, spec.rate, step);
  const norm = clip === null ? null : globalNorm(b, gradients);
  const factor = norm === null ? null : b.min(b.constant(1), b.div(b.constant(clip!), b.add(norm, b.constant(1e-6))));

  const corrections = spec.kind === "adamw" ? spec.betas.map((beta) => correction(b, beta, step)) : [];
  parameters.forEach((parameter, i) => {
    const { node, decay } = parameter;
    const over = (scalar: Node): Node => b.broadcast(scalar, node.shape, []);
    const scale = (value: number): Node => b.fill(value, node.shape);
    const g = factor ? b.mul(gradients[i]!, over(factor)) : gradients[i]!;
    const decayed = decay && spec.decay !== 0 ? b.mul(node, over(b.sub(b.constant(1), b.mul(rate, b.constant(spec.decay))))) : node;
    if (spec.kind === "sgd") {
      if (spec.momentum === 0) {
        updates.set(node, b.sub(decayed, b.mul(over(rate), g)));
        return;
      }
      const before = state("momentum", parameter);
      const after = b.add(b.mul(before, scale(spec.momentum)), g);
      updates.set(before, after);
      updates.set(node, b.sub(decayed, b.mul(over(rate), after)));
      return;
    }
    const [beta1, beta2] = spec.betas;
    const m = state("m", parameter);
    const v = state("v", parameter);
    const m1 = b.add(b.mul(m, scale(beta1)), b.mul(g, scale(1 - beta1)));
    const v1 = b.add(b.mul(v, scale(beta2)), b.mul(b.mul(g, g), scale(1 - beta2)));
    const denominator = b.add(b.sqrt(b.div(v1, over(corrections[1]!))), scale(spec.epsilon));
    const direction = b.div(b.div(m1, over(corrections[0]!)), denominator);
    updates.set(m, m1);
    updates.set(v, v1);
    updates.set(node, b.sub(decayed, b.mul(over(rate), direction)));
  });
  return { updates, states, norm };
}

/** 1 - beta^(step + 1). For small exponents the series keeps what the subtraction would lose in f32. */
function correction(b: Builder, beta: number, step: Node): Node {
  const x = b.mul(b.add(step, b.constant(1)), b.constant(-Math.log(beta)));
  // -expm1(-x) = x (1 - x/2 + x^2/6 - x^3/24 + …); at x = 0.1 the ninth term is below 1e-13.
  const terms = [1, -1 / 2, 1 / 6, -1 / 24, 1 / 120, -1 / 720, 1 / 5040, -1 / 40320, 1 / 362880];
  const series = terms.reduceRight<Node>((sum, coefficient) => b.add(b.mul(sum, x), b.constant(coefficient)), b.constant(0));
  return b.select(b.lt(x, b.constant(0.1)), b.mul(x, series), b.sub(b.constant(1), b.exp(b.neg(x))));
}

function globalNorm(b: Builder, gradients: readonly Node[]): Node {
  const squares = gradients.map((g) => b.sum(b.mul(g, g), g.shape.map((_, axis) => axis)));
  return b.sqrt(squares.reduce((sum, square) => b.add(sum, square)));
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
