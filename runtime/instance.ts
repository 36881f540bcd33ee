/**
 * A compiled model on a device: what all calls on it share. It changes only within a turn (`turns.ts`), and what is
 * here takes none itself: whoever calls it holds one.
 */
import type { Device, Session, Words } from "./device.js";
import { sizeOf } from "./device.js";
import { DataError, NumericError, type NumericReport } from "./errors.js";
import { findNotFinite, inWords, type Looked } from "./finite.js";
import type { Entry, ParameterInfo, Plan, StateInfo, TensorRef } from "./plan.js";
import { mustAt } from "./lookup.js";
import { mustValue, valueAt } from "./records.js";
import type { OfOutput, OutputRole } from "./roles.js";
import type { Closing } from "./choose.js";
import { firstGates } from "./shrink.js";
import { described, type TextForm } from "./sources.js";

/** What all calls on a model share. */
export interface ModelInstance {
  readonly device: Device;
  readonly seed: number;
  /** These three change when the model shrinks. */
  plan: Plan;
  session: Session;
  entries: Readonly<Record<string, Entry>>;
  /** Steps trained so far. */
  step: number;
  /** The last step whose loss was finite. */
  lastFinite: number | null;
  /** Gates that are being decided. */
  closing: Closing | null;
}

type Stored = Pick<ParameterInfo | StateInfo, "offset" | "shape">;

/** Where a parameter or a state lies. */
export const stateRef = ({ offset, shape }: Stored): TensorRef => ({ pool: "state", offset, shape, dtype: "f32" });

/** The values of a parameter or a state, row-major. */
export const readState = async ({ session }: ModelInstance, info: Stored): Promise<Float32Array> =>
  (await session.read(stateRef(info))) as Float32Array;

/** A state before the first step. */
export function atStart({ shrinking, roles }: Plan, state: StateInfo): Float32Array {
  const { name, shape, start = 0 } = state;
  const { kind } = mustValue(roles.states, name);
  if (!shrinking || (kind !== "gates" && kind !== "gateUnits")) return new Float32Array(sizeOf(state)).fill(start);
  const { logits, units } = firstGates(shrinking, mustAt(shape, 0), start);
  return kind === "gates" ? logits : units;
}

/** The text that the page trains on, which can be continued; null when its data is of another kind. */
export const textOf = ({ data }: Pick<Plan, "data">): TextForm | null =>
  data.map((info) => described(info)).find(({ text }) => text)?.text ?? null;

/** The entry of a name. `what`: what the model cannot do without it, for the error. */
export function entryOf({ plan, entries }: ModelInstance, name: string, what: string): Entry {
  const entry = valueAt(entries, name);
  if (!entry) {
    throw new DataError(`${plan.name} cannot ${what}: its spec has ${plan.train ? "no `output`" : "no `loss`"}`);
  }
  return entry;
}

/** Kinds of outputs that an entry is run for. */
export type WantedKinds = ReadonlySet<OutputRole["kind"]>;

/** The outputs of an entry, with what they are. */
export function outputsOf({ plan, entries }: ModelInstance, name: string): readonly OfOutput<TensorRef>[] {
  const { outputs: roles } = mustValue(plan.roles.entries, name);
  return Object.entries(mustValue(entries, name).outputs).map(([id, ref]) => [mustValue(roles, id), ref] as const);
}

/**
 * Runs an entry that has been fed, and reads its outputs of the kinds that are asked for, all when it is not said, in
 * one submission.
 */
export async function runEntry(
  instance: ModelInstance,
  name: string,
  wanted: WantedKinds | null,
): Promise<readonly OfOutput<Words>[]> {
  const outputs = outputsOf(instance, name).filter(([{ kind }]) => !wanted || wanted.has(kind));
  const read = await instance.session.run(
    name,
    outputs.map(([, ref]) => ref),
  );
  return outputs.map(([role], i) => [role, mustAt(read, i)] as const);
}

/** The first number of each: the values of outputs that are scalars. */
export const scalarsOf = (results: readonly OfOutput<Words>[]): readonly OfOutput<number>[] =>
  results.map(([role, words]) => [role, mustAt(words, 0)] as const);

/** The tensors that are not finite now, in words and as a report of a step. */
export async function examine(
  instance: ModelInstance,
  step: number,
  more: Partial<Looked> = {},
): Promise<{ readonly words: string | null; readonly report: NumericReport }> {
  const { plan, lastFinite } = instance;
  const tensors = await findNotFinite({ plan, read: (info) => readState(instance, info), ...more });
  return { words: inWords(tensors), report: { step, lastFinite, tensors, checkpoint: null } };
}

/** An error of numbers that are not finite. `text` is handed the tensors, in words; null when all are finite. */
export async function notFinite(
  instance: ModelInstance,
  step: number,
  text: (tensors: string | null) => string,
  more: Partial<Looked> = {},
): Promise<NumericError> {
  const { words, report } = await examine(instance, step, more);
  return new NumericError(text(words), adviceFor(instance, report), report);
}

const DOMAIN = "a root or a logarithm of what is not positive, or a division by zero";

/**
 * By what was not finite first. Where all that the step is computed from is finite, an operation is what made it so:
 * before any step that is not the rate's doing.
 */
function adviceFor(instance: ModelInstance, { tensors, lastFinite }: NumericReport): string {
  const kind = tensors[0]?.kind ?? "gradient";
  switch (kind) {
    case "input":
      return "look at the data";
    case "parameter":
    case "state":
      return calmer(instance);
    case "gradient":
      if (lastFinite === null)
        return (
          `no step was made yet, so it is not the rate: look in the page for ${DOMAIN}, and for starts that are ` +
          "too large"
        );
      return `${calmer(instance)}; or look in the page for ${DOMAIN}`;
    default:
      return kind satisfies never;
  }
}

/** What to do about numbers that training has let grow. */
export function calmer({ plan, device }: ModelInstance): string {
  const half = mustValue(plan.devices, device.name).pools.half > 0;
  return half
    ? "lower the rate, clip the gradients, or take `precision = f32`: half precision ends at 65,504"
    : "lower the rate, or clip the gradients";
}
