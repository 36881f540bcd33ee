/**
 * Whether a compiled page keeps what it promises, on the device at hand: property tests of its own kernels. In many
 * states the kernels of the entry `loss` (or `forward`) say how far every value and parameter is from its set, and
 * those of `monitor` what every claim is about. States are drawn (src/tools/states.ts) before training; then a few real
 * steps are made from the start; and of a run, its parameters over batches of its data, and states near them. What
 * fails is shrunk.
 *
 * What is judged: a set within its tolerance, where its free coordinates are within the set's reach (beyond, nothing is
 * promised, and what is seen is told; what is not finite before it comes to the map is the page's own); in training and
 * after it, wherever it got to. A proved claim, always: what breaks one is a bug. A monitored one is measured, and
 * fails only of what a run has trained. A set without a tolerance, and a gain that nothing is claimed of, are measured.
 */
import { asyncProperty, check, sample } from "fast-check";
import type { Source } from "../../runtime/data.js";
import type { Device, Session } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { load, type Model } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { createBench, nothingMeasured, type Bench, type Measuring } from "./measure.js";
import {
  fails,
  further,
  judged,
  known,
  passes,
  storedOf,
  subjectsOf,
  type Beyond,
  type Measured,
  type Promised,
  type Subject,
  type When,
} from "./promises.js";
import {
  batchWords,
  probes,
  states,
  whole,
  wordsOf,
  type BatchChoice,
  type Change,
  type Fill,
  type Slot,
  type State,
} from "./states.js";

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

export interface Counterexample {
  /** What is set to what, the batch, and what everything else is as: a line each. */
  readonly state: readonly string[];
  readonly measured: number;
  readonly seed: number;
}

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
  { seed: wanted, runs, source: given, checkpoint, phase }: VerifyOptions,
): Promise<Finding[]> {
  let session: Session | null = null;
  // The model owns its session; entries that a model does not run for itself need it too.
  const model = await load(plan, {
    device: { ...device, load: async (own) => (session = await device.load(own)) },
    seed: wanted,
  });
  try {
    const bench = createBench(plan, model, session!, given);
    const subjects = subjectsOf(plan, plan.devices[device.name]!.entries);
    const found: Finding[] = [];
    const end = (when: When, findings: readonly Finding[]): void => {
      found.push(...findings);
      phase?.(when, findings);
    };
    if (subjects.length === 0) return [];
    const start = await bench.parameters();
    const trained = checkpoint === undefined ? null : await trainedBy(model, bench, checkpoint);
    bench.base(new Map(plan.parameters.map((info) => [info.name, initialValues(info, model.seed)])), true);
    end("drawn", await explore(bench, subjects, "drawn", runs, extremes(plan, bench.slots)));
    bench.base(start, false);
    if (plan.train) end("training", await steps(plan, model, subjects, bench));
    if (!trained) return found;
    const changes = bench.slots.flatMap((slot) =>
      slot.kind !== "input" ? [whole(slot, { kind: "trained", values: trained.get(slot.name)! })] : [],
    );
    bench.base(start, false);
    end(
      "trained",
      await explore(
        bench,
        subjects,
        "trained",
        undefined,
        Array.from({ length: given ? BATCHES : 1 }, (_, step): State => ({
          batch: given ? { kind: "data", step } : { kind: "random", seed: 0 },
          changes,
        })),
      ),
    );
    bench.base(trained, false);
    end("nearby", await explore(bench, subjects, "nearby", runs, []));
    return found;
  } finally {
    await model.close();
  }
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
function extremes(plan: Plan, slots: readonly Slot[]): State[] {
  const batch: BatchChoice = { kind: "random", seed: 0 };
  const parameters = slots.filter(({ kind }) => kind !== "input");
  const on = plan.constraints.flatMap(({ name, reach }) => {
    const stored = new Set(storedOf(plan, name).map((info) => info.name));
    const own = parameters.filter((slot) => stored.has(slot.name));
    const fills: Fill[] = [
      ...[0, 1e-40, 1e-20, 1, reach, -reach].map((value): Fill => ({ kind: "all", value })),
      ...(["spread", "signs", "rows"] as const).flatMap((kind) =>
        [1e-18, reach].map((scale): Fill => ({ kind, scale, seed: 1 })),
      ),
    ];
    return own.length ? fills.map((fill) => own.map((slot) => whole(slot, fill))) : [];
  });
  return [[], parameters.map((slot) => whole(slot, { kind: "all", value: 0 })), ...on].map((changes: Change[]) => ({
    batch,
    changes,
  }));
}

/** What was seen of a subject. */
interface Tally {
  runs: number;
  worst: number;
  beyond: Beyond | null;
  failed: State | null;
}

async function explore(
  bench: Bench,
  subjects: readonly Subject[],
  when: When,
  wanted: number | undefined,
  first: readonly State[],
): Promise<Finding[]> {
  const { slots, seed, data, vocabulary, baseOf, measure } = bench;
  const batch: BatchChoice = data ? { kind: "data", step: 0 } : { kind: "random", seed: 0 };
  await measure({ batch, changes: [] });
  const begun = performance.now();
  await measure({ batch, changes: [] });
  const ms = Math.max(0.05, performance.now() - begun);
  const runs = wanted ?? Math.max(FEWEST, Math.min(RUNS, Math.floor(BUDGET / ms)));
  const shrinks = Math.max(SHRINKS.least, Math.min(SHRINKS.most, Math.floor(SHRINKING / ms)));
  // Near a run, points stay where training moved them: a nudge would leave the manifold.
  const drawing = {
    slots: when === "drawn" ? slots : slots.filter(({ kind }) => kind !== "point"),
    about: when === "drawn" ? "far" : "near",
    data,
    vocabulary,
  } as const;
  const tallies = new Map(
    subjects.map((subject): [Subject, Tally] => [subject, { runs: 0, worst: 0, beyond: null, failed: null }]),
  );
  async function visit(state: State): Promise<Measured> {
    const measured = await measure(state);
    for (const [subject, tally] of tallies) {
      const kind = judged(subject, measured, when);
      if (kind === null) continue;
      const value = known(subject.of(measured));
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

  const own = when === "trained" ? first : first.slice(0, Math.ceil(runs / 2));
  for (const state of own) await visit(state);
  const drivers: (readonly Slot[])[] = [];
  const probed = when === "drawn" ? probes(slots, batch).slice(0, Math.ceil((runs - own.length) / 2)) : [];
  for (const { group, state, followed } of probed) {
    const measured = await visit(state);
    if (subjects.some(({ free }) => free && followed(free(measured)))) drivers.push(group);
  }
  const arbitrary = states({ ...drawing, drivers }, baseOf, shrinks);
  const left = when === "trained" ? 0 : runs - own.length - probed.length;
  if (left > 0) for (const state of sample(arbitrary, { seed, numRuns: left })) await visit(state);
  const findings: Finding[] = [];
  for (const [subject, tally] of tallies) {
    const counterexample = tally.failed ? await shrunk(subject, tally.failed) : null;
    findings.push(findingOf(subject, when, tally, counterexample));
  }
  return findings;

  /** The simplest state that was found to break it too. */
  async function shrunk(subject: Subject, state: State): Promise<Counterexample> {
    let last = { state, measured: 0 };
    await check(
      asyncProperty(arbitrary, async (tried) => {
        const measured = await measure(tried);
        const value = known(subject.of(measured));
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
}

function findingOf(
  subject: Subject,
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
  subjects: readonly Subject[],
  { source, gains }: Bench,
): Promise<Finding[]> {
  const tallies = new Map(
    subjects.map((subject) => [
      subject,
      { runs: 0, worst: 0, beyond: null, counterexample: null as Counterexample | null },
    ]),
  );
  const begun = performance.now();
  const monitor = plan.devices[model.device.name]!.entries["monitor"] ? 1 : 0;
  for await (const { step, constraints, claims } of model.train(source, { steps: STEPS, monitor })) {
    const measured: Measuring = {
      ...nothingMeasured(),
      constraint: new Map(Object.entries(constraints)),
      claim: new Map((claims ?? []).map(({ text, value }) => [text, value])),
    };
    await gains({ kind: "data", step: step - 1 }, measured);
    for (const [subject, tally] of tallies) {
      const value = known(subject.of(measured));
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
