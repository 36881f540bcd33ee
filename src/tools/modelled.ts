/** What a step takes by the model of cost: on the page's profile, or on that of the device. */
import type { Plan } from "../../runtime/plan.js";
import { mustValue } from "../../runtime/records.js";
import { isBuiltIn, registry } from "../../runtime/registry.js";
import type { Compiled } from "../compile/compile.js";
import { costsOf } from "../cost/cost.js";
import { likestTo, profiles } from "../cost/profiles.js";

/** What a step takes, and on which profile that was counted. */
export interface ModelledStep {
  readonly joules: number;
  readonly profile: string;
}

/** The profile of a plan's page, or that of the device; of one of a user's own, for which there is none, a CPU's. */
export const profileFor = ({ cost }: Pick<Plan, "cost">, device: string): string =>
  cost?.profile ?? likestTo(isBuiltIn(device) ? registry[device].kind : "cpu").name;

/**
 * On a profile; of a page that shrinks, with nothing closed yet. Null where the page is counted on another profile, or
 * the profile is of another device than the plan.
 */
export function modelledStep(
  { cost }: Plan,
  device: string,
  accounts: NonNullable<Compiled["accounts"]>,
  on = profileFor(cost ? { cost } : {}, device),
): ModelledStep | null {
  if (cost) {
    const joules = mustValue(cost.dense, "energy") * mustValue(cost.share, "energy");
    return cost.profile === on ? { joules, profile: on } : null;
  }
  const profile = profiles.find(({ name }) => name === on);
  return profile?.device === device
    ? { joules: costsOf(accounts(device, "train").accounts, profile).total.joules, profile: profile.name }
    : null;
}
