/**
 * Numbers over the steps, as graph: rates, and options of sets that a page schedules. `cosine` and `linear` go from one
 * number to another at the last step of the run; `wsd` (warm-up, stable, decay) stays at its first number and falls in
 * the last part of the run (Hägele and others, Scaling laws and compute-optimal training beyond fixed training
 * durations, 2024, arXiv 2405.18392, whose fall by 1 - sqrt(x) is `sqrt` here); `pieces` goes in straight lines from
 * point to point. A rate warms up from nothing, as nanoGPT counts: from * (step + 1) / (warmup + 1). An option has no
 * nothing to rise from (a temperature of 0 divides by it): it stays at its first number for that long, so that it is
 * always between its two numbers, which is what claims count on.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "./builder.js";
import type { Node } from "./node.js";

/** `cosine(from, to, warmup = …)` as a page says it. */
export interface Falling {
  readonly kind: "cosine" | "linear";
  readonly from: number;
  readonly to: number;
  readonly warmup: number;
}

/** A part of a run: a share of its steps, from 0 to 1, or so many of them. */
export type RunPart =
  | { readonly kind: "share"; readonly share: number }
  | { readonly kind: "steps"; readonly steps: number };

/** How a number falls: in a line, along half a wave of the cosine, or by 1 - sqrt(x). */
export const SHAPES = ["linear", "cosine", "sqrt"] as const;
/** One of them. */
export type FallShape = (typeof SHAPES)[number];

/** `wsd(peak, end, warmup = …, decay = …)` as a page says it: `from` until the last part of the run, `decay`. */
export interface Staying {
  readonly kind: "wsd";
  readonly from: number;
  readonly to: number;
  readonly warmup: number;
  readonly decay: RunPart;
  readonly shape: FallShape;
}

/** `pieces((0%, 0), (5%, 1e-3), …)` as a page says it: at least two points, which ascend. */
export interface Pieces {
  readonly kind: "pieces";
  readonly points: readonly { readonly at: RunPart; readonly value: number }[];
}

/** A number that changes over the run, as a page says it. */
export type Changing = Falling | Staying | Pieces;

/** A number that stays as it is. */
export interface Unchanging {
  readonly kind: "constant";
  readonly value: number;
}

/** `steps`: the length of the run. */
export type Schedule = Unchanging | (Changing & { readonly steps: number });

/** The step of an entry as f32: 0 at the first, and after k steps k. */
export const stepOf = (b: Builder): Node => b.cast(b.input("step", [], "u32"), "f32");

/** How many steps a part of a run is, which may be no whole number. */
export const stepsIn = (part: RunPart, steps: number): number =>
  part.kind === "share" ? part.share * steps : part.steps;

/** The least and the largest number that a schedule comes to once it has warmed up. */
export function endsOfSchedule(schedule: Changing): readonly [number, number] {
  if (schedule.kind !== "pieces") return [schedule.from, schedule.to];
  const values = schedule.points.map(({ value }) => value);
  return [Math.min(...values), Math.max(...values)];
}

/** Every number of a schedule times a factor. */
export function scaledSchedule(schedule: Unchanging | Changing, factor: number): Unchanging | Changing {
  switch (schedule.kind) {
    case "constant":
      return { ...schedule, value: schedule.value * factor };
    case "pieces":
      return { ...schedule, points: schedule.points.map(({ at, value }) => ({ at, value: value * factor })) };
    case "cosine":
    case "linear":
    case "wsd":
      return { ...schedule, from: schedule.from * factor, to: schedule.to * factor };
    default:
      return schedule satisfies never;
  }
}

/** The rate at `step`. */
export function scheduled(b: Builder, schedule: Schedule, step: Node): Node {
  if (schedule.kind === "constant") return b.constant(schedule.value);
  if (schedule.kind === "pieces") return held(b, schedule, step);
  const { from, warmup } = schedule;
  const rising = b.mul(b.add(step, b.constant(1)), b.constant(from / (warmup + 1)));
  return b.select(b.lt(step, b.constant(warmup)), rising, held(b, schedule, step));
}

/** The option at `step`: the first number until the warm-up ends, the last one from `steps` on. */
export function held(b: Builder, schedule: Changing & { readonly steps: number }, step: Node): Node {
  if (schedule.kind === "pieces") return alongPieces(b, schedule, step);
  const { from, to, warmup, steps } = schedule;
  const start = schedule.kind === "wsd" ? Math.max(warmup, steps - stepsIn(schedule.decay, steps)) : warmup;
  const progress = b.min(
    b.constant(1),
    b.div(b.max(b.constant(0), b.sub(step, b.constant(start))), b.constant(lengthOf(schedule, start))),
  );
  const share = left(b, schedule.kind === "wsd" ? schedule.shape : schedule.kind, progress);
  return b.add(b.constant(to), b.mul(share, b.constant(from - to)));
}

/** How many steps a fall takes that begins at `start`: at least one, but for a fall by shares, which may take less. */
function lengthOf({ kind, steps }: (Falling | Staying) & { readonly steps: number }, start: number): number {
  return kind === "wsd" && steps > start ? steps - start : Math.max(1, steps - start);
}

/** What is left of the way down: 1 at the progress 0, and 0 at 1. */
function left(b: Builder, shape: FallShape, progress: Node): Node {
  switch (shape) {
    case "linear":
      return b.sub(b.constant(1), progress);
    case "sqrt":
      return b.sub(b.constant(1), b.sqrt(progress));
    case "cosine":
      return b.mul(b.constant(0.5), b.add(b.constant(1), b.cos(b.mul(progress, b.constant(Math.PI)))));
    default:
      return shape satisfies never;
  }
}

/** Straight lines from point to point; the first number before the first of them, the last one after the last. */
function alongPieces(b: Builder, { points, steps }: Pieces & { readonly steps: number }, step: Node): Node {
  const places = points.map(({ at, value }) => ({ at: stepsIn(at, steps), value }));
  const first = mustAt(places, 0);
  const beyond = b.constant(mustAt(places, places.length - 1).value);
  const lines = places.slice(1).reduceRight((after, to, i) => {
    const from = mustAt(places, i);
    const slope = b.constant((to.value - from.value) / (to.at - from.at));
    const line = b.add(b.constant(from.value), b.mul(b.sub(step, b.constant(from.at)), slope));
    return b.select(b.lt(step, b.constant(to.at)), line, after);
  }, beyond);
  return b.select(b.lt(step, b.constant(first.at)), b.constant(first.value), lines);
}
