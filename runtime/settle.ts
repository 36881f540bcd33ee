/**
 * A model that shrinks while it trains: gates are ranked, units chosen, the smaller step made, and the session changed
 * for one of that. All of it belongs to the turn of the step after which it happens, the wait for the compiler too, so
 * that the step at which a model becomes smaller depends on nothing but the page. A compiler that is handed in must
 * therefore not call the model.
 */
import { sizeOf, turn } from "./device.js";
import { DeviceError } from "./errors.js";
import type { ShrunkMetrics } from "./interface.js";
import { readState, stateRef, type ModelInstance } from "./instance.js";
import { mustGet } from "./lookup.js";
import { parametersOf, type Plan, type ShrinkInfo, type StateInfo } from "./plan.js";
import { stateNameOf } from "./roles.js";
import { deciding, type Closing, type Recompile } from "./choose.js";
import { magnitudes, pinned, resized } from "./shrink.js";

/** The state that holds the logits of all gates. */
function gatesOf({ states, roles }: Plan): StateInfo {
  const name = stateNameOf(roles, "gates");
  const gates = states.find((state) => state.name === name);
  if (!gates) throw new Error("bug: a plan whose gates are to be decided has none");
  return gates;
}

/**
 * Begins to decide when it is time, and later lets the smaller model take the place of the larger one. Null at other
 * steps, and when the signal aborts before the smaller step is there: then it is due still.
 */
export async function shrinkIfDue(
  instance: ModelInstance,
  recompile: Recompile | undefined,
  signal: AbortSignal | undefined,
): Promise<ShrunkMetrics | null> {
  const { shrinking } = instance.plan;
  if (!shrinking || instance.step < shrinking.decided) return null;
  if (!instance.closing) {
    instance.closing = deciding(instance.plan, await ranksOf(instance, shrinking), recompile);
    await turn();
  }
  return instance.step < shrinking.until ? null : settle(instance, shrinking, instance.closing, signal);
}

/** How much each unit is needed, in the vector of gates. */
async function ranksOf(instance: ModelInstance, shrinking: ShrinkInfo): Promise<ArrayLike<number>> {
  if (shrinking.by === "gates") return readState(instance, gatesOf(instance.plan));
  const cut = instance.plan.parameters.filter(({ cuts }) => cuts);
  const values = new Map(await Promise.all(cut.map(async (info) => [info, await readState(instance, info)] as const)));
  return magnitudes(shrinking, cut, (info) => mustGet(values, info));
}

/** Decides the gates: closed units are masked, and left out where there is a plan without them. */
async function settle(
  instance: ModelInstance,
  shrinking: ShrinkInfo,
  { next }: Closing,
  signal: AbortSignal | undefined,
): Promise<ShrunkMetrics | null> {
  const waiting = performance.now();
  const { plan } = instance;
  const decided = await unlessAborted(next, signal);
  if (!decided) return null;
  const { plan: small, ms } = decided;
  if (shrinking.by === "gates") {
    const gates = gatesOf(plan);
    instance.session.write(stateRef(gates), pinned(shrinking, small.kept ?? {}, sizeOf(gates)));
  }
  const compiled = small.devices !== plan.devices;
  if (compiled) await become(instance, small);
  else {
    const { shrinking: _, ...rest } = plan;
    instance.plan = rest;
  }
  instance.closing = null;
  return {
    share: small.cost?.share ?? {},
    parameters: parametersOf(instance.plan),
    compiled,
    compileMs: ms,
    swapMs: performance.now() - waiting,
  };
}

/** Goes on with a smaller plan: its tensors are cut from those of the plan before. */
async function become(instance: ModelInstance, after: Plan): Promise<void> {
  const { plan, device, session } = instance;
  const devicePlan = after.devices[device.name];
  if (!devicePlan) {
    throw new DeviceError(
      `the smaller ${plan.name} was not compiled for ${device.name}`,
      "compile it for the device that it runs on",
    );
  }
  const smaller = await device.load(devicePlan);
  const tensors = await resized(plan, after, (info) => readState(instance, info));
  for (const { info, data } of tensors) smaller.write(stateRef(info), data);
  instance.session = smaller;
  instance.plan = after;
  instance.entries = devicePlan.entries;
  await session.close();
}

/** What a promise gives; null when the signal aborts before. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T | null> {
  if (!signal) return promise;
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(null);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
