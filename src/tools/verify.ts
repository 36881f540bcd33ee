/**
 * Whether a compiled page keeps what it promises, on the device at hand: property tests of its own kernels. In many states the kernels of the entry `loss`
 * (or `forward`) say how far every value and parameter is from its set, and those of `monitor` what every claim is about. States are drawn (src/tools/states.ts) before
 * training; then a few real steps are made from the start; and of a run, its parameters over batches of its data, and states near them. What fails is shrunk.
 *
 * What is judged: a set within its tolerance, where its free coordinates are within the set's reach (beyond, nothing is promised, and what is seen is told; what
 * is not finite before it comes to the map is the page's own); in training and after it, wherever it got to. A proved claim, always: what breaks one is a
 * bug. A monitored one is measured, and fails only of what a run has trained. A set without a tolerance, and a gain that nothing is claimed of, are measured.
 */
import { asyncProperty, check, sample } from "fast-check";
import type { Batch, Source } from "../../runtime/data.js";
import type { Device, Session } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { load, type Model } from "../../runtime/model.js";
import type { Entry, ParameterInfo, Plan } from "../../runtime/plan.js";
import { reachOf } from "../manifolds/set.js";
import { sets } from "../manifolds/registry.js";
import { BEYOND } from "../passes/reach.js";
import { batchWords, even, probes, sizeOf, states, valuesOf, whole, wordsOf, type BatchChoice, type Change, type Fill, type Slot, type State } from "./states.js";

/** In which states: drawn before training, on the way from the start, with what a run has trained, and near that. */
export type When = "drawn" | "training" | "trained" | "nearby";

/** What is promised: a distance within a tolerance, a claim that is proved, a claim that is monitored, or nothing. */
export type Promised = "tolerance" | "proved" | "monitored" | "nothing";

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
  readonly ok: boolean;
  /** The largest distance or value; infinite when it was not a number, or overflowed. */
  readonly worst: number;
  /** What was seen where a set promises nothing; null when no state went there. */
  readonly beyond: Beyond | null;
  /** A state in which the limit is passed, as simple as could be found. Also of a monitored claim that holds no promise there. */
  readonly counterexample: Counterexample | null;
}

export interface Beyond {
  /** Free coordinates within this are promised to be mapped onto the set. */
  readonly reach: number;
  /** The largest distance beyond. */
  readonly worst: number;
  /** The least coordinate with which the tolerance was passed; null when it never was. */
  readonly from: number | null;
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
/** Proofs are of exact arithmetic; a norm is measured from above by Gram iteration, by less than a hundred-thousandth each, and in f32. */
const ROUNDING = 1e-3;

/** One thing that is verified. */
interface Subject {
  readonly property: string;
  readonly tensor: string;
  readonly promised: Promised;
  readonly limit: number | null;
  /** What it is, of what was measured. */
  readonly of: (measured: Measured) => number;
  /** Whether the state asks for what is promised: "over" when it goes beyond that, null when it overflows before. */
  readonly asked: (measured: Measured) => Asked;
  /** Of a set: its largest free coordinate. */
  readonly free: ((measured: Measured) => number) | null;
  readonly reach: number;
}

type Asked = "in" | "over" | null;

/** Scalars by the names that entries give them, with the draws of points by `free:NAME`. */
type Measured = ReadonlyMap<string, number>;

/** Verifies what a plan promises; it must have been compiled for the device with `monitors: "all"`. */
export async function verify(plan: Plan, device: Device, { seed: wanted, runs, source: given, checkpoint, phase }: VerifyOptions): Promise<Finding[]> {
  let session: Session | null = null;
  // The model owns its session; entries that a model does not run for itself need it too.
  const model = await load(plan, { device: { ...device, load: async (own) => (session = await device.load(own)) }, seed: wanted });
  try {
    const bench = createBench(plan, model, session!, given);
    const { subjects, source } = bench;
    const found: Finding[] = [];
    const end = (when: When, findings: readonly Finding[]): void => {
      found.push(...findings);
      phase?.(when, findings);
    };
    if (subjects.length === 0) return [];
    const start = await bench.parameters();
    const trained = checkpoint === undefined ? null : await trainedBy(model, bench, checkpoint);
    await bench.base(new Map(plan.parameters.map((info) => [info.name, initialValues(info, model.seed)])), true);
    end("drawn", await explore(bench, "drawn", runs, extremes(plan, bench.slots)));
    await bench.base(start, false);
    if (plan.train) end("training", await steps(plan, model, subjects, source));
    if (!trained) return found;
    const changes = bench.slots.flatMap((slot) => (slot.kind !== "input" ? [whole(slot, { kind: "trained", values: trained.get(slot.name)! })] : []));
    await bench.base(start, false);
    end("trained", await explore(bench, "trained", undefined, Array.from({ length: given ? BATCHES : 1 }, (_, step): State => ({ batch: given ? { kind: "data", step } : { kind: "random", seed: 0 }, changes }))));
    await bench.base(trained, false);
    end("nearby", await explore(bench, "nearby", runs, []));
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

/** A model in which states are put and measured. */
interface Bench {
  readonly subjects: readonly Subject[];
  readonly slots: readonly Slot[];
  readonly source: Source;
  readonly seed: number;
  readonly data: boolean;
  readonly vocabulary: number;
  /** The parameters as they are. */
  readonly parameters: () => Promise<Map<string, Float32Array>>;
  /** What states differ from; `drawn`: points of manifolds are put there by their maps, as those of a start are. */
  readonly base: (values: ReadonlyMap<string, Float32Array>, drawn: boolean) => Promise<void>;
  readonly baseOf: (name: string) => Float32Array;
  readonly measure: (state: State) => Promise<Measured>;
}

function createBench(plan: Plan, model: Model, session: Session, given: Source | null): Bench {
  const { entries } = plan.devices[model.device.name]!;
  const main = mainEntry(plan);
  const entry = entries[main]!;
  const text = plan.data[0] ?? null;
  const vocabulary = text === null ? 0 : text.kind === "characters" ? text.vocabulary.length : text.classes;
  const refs = Object.entries(entry.inputs);
  const size = plan.train?.batch ?? 1;
  /** A batch that is made up: tokens of the vocabulary, or labels, and numbers within +-1. */
  const madeUp = (seed: number, tokenOf: (draw: number) => number): Batch => Object.fromEntries(refs.map(([name, { shape, dtype }]) => {
    const draws = Array.from({ length: sizeOf(shape) }, (_, i) => even(seed + 1, i));
    return [name, dtype === "u32" ? Uint32Array.from(draws, tokenOf) : Float32Array.from(draws, (draw) => 2 * draw - 1)];
  }));
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
      case "data": return source.batch(size, model.seed, choice.step);
      case "random": return random(choice.seed);
      case "same": return madeUp(0, () => choice.token);
      default: return choice satisfies never;
    }
  };

  async function run(name: string, own: Entry, batch: Batch): Promise<[string, number][]> {
    for (const [input, ref] of Object.entries(own.inputs)) session.write(ref, batch[input]!);
    const outputs = Object.entries(own.outputs).filter(([output, { shape }]) => shape.length === 0 || output === "losses");
    const read = await session.run(name, outputs.map(([, ref]) => ref));
    return outputs.map(([output], i) => [output, read[i]![0]!]);
  }

  return {
    subjects: subjectsOf(plan, entries), slots, source, seed: model.seed, data: given !== null, vocabulary,
    parameters: async () => new Map(await Promise.all(plan.parameters.map(async ({ name }) => [name, await access[name]!.get()] as const))),
    async base(values, throughMaps) {
      for (const [name, value] of values) access[name]!.set(value);
      [base, drawn, changed] = [values, throughMaps, []];
    },
    baseOf: (name) => base.get(name) ?? (current[name] as Float32Array),
    async measure({ batch: choice, changes }) {
      current = batchOf(choice);
      const batch: Record<string, Float32Array | Uint32Array> = { ...current };
      const own = new Map(changes.map((change) => [change.slot.name, change]));
      const measured = new Map<string, number>();
      // Points are where their map has put them: what was drawn is written anew.
      for (const name of new Set([...changed, ...own.keys(), ...(drawn ? points : [])])) {
        const change = own.get(name);
        if (change?.slot.kind === "input") {
          batch[name] = valuesOf(change, batch[name] as Float32Array);
          continue;
        }
        if (!access[name]) continue;
        const values = change ? valuesOf(change, base.get(name)!) : base.get(name)!;
        access[name].set(values);
        if (drawn && points.has(name)) measured.set(`point:${name}`, values.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
      }
      changed = [...own.keys()];
      if (drawn && points.size) await session.run("start");
      for (const [name, value] of await run(main, entry, batch)) measured.set(name, value);
      if (entries["monitor"]) for (const [name, value] of await run("monitor", entries["monitor"], batch)) measured.set(name, value);
      return measured;
    },
  };
}

/** What there is to verify, in the order of the page: sets, claims, and gains of which nothing is claimed. */
function subjectsOf(plan: Plan, entries: Readonly<Record<string, Entry>>): Subject[] {
  const watched = Object.keys(entries["monitor"]?.outputs ?? {});
  const members = plan.constraints.filter(({ name }) => entries[mainEntry(plan)]!.outputs[`constraint:${name}`]).map(({ name, manifold, tolerance }): Subject => {
    const reach = reachOf(sets[manifold]!);
    const points = storedOf(plan, name).filter(({ point }) => point).map((info) => `point:${info.name}`);
    const free = (measured: Measured): number => Math.max(...[`free:${name}`, ...points].map((own) => measured.get(own) ?? 0));
    return {
      property: `on ${manifold}`, tensor: name, promised: tolerance === null ? "nothing" : "tolerance", limit: tolerance, reach, free,
      of: (measured) => ((measured.get(`lost:${name}`) ?? 0) > 0 ? Number.NaN : measured.get(`constraint:${name}`)!),
      asked(measured) {
        const far = free(measured);
        return far >= BEYOND ? null : far > reach ? "over" : "in";
      },
    };
  });
  // A claim is proved of members: it says nothing of a state in which a set is not asked for what it promises.
  const asked = (measured: Measured): Asked => {
    const all = members.map((member) => member.asked(measured));
    return all.includes(null) ? null : all.includes("over") ? "over" : "in";
  };
  const within = { asked, free: null, reach: Number.POSITIVE_INFINITY };
  const claims = plan.claims.map(({ text, bound, monitored, proof }): Subject => ({
    property: text, tensor: [...text.matchAll(/(?:gain|norm(?:\[[^\]]*\])?)\(([^()]+)\)/g)].map(([, name]) => name!).join(", "),
    promised: proof ? "proved" : monitored ? "monitored" : "nothing", limit: bound, of: (measured) => measured.get(`claim:${text}`)!, ...within,
  }));
  const streams = [...new Set(watched.flatMap((name) => (name.startsWith("monitor:gain:") ? [name.split(":")[2]!] : [])))];
  const gains = streams.filter((stream) => !plan.claims.some(({ text }) => text.startsWith(`gain(${stream}) <=`))).map((stream): Subject => ({
    property: "gain", tensor: stream, promised: "nothing", limit: null, ...within,
    of: (measured) => Math.max(measured.get(`monitor:gain:${stream}:forward`)!, measured.get(`monitor:gain:${stream}:backward`)!),
  }));
  return [...members, ...claims, ...gains];
}

/** The entry that measures distances: of a page with inputs it is that which makes its outputs. */
const mainEntry = (plan: Plan): string => (plan.train ? "loss" : "forward");

/** What is stored of a parameter on a set, in all its layers: itself, or its pieces. */
function storedOf({ parameters }: Plan, constraint: string): readonly ParameterInfo[] {
  const pattern = new RegExp(`^${constraint.replaceAll(".", "\\.").replaceAll("*", "\\d+")}(\\.\\w+)?$`);
  return parameters.filter(({ name }) => pattern.test(name));
}

/** By how much a limit may be passed. */
const allowed = ({ promised, limit }: Subject): number => limit! * (promised === "proved" ? 1 + ROUNDING : 1);

/** Whether a value passes its limit; what is no number does. */
const passes = (subject: Subject, value: number): boolean => subject.limit !== null && !(value <= allowed(subject));

/** Whether passing the limit in such states is a failure. */
const fails = ({ promised }: Subject, when: When): boolean => promised === "tolerance" || promised === "proved" || (promised === "monitored" && when === "trained");

/** States that are always tried: the base, nothing but zeros, and every parameter on a set with what sets are sensitive to: numbers that have no square in f32, equal ones, and the ends. */
function extremes(plan: Plan, slots: readonly Slot[]): State[] {
  const batch: BatchChoice = { kind: "random", seed: 0 };
  const parameters = slots.filter(({ kind }) => kind !== "input");
  const on = plan.constraints.flatMap(({ name, manifold }) => {
    const stored = new Set(storedOf(plan, name).map((info) => info.name));
    const own = parameters.filter((slot) => stored.has(slot.name));
    const reach = reachOf(sets[manifold]!);
    const fills: Fill[] = [
      ...[0, 1e-40, 1e-20, 1, reach, -reach].map((value): Fill => ({ kind: "all", value })),
      ...(["spread", "signs", "rows"] as const).flatMap((kind) => [1e-18, reach].map((scale): Fill => ({ kind, scale, seed: 1 }))),
    ];
    return own.length ? fills.map((fill) => own.map((slot) => whole(slot, fill))) : [];
  });
  return [[], parameters.map((slot) => whole(slot, { kind: "all", value: 0 })), ...on].map((changes: Change[]) => ({ batch, changes }));
}

/** What was seen of a subject. */
interface Tally {
  runs: number;
  worst: number;
  beyond: Beyond | null;
  failed: State | null;
}

/** Whether a state is judged: what was trained always is. */
const judged = (subject: Subject, measured: Measured, when: When): Asked => (when === "trained" ? "in" : subject.asked(measured));

async function explore(bench: Bench, when: When, wanted: number | undefined, first: readonly State[]): Promise<Finding[]> {
  const { subjects, slots, seed, data, vocabulary, baseOf, measure } = bench;
  const batch: BatchChoice = data ? { kind: "data", step: 0 } : { kind: "random", seed: 0 };
  await measure({ batch, changes: [] });
  const begun = performance.now();
  await measure({ batch, changes: [] });
  const ms = Math.max(0.05, performance.now() - begun);
  const runs = wanted ?? Math.max(FEWEST, Math.min(RUNS, Math.floor(BUDGET / ms)));
  const shrinks = Math.max(SHRINKS.least, Math.min(SHRINKS.most, Math.floor(SHRINKING / ms)));
  // Near a run, points stay where training moved them: a nudge would leave the manifold.
  const drawing = { slots: when === "drawn" ? slots : slots.filter(({ kind }) => kind !== "point"), about: when === "drawn" ? "far" : "near", data, vocabulary } as const;
  const tallies = new Map(subjects.map((subject): [Subject, Tally] => [subject, { runs: 0, worst: 0, beyond: null, failed: null }]));
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
  if (when !== "trained") for (const state of sample(arbitrary, { seed, numRuns: Math.max(0, runs - own.length - probed.length) })) await visit(state);
  const findings: Finding[] = [];
  for (const [subject, tally] of tallies) {
    const counterexample = tally.failed ? await shrunk(subject, tally.failed) : null;
    findings.push(findingOf(subject, when, tally, counterexample));
  }
  return findings;

  /** The simplest state that was found to break it too. */
  async function shrunk(subject: Subject, state: State): Promise<Counterexample> {
    let last = { state, measured: 0 };
    await check(asyncProperty(arbitrary, async (tried) => {
      const measured = await measure(tried);
      const value = known(subject.of(measured));
      const broken = judged(subject, measured, when) === "in" && passes(subject, value);
      if (broken) last = { state: tried, measured: value };
      return !broken;
    }), { seed, numRuns: 1, examples: [[state]] });
    return { state: [...wordsOf(last.state), `everything else as ${when === "nearby" ? "trained" : "it starts"}`], measured: last.measured, seed };
  }
}

function further(subject: Subject, before: Beyond | null, value: number, coordinate: number): Beyond {
  const from = passes(subject, value) ? Math.min(before?.from ?? Number.POSITIVE_INFINITY, coordinate) : (before?.from ?? null);
  return { reach: subject.reach, worst: Math.max(before?.worst ?? 0, value), from };
}

/** What is no number is as far off as can be. */
const known = (value: number): number => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : value);

function findingOf(subject: Subject, when: When, { runs, worst, beyond }: Omit<Tally, "failed">, counterexample: Counterexample | null): Finding {
  const { property, tensor, promised, limit } = subject;
  return { property, tensor, when, promised, limit, runs, ok: counterexample === null || !fails(subject, when), worst, beyond, counterexample };
}

/** A few steps as training makes them, at the rate of the page: its own kernels and optimizer. */
async function steps(plan: Plan, model: Model, subjects: readonly Subject[], source: Source): Promise<Finding[]> {
  const tallies = new Map(subjects.map((subject) => [subject, { runs: 0, worst: 0, beyond: null, counterexample: null as Counterexample | null }]));
  const begun = performance.now();
  const monitor = plan.devices[model.device.name]!.entries["monitor"] ? 1 : 0;
  for await (const { step, constraints, monitors, claims } of model.train(source, { steps: STEPS, monitor })) {
    const measured: Measured = new Map([
      ...Object.entries(constraints).map(([name, value]) => [`constraint:${name}`, value] as const),
      ...Object.entries(monitors ?? {}).map(([name, value]) => [`monitor:${name}`, value] as const),
      ...(claims ?? []).map(({ text, value }) => [`claim:${text}`, value] as const),
    ]);
    for (const [subject, tally] of tallies) {
      const value = known(subject.of(measured));
      tally.runs++;
      tally.worst = Math.max(tally.worst, value);
      if (passes(subject, value)) tally.counterexample ??= { state: [`step ${step} from the start`, batchWords({ kind: "data", step: step - 1 })], measured: value, seed: model.seed };
    }
    if (performance.now() - begun > TRAINING) break;
  }
  return [...tallies].map(([subject, tally]) => findingOf(subject, "training", tally, tally.counterexample));
}
