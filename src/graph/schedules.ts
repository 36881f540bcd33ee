/**
 * Numbers over the steps, as graph: rates, and options of sets that a page schedules. `cosine` and `linear` go from one
 * number to another at the last step of the run. A rate warms up from nothing, as nanoGPT counts: from * (step + 1) /
 * (warmup + 1). An option has no nothing to rise from (a temperature of 0 divides by it): it stays at its first number
 * for that long, so that it is always between its two numbers, which is what claims count on.
 */
import type { Builder } from "./builder.js";
import type { Node } from "./node.js";

/** `cosine(from, to, warmup = …)` as a page says it. */
export interface Falling {
  readonly kind: "cosine" | "linear";
  readonly from: number;
  readonly to: number;
  readonly warmup: number;
}

/** `steps`: the length of the run. */
export type Schedule = { readonly kind: "constant"; readonly value: number } | (Falling & { readonly steps: number });

/** The step of an entry as f32: 0 at the first, and after k steps k. */
export const stepOf = (b: Builder): Node => b.cast(b.input("step", [], "u32"), "f32");

/** The rate at `step`. */
export function scheduled(b: Builder, schedule: Schedule, step: Node): Node {
  if (schedule.kind === "constant") return b.constant(schedule.value);
  const { from, warmup } = schedule;
  const rising = b.mul(b.add(step, b.constant(1)), b.constant(from / (warmup + 1)));
  return b.select(b.lt(step, b.constant(warmup)), rising, held(b, schedule, step));
}

/** The option at `step`: `from` until the warm-up ends, `to` from `steps` on. */
export function held(
  b: Builder,
  { kind, from, to, warmup, steps }: Falling & { readonly steps: number },
  step: Node,
): Node {
  const progress = b.min(
    b.constant(1),
    b.div(b.max(b.constant(0), b.sub(step, b.constant(warmup))), b.constant(Math.max(1, steps - warmup))),
  );
  const share =
    kind === "linear"
      ? b.sub(b.constant(1), progress)
      : b.mul(b.constant(0.5), b.add(b.constant(1), b.cos(b.mul(progress, b.constant(Math.PI)))));
  return b.add(b.constant(to), b.mul(share, b.constant(from - to)));
}
