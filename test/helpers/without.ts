/** Steps of small pages with optimizations turned off, beside the same steps in f64. */
import { createHash } from "node:crypto";
import { load, openDevice } from "../../runtime/index.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import type { Model } from "../../runtime/model.js";
import { textSource, type Source } from "../../runtime/data.js";
import type { Plan } from "../../runtime/plan.js";
import { compile, type Optimization } from "../../src/compile/compile.js";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { emulated } from "../../src/schedule/families.js";
import { differenceOf } from "../../src/tools/bisect.js";
import { exactLosses } from "../../src/tools/exact.js";
import { ADAMW, facts, smallPage, text, type connections } from "./small.js";

const STEPS = 10;
const SGD = "sgd(rate = 0.2, momentum = 0.9)";
const MUON = "muon(rate = cosine(5e-3, 1e-3, warmup = 3), decay = 0.1)";

const page = (connection: (typeof connections)[number], optimizer: string, training = ""): string =>
  smallPage(connection, { optimizer, iterations: 5, training });

/** Six pages, each with the largest relative difference of a loss that is rounding. */
export const SMALL = {
  residual: { text: page("residual", SGD), tolerance: 1e-4 },
  hc: { text: page("hc", SGD), tolerance: 1e-4 },
  identity: { text: page("identity", ADAMW), tolerance: 1e-3 },
  mhc: { text: page("mhc(Mixing)", SGD), tolerance: 1e-4 },
  recomputed: { text: page("mhc(Mixing)", SGD, "recompute = every 1"), tolerance: 1e-4 },
  muon: { text: page("residual", MUON), tolerance: 1e-4 },
} as const satisfies Readonly<Record<string, { readonly text: string; readonly tolerance: number }>>;

/** The name of one of the pages. */
export type SmallPage = keyof typeof SMALL;

/** The batches of a page, and its losses in f64. */
interface Exact {
  readonly source: Source;
  readonly losses: readonly number[];
}

const known = new Map<SmallPage, Promise<Exact>>();

async function exactOf(name: SmallPage): Promise<Exact> {
  const { plan, graphs } = await compile(SMALL[name].text, {
    file: "test.mhc",
    facts,
    devices: ["javascript"],
    without: optimizationNames,
  });
  const info = plan?.data[0];
  if (!plan?.train || !graphs || info?.kind !== "characters") throw new Error(`${name} does not compile`);
  const source = textSource(info, text);
  return { source, losses: exactLosses({ plan, graphs, source, seed: plan.train.seed, steps: STEPS }) };
}

/** By page and what was compiled: an optimization that a page has no use for leaves the plan as it is. */
const measured = new Map<string, Promise<number>>();

/** The largest relative difference of ten losses of a page on a device, without some optimizations. */
export async function differenceWithout(
  name: SmallPage,
  device: DeviceName,
  without: readonly Optimization[],
): Promise<number> {
  const compiled = await compile(SMALL[name].text, {
    file: "test.mhc",
    facts,
    devices: [device],
    choices: device === "webgpu" ? { webgpu: emulated } : {},
    without,
    verify: true,
  });
  const { plan } = compiled;
  if (!plan) throw new Error(`${name} does not compile without ${without.join(", ")}`);
  const key = createHash("sha256").update(name).update(JSON.stringify(plan)).digest("hex");
  const difference = measured.get(key) ?? measure(name, plan, device);
  measured.set(key, difference);
  return difference;
}

/**
 * The one GPU, and the models on it: a kernel that another plan has too is not compiled again there, for as long as
 * a model that uses it is open.
 */
const gpu: { device: Promise<Device> | null; readonly open: Model[] } = { device: null, open: [] };

/** Closes what was kept open. */
export async function closeKept(): Promise<void> {
  await Promise.all(gpu.open.splice(0).map((model) => model.close()));
  await (await gpu.device)?.close();
  gpu.device = null;
}

async function measure(name: SmallPage, plan: Plan, device: DeviceName): Promise<number> {
  const exact = known.get(name) ?? exactOf(name);
  known.set(name, exact);
  const { source, losses: wanted } = await exact;
  const isKept = device === "webgpu";
  if (isKept) gpu.device ??= openDevice("webgpu");
  const model = await load(plan, { device: isKept ? ((await gpu.device) ?? device) : device, threads: 2 });
  if (isKept) gpu.open.push(model);
  try {
    const losses: number[] = [];
    for await (const { loss } of model.train(source, { steps: STEPS })) losses.push(loss);
    return differenceOf(losses, wanted);
  } finally {
    if (!isKept) await model.close();
  }
}
