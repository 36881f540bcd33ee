/**
 * Times the training step of a compiled model: whole steps as `train` runs them, and, when asked, every kernel by
 * itself beside what the machine can do at best (a roofline; Williams, Waterman and Patterson 2009). Both ceilings are
 * measured with kernels of this compiler, in the same process: FLOPs by a large matrix product, bytes by a sum of two
 * tensors that no cache holds.
 */
import type { Session } from "../../runtime/device.js";
import { load, type Model } from "../../runtime/index.js";
import type { Source } from "../../runtime/data.js";
import { copiesOf, parametersOf, tokensOf, type DevicePlan, type Plan } from "../../runtime/plan.js";
import { mustAt } from "../../runtime/lookup.js";
import { mustValue } from "../../runtime/records.js";
import type { Choices } from "../compile/compile.js";
import type { Account } from "../cost/account.js";
import { timeLoads } from "./ceilings.js";
import { energyOf, meteredBy, openMeter, type OpenedMeter } from "./energy.js";
import type { OpenedDevice } from "./opened.js";
import { labelsOf } from "./kernel-names.js";
import type { ModelledStep } from "./modelled.js";
import { medianOf } from "./statistics.js";

/** A kernel of a step that was timed. */
export interface KernelTime {
  /** In the plan. */
  readonly kernel: string;
  /** Whose work it does, and what: `layers.*.mlp: up, forward`. */
  readonly whose: string;
  /** Dispatches a step. */
  readonly count: number;
  /** Milliseconds, FLOPs and bytes of all of them; the median over the profiled steps. */
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
  /** Of the ceiling that binds it: the larger of its shares of peak FLOPs and of peak bytes. */
  readonly share: number;
  readonly bound: "compute" | "memory";
}

/** A step that was timed. */
export interface Benchmark {
  readonly device: string;
  readonly adapter: string;
  readonly threads: number;
  readonly median_ms: number;
  readonly min_ms: number;
  readonly tokens_per_s: number;
  readonly gflops: number;
  readonly dispatches: number;
  readonly submits: number;
  readonly arena_bytes: number;
  readonly parameters: number;
  readonly compile_ms: number;
  readonly first_step_ms: number;
  /**
   * Of the timed steps, measured where there is a meter, else modelled; null where neither is known. `energy_by` says
   * which.
   */
  readonly joules_per_step: number | null;
  readonly energy_by: string | null;
  /** null unless asked for. */
  readonly kernels: readonly KernelTime[] | null;
  readonly peak: { readonly gflops: number; readonly gbytes: number } | null;
}

/** How a step is timed. */
export interface BenchOptions {
  readonly steps: number;
  readonly warmup: number;
  readonly kernels: boolean;
  /** Milliseconds that compiling took. */
  readonly compileMs: number;
  /** What the plan was compiled with; the ceilings are too. */
  readonly choices: Choices;
  /** What the model of cost says of a step. */
  readonly modelled: ModelledStep | null;
  /** Of the training step: whose work its dispatches do. */
  readonly accounts: readonly Account[];
}

/** Times training steps of a plan on a device, after some that are not counted. */
export async function bench(
  plan: Plan,
  device: OpenedDevice,
  source: Source,
  { steps, warmup, kernels, compileMs, choices, modelled, accounts }: BenchOptions,
): Promise<Benchmark> {
  const devicePlan = mustValue(plan.devices, device.name);
  const loading = performance.now();
  const opened: { session: Session | null } = { session: null };
  // The model owns its session; the clock of kernels needs it too.
  const model = await load(plan, {
    device: { ...device, load: async (loaded) => (opened.session = await device.load(loaded)) },
  });
  const { session } = opened;
  if (!session) throw new Error("bug: a model was loaded without a session");
  const timed = await timeSteps(model, session, source, { warmup, steps, device, loading });
  const energy = energyOf(timed.meter, timed.energy / steps, modelled);
  const median = medianOf(timed.times);
  const { dispatches } = mustValue(devicePlan.entries, "train");
  const flops = dispatches.reduce((sum, dispatch) => {
    const info = mustAt(devicePlan.kernels, dispatch.kernel);
    return sum + copiesOf(dispatch, info) * info.flops;
  }, 0);
  const peak = kernels ? await peakOf(device, choices) : null;
  const result: Benchmark = {
    device: device.name,
    adapter: device.adapter,
    threads: device.threads,
    median_ms: median,
    min_ms: Math.min(...timed.times),
    tokens_per_s: (1000 * tokensOf(plan)) / median,
    gflops: flops / median / 1e6,
    dispatches: dispatches.length,
    submits: timed.submits / steps,
    arena_bytes: session.bytes,
    parameters: parametersOf(plan),
    compile_ms: compileMs,
    first_step_ms: timed.firstStep,
    joules_per_step: energy?.joules ?? null,
    energy_by: energy?.by ?? null,
    kernels: peak ? await profile(session, devicePlan, peak, labelsOf(accounts, plan.parameters)) : null,
    peak,
  };
  await model.close();
  return result;
}

/** Steps that were timed. */
interface TimedSteps {
  /** Milliseconds of each. */
  readonly times: readonly number[];
  /** Milliseconds from when loading began to the end of the first step. */
  readonly firstStep: number;
  /** Submissions of the timed steps. */
  readonly submits: number;
  /** Joules of the timed steps by the meter; 0 where there is none. */
  readonly energy: number;
  readonly meter: OpenedMeter;
}

/** Makes the first step, steps that are not counted, and those that are timed. */
async function timeSteps(
  model: Model,
  session: Session,
  source: Source,
  {
    warmup,
    steps,
    device,
    loading,
  }: Pick<BenchOptions, "warmup" | "steps"> & { device: OpenedDevice; loading: number },
): Promise<TimedSteps> {
  const meter = openMeter(meteredBy(device));
  const read = (): number => ("read" in meter ? meter.read() : 0);
  const times: number[] = [];
  let firstStep = 0;
  let [submitsBefore, energyBefore] = [0, 0];
  for await (const { ms } of model.train(source, { steps: 1 + warmup + steps })) {
    if (firstStep === 0) firstStep = performance.now() - loading;
    else times.push(ms);
    if (times.length === warmup) [submitsBefore, energyBefore] = [session.submits, read()];
  }
  const energy = read() - energyBefore;
  if ("close" in meter) meter.close();
  return { times: times.slice(warmup), firstStep, submits: session.submits - submitsBefore, energy, meter };
}

/** Steps that are profiled dispatch by dispatch. */
const PROFILED = 7;

async function profile(
  session: Session,
  plan: DevicePlan,
  peak: { readonly gflops: number; readonly gbytes: number },
  labels: ReadonlyMap<number, string>,
): Promise<KernelTime[]> {
  const { dispatches } = mustValue(plan.entries, "train");
  const runs: (readonly number[])[] = [];
  for (let i = 0; i < PROFILED; i++) runs.push(await session.profile("train"));
  const byKernel = new Map<number, number[]>();
  dispatches.forEach(({ kernel }, i) => byKernel.set(kernel, [...(byKernel.get(kernel) ?? []), i]));
  return [...byKernel]
    .map(([kernel, positions]): KernelTime => {
      const info = mustAt(plan.kernels, kernel);
      const ms = medianOf(runs.map((run) => positions.reduce((sum, at) => sum + mustAt(run, at), 0)));
      const copies = positions.reduce((sum, at) => sum + copiesOf(mustAt(dispatches, at), info), 0);
      const flops = info.flops * copies;
      const bytes = info.bytes * copies;
      const compute = flops / ms / 1e6 / peak.gflops;
      const memory = bytes / ms / 1e6 / peak.gbytes;
      return {
        kernel: info.name,
        whose: labels.get(kernel) ?? "",
        count: positions.length,
        ms,
        flops,
        bytes,
        share: Math.max(compute, memory),
        bound: compute > memory ? "compute" : "memory",
      };
    })
    .sort((a, b) => b.ms - a.ms);
}

/** What the device can do at best, by kernels of this compiler. */
async function peakOf(
  device: OpenedDevice,
  choices: Choices,
): Promise<{ readonly gflops: number; readonly gbytes: number }> {
  // Kernels without vectors are slow ones: what is large enough to time is smaller.
  const { kind, lanes } = device.printer.profile;
  const scalar = kind === "cpu" && lanes === 1;
  const side = scalar ? 128 : 512;
  const words = scalar ? 1 << 20 : 1 << 23;
  const { product, stream } = await timeLoads(device, choices, {
    product: (b) => [b.contract("ik,kj->ij", b.input("a", [side, side], "f32"), b.input("b", [side, side], "f32"))],
    stream: (b) => [b.add(b.input("a", [words], "f32"), b.input("b", [words], "f32"))],
  });
  return { gflops: product.flops / product.ms / 1e6, gbytes: stream.bytes / stream.ms / 1e6 };
}
