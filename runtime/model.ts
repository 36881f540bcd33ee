/**
 * A compiled model on a device: its parameters, its training, its use. `load` makes the session, writes the initial
 * values and hands out this object; generated modules are thin types around it. What a call was given is checked at
 * once, and what it does is done in its turn (`turns.ts`), so that calls may overlap in every way.
 */
import * as calls from "./calls.js";
import { describe, isObject, optionsOf, U32_MAX, whole } from "./check.js";
import { sizeOf, turn, type Device } from "./device.js";
import { DataError, DeviceError, messageOf } from "./errors.js";
import type { Host } from "./host.js";
import { drawInto } from "./initialize.js";
import { atStart, stateRef, type ModelInstance } from "./instance.js";
import type { LoadOptions, Model } from "./interface.js";
import { mustAt } from "./lookup.js";
import { checkCompiled, openFor } from "./open.js";
import type { ParameterInfo, Plan } from "./plan.js";
import { train } from "./training.js";
import { createTurns } from "./turns.js";

export type {
  BatchEvaluation,
  CallOptions,
  ClaimMetrics,
  Evaluation,
  LoadOptions,
  Model,
  ParameterAccess,
  Restored,
  ShrunkMetrics,
  StepMetrics,
  TrainOptions,
} from "./interface.js";

/**
 * Puts a compiled model on a device. Throws DataError for a wrong plan or options, DeviceError when there is no such
 * device.
 */
export async function loadOn(host: Host, plan: Plan, options?: LoadOptions): Promise<Model> {
  if (!isObject(plan) || plan.format !== 1 || !isObject(plan.devices)) {
    throw new DataError(
      `the plan is ${describe(plan)}, and a compiled one is expected`,
      "pass `plan` of `compile`, or of a generated module",
    );
  }
  if (!isObject(plan.roles)) {
    throw new DataError(
      "the plan does not say what its outputs are: it was compiled by an older version of mhc",
      "compile its page again",
    );
  }
  const checked = optionsOf("load", options);
  const seed = whole("seed", checked.seed, 0, U32_MAX) ?? plan.train?.seed ?? 0;
  const { device = "auto" } = checked;
  if (typeof device !== "object") {
    // A device that is opened here has no other owner.
    return openFor(host, plan, device, checked, (opened) => put(host, plan, opened, seed, true));
  }
  if (!isObject(device) || typeof device.load !== "function") {
    throw new DeviceError(
      `\`device\` is ${describe(device)}, and a device or its name is expected`,
      "pass what `openDevice` gives",
    );
  }
  return put(host, plan, device, seed, false);
}

/** Loads a plan on a device while its initial values are drawn, and writes them. */
async function put(host: Host, plan: Plan, device: Device, seed: number, owned: boolean): Promise<Model> {
  const devicePlan = checkCompiled(plan, device.name);
  const refused = new AbortController();
  const loading = device.load(devicePlan).catch((error: unknown) => {
    refused.abort();
    throw error;
  });
  const drawing = draw(plan, seed, refused.signal);
  const [session, drawn] = await Promise.all([loading, drawing]).catch(async (error: unknown) => {
    // What cannot be drawn has a session that nobody else would close.
    if (!refused.signal.aborted) await (await loading).close();
    throw error;
  });
  for (const [i, parameter] of plan.parameters.entries()) session.write(stateRef(parameter), mustAt(drawn, i));
  for (const state of plan.states) session.write(stateRef(state), atStart(plan, state));
  const { entries } = devicePlan;
  if (entries["start"]) await session.run("start");
  return modelOf(host, { device, seed, plan, session, entries, step: 0, lastFinite: null, closing: null }, owned);
}

/** How many values are drawn (in some 10 ms) before the thread is another's. */
const DRAWN_AT_ONCE = 1 << 16;

/** Initial values of all parameters, drawn while the device compiles (0.15 s for a million), until it refuses. */
async function draw({ parameters }: Plan, seed: number, refused: AbortSignal): Promise<readonly Float32Array[]> {
  const drawn: Float32Array[] = [];
  for (const parameter of parameters) {
    const values = roomFor(parameter);
    for (let from = 0; from < values.length && !refused.aborted; from += DRAWN_AT_ONCE) {
      drawInto(values, parameter, seed, from, Math.min(values.length, from + DRAWN_AT_ONCE));
      await turn();
    }
    drawn.push(values);
    if (refused.aborted) break;
  }
  return drawn;
}

function roomFor(parameter: ParameterInfo): Float32Array {
  const size = sizeOf(parameter);
  try {
    return new Float32Array(size);
  } catch (error) {
    const room = `${((4 * size) / 2 ** 30).toFixed(1)} GiB for \`${parameter.name}\``;
    const why = messageOf(error);
    throw new DeviceError(`${room} were refused: ${why}`, "make the model smaller");
  }
}

/** The model's methods, on an instance. `owned`: whether closing the model closes its device. */
function modelOf(host: Host, instance: ModelInstance, owned: boolean): Model {
  const turns = createTurns();
  const called: calls.Called = { host, instance, turns };
  let closed: Promise<void> | null = null;
  return {
    device: instance.device,
    seed: instance.seed,
    get plan() {
      return instance.plan;
    },
    get step() {
      return instance.step;
    },
    train: (data, options) => train(instance, turns, data, options),
    holdout: (data, options) => calls.holdout(called, data, options),
    measure: (data, options) => calls.measure(called, data, options),
    evaluate: (batch) => calls.evaluate(called, batch),
    gradients: (batch) => calls.gradients(called, batch),
    forward: (inputs) => calls.forward(called, inputs),
    vjp: (inputs, cotangents) => calls.vjp(called, inputs, cotangents),
    generate: (prompt, options) => calls.generate(called, prompt, options),
    parameters: () => calls.parameters(called),
    checkpoint: () => calls.checkpoint(called),
    save: (path) => calls.save(called, path),
    load: (from) => calls.load(called, from),
    close() {
      closed ??= turns.end(
        async () => {
          await instance.session.close();
          // A device that the caller opened is the caller's to close.
          if (owned) await instance.device.close();
        },
        () => new DeviceError(`${instance.plan.name} is closed`, "load it again"),
      );
      return closed;
    },
  };
}
