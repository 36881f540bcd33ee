/**
 * What a model's calls do: each checks what it was given at once, and then takes one turn, in which it feeds an entry,
 * runs it and reads back. `model.ts` makes methods of them.
 */
import { describe, isObject, numbersOf, floatsOf, optionsOf, signalOf, whole } from "./check.js";
import { decode, encode } from "./checkpoint.js";
import type { Batch, Source } from "./data.js";
import { sizeOf, type Words } from "./device.js";
import { DataError, NumericError } from "./errors.js";
import { checkedFor, sourceOf, write, type Fed } from "./feed.js";
import { continuationOf, continued, headOf, textMadeBy, type GenerateOptions, type Inputs } from "./generate.js";
import type { Files, Host } from "./host.js";
import {
  calmer,
  entryOf,
  examine,
  notFinite,
  outputsOf,
  readState,
  runEntry,
  scalarsOf,
  stateRef,
  type ModelInstance,
  type WantedKinds,
} from "./instance.js";
import type { CallOptions, Evaluation, Model, ParameterAccess, Restored } from "./interface.js";
import { mustAt, mustGet } from "./lookup.js";
import { mustTrain, type ParameterInfo } from "./plan.js";
import { merged, mustValue, recordOf } from "./records.js";
import { encoded, metadataOf, restore, tensorsOf } from "./restore.js";
import { mustSingle, named, type OfOutput } from "./roles.js";
import type { Turns } from "./turns.js";

/** A model that is called: its instance, the queue of its calls, and the host whose files it reads and writes. */
export interface Called {
  readonly host: Host;
  readonly instance: ModelInstance;
  readonly turns: Turns;
}

/** What calls ask of the entries that they run. */
const LOSSES: WantedKinds = new Set(["losses"]);
const MEASURED: WantedKinds = new Set(["losses", "term", "metric"]);
const EVALUATED: WantedKinds = new Set(["losses", "term", "metric", "constraint"]);
const DIFFERENTIATED: WantedKinds = new Set(["loss", "gradient"]);
const OUTPUTS: WantedKinds = new Set(["output"]);
const LOGITS: WantedKinds = new Set(["logits"]);

const FINITE = "all parameters are finite";

type Result<K extends keyof Model> = Model[K] extends (...args: never) => infer R ? R : never;

/** Feeds an entry, runs it, and reads back, in one turn. */
const runWith = (
  { instance, turns }: Called,
  name: string,
  fed: Fed,
  wanted: WantedKinds | null,
): Promise<readonly OfOutput<Words>[]> =>
  turns.take(() => {
    write(instance, mustValue(instance.entries, name), fed);
    return runEntry(instance, name, wanted);
  });

/** See `Model.holdout`. */
export async function holdout(
  { instance, turns }: Called,
  data: Source | string,
  options: CallOptions | undefined,
): Result<"holdout"> {
  const signal = signalOf(optionsOf("holdout", options).signal);
  entryOf(instance, "loss", "be evaluated");
  const source = sourceOf(instance.plan, data);
  return (await turns.take(() => meansOf(instance, source, LOSSES, signal), signal)).loss;
}

/** See `Model.measure`. */
export async function measure(
  { instance, turns }: Called,
  data: Source | string,
  options: CallOptions | undefined,
): Result<"measure"> {
  const signal = signalOf(optionsOf("measure", options).signal);
  entryOf(instance, "loss", "be evaluated");
  const source = sourceOf(instance.plan, data);
  return turns.take(() => meansOf(instance, source, MEASURED, signal), signal);
}

/** See `Model.evaluate`. */
export async function evaluate(called: Called, batch: Batch): Result<"evaluate"> {
  const fed = checkedFor(called.instance, "loss", "be evaluated", batch);
  const results = await runWith(called, "loss", fed, EVALUATED);
  const losses = mustSingle("losses", results);
  const mean = (values: Words): number => sumOf(values, values.length) / values.length;
  const meansOfKind = (kind: "term" | "metric"): Readonly<Record<string, number>> =>
    recordOf(Object.entries(named(kind, results)).map(([name, values]) => [name, mean(values)]));
  return {
    loss: mean(losses),
    terms: meansOfKind("term"),
    metrics: meansOfKind("metric"),
    constraints: named("constraint", scalarsOf(results)),
  };
}

/** The sum of the first values, in doubles. */
const sumOf = (values: Words, count: number): number =>
  Array.from(values.subarray(0, count)).reduce((sum, each) => sum + each, 0);

/** See `Model.gradients`. */
export async function gradients(called: Called, batch: Batch): Result<"gradients"> {
  const fed = checkedFor(called.instance, "gradients", "be differentiated", batch);
  const results = await runWith(called, "gradients", fed, DIFFERENTIATED);
  return { loss: mustAt(mustSingle("loss", results), 0), gradients: namedFloats("gradient", results) };
}

/** See `Model.forward`. */
export async function forward(called: Called, inputs: Batch): Result<"forward"> {
  const name = called.instance.plan.train ? "outputs" : "forward";
  const fed = checkedFor(called.instance, name, "compute outputs", inputs);
  return namedFloats("output", await runWith(called, name, fed, OUTPUTS));
}

/** See `Model.vjp`. */
export async function vjp(called: Called, inputs: Batch, cotangents: Batch): Result<"vjp"> {
  const { instance } = called;
  entryOf(instance, "vjp", "be differentiated");
  if (!isObject(cotangents)) {
    throw new DataError(`the cotangents are ${describe(cotangents)}, and arrays by output are expected`);
  }
  const values = isObject(inputs) ? merged(inputs, cotangentsById(instance, cotangents)) : inputs;
  const fed = checkedFor(instance, "vjp", "be differentiated", values);
  const results = await runWith(called, "vjp", fed, null);
  return { inputs: namedFloats("cotangent", results), parameters: namedFloats("gradient", results) };
}

/** Results of floats of one kind, by what they are of. */
const namedFloats = (
  kind: "gradient" | "cotangent" | "output" | "logits",
  results: readonly OfOutput<Words>[],
): Readonly<Record<string, Float32Array>> => named(kind, results) as Readonly<Record<string, Float32Array>>;

/** See `Model.generate`. */
export async function generate(
  { instance, turns }: Called,
  prompt: string,
  options: GenerateOptions | undefined,
): Result<"generate"> {
  const text = textMadeBy(instance.plan);
  if (text instanceof DataError) throw text;
  const heads = Object.keys(named("logits", outputsOf(instance, "forward")));
  const head = headOf(instance.plan.name, heads, options?.head);
  if (head === null) throw new DataError(`${instance.plan.name} does not generate text`);
  const continuation = continuationOf(text, prompt, options, instance.seed);
  const logitsOf = async (inputs: Inputs): Promise<Float32Array> => {
    write(instance, mustValue(instance.entries, "forward"), inputs);
    return mustValue(namedFloats("logits", await runEntry(instance, "forward", LOGITS)), head);
  };
  const broken = (): Promise<NumericError> =>
    notFinite(
      instance,
      instance.step,
      (words) => `the scores of the next character are not finite after step ${instance.step}: ${words ?? FINITE}`,
    );
  return turns.take(() => continued(text, continuation, logitsOf, broken), continuation.signal);
}

/** See `Model.checkpoint`. */
export const checkpoint = ({ instance, turns }: Called): Result<"checkpoint"> => turns.take(() => encoded(instance));

/** See `Model.save`. */
export async function save({ host, instance, turns }: Called, path: string): Result<"save"> {
  if (typeof path !== "string" || path === "") {
    throw new DataError(`\`save\` takes the path of a file, and this is ${describe(path)}`);
  }
  const files = filesOf(host);
  const bytes = await turns.take(async () => {
    const tensors = await tensorsOf(instance);
    const read = (_: unknown, name: string): Promise<Float32Array> => Promise.resolve(mustGet(tensors, name).data);
    const { words, report } = await examine(instance, instance.step, { read });
    if (!words) return encode({ tensors, metadata: metadataOf(instance) });
    const what = `the checkpoint of step ${instance.step} is not written: ${words}`;
    throw new NumericError(what, calmer(instance), report);
  });
  await files.writeAtomically(path, bytes);
}

/** See `Model.load`. */
export async function load({ host, instance, turns }: Called, from: string | Uint8Array): Result<"load"> {
  if (typeof from !== "string") {
    const decoded = decode(from);
    return turns.take(() => restore(instance, decoded));
  }
  // The file is read within the turn, so that what is called after this comes after it.
  return turns.take(() => restoreFrom(instance, filesOf(host), from));
}

/** See `Model.parameters`. */
export const parameters = (called: Called): Result<"parameters"> =>
  recordOf(called.instance.plan.parameters.map((info) => [info.name, accessTo(called, info)]));

/** The host's files. Throws DataError where it has none. */
function filesOf({ files }: Host): Files {
  if (files) return files;
  throw new DataError(
    "a page reads and writes no files",
    "take the bytes of a checkpoint: `await model.checkpoint()`, `await model.load(bytes)`",
  );
}

/** Cotangents of outputs by the inputs of the entry `vjp` that take them. */
function cotangentsById(
  { plan }: ModelInstance,
  cotangents: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const roles = mustValue(plan.roles.entries, "vjp").inputs;
  const ids = new Map(
    Object.entries(roles).flatMap(([id, role]) => (role.kind === "cotangent" ? [[role.name, id] as const] : [])),
  );
  // One of no output is refused under the name that it would have.
  return recordOf(
    Object.entries(cotangents).map(([name, values]) => [ids.get(name) ?? `cotangent:${name}`, values] as const),
  );
}

/** Means over what a source holds out, of the kinds that are asked for. */
async function meansOf(
  instance: ModelInstance,
  source: Source,
  wanted: WantedKinds,
  signal: AbortSignal | undefined,
): Promise<Evaluation> {
  const { plan, entries } = instance;
  const size = mustTrain(plan).batch;
  const totals: Record<"term" | "metric", Map<string, number>> = { term: new Map(), metric: new Map() };
  let total = 0;
  let examples = 0;
  for (const part of source.holdout(size)) {
    if (signal?.aborted) throw signal.reason;
    const { batch, count } = isObject(part) ? part : { batch: part, count: size };
    write(instance, mustValue(entries, "loss"), checkedFor(instance, "loss", "be evaluated", batch));
    const results = await runEntry(instance, "loss", wanted);
    const losses = mustSingle("losses", results);
    const real = whole("count", count, 1, size);
    for (let i = 0; i < real; i++) total += mustAt(losses, i);
    for (const [role, values] of results)
      if (role.kind === "term" || role.kind === "metric") {
        const sums = totals[role.kind];
        sums.set(role.name, (sums.get(role.name) ?? 0) + sumOf(values, real));
      }
    examples += real;
  }
  if (examples === 0) {
    throw new DataError(`the data of ${plan.name} holds nothing out to evaluate on`, "hold out a share of it");
  }
  const means = (sums: ReadonlyMap<string, number>): Readonly<Record<string, number>> =>
    recordOf([...sums].map(([name, sum]) => [name, sum / examples]));
  if (Number.isFinite(total))
    return { loss: total / examples, terms: means(totals.term), metrics: means(totals.metric), examples };
  throw await notFinite(
    instance,
    instance.step,
    (words) =>
      `the hold-out loss is ${total / examples} after step ${instance.step}${words ? `: ${words}` : `, and ${FINITE}`}`,
  );
}

async function restoreFrom(instance: ModelInstance, files: Files, path: string): Promise<Restored> {
  const bytes = await files.readBytes(path);
  try {
    return await restore(instance, decode(bytes));
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${path}: ${error.message}`, error.fix);
    throw error;
  }
}

function accessTo({ instance, turns }: Called, { name, shape, axes }: ParameterInfo): ParameterAccess {
  /** Where it lies now: a model that has shrunk has others, or of another size. */
  const now = (): ParameterInfo => {
    const info = instance.plan.parameters.find((parameter) => parameter.name === name);
    if (!info) {
      throw new DataError(`\`${name}\` is gone: ${instance.plan.name} has shrunk`, "ask for `parameters()` again");
    }
    return info;
  };
  const fitting = (values: ArrayLike<number>): ParameterInfo => {
    const info = now();
    if (values.length !== sizeOf(info)) {
      throw new DataError(`\`${name}\` has ${sizeOf(info)} values, not ${values.length}`);
    }
    return info;
  };
  return {
    shape,
    axes,
    get: () => turns.take(() => readState(instance, now())),
    set(numbers) {
      turns.check();
      const values = numbersOf(name, numbers);
      fitting(values);
      const copy = floatsOf(name, values);
      const written = turns.take(() => instance.session.write(stateRef(fitting(copy)), copy));
      // Whoever does not wait for it is told by the next call.
      written.catch(() => undefined);
      return written;
    },
  };
}
