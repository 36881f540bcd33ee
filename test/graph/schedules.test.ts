/** Schedules in pieces: what `scheduled` and `held` make of them, against numbers worked out by hand. */
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import {
  endsOfSchedule,
  held,
  scaledSchedule,
  scheduled,
  stepOf,
  type RunPart,
  type Schedule,
} from "../../src/graph/schedules.js";

const share = (of: number): RunPart => ({ kind: "share", share: of });
const steps = (count: number): RunPart => ({ kind: "steps", steps: count });

/** The number at a step, in f64. */
function at(schedule: Schedule, step: number, make: typeof scheduled = scheduled): number {
  const b = createBuilder();
  const outputs = new Map([["rate", make(b, schedule, stepOf(b))]]);
  return evaluate({ name: "rate", outputs, updates: new Map() }, new Map([["step", [step]]])).outputs.get("rate")![0]!;
}

const wsd = { kind: "wsd", from: 8, to: 2, warmup: 3, decay: share(0.2), shape: "linear", steps: 50 } as const;

describe("wsd", () => {
  it.each([
    // A warm-up of three steps: 8 * 1/4, 8 * 2/4, 8 * 3/4; then the peak for 40 steps in all; the fall has ten.
    ["linear", 0, 2],
    ["linear", 1, 4],
    ["linear", 2, 6],
    ["linear", 3, 8],
    ["linear", 40, 8],
    ["linear", 41, 7.4],
    ["linear", 45, 5],
    ["linear", 49, 2.6],
    ["linear", 50, 2],
    ["linear", 99, 2],
    // 2 + 6 (1 + cos(pi / 4)) / 2 after a quarter of the fall.
    ["cosine", 42, 2 + 3 * (1 + Math.cos(Math.PI * 0.2))],
    ["cosine", 45, 5],
    ["cosine", 50, 2],
    // 1 - sqrt(0.4) and 1 - sqrt(0.9) are left of the way.
    ["sqrt", 40, 8],
    ["sqrt", 44, 2 + 6 * (1 - Math.sqrt(0.4))],
    ["sqrt", 49, 2 + 6 * (1 - Math.sqrt(0.9))],
    ["sqrt", 50, 2],
  ] as const)("that falls by %s is at step %i %f", (shape, step, value) => {
    expect(at({ ...wsd, shape }, step)).toBeCloseTo(value, 12);
    expect(at({ ...wsd, shape, decay: steps(10) }, step)).toBeCloseTo(value, 12);
  });

  it("of an option stays at its first number while a rate rises", () => {
    const option: typeof scheduled = (b, schedule, step) =>
      schedule.kind === "constant" ? b.constant(schedule.value) : held(b, schedule, step);
    expect([0, 2, 40, 45, 60].map((step) => at(wsd, step, option))).toEqual([8, 8, 8, 5, 2]);
  });

  it("falls after its warm-up where both do not fit into the run", () => {
    const short = { ...wsd, warmup: 8, steps: 10, decay: share(0.5) };
    expect([7, 8, 9, 10].map((step) => at(short, step))).toEqual([(8 * 8) / 9, 8, 5, 2]);
    expect([0, 9, 19].map((step) => at({ ...short, warmup: 20 }, step))).toEqual([8 / 21, 80 / 21, 160 / 21]);
  });
});

describe("pieces", () => {
  const pieces: Schedule = {
    kind: "pieces",
    points: [
      { at: share(0.1), value: 1 },
      { at: share(0.2), value: 6 },
      { at: steps(70), value: 6 },
      { at: share(1), value: 3 },
    ],
    steps: 100,
  };
  it.each([
    [0, 1],
    [10, 1],
    [12, 2],
    [19, 5.5],
    [20, 6],
    [45, 6],
    [70, 6],
    [71, 5.9],
    [85, 4.5],
    [100, 3],
    [1000, 3],
  ])("are at step %i %f", (step, value) => expect(at(pieces, step)).toBeCloseTo(value, 12));

  it("stay between the least and the largest of their numbers", () => {
    expect(endsOfSchedule(pieces)).toEqual([1, 6]);
    expect(endsOfSchedule(wsd)).toEqual([8, 2]);
  });
});

it.each([
  { kind: "constant", value: 0.5 },
  { kind: "cosine", from: 3, to: 1, warmup: 5, steps: 20 },
  wsd,
  { kind: "pieces", points: [0, 4].map((value, i) => ({ at: share(i), value })), steps: 20 },
] as const)("a tenth of a schedule, $kind, is a tenth of it at every step", (schedule) => {
  const tenth: Schedule = {
    ...scaledSchedule(schedule, 0.1),
    ...("steps" in schedule ? { steps: schedule.steps } : {}),
  } as Schedule;
  for (const step of [0, 1, 4, 5, 10, 19, 41, 60]) expect(at(tenth, step)).toBeCloseTo(at(schedule, step) / 10, 12);
});
