/** Compiling and loading specs in tests. */
import { readFileSync } from "node:fs";
import { compile, check, type CompileOptions, type Facts } from "../../src/compile/compile.js";
import { buildEntries, type Entries } from "../../src/step/entries.js";
import { load, type Model } from "../../runtime/index.js";
import type { DeviceName } from "../../runtime/device.js";
import type { Plan } from "../../runtime/plan.js";

export const readSpec = (name: string): string =>
  readFileSync(new URL(`../../specs/${name}.mhc`, import.meta.url), "utf8");
export const readFixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), "utf8"));

export interface SpecOptions {
  readonly set?: Readonly<Record<string, string>>;
  readonly facts?: Facts;
  /** Members of the skeletons' families that are forced. */
  readonly choices?: CompileOptions["choices"];
  readonly monitors?: CompileOptions["monitors"];
}

/** What `planOf` has compiled in this file of tests. Plans are read and never written, so that tests may share one. */
const plans = new Map<string, Promise<Plan>>();

/** The plan of a page. Throws an Error with the diagnostics where there is none. */
export function planOf(text: string, devices: readonly DeviceName[], options: SpecOptions = {}): Promise<Plan> {
  const key = JSON.stringify([text, devices, options]);
  const plan = plans.get(key) ?? compilePlan(text, devices, options);
  plans.set(key, plan);
  return plan;
}

/** The same, compiled anew: for tests that change what compiling does. */
export async function compilePlan(text: string, devices: readonly DeviceName[], options: SpecOptions): Promise<Plan> {
  const { plan, diagnostics } = await compile(text, { file: "test.mhc", devices, verify: true, ...options });
  if (!plan) throw new Error(diagnostics.map(({ message, fix }) => `${message} (${fix})`).join("\n"));
  return plan;
}

/**
 * The plan with some of its entries alone: an emulated GPU takes seconds to compile what a training step runs, also for
 * a test that does not train.
 */
export function withEntries(plan: Plan, names: readonly string[]): Plan {
  const devices = Object.entries(plan.devices).map(([device, own]) => {
    const entries = Object.entries(own.entries).filter(([name]) => names.includes(name));
    return [device, { ...own, entries: Object.fromEntries(entries) }] as const;
  });
  return { ...plan, devices: Object.fromEntries(devices) };
}

export function entriesOf(text: string, options: SpecOptions = {}): Entries {
  const { model, diagnostics } = check(text, { file: "test.mhc", ...options });
  if (!model) throw new Error(diagnostics.map(({ message, fix }) => `${message} (${fix})`).join("\n"));
  return buildEntries(model, { monitors: options.monitors ?? false });
}

export async function loaded(
  text: string,
  device: DeviceName,
  options: SpecOptions & { readonly seed?: number; readonly threads?: number } = {},
): Promise<Model> {
  return load(await planOf(text, [device], options), { device, seed: options.seed, threads: options.threads });
}

/** Largest difference, as a share of the largest expected entry; infinite when anything is not a number. */
export function distance(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    const off = Math.abs(got[i]! - expected[i]!);
    if (Number.isNaN(off)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, off);
  }
  return worst / Math.max(scale, 1e-30);
}
