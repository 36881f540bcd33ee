/**
 * A model in which states are put and measured. A state is written over a base, tensor by tensor; points of manifolds,
 * where they are drawn, are then put on them by the entry `start`, as those of a start are. What is measured is every
 * scalar of two entries: `loss` (or `forward`), the kernels that training and use evaluate the page by, and `monitor`,
 * which has the claims; and gains, by `gain` and `claims` (`src/step/gains.ts`).
 */
import { sizeOf } from "../graph/record.js";
import type { Batch, Source } from "../../runtime/data.js";
import type { Session } from "../../runtime/device.js";
import type { Model } from "../../runtime/model.js";
import { isOfTheRun, type DataInfo, type Entry, type Plan } from "../../runtime/plan.js";
import { probedOf, probesOf } from "./gains.js";
import { mainEntry, type Measured } from "./promises.js";
import { even, valuesOf, type BatchChoice, type Slot, type State } from "./states.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { merged, mustValue, recordOf, valueAt } from "../../runtime/records.js";
import type { OutputRole } from "../../runtime/roles.js";

/** Measurements of a state while they are made. */
export type Measuring = { readonly [K in keyof Measured]: Map<string, number> };

export function nothingMeasured(): Measuring {
  const none = (): Map<string, number> => new Map();
  return { constraint: none(), free: none(), lost: none(), claim: none(), gain: none(), point: none() };
}

/** Outputs that entries give out and that are measured as they come. */
const isMeasured = (
  role: OutputRole,
): role is Extract<OutputRole, { readonly name: string }> & { kind: "constraint" | "free" | "lost" | "claim" } =>
  role.kind === "constraint" || role.kind === "free" || role.kind === "lost" || role.kind === "claim";

export interface Bench {
  readonly slots: readonly Slot[];
  readonly source: Source;
  readonly seed: number;
  readonly data: boolean;
  readonly vocabulary: number;
  /** The parameters as they are. */
  readonly parameters: () => Promise<Map<string, Float32Array>>;
  /** What states differ from; `drawn`: points of manifolds are put there by their maps, as those of a start are. */
  readonly base: (values: ReadonlyMap<string, Float32Array>, drawn: boolean) => void;
  readonly baseOf: (name: string) => Float32Array;
  readonly measure: (state: State) => Promise<Measured>;
  /** Puts gains, and what is claimed of them, among what is measured, with the parameters as they are. */
  readonly gains: (batch: BatchChoice, into: Measuring) => Promise<void>;
}

export function createBench(plan: Plan, model: Model, session: Session, given: Source | null): Bench {
  const { entries } = plan.devices[model.device.name]!;
  const main = mainEntry(plan);
  const entry = valueAt(entries, main)!;
  const text = plan.data[0] ?? null;
  const vocabulary = text === null ? 0 : rangeOf(text);
  const refs = Object.entries(entry.inputs).filter(([name, ref]) => !isOfTheRun(name, ref));
  const size = plan.train?.batch ?? 1;
  /** A batch that is made up: tokens of the vocabulary, or labels, and numbers within +-1. */
  const madeUp = (seed: number, tokenOf: (draw: number) => number): Batch =>
    recordOf(
      refs.map(([name, { shape, dtype }], input) => {
        const draws = Array.from({ length: sizeOf(shape) }, (_, i) => even(refs.length * seed + input + 1, i));
        return [
          name,
          dtype === "u32" ? Uint32Array.from(draws, tokenOf) : Float32Array.from(draws, (draw) => 2 * draw - 1),
        ];
      }),
    );
  const random = (seed: number): Batch => madeUp(seed, (draw) => Math.floor(draw * vocabulary));
  const source: Source = given ?? { batch: (_, seed, step) => random(seed + step), *holdout() {}, holdoutExamples: 0 };
  const slots: Slot[] = [
    ...plan.parameters.map(({ name, shape, point }): Slot => ({ name, shape, kind: point ? "point" : "parameter" })),
    ...refs.flatMap(([name, { shape, dtype }]): Slot[] => (dtype === "f32" ? [{ name, shape, kind: "input" }] : [])),
  ];
  const access = model.parameters();
  const points = new Set(slots.flatMap(({ name, kind }) => (kind === "point" ? [name] : [])));
  let base: ReadonlyMap<string, Float32Array> = new Map();
  let drawn = false;
  let changed: readonly string[] = [];
  let current: Batch = {};

  const batchOf = (choice: BatchChoice): Batch => {
    switch (choice.kind) {
      case "data":
        return source.batch(size, model.seed, choice.step);
      case "random":
        return random(choice.seed);
      case "same":
        return madeUp(0, () => choice.token);
      default:
        return choice satisfies never;
    }
  };

  function feed(own: Entry, batch: Batch): void {
    for (const [input, ref] of Object.entries(own.inputs))
      session.write(
        ref,
        isOfTheRun(input, ref) ? Uint32Array.of(input === "step" ? model.step : model.seed) : valueAt(batch, input)!,
      );
  }

  /** Runs an entry, and puts the scalars that it gives out among what is measured. */
  async function run(name: string, batch: Batch, into: Measuring): Promise<void> {
    const own = mustValue(entries, name);
    const roles = mustValue(plan.roles.entries, name).outputs;
    feed(own, batch);
    const outputs = Object.entries(own.outputs)
      .map(([id, ref]) => ({ role: mustValue(roles, id), ref }))
      .filter(({ role, ref }) => ref.shape.length === 0 || role.kind === "losses");
    const read = await session.run(
      name,
      outputs.map(({ ref }) => ref),
    );
    for (const [i, { role }] of outputs.entries()) {
      if (isMeasured(role)) into[role.kind].set(role.name, mustAt(mustAt(read, i), 0));
    }
  }

  const probed = probedOf(plan, entries).map((stream) => ({ ...stream, runs: probesOf(stream) }));

  /** The largest row and column sums of every stream, of all that is probed, and what the claims about them come to. */
  async function gains(batch: Batch, into: Measuring): Promise<void> {
    const { gain: own, claims } = entries;
    if (!own) return;
    const roles = mustValue(plan.roles.entries, "gain").outputs;
    const nothing = probed.flatMap(({ runs }) =>
      [...runs[0]!].map(([name, { length }]) => [name, new Float32Array(length)] as const),
    );
    const outputs = Object.entries(own.outputs).flatMap(([id, ref]) => {
      const role = mustValue(roles, id);
      return role.kind === "rowSum" || role.kind === "columnSum" ? [{ stream: role.name, ref }] : [];
    });
    const largest = new Map(outputs.map(({ stream }) => [stream, 0]));
    for (let i = 0; i < Math.max(...probed.map(({ runs }) => runs.length)); i++) {
      const places = probed.flatMap(({ runs }) => [...(runs[i] ?? [])]);
      feed(own, merged(batch, recordOf([...nothing, ...places])));
      const read = await session.run(
        "gain",
        outputs.map(({ ref }) => ref),
      );
      for (const [output, { stream }] of outputs.entries()) {
        // A largest value of what is no number is no number.
        for (const value of mustAt(read, output)) largest.set(stream, Math.max(mustGet(largest, stream), value));
      }
    }
    for (const [stream, value] of largest) into.gain.set(stream, value);
    if (!claims) return;
    // Nothing goes through a stream that is not there: its gain is 1.
    const inputs = Object.entries(mustValue(plan.roles.entries, "claims").inputs).flatMap(([id, role]) =>
      role.kind === "gain" ? [[id, Float32Array.of(largest.get(role.stream) ?? 1)] as const] : [],
    );
    await run("claims", merged(batch, recordOf(inputs)), into);
  }

  return {
    slots,
    source,
    seed: model.seed,
    data: given !== null,
    vocabulary,
    parameters: async () =>
      new Map(
        await Promise.all(plan.parameters.map(async ({ name }) => [name, await valueAt(access, name)!.get()] as const)),
      ),
    base(values, throughMaps) {
      for (const [name, value] of values) valueAt(access, name)!.set(value);
      [base, drawn, changed] = [values, throughMaps, []];
    },
    baseOf: (name) => base.get(name) ?? (valueAt(current, name) as Float32Array),
    async gains(choice, into) {
      await gains(batchOf(choice), into);
    },
    async measure({ batch: choice, changes }) {
      current = batchOf(choice);
      const fed = new Map(Object.entries(current));
      const own = new Map(changes.map((change) => [change.slot.name, change]));
      const measured = nothingMeasured();
      // Points are where their map has put them: what was drawn is written anew.
      for (const name of new Set([...changed, ...own.keys(), ...(drawn ? points : [])])) {
        const change = own.get(name);
        if (change?.slot.kind === "input") {
          fed.set(name, valuesOf(change, fed.get(name) as Float32Array));
          continue;
        }
        const parameter = valueAt(access, name);
        if (!parameter) continue;
        const values = change ? valuesOf(change, base.get(name)!) : base.get(name)!;
        parameter.set(values);
        if (drawn && points.has(name))
          measured.point.set(
            name,
            values.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
          );
      }
      changed = [...own.keys()];
      if (drawn && points.size) await session.run("start");
      const batch = recordOf(fed);
      await run(main, batch, measured);
      if (entries["monitor"]) await run("monitor", batch, measured);
      // Of a gain that was measured, what was read off the page counts no more.
      await gains(batch, measured);
      return measured;
    },
  };
}

/** How many tokens, labels or names there are. */
function rangeOf(info: DataInfo): number {
  switch (info.kind) {
    case "characters":
      return info.vocabulary.length;
    case "examples":
      return info.classes;
    case "pairs":
      return info.names.length;
    default:
      return info satisfies never;
  }
}
