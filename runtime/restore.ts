/**
 * A model's parameters and states as the tensors of a checkpoint, and back. Everything is checked before anything is
 * written, so that a wrong file leaves the model as it was. A parameter must be there; a state that is missing
 * (`state:momentum` in a file of parameters alone) begins as at step 0; what the model does not have is refused, since
 * it would be lost at the next save. Moments of a parameter that the page has frozen since are left out instead, and
 * named.
 */
import { U32_MAX } from "./check.js";
import { encode, stateTensor, type Checkpoint } from "./checkpoint.js";
import { sizeOf } from "./device.js";
import { DataError } from "./errors.js";
import { findNotFinite, inWords } from "./finite.js";
import { mustGet } from "./lookup.js";
import { atStart, readState, stateRef, type ModelInstance } from "./instance.js";
import type { Restored } from "./interface.js";
import type { ParameterInfo, Plan, StateInfo } from "./plan.js";

type Tensors = Checkpoint["tensors"];

interface Wanted {
  readonly info: ParameterInfo | StateInfo;
  /** As a checkpoint calls it. */
  readonly name: string;
  /** What it holds where a checkpoint does not have it; null for a parameter, which must be there. */
  readonly start: (() => Float32Array) | null;
}

const wantedOf = (plan: Plan): Wanted[] => [
  ...plan.parameters.map((info): Wanted => ({ info, name: info.name, start: null })),
  ...plan.states.map((info): Wanted => ({ info, name: stateTensor(info), start: () => atStart(plan, info) })),
];

/** The units that a model has kept, as a checkpoint says it; undefined for a model that has not shrunk. */
const keptUnits = ({ settled, kept }: Plan): string | undefined => (settled ? JSON.stringify(kept) : undefined);

/** All parameters and states, by the names of a checkpoint. */
export async function tensorsOf(instance: ModelInstance): Promise<Tensors> {
  const tensors = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const { info, name } of wantedOf(instance.plan)) {
    tensors.set(name, { shape: info.shape, data: await readState(instance, info) });
  }
  return tensors;
}

/** What a checkpoint says beside its tensors: of the model as it is at this turn. */
export function metadataOf({ plan, step, seed }: ModelInstance): Checkpoint["metadata"] {
  const kept = keptUnits(plan);
  const run = { format: "mhc 1", model: plan.name, step: `${step}`, seed: `${seed}` };
  return kept === undefined ? run : { ...run, kept };
}

/** The checkpoint of a model as it is at this turn. */
export const encoded = async (instance: ModelInstance): Promise<Uint8Array<ArrayBuffer>> => {
  const metadata = metadataOf(instance);
  return encode({ tensors: await tensorsOf(instance), metadata });
};

/**
 * Puts a checkpoint in the model's place. Throws DataError, with nothing written, when it is not one of this model.
 */
export async function restore(instance: ModelInstance, checkpoint: Checkpoint): Promise<Restored> {
  const { plan, session } = instance;
  const { tensors, metadata } = checkpoint;
  const wanted = wantedOf(plan);
  checkKept(plan, metadata);
  const leftOut = checkNames(plan, wanted, checkpoint);
  const step = stepOf(metadata);
  await checkFinite(plan, tensors);
  for (const { info, name, start } of wanted) {
    session.write(stateRef(info), tensors.get(name)?.data ?? start?.() ?? new Float32Array(sizeOf(info)));
  }
  instance.step = step;
  instance.lastFinite = null;
  // What was being decided was of the model before.
  instance.closing = null;
  return { leftOut };
}

function checkKept(plan: Plan, { kept, model = "model" }: Checkpoint["metadata"]): void {
  if (kept === keptUnits(plan)) return;
  if (kept === undefined) {
    const what = `the checkpoint is of the whole ${model}, and this is what is left of one that has shrunk`;
    throw new DataError(what, "load it into a module of the page itself");
  }
  const what = `the checkpoint is of a ${model} that has shrunk${plan.settled ? " otherwise" : ""}`;
  throw new DataError(what, "compile what is left of it: `mhc compile --run FOLDER -o out`");
}

/** Checks that a checkpoint has what is wanted. Returns the tensors that are left out. */
function checkNames(plan: Plan, wanted: readonly Wanted[], { tensors, metadata }: Checkpoint): readonly string[] {
  const whose = `it is of ${metadata["model"] ?? "another model"}`;
  for (const { info, name, start } of wanted) {
    const tensor = tensors.get(name);
    if (!tensor) {
      if (start) continue;
      throw new DataError(`the checkpoint has no \`${name}\``, whose);
    }
    if (tensor.shape.join() !== info.shape.join()) {
      const shapes = `[${tensor.shape.join(", ")}] in the checkpoint, and [${info.shape.join(", ")}] in the model`;
      throw new DataError(
        `\`${name}\` is ${shapes}`,
        `${whose}: compile the page with the sizes that it was trained with`,
      );
    }
  }
  const names = new Set(wanted.map(({ name }) => name));
  const frozen = momentsOfFrozen(plan);
  const further = [...tensors.keys()].filter((name) => !names.has(name));
  const others = further.filter((name) => !frozen.has(name));
  if (!others.length) return further;
  const list = others
    .slice(0, 3)
    .map((name) => `\`${name}\``)
    .join(", ");
  const more = others.length > 3 ? ` and ${others.length - 3} more` : "";
  throw new DataError(
    `the checkpoint has ${list}${more}, which ${plan.name} does not have`,
    `${whose}; load it into the page that it was trained with`,
  );
}

/** What checkpoints call the moments that frozen parameters would have if they were free. */
const momentsOfFrozen = ({ parameters }: Plan): ReadonlySet<string> =>
  new Set(parameters.flatMap(({ frozen = [] }) => frozen.map((name) => stateTensor({ name }))));

function stepOf({ step = "0" }: Checkpoint["metadata"]): number {
  const trained = Number(step);
  if (/^\d+$/.test(step) && trained <= U32_MAX) return trained;
  throw new DataError(`the checkpoint's step is ${step}`, `a step is a whole number from 0 to ${U32_MAX}`);
}

async function checkFinite(plan: Plan, tensors: Tensors): Promise<void> {
  const states = plan.states.filter((state) => tensors.has(stateTensor(state)));
  const read = (_: unknown, name: string): Promise<Float32Array> => Promise.resolve(mustGet(tensors, name).data);
  const words = inWords(await findNotFinite({ plan: { parameters: plan.parameters, states }, read }));
  if (words) {
    throw new DataError(
      `the checkpoint cannot be used: ${words}`,
      "load one that was written before the numbers broke",
    );
  }
}
