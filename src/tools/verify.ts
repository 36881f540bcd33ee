/**
 * Whether a compiled page keeps what it promises, on the device at hand: property tests of its own kernels. In many
 * states the kernels of the entry `loss` (or `forward`) say how far every value and parameter is from its set, and
 * those of `monitor` what every claim is about. States are drawn (`states.ts`) before training; then a few real
 * steps are made from the start; and of a run, its parameters over batches of its data, and states near them. What
 * fails is shrunk.
 *
 * What is judged: a set within its tolerance, where its free coordinates are within the set's reach (beyond, nothing is
 * promised, and what is seen is told; what is not finite before it comes to the map is the page's own); in training and
 * after it, wherever it got to. A proved claim, always: what breaks one is a bug. A monitored one is measured, and
 * fails only of what a run has trained. A set without a tolerance, and a gain that nothing is claimed of, are measured.
 */
import { asyncProperty, check, sample, type Arbitrary } from "fast-check";
import type { Source } from "../../runtime/data.js";
import type { Device, Session } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { load, type Model } from "../../runtime/index.js";
import { mustGet } from "../../runtime/lookup.js";
import type { Plan } from "../../runtime/plan.js";
import { mustValue, valueAt } from "../../runtime/records.js";
import { createBench, nothingMeasured, type Bench, type Measuring } from "./measure.js";
import {
  fails,
  further,
  judged,
  asDistance,
  passes,
  storedOf,
  subjectsOf,
  type Beyond,
  type Measurements,
  type Promised,
  type VerifiedSubject,
  type When,
} from "./promises.js";
import {
  batchWords,
  whole,
  wordsOf,
  type BatchChoice,
  type Fill,
  type ModelState,
  type Slot,
  type TensorChange,
} from "./fills.js";
import { probes, states } from "./states.js";

/** What came of one property in the states of one phase. */
export interface Finding {
  /** "on sphere", "gain(x) <= 1.6", or "gain" where nothing is claimed of it. */
  readonly property: string;
  /** What it is of: a manifold of the page, a parameter (a star for every layer), or a stream. */
  readonly tensor: string;
  readonly when: When;
  readonly promised: Promised;
  /** The tolerance or the bound; null when nothing is promised. */
  readonly limit: number | null;
  /** States in which it was judged. */
  readonly runs: number;
  /**
   * Null where nothing is promised: of what is only measured, and of a monitored claim in states that no run has come
   * to.
   */
  readonly ok: boolean | null;
  /** The largest distance or value; infinite when it was not a number, or overflowed. */
  readonly worst: number;
  /** What was seen where a set promises nothing; null when no state went there. */
  readonly beyond: Beyond | null;
  /**
   * A state in which the limit is passed, as simple as could be found. Also of a monitored claim that holds no promise
   * there.
   */
  readonly counterexample: Counterexample | null;
}

/** A state in which a limit is passed. */
export interface Counterexample {
  /** A line for each tensor that is set, one for the batch, and one for what everything else is as. */
  readonly state: readonly string[];
  readonly measured: number;
  readonly seed: number;
}

/** How a plan is verified. */
export interface VerifyOptions {
  /** Of the start, the batches and the draws. */
  readonly seed?: number | undefined;
  /** States a phase; as many as take a few seconds, 100 at most, when it does not say. */
  readonly runs?: number | undefined;
  /** Without one, batches are made up. */
  readonly source: Source | null;
  /** A checkpoint to verify too. */
  readonly checkpoint?: string | undefined;
  /** A phase has ended. */
  readonly phase?: (when: When, findings: readonly Finding[]) => void;
}

const RUNS = 100;
const FEWEST = 10;
/** Milliseconds of the states of a phase, of shrinking one counterexample, and of the steps. */
const BUDGET = 8000;
const SHRINKING = 6000;
const TRAINING = 8000;
const STEPS = 20;
/** Batches of the data with the parameters of a run. */
const BATCHES = 20;
const SHRINKS = { least: 40, most: 1000 };

/** Verifies what a plan promises; it must have been compiled for the device with `monitors: "all"`. */
export async function verify(
  plan: Plan,
  device: Device,
  { seed, runs, source, checkpoint, phase }: VerifyOptions,
): Promise<Finding[]> {
  const opened: { session: Session | null } = { session: null };
  // The model owns its session; entries that a model does not run for itself need it too.
  const model = await load(plan, {
    device: { ...device, load: async (devicePlan) => (opened.session = await device.load(devicePlan)) },
    seed,
  });
  try {
    if (!opened.session) throw new Error("bug: a model was loaded without a session");
    const bench = createBench(plan, model, opened.session, source);
    const subjects = subjectsOf(plan, mustValue(plan.devices, device.name).entries);
    const findings: Finding[] = [];
    const end = (when: When, ended: readonly Finding[]): void => {
      findings.push(...ended);
      phase?.(when, ended);
    };
    if (subjects.length === 0) return [];
    const start = await bench.parameters();
    const trained = checkpoint === undefined ? null : await trainedBy(model, bench, checkpoint);
    bench.base(new Map(plan.parameters.map((info) => [info.name, initialValues(info, model.seed)])), true);
    end("drawn", await explore({ bench, subjects, when: "drawn" }, runs, extremes(plan, bench.slots)));
    bench.base(start, false);
    if (plan.train) end("training", await steps(plan, model, subjects, bench));
    if (!trained) return findings;
    bench.base(start, false);
    end("trained", await explore({ bench, subjects, when: "trained" }, undefined, trainedStates(bench, trained)));
    bench.base(trained, false);
    end("nearby", await explore({ bench, subjects, when: "nearby" }, runs, []));
    return findings;
  } finally {
    await model.close();
  }
}

/** What a run has trained, over batches of its data. */
function trainedStates({ slots, data }: Bench, trained: ReadonlyMap<string, Float32Array>): ModelState[] {
  const changes = slots.flatMap((slot) =>
    slot.kind !== "input" ? [whole(slot, { kind: "trained", values: mustGet(trained, slot.name) })] : [],
  );
  return Array.from({ length: data ? BATCHES : 1 }, (_, step) => ({
    batch: data ? { kind: "data", step } : { kind: "random", seed: 0 },
    changes,
  }));
}

/** The parameters of a checkpoint, which is read first, since it may be wrong; the model is what it was then. */
async function trainedBy(model: Model, bench: Bench, checkpoint: string): Promise<Map<string, Float32Array>> {
  const before = await model.checkpoint();
  await model.load(checkpoint);
  const trained = await bench.parameters();
  await model.load(before);
  return trained;
}

/**
 * States that are always tried: the base, nothing but zeros, and every parameter on a set with what sets are sensitive
 * to: numbers that have no square in f32, equal ones, and the ends.
 */
function extremes(plan: Plan, slots: readonly Slot[]): ModelState[] {
  const batch: BatchChoice = { kind: "random", seed: 0 };
  const parameters = slots.filter(({ kind }) => kind !== "input");
  const on = plan.constraints.flatMap(({ name, reach }) => {
    const stored = new Set(storedOf(plan, name).map((info) => info.name));
    const members = parameters.filter((slot) => stored.has(slot.name));
    const fills: Fill[] = [
      ...[0, 1e-40, 1e-20, 1, reach, -reach].map((value): Fill => ({ kind: "all", value })),
      ...(["spread", "signs", "rows"] as const).flatMap((kind) =>
        [1e-18, reach].map((scale): Fill => ({ kind, scale, seed: 1 })),
      ),
    ];
    return members.length ? fills.map((fill) => members.map((slot) => whole(slot, fill))) : [];
  });
  return [[], parameters.map((slot) => whole(slot, { kind: "all", value: 0 })), ...on].map(
    (changes: TensorChange[]) => ({
      batch,
      changes,
    }),
  );
}

/** What was seen of a subject. */
interface Tally {
  runs: number;
  worst: number;
  beyond: Beyond | null;
  failed: ModelState | null;
}

/** States of one phase, and what is looked at in them. */
interface VerifyPhase {
  readonly bench: Bench;
  readonly subjects: readonly VerifiedSubject[];
  readonly when: When;
}

type Tallies = ReadonlyMap<VerifiedSubject, Tally>;

/**
 * Visits states: `first` (at most half of the runs, but for what was trained), those that show what coordinates follow,
 * and random ones. `wanted`: how many; as many as take a few seconds when it does not say.
 */
async function explore(
  phase: VerifyPhase,
  wanted: number | undefined,
  first: readonly ModelState[],
): Promise<Finding[]> {
  const { bench, subjects, when } = phase;
  const { slots, seed, data, vocabulary, baseOf } = bench;
  const batch: BatchChoice = data ? { kind: "data", step: 0 } : { kind: "random", seed: 0 };
  const ms = await millisecondsOf(bench, batch);
  const runs = wanted ?? Math.max(FEWEST, Math.min(RUNS, Math.floor(BUDGET / ms)));
  const shrinks = Math.max(SHRINKS.least, Math.min(SHRINKS.most, Math.floor(SHRINKING / ms)));
  const tallies: Tallies = new Map(
    subjects.map((subject) => [subject, { runs: 0, worst: 0, beyond: null, failed: null }]),
  );
  const chosen = when === "trained" ? first : first.slice(0, Math.ceil(runs / 2));
  for (const state of chosen) await visit(phase, tallies, state);
  const drivers: (readonly Slot[])[] = [];
  const probed = when === "drawn" ? probes(slots, batch).slice(0, Math.ceil((runs - chosen.length) / 2)) : [];
  for (const { group, state, followed } of probed) {
    const measured = await visit(phase, tallies, state);
    if (subjects.some(({ free }) => free && followed(free(measured)))) drivers.push(group);
  }
  // Near a run, points stay where training moved them: a nudge would leave the manifold.
  const drawing = {
    slots: when === "drawn" ? slots : slots.filter(({ kind }) => kind !== "point"),
    about: when === "drawn" ? "far" : "near",
    data,
    vocabulary,
    drivers,
  } as const;
  const arbitrary = states(drawing, baseOf, shrinks);
  const remaining = when === "trained" ? 0 : runs - chosen.length - probed.length;
  if (remaining > 0)
    for (const state of sample(arbitrary, { seed, numRuns: remaining })) await visit(phase, tallies, state);
  const findings: Finding[] = [];
  for (const [subject, tally] of tallies) {
    const counterexample = tally.failed ? await simplest(phase, arbitrary, subject, tally.failed) : null;
    findings.push(findingOf(subject, when, tally, counterexample));
  }
  return findings;
}

/** How long a measurement takes: the second, since the first compiles. */
async function millisecondsOf({ measure }: Bench, batch: BatchChoice): Promise<number> {
  await measure({ batch, changes: [] });
  const begun = performance.now();
  await measure({ batch, changes: [] });
  return Math.max(0.05, performance.now() - begun);
}

/** Measures a state, and counts what was seen of every subject. */
async function visit({ bench, when }: VerifyPhase, tallies: Tallies, state: ModelState): Promise<Measurements> {
  const measured = await bench.measure(state);
  for (const [subject, tally] of tallies) {
    const kind = judged(subject, measured, when);
    if (kind === null) continue;
    const value = asDistance(subject.of(measured));
    if (kind === "over") {
      if (subject.free) tally.beyond = further(subject, tally.beyond, value, subject.free(measured));
      continue;
    }
    tally.runs++;
    tally.worst = Math.max(tally.worst, value);
    if (passes(subject, value)) tally.failed ??= state;
  }
  return measured;
}

/** The simplest state that was found to break a subject too. */
async function simplest(
  { bench, when }: VerifyPhase,
  arbitrary: Arbitrary<ModelState>,
  subject: VerifiedSubject,
  state: ModelState,
): Promise<Counterexample> {
  const { measure, seed } = bench;
  let last = { state, measured: 0 };
  await check(
    asyncProperty(arbitrary, async (tried) => {
      const measured = await measure(tried);
      const value = asDistance(subject.of(measured));
      const broken = judged(subject, measured, when) === "in" && passes(subject, value);
      if (broken) last = { state: tried, measured: value };
      return !broken;
    }),
    { seed, numRuns: 1, examples: [[state]] },
  );
  return {
    state: [...wordsOf(last.state), `everything else as ${when === "nearby" ? "trained" : "it starts"}`],
    measured: last.measured,
    seed,
  };
}

function findingOf(
  subject: VerifiedSubject,
  when: When,
  { runs, worst, beyond }: Omit<Tally, "failed">,
  counterexample: Counterexample | null,
): Finding {
  const { property, tensor, promised, limit } = subject;
  return {
    property,
    tensor,
    when,
    promised,
    limit,
    runs,
    ok: fails(subject, when) ? counterexample === null : null,
    worst,
    beyond,
    counterexample,
  };
}

/** A few steps as training makes them, at the rate of the page: its own kernels and optimizer. */
async function steps(
  plan: Plan,
  model: Model,
  subjects: readonly VerifiedSubject[],
  { source, gains }: Bench,
): Promise<Finding[]> {
  const tallies = new Map(
    subjects.map((subject) => [
      subject,
      { runs: 0, worst: 0, beyond: null, counterexample: null as Counterexample | null },
    ]),
  );
  const begun = performance.now();
  const monitor = valueAt(plan.devices[model.device.name]?.entries, "monitor") ? 1 : 0;
  for await (const { step, constraints, claims } of model.train(source, { steps: STEPS, monitor })) {
    const measured: Measuring = {
      ...nothingMeasured(),
      constraint: new Map(Object.entries(constraints)),
      claim: new Map((claims ?? []).map(({ text, value }) => [text, value])),
    };
    await gains({ kind: "data", step: step - 1 }, measured);
    for (const [subject, tally] of tallies) {
      const value = asDistance(subject.of(measured));
      tally.runs++;
      tally.worst = Math.max(tally.worst, value);
      if (passes(subject, value))
        tally.counterexample ??= {
          state: [`step ${step} from the start`, batchWords({ kind: "data", step: step - 1 })],
          measured: value,
          seed: model.seed,
        };
    }
    if (performance.now() - begun > TRAINING) break;
  }
  return [...tallies].map(([subject, tally]) => findingOf(subject, "training", tally, tally.counterexample));
}
