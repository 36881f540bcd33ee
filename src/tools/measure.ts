/**
 * A model in which states are put and measured. A state is written over a base, tensor by tensor; points of manifolds,
 * where they are drawn, are then put on them by the entry `start`, as those of a start are. What is measured is every
 * scalar of two entries: `loss` (or `forward`), the kernels that training and use evaluate the page by, and `monitor`,
 * which has the claims; and gains, by `gain` and `claims` (`src/step/gains.ts`).
 */
import type { Batch, Source } from "../../runtime/data.js";
import type { Session } from "../../runtime/device.js";
import type { Model } from "../../runtime/model.js";
import { isOfTheRun, type DataInfo, type Entry, type Plan } from "../../runtime/plan.js";
import { probedOf, probesOf } from "./gains.js";
import { mainEntry, type Measured } from "./promises.js";
import { even, sizeOf, valuesOf, type BatchChoice, type Slot, type State } from "./states.js";
import { merged, recordOf, valueAt } from "../../runtime/records.js";

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
  /** Gains, and what is claimed of them, with the parameters as they are. */
  readonly gains: (batch: BatchChoice) => Promise<Measured>;
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

  async function run(name: string, own: Entry, batch: Batch): Promise<[string, number][]> {
    feed(own, batch);
    const outputs = Object.entries(own.outputs).filter(
      ([output, { shape }]) => shape.length === 0 || output === "losses",
    );
    const read = await session.run(
      name,
      outputs.map(([, ref]) => ref),
    );
    return outputs.map(([output], i) => [output, read[i]![0]!]);
  }

  const probed = entries["gain"]
    ? probedOf(entries["gain"]).map((stream) => ({ ...stream, runs: probesOf(stream) }))
    : [];

  /** The largest row and column sums of every stream, of all that is probed, and what the claims about them come to. */
  async function gains(batch: Batch): Promise<[string, number][]> {
    const own = entries["gain"];
    if (!own) return [];
    const found = new Map<string, number>();
    const nothing = probed.flatMap(({ runs }) =>
      [...runs[0]!].map(([name, { length }]) => [name, new Float32Array(length)] as const),
    );
    const outputs = Object.entries(own.outputs);
    for (let i = 0; i < Math.max(...probed.map(({ runs }) => runs.length)); i++) {
      const places = probed.flatMap(({ runs }) => [...(runs[i] ?? [])]);
      feed(own, merged(batch, recordOf([...nothing, ...places])));
      const read = await session.run(
        "gain",
        outputs.map(([, ref]) => ref),
      );
      outputs.forEach(([name], output) => {
        // A largest value of what is no number is no number.
        for (const value of read[output]!) found.set(name, Math.max(found.get(name) ?? 0, value));
      });
    }
    const sums = (stream: string): number =>
      Math.max(found.get(`gain:${stream}:rows`)!, found.get(`gain:${stream}:columns`)!);
    const measured = probed.map(({ stream }) => [`gain:${stream}`, sums(stream)] as [string, number]);
    const claims = entries["claims"];
    if (!claims) return measured;
    // Nothing goes through a stream that is not there: its gain is 1.
    const values = new Map(measured);
    const inputs = Object.keys(claims.inputs).flatMap((name) =>
      name.startsWith("gain:") ? [[name, Float32Array.of(values.get(name) ?? 1)] as const] : [],
    );
    return [...measured, ...(await run("claims", claims, merged(batch, recordOf(inputs))))];
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
    gains: async (choice) => new Map(await gains(batchOf(choice))),
    async measure({ batch: choice, changes }) {
      current = batchOf(choice);
      const fed = new Map(Object.entries(current));
      const own = new Map(changes.map((change) => [change.slot.name, change]));
      const measured = new Map<string, number>();
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
          measured.set(
            `point:${name}`,
            values.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
          );
      }
      changed = [...own.keys()];
      if (drawn && points.size) await session.run("start");
      const batch = recordOf(fed);
      for (const [name, value] of await run(main, entry, batch)) measured.set(name, value);
      if (entries["monitor"])
        for (const [name, value] of await run("monitor", entries["monitor"], batch)) measured.set(name, value);
      // Of a gain that was measured, what was read off the page counts no more.
      for (const [name, value] of await gains(batch)) measured.set(name, value);
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
