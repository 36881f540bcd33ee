/**
 * A model in which states are put and measured. A state is written over a base, tensor by tensor; points of manifolds,
 * where they are drawn, are then put on them by the entry `start`, as those of a start are. What is measured is every
 * scalar of two entries: `loss` (or `forward`), the kernels that training and use evaluate the page by, and `monitor`,
 * which has the claims; and gains, by `gain` and `claims` (`src/step/gains.ts`).
 */
import { sizeOf } from "../graph/record.js";
import type { Batch, Source } from "../../runtime/data.js";
import type { Session } from "../../runtime/device.js";
import type { Model, ParameterAccess } from "../../runtime/model.js";
import { described } from "../../runtime/sources.js";
import { isOfTheRun, type DataInfo, type Entry, type Plan, type TensorRef } from "../../runtime/plan.js";
import { probedOf, probesOf, type Probed } from "./gains.js";
import { mainEntry, type Measurements } from "./promises.js";
import { even, valuesOf, type BatchChoice, type ModelState, type Slot, type TensorChange } from "./fills.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { merged, mustValue, recordOf, valueAt } from "../../runtime/records.js";
import type { OutputRole } from "../../runtime/roles.js";

/** Measurements of a state while they are made. */
export type Measuring = { readonly [K in keyof Measurements]: Map<string, number> };

/** Before anything is measured. */
export function nothingMeasured(): Measuring {
  const none = (): Map<string, number> => new Map();
  return { constraint: none(), free: none(), lost: none(), claim: none(), gain: none(), point: none() };
}

/** An output that is measured as an entry gives it out. */
type MeasuredRole = Extract<OutputRole, { readonly name: string }> & {
  readonly kind: "constraint" | "free" | "lost" | "claim";
};

const isMeasured = (role: OutputRole): role is MeasuredRole =>
  role.kind === "constraint" || role.kind === "free" || role.kind === "lost" || role.kind === "claim";

/** A model in which states are put and measured. */
export interface Bench {
  readonly slots: readonly Slot[];
  readonly source: Source;
  /** Of the model. */
  readonly seed: number;
  /** Whether batches are of data, and not made up. */
  readonly data: boolean;
  /** Tokens, labels or names; 0 when there are none. */
  readonly vocabulary: number;
  /** The parameters as they are. */
  readonly parameters: () => Promise<Map<string, Float32Array>>;
  /** What states differ from; `drawn`: points of manifolds are put there by their maps, as those of a start are. */
  readonly base: (values: ReadonlyMap<string, Float32Array>, drawn: boolean) => void;
  readonly baseOf: (name: string) => Float32Array;
  readonly measure: (state: ModelState) => Promise<Measurements>;
  /** Puts gains, and what is claimed of them, among what is measured, with the parameters as they are. */
  readonly gains: (batch: BatchChoice, into: Measuring) => Promise<void>;
}

/** What a bench owns. */
interface BenchState {
  readonly plan: Plan;
  readonly model: Model;
  readonly session: Session;
  readonly entries: Readonly<Record<string, Entry>>;
  readonly source: Source;
  readonly vocabulary: number;
  /** The inputs that a batch is of, with their places. */
  readonly inputs: readonly (readonly [name: string, ref: TensorRef])[];
  readonly access: Readonly<Record<string, ParameterAccess>>;
  /** Parameters that are points of manifolds themselves. */
  readonly points: ReadonlySet<string>;
  readonly probed: readonly ProbedStream[];
  base: ReadonlyMap<string, Float32Array>;
  /** Whether what is written is drawn: then points are put on their manifolds. */
  drawn: boolean;
  /** What differs from the base now. */
  changed: readonly string[];
  /** The batch of the last state. */
  batch: Batch;
}

/** A stream with the inputs of all runs that measure its gain. */
interface ProbedStream extends Probed {
  readonly runs: ReturnType<typeof probesOf>;
}

/** Makes a bench of a model and the session that it owns. Without a source batches are made up. */
export function createBench(plan: Plan, model: Model, session: Session, source: Source | null): Bench {
  const { entries } = mustValue(plan.devices, model.device.name);
  const inputs = Object.entries(mustValue(entries, mainEntry(plan)).inputs).filter(
    ([name, ref]) => !isOfTheRun(name, ref),
  );
  const [data] = plan.data;
  const vocabulary = data ? rangeOf(data) : 0;
  const random: Source = {
    batch: (_, seed, step) => madeUp({ inputs, vocabulary }, seed + step),
    *holdout() {},
    holdoutExamples: 0,
  };
  const slots: Slot[] = [
    ...plan.parameters.map(({ name, shape, point }): Slot => ({ name, shape, kind: point ? "point" : "parameter" })),
    ...inputs.flatMap(([name, { shape, dtype }]): Slot[] => (dtype === "f32" ? [{ name, shape, kind: "input" }] : [])),
  ];
  const state: BenchState = {
    plan,
    model,
    session,
    entries,
    source: source ?? random,
    vocabulary,
    inputs,
    access: model.parameters(),
    points: new Set(slots.flatMap(({ name, kind }) => (kind === "point" ? [name] : []))),
    probed: probedOf(plan, entries).map((stream) => ({ ...stream, runs: probesOf(stream) })),
    base: new Map(),
    drawn: false,
    changed: [],
    batch: {},
  };
  return {
    slots,
    source: state.source,
    seed: model.seed,
    data: source !== null,
    vocabulary,
    parameters: () => parametersOf(state),
    base(values, drawn) {
      for (const [name, value] of values) mustValue(state.access, name).set(value);
      Object.assign(state, { base: values, drawn, changed: [] });
    },
    baseOf: (name) => state.base.get(name) ?? (mustValue(state.batch, name) as Float32Array),
    gains: (choice, into) => measureGains(state, batchOf(state, choice), into),
    measure: (measured) => measure(state, measured),
  };
}

const parametersOf = async ({ plan, access }: BenchState): Promise<Map<string, Float32Array>> =>
  new Map(
    await Promise.all(plan.parameters.map(async ({ name }) => [name, await mustValue(access, name).get()] as const)),
  );

type MadeUp = Pick<BenchState, "inputs" | "vocabulary">;

/** A batch that is made up: tokens of the vocabulary, or labels, and numbers within +-1. */
function madeUp(
  { inputs, vocabulary }: MadeUp,
  seed: number,
  tokenOf = (draw: number): number => Math.floor(draw * vocabulary),
): Batch {
  return recordOf(
    inputs.map(([name, { shape, dtype }], input) => {
      const draws = Array.from({ length: sizeOf(shape) }, (_, i) => even(inputs.length * seed + input + 1, i));
      return [
        name,
        dtype === "u32" ? Uint32Array.from(draws, tokenOf) : Float32Array.from(draws, (draw) => 2 * draw - 1),
      ];
    }),
  );
}

function batchOf(state: BenchState, choice: BatchChoice): Batch {
  const { plan, model, source } = state;
  switch (choice.kind) {
    case "data":
      return source.batch(plan.train?.batch ?? 1, model.seed, choice.step);
    case "random":
      return madeUp(state, choice.seed);
    case "same":
      return madeUp(state, 0, () => choice.token);
    default:
      return choice satisfies never;
  }
}

/** Writes what an entry reads. */
function feed({ session, model }: BenchState, entry: Entry, batch: Batch): void {
  for (const [input, ref] of Object.entries(entry.inputs))
    session.write(
      ref,
      isOfTheRun(input, ref) ? Uint32Array.of(input === "step" ? model.step : model.seed) : mustValue(batch, input),
    );
}

/** Runs an entry, and puts the scalars that it gives out among what is measured. */
async function run(state: BenchState, name: string, batch: Batch, into: Measuring): Promise<void> {
  const { plan, session, entries } = state;
  const entry = mustValue(entries, name);
  const roles = mustValue(plan.roles.entries, name).outputs;
  feed(state, entry, batch);
  const outputs = Object.entries(entry.outputs)
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

/** The largest row and column sums of every stream, of all that is probed, and what the claims about them come to. */
async function measureGains(state: BenchState, batch: Batch, into: Measuring): Promise<void> {
  const { plan, session, entries, probed } = state;
  const { gain, claims } = entries;
  if (!gain) return;
  const roles = mustValue(plan.roles.entries, "gain").outputs;
  const nothing = probed.flatMap(({ runs }) =>
    [...mustAt(runs, 0)].map(([name, { length }]) => [name, new Float32Array(length)] as const),
  );
  const outputs = Object.entries(gain.outputs).flatMap(([id, ref]) => {
    const role = mustValue(roles, id);
    return role.kind === "rowSum" || role.kind === "columnSum" ? [{ stream: role.name, ref }] : [];
  });
  const largest = new Map(outputs.map(({ stream }) => [stream, 0]));
  for (let i = 0; i < Math.max(...probed.map(({ runs }) => runs.length)); i++) {
    const places = probed.flatMap(({ runs }) => [...(runs[i] ?? [])]);
    feed(state, gain, merged(batch, recordOf([...nothing, ...places])));
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
  await run(state, "claims", merged(batch, recordOf(inputs)), into);
}

/** Puts a state, and measures it. */
async function measure(state: BenchState, { batch: choice, changes }: ModelState): Promise<Measurements> {
  const { plan, session, entries } = state;
  state.batch = batchOf(state, choice);
  const measured = nothingMeasured();
  const batch = put(state, changes, measured);
  if (state.drawn && state.points.size) await session.run("start");
  await run(state, mainEntry(plan), batch, measured);
  if (entries["monitor"]) await run(state, "monitor", batch, measured);
  // Of a gain that was measured, what was read off the page counts no more.
  await measureGains(state, batch, measured);
  return measured;
}

/** Writes the parameters of a state, and what they were before where they differ no more; gives its batch. */
function put(state: BenchState, changes: readonly TensorChange[], into: Measuring): Batch {
  const { access, points, base, drawn } = state;
  const batch = new Map(Object.entries(state.batch));
  const byName = new Map(changes.map((change) => [change.slot.name, change]));
  // Points are where their map has put them: what was drawn is written anew.
  for (const name of new Set([...state.changed, ...byName.keys(), ...(drawn ? points : [])])) {
    const change = byName.get(name);
    if (change?.slot.kind === "input") {
      batch.set(name, valuesOf(change, mustGet(batch, name) as Float32Array));
      continue;
    }
    const parameter = valueAt(access, name);
    if (!parameter) continue;
    const values = change ? valuesOf(change, mustGet(base, name)) : mustGet(base, name);
    parameter.set(values);
    if (drawn && points.has(name))
      into.point.set(
        name,
        values.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
      );
  }
  state.changed = [...byName.keys()];
  return recordOf(batch);
}

/** How many tokens, labels or names there are; 0 for data that is numbers alone. */
export const rangeOf = (info: DataInfo): number =>
  described(info).fields.reduce((most, { range }) => Math.max(most, range?.size ?? 0), 0);
