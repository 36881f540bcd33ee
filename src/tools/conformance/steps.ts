/**
 * Training steps: the losses of a device beside those of `javascript`, which computes in f64 between a load and a
 * store, and whether the device makes the same bits when it makes them again.
 */
import type { Device } from "../../../runtime/device.js";
import { load } from "../../../runtime/index.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Entry, Plan } from "../../../runtime/plan.js";
import { mustValue } from "../../../runtime/records.js";
import { sourceFor } from "./pages.js";

/** Training that was run. */
interface Trained {
  readonly losses: readonly number[];
  /** Parameters and the optimizer's state after it. */
  readonly checkpoint: Uint8Array;
}

async function train(plan: Plan, device: Device, entry: Entry, steps: number): Promise<Trained> {
  const model = await load(plan, { device, seed: 4 });
  try {
    const losses: number[] = [];
    for await (const { loss } of model.train(sourceFor(plan, entry), { steps, monitor: 0 })) losses.push(loss);
    return { losses, checkpoint: await model.checkpoint() };
  } finally {
    await model.close();
  }
}

/** What came of the steps of a page. */
export interface StepsFinding {
  /** The largest difference of a loss, as a share of it, and the step (from 1) that it is of. */
  readonly share: number;
  readonly step: number;
  readonly found: number;
  readonly expected: number;
  /** The first byte of the checkpoints of two runs that differs; null when none does. */
  readonly differs: number | null;
}

/** A page that is trained, as it is compiled for a device and for the reference. */
interface ComparedSteps {
  readonly plan: Plan;
  readonly expected: Plan;
  readonly device: Device;
  readonly reference: Device;
  readonly steps: number;
}

/** Trains a page twice on a device, and once on `javascript`. */
export async function compareSteps({
  plan,
  expected: own,
  device,
  reference,
  steps,
}: ComparedSteps): Promise<StepsFinding> {
  const entry = mustValue(mustValue(plan.devices, device.name).entries, "train");
  const wanted = await train(own, reference, mustValue(mustValue(own.devices, "javascript").entries, "train"), steps);
  const first = await train(plan, device, entry, steps);
  const again = await train(plan, device, entry, steps);
  const at = first.checkpoint.findIndex((byte, i) => byte !== again.checkpoint[i]);
  let worst = { share: 0, step: 0, found: 0, expected: 0 };
  for (const [i, expected] of wanted.losses.entries()) {
    const found = mustAt(first.losses, i);
    const share = Number.isFinite(found) ? Math.abs(found - expected) / Math.abs(expected) : Number.POSITIVE_INFINITY;
    if (share > worst.share) worst = { share, step: i + 1, found, expected };
  }
  return { ...worst, differs: at < 0 ? null : at };
}
