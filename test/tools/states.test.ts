/** States of a model: what they hold, and that shrinking comes to what matters, whatever the state began as. */
import { sizeOf } from "../../src/graph/record.js";
import { asyncProperty, check, sample } from "fast-check";
import { describe, expect, it } from "vitest";
import {
  even,
  valuesOf,
  whole,
  wordsOf,
  type TensorChange,
  type Fill,
  type Slot,
  type ModelState,
} from "../../src/tools/fills.js";
import { groupsOf, probes, states, type Drawing } from "../../src/tools/states.js";

const slots: readonly Slot[] = [
  { name: "layers.0.gate.b", shape: [16], kind: "parameter" },
  { name: "layers.1.gate.b", shape: [16], kind: "parameter" },
  { name: "layers.0.mlp.up", shape: [24, 48], kind: "parameter" },
  { name: "layers.1.mlp.up", shape: [24, 48], kind: "parameter" },
  { name: "scale", shape: [], kind: "parameter" },
  { name: "u", shape: [4, 5], kind: "input" },
];
const base = new Map(
  slots.map(({ name, shape }) => [
    name,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => 0.1 + 0.01 * even(9, i)),
  ]),
);
const drawing: Drawing = { slots, drivers: [slots.slice(0, 2)], about: "far", data: true, vocabulary: 7 };
const arbitrary = states(drawing, (name) => base.get(name)!, 2000);
const fills: readonly Fill[] = [
  { kind: "all", value: 3 },
  { kind: "spread", scale: 3, seed: 4 },
  { kind: "signs", scale: 3, seed: 4 },
  { kind: "rows", scale: 3, seed: 4 },
  { kind: "nudge", scale: 0.5, seed: 4 },
  { kind: "trained", values: Float32Array.from({ length: 1152 }, (_, i) => i) },
];

/** The state that is left when all simpler ones hold. */
async function simplest(
  state: ModelState,
  breaks: (values: (name: string) => Float32Array, state: ModelState) => boolean,
): Promise<ModelState> {
  const found = await check(
    asyncProperty(arbitrary, async (tried) => {
      const changes = new Map(tried.changes.map((change) => [change.slot.name, change]));
      return !breaks(
        (name) => (changes.has(name) ? valuesOf(changes.get(name)!, base.get(name)!) : base.get(name)!),
        tried,
      );
    }),
    { numRuns: 1, examples: [[state]] },
  );
  expect(found.failed).toBe(true);
  return found.counterexample![0]!;
}

describe("what a tensor holds", () => {
  it.each(fills.map((fill) => [fill.kind, fill] as const))(
    "%s: a part holds what the whole held there, and the base elsewhere",
    (_, fill) => {
      const slot = slots[2]!;
      const own = base.get(slot.name)!;
      const all = valuesOf(whole(slot, fill), own);
      const part = valuesOf({ slot, fill, from: 100, to: 300 }, own);
      part.forEach((value, i) => expect(value).toBe(i >= 100 && i < 300 ? all[i] : own[i]));
    },
  );

  it("equal rows are equal, corners are corners, and what is spread is even within its scale", () => {
    const [spread, signs, rows] = fills
      .slice(1, 4)
      .map((fill) => valuesOf(whole(slots[2]!, fill), base.get("layers.0.mlp.up")!));
    expect(new Set(signs!.map(Math.abs))).toEqual(new Set([3]));
    expect(signs!.filter((value) => value > 0).length / 1152).toBeCloseTo(0.5, 1);
    rows!.forEach((value, i) => expect(value).toBe(rows![i % 48]));
    expect(new Set(rows).size).toBe(48);
    expect(Math.max(...spread!.map(Math.abs))).toBeLessThanOrEqual(3);
    expect(spread!.reduce((sum, value) => sum + value * value, 0) / 1152).toBeCloseTo(3, 0);
  });
});

describe("shrinking", () => {
  const everything = (fill: Fill): ModelState => ({
    batch: { kind: "random", seed: 77 },
    changes: slots.slice(0, 5).map((slot) => whole(slot, fill)),
  });

  it("leaves the one entry that matters, at about the number from which it does", async () => {
    for (const fill of fills.slice(1, 3)) {
      const state = await simplest(
        everything({ ...fill, scale: 90 } as Fill),
        (values) => Math.abs(values("layers.1.mlp.up")[5 * 48 + 7]!) > 20,
      );
      expect(state.batch).toEqual({ kind: "data", step: 0 });
      expect(state.changes.map(({ slot }) => slot.name)).toEqual(["layers.1.mlp.up"]);
      const { fill: left } = state.changes[0] as TensorChange & {
        readonly fill: Extract<Fill, { readonly kind: "these" }>;
      };
      expect(left.entries.map(([at]) => at)).toEqual([5 * 48 + 7]);
      expect(left.entries[0]![1]).toBeGreaterThan(20);
      expect(left.entries[0]![1]).toBeLessThan(24);
      expect(wordsOf(state)).toEqual([`layers.1.mlp.up[5, 7] = ${left.entries[0]![1]}`, "batch 0 of the data"]);
    }
  });

  it("leaves a tensor whole where all of it matters", async () => {
    const state = await simplest(everything({ kind: "all", value: 1e-40 }), (values) =>
      values("layers.0.mlp.up").every((value) => Math.abs(value) < 1e-3),
    );
    expect(wordsOf(state)).toEqual(["layers.0.mlp.up = 0 everywhere", "batch 0 of the data"]);
  });

  it("leaves two tensors where both matter, and the batch where it does", async () => {
    const state = await simplest(
      everything({ kind: "signs", scale: 40, seed: 1 }),
      (values, { batch }) =>
        Math.abs(values("scale")[0]!) > 5 &&
        values("layers.0.gate.b").some((value) => value < -5) &&
        batch.kind === "random",
    );
    expect(wordsOf(state)).toEqual([
      expect.stringMatching(/^layers\.0\.gate\.b\[\d+\] = -\d\.?\d*$/),
      expect.stringMatching(/^scale = \d\.?\d*$/),
      "a batch of random values (draw 77)",
    ]);
  });

  it("tells what was trained as it is", async () => {
    const slot = slots[2]!;
    const trained: ModelState = {
      batch: { kind: "data", step: 3 },
      changes: [
        whole(slot, {
          kind: "trained",
          values: Float32Array.from({ length: 1152 }, (_, i) => (i === 1000 ? 7.25 : 0.1)),
        }),
      ],
    };
    expect(wordsOf(await simplest(trained, (values) => values(slot.name)[1000]! > 1))).toEqual([
      "layers.0.mlp.up[20, 40] = 7.25, as trained",
      "batch 0 of the data",
    ]);
  });

  it("ends, from every state that is drawn, when everything fails: with nothing changed", async () => {
    for (const state of sample(arbitrary, { seed: 1, numRuns: 60 }))
      expect(await simplest(state, () => true)).toEqual({ batch: { kind: "data", step: 0 }, changes: [] });
  });
});

describe("drawing", () => {
  it("layers are one group; small groups are probed, inputs are not", () => {
    expect(groupsOf(slots).map((group) => group.map(({ name }) => name))).toEqual([
      ["layers.0.gate.b", "layers.1.gate.b"],
      ["layers.0.mlp.up", "layers.1.mlp.up"],
      ["scale"],
      ["u"],
    ]);
    expect(probes(slots, { kind: "random", seed: 0 }).map(({ group }) => group.length)).toEqual([2, 1]);
  });

  it("reaches every tensor, every kind of number and of batch, alone and together; the same for the same seed", () => {
    const drawn = sample(arbitrary, { seed: 3, numRuns: 400 });
    expect(sample(arbitrary, { seed: 3, numRuns: 400 })).toEqual(drawn);
    const changes = drawn.flatMap((state) => state.changes);
    for (const { name } of slots)
      expect(
        changes.some(({ slot }) => slot.name === name),
        name,
      ).toBe(true);
    for (const kind of ["all", "spread", "signs", "rows"])
      expect(
        changes.some(({ fill }) => fill.kind === kind),
        kind,
      ).toBe(true);
    expect(new Set(drawn.map(({ batch }) => batch.kind))).toEqual(new Set(["data", "random", "same"]));
    for (const count of [2, slots.length])
      expect(
        drawn.some((state) => state.changes.length === count),
        `${count}`,
      ).toBe(true);
    // What coordinates follow is drawn alone often, by numbers that move them.
    const alone = drawn.filter((state) => state.changes.every(({ slot }) => slot.name.endsWith("gate.b")));
    expect(alone.length).toBeGreaterThan(60);
  });

  it("near a run only nudges", () => {
    const near = states({ ...drawing, about: "near" }, (name) => base.get(name)!, 10);
    for (const { changes } of sample(near, { seed: 3, numRuns: 100 }))
      for (const { fill } of changes) expect(fill.kind).toBe("nudge");
  });
});
