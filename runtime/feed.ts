/**
 * What an entry is fed with, checked when a call comes in and written when its turn comes. Between the two lies a
 * copy, so that what a caller does to his arrays meanwhile changes nothing. All of a batch is checked before anything
 * of it is written. Tokens, labels and names are indices of rows: one beyond its table would be read from whatever
 * lies behind it.
 */
import { describe, floatsOf, isObject, numbersOf } from "./check.js";
import { sourceOfText } from "./batches.js";
import type { Batch, Source } from "./data.js";
import { sizeOf, type Words } from "./device.js";
import { DataError, NumericError } from "./errors.js";
import { countNotFinite, inWords } from "./finite.js";
import { entryOf, type ModelInstance } from "./instance.js";
import { mustGet } from "./lookup.js";
import { isOfTheRun, type Entry, type Plan, type TensorRef } from "./plan.js";
import { valueAt } from "./records.js";
import { described, fieldsOf, rangeOfField, type IndexRange } from "./sources.js";

/** Copies of what an entry takes, by input: of the right length, within range, finite. */
export type Fed = ReadonlyMap<string, Words>;

/** Whether a page declares an input: a field of its data, or an input of its own. */
const isDeclared = ({ data, inputs }: Plan, name: string): boolean =>
  data.some((source) => fieldsOf(source).includes(name)) || Object.hasOwn(inputs, name);

/**
 * Checks the values of an entry, and copies them. Throws DataError for one that is missing, not known, of another
 * length, no number, or an index beyond its table, and NumericError for one that is not finite. `room` has the copies
 * of an earlier call of the same entry, which are written over: a step of training makes no garbage of its batch.
 */
export function checkedFor(instance: ModelInstance, name: string, what: string, values: unknown, room?: Fed): Fed {
  const entry = entryOf(instance, name, what);
  if (!isObject(values) || ArrayBuffer.isView(values)) {
    throw new DataError(
      `${instance.plan.name} takes arrays by name, and this is ${describe(values)}`,
      `there are ${listed(entry)}`,
    );
  }
  for (const input of Object.keys(values)) {
    const ref = valueAt(entry.inputs, input);
    // What the page declares and this entry does not read is left out: monitors read no labels.
    if (ref ? !isOfTheRun(input, ref) : isDeclared(instance.plan, input)) continue;
    throw new DataError(`there is no input \`${input}\``, `there are ${listed(entry)}`);
  }
  const fed = new Map<string, Words>();
  for (const [input, ref] of Object.entries(entry.inputs)) {
    if (isOfTheRun(input, ref)) continue;
    const value = valueAt(values, input);
    if (value === undefined) {
      throw new DataError(`\`${input}\` is missing`, `it has the shape [${ref.shape.join(", ")}]`);
    }
    fed.set(input, checkedTensor(instance, input, ref, value, room?.get(input)));
  }
  return fed;
}

const listed = ({ inputs }: Entry): string =>
  Object.entries(inputs)
    .flatMap(([name, ref]) => (isOfTheRun(name, ref) ? [] : [`\`${name}\``]))
    .join(", ") || "none";

function checkedTensor(instance: ModelInstance, name: string, ref: TensorRef, value: unknown, before?: Words): Words {
  const values = numbersOf(name, value);
  const size = sizeOf(ref);
  if (values.length !== size) {
    throw new DataError(
      `\`${name}\` has ${values.length} values, and its shape [${ref.shape.join(", ")}] takes ${size}`,
    );
  }
  const room = before?.length === size ? before : undefined;
  if (ref.dtype === "u32")
    return indicesOf(name, values, rangeOfField(instance.plan.data, name), room as Uint32Array | undefined);
  const floats = floatsOf(name, values, room as Float32Array | undefined);
  const count = countNotFinite(floats);
  if (!count) return floats;
  const tensors = [{ kind: "input", name, count, size }] as const;
  const report = { step: instance.step + 1, lastFinite: instance.lastFinite, tensors, checkpoint: null };
  throw new NumericError(inWords(tensors) ?? `\`${name}\` is not finite`, "look at the data", report);
}

function indicesOf(name: string, values: ArrayLike<number>, range: IndexRange | null, room?: Uint32Array): Uint32Array {
  const size = range?.size ?? 2 ** 32;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isInteger(value) && value >= 0 && value < size) continue;
    const what = range ? `there are ${size} ${range.what}, 0 to ${size - 1}` : "an index of 32 bits is expected";
    throw new DataError(
      `\`${name}\` holds ${value} at place ${i}: ${what}`,
      "encode the data with the plan that the model was compiled to",
    );
  }
  const indices = room ?? new Uint32Array(values.length);
  indices.set(values);
  return indices;
}

/** Writes what was checked, with the scalars of the run as they are at this turn. */
export function write({ session, step, seed }: ModelInstance, entry: Entry, fed: Fed): void {
  for (const [name, ref] of Object.entries(entry.inputs)) {
    // Schedules need the step everywhere: it is the one that would come next.
    session.write(ref, isOfTheRun(name, ref) ? Uint32Array.of(name === "step" ? step : seed) : mustGet(fed, name));
  }
}

/** The batches of what a call was given: a source as it is, text as the page's data says. */
export function sourceOf({ name, data, train }: Plan, source: unknown): Source {
  if (!train) throw new DataError(`${name} cannot be trained or evaluated on data: its spec has no \`loss\``);
  const written = data.find((info) => described(info).written !== null);
  if (typeof source === "string") {
    const batches = written && sourceOfText(written, source);
    if (batches) return batches;
    throw new DataError(`${name} does not train on text`, SOURCES);
  }
  if (isSource(source)) return source;
  const wanted = written ? "text or a source of batches" : "a source of batches";
  throw new DataError(`${name} takes ${wanted}, and this is ${describe(source)}`, SOURCES);
}

const SOURCES = "a source has the functions `batch` and `holdout`: see `textSource` and `examplesSource`";

const isSource = (source: unknown): source is Source =>
  isObject(source) && typeof source["batch"] === "function" && typeof source["holdout"] === "function";

/** The batch of a training step, by a source that may be a caller's own. */
export function batchOf(instance: ModelInstance, source: Source, size: number): Batch {
  const { seed, step } = instance;
  const batch: unknown = source.batch(size, seed, step);
  if (isObject(batch) && typeof batch["then"] === "function") {
    throw new DataError(
      `the source's batch of step ${step} is a promise`,
      "a source gives its batches at once: read the data before training",
    );
  }
  return batch as Batch;
}
