/**
 * Times the members of every skeleton's family on the kernels of one training step, and keeps the fastest for each
 * shape. All kernels take their next member together, so that a round costs one compilation a member, not one a kernel;
 * rounds are repeated and the least time counts, since the machine is shared. A member must win by a margin, or the
 * default stays.
 */
import type { Device } from "../../runtime/device.js";
import type { DevicePlan } from "../../runtime/plan.js";
import type { Choice } from "../kernel/profile.js";
import type { Choices } from "../compile/compile.js";
import { families, type FamilyKind } from "../schedule/families.js";
import type { OpenedDevice } from "./opened.js";
import { mustAt } from "../../runtime/lookup.js";
import { mustValue, recordOf, valueAt } from "../../runtime/records.js";

/** What can be tuned of a step, and what came of it. */
export interface TunedKernel {
  /** `skeleton/shape`. */
  readonly kernel: string;
  /** Dispatches of a step, and their milliseconds by default and by the choice. */
  readonly count: number;
  readonly default_ms: number;
  readonly ms: number;
  /** null where the default won. */
  readonly choice: Choice | null;
}

const ROUNDS = 3;
const RUNS = 3;
/** A choice must be faster by this share. */
const MARGIN = 0.03;

/** The kind of a device, as far as tuning goes. */
export const familyKindOf = ({ printer, vectors }: OpenedDevice): FamilyKind =>
  printer.profile.kind === "gpu" ? "gpu" : vectors?.registers === undefined ? "cpu" : "native";

/** `compileWith` compiles the step for the device under given choices. */
export async function tune(
  device: OpenedDevice,
  compileWith: (choices: Choices) => Promise<DevicePlan>,
): Promise<TunedKernel[]> {
  const family = recordOf(
    Object.entries(families[familyKindOf(device)]).map(([skeleton, members]) => [
      skeleton,
      members.filter((member) => runsOn(device, member)),
    ]),
  );
  const most = Math.max(0, ...Object.values(family).map((members) => members.length));
  /** The default, then the i-th member of every family that has one. */
  const settings: readonly Choices[] = [
    {},
    ...Array.from({ length: most }, (_, i) =>
      recordOf(Object.entries(family).flatMap(([skeleton, members]) => (members[i] ? [[skeleton, members[i]]] : []))),
    ),
  ];
  const tried: TunedSetting[] = [];
  for (const choices of settings) tried.push({ choices, plan: await compileWith(choices), least: new Map() });
  for (let round = 0; round < ROUNDS; round++) {
    for (const { plan, least } of tried) {
      for (const [key, ms] of await timesOf(device, plan))
        least.set(key, Math.min(ms, least.get(key) ?? Number.POSITIVE_INFINITY));
    }
  }
  const byDefault = mustAt(tried, 0);
  return [...byDefault.least]
    .map(([kernel, defaultMs]) => tunedKernel(kernel, defaultMs, tried))
    .sort((a, b) => b.default_ms - a.default_ms);
}

/** A plan that was timed, and what it was compiled with. */
interface TunedSetting {
  readonly choices: Choices;
  readonly plan: DevicePlan;
  /** Milliseconds of a step by the key of what can be tuned: the least of all rounds. */
  readonly least: Map<string, number>;
}

/** The fastest choice for a kernel. The first setting is the default. */
function tunedKernel(kernel: string, defaultMs: number, tried: readonly TunedSetting[]): TunedKernel {
  const [skeleton = ""] = kernel.split("/");
  const candidates = tried.flatMap(({ choices, least }) => {
    const choice = valueAt(choices, skeleton);
    const ms = least.get(kernel);
    return choice && ms !== undefined ? [{ choice, ms }] : [];
  });
  const best = candidates.reduce<(typeof candidates)[number] | null>(
    (fastest, candidate) => (fastest === null || candidate.ms < fastest.ms ? candidate : fastest),
    null,
  );
  const wins = best !== null && best.ms < defaultMs * (1 - MARGIN);
  const { kernels, entries } = mustAt(tried, 0).plan;
  const { dispatches } = mustValue(entries, "train");
  return {
    kernel,
    count: dispatches.filter((dispatch) => mustAt(kernels, dispatch.kernel).tuned === kernel).length,
    default_ms: defaultMs,
    ms: wins ? best.ms : defaultMs,
    choice: wins ? best.choice : null,
  };
}

/** Whether a device has what a member needs: subgroups as large as its clusters. */
const runsOn = (device: Device, { subgroup = 0 }: Choice): boolean => subgroup <= device.subgroup;

/** Milliseconds of a step by the key of what can be tuned: the least of a few runs. */
async function timesOf(device: Device, plan: DevicePlan): Promise<Map<string, number>> {
  const session = await device.load(plan);
  const least = new Map<string, number>();
  try {
    for (let run = 0; run < RUNS; run++) {
      const times = await session.profile("train");
      const sums = new Map<string, number>();
      for (const [i, { kernel }] of mustValue(plan.entries, "train").dispatches.entries()) {
        const key = mustAt(plan.kernels, kernel).tuned;
        if (key !== null) sums.set(key, (sums.get(key) ?? 0) + mustAt(times, i));
      }
      for (const [key, ms] of sums) least.set(key, Math.min(ms, least.get(key) ?? Number.POSITIVE_INFINITY));
    }
  } finally {
    await session.close();
  }
  return least;
}
