/**
 * Whether a device computes what it should (`mhc target-test`): every op and shape that devices are tested with, every
 * kernel of the pages of the corpus, ten training steps of each page, and the same bits when they are made again. What
 * it is held to is `javascript`, which is the smallest target and is itself held to the f64 evaluation by the tests of
 * mhc.
 */
import { javascript } from "../../../codegen/javascript/printer.js";
import type { KernelPrinter } from "../../../codegen/target.js";
import type { Device, Session, Words } from "../../../runtime/device.js";
import { MhcError } from "../../../runtime/errors.js";
import { initialValues } from "../../../runtime/initialize.js";
import { openDevice } from "../../../runtime/index.js";
import { atStart, stateRef } from "../../../runtime/instance.js";
import { mustGet } from "../../../runtime/lookup.js";
import { isOfTheRun, type DevicePlan, type Plan } from "../../../runtime/plan.js";
import { merged, mustValue } from "../../../runtime/records.js";
import { compile, type Choices } from "../../compile/compile.js";
import type { Kernel } from "../../kernel/ir.js";
import { schedule } from "../../schedule/plan.js";
import type { KernelProfile } from "../../kernel/profile.js";
import { profileWith } from "../../compile/targets.js";
import type { OpenedDevice } from "../opened.js";
import { largestOf, type Difference } from "./compare.js";
import { compareKernels, type KernelFinding } from "./kernels.js";
import { compareOutputs, type OutputFinding } from "./outputs.js";
import { facts, madeUp, PAGES, pageText, type CorpusPage } from "./pages.js";
import { compareSession } from "./session.js";
import { opGraph } from "./shapes.js";
import { compareSteps, type StepsFinding } from "./steps.js";

/** The largest differences that are rounding, as shares; of u32 none is. */
export const TOLERANCES = {
  /**
   * Of a kernel, from the same memory: a share of the largest number that it writes to a buffer, and more where
   * rounding alone makes more of it (compare.ts). Those of mhc come to 2e-6.
   */
  kernels: 1e-5,
  /** Of the outputs of an op, and of the entries of a page, in kernels of each device's own. */
  ops: 1e-5,
  outputs: 1e-3,
  /** Of a loss. AdamW makes noise of gradients that are zero but for rounding. */
  losses: 1e-3,
  /** Of a loss with products of bf16, beside those of f32: a bf16 has 8 bits. */
  bf16: 2e-3,
} as const;

/** What was compared. */
export type Part = "session" | "kernels" | "outputs" | "losses" | "bits";

/** A row of what came of it. */
export interface ConformanceRow {
  readonly part: Part;
  /** The page, or `ops`. */
  readonly of: string;
  readonly ok: boolean;
  /** How many promises, kernels, outputs or steps were looked at. */
  readonly count: number;
  /** The largest difference, and that which is rounding; null where none was found out, and for bits. */
  readonly worst: number | null;
  readonly tolerance: number | null;
  /** The first thing that is wrong, in words, with the kernel; null when nothing is. */
  readonly first: string | null;
}

/** What is compared, of which device. */
export interface ConformanceOptions {
  /** Choices of kernels for the device. */
  readonly choices: Choices;
  /** Training steps of each page. */
  readonly steps: number;
  /** Names of what is compared: `ops`, and pages of the corpus. All when it does not say. */
  readonly only?: readonly string[] | undefined;
  /** Is told of each row as soon as it is known. */
  readonly tell: (row: ConformanceRow) => void;
}

/** The pages that are for a target. */
const pagesFor = ({ profile }: KernelPrinter): readonly CorpusPage[] =>
  PAGES.filter(({ bf16 }) => !bf16 || profile.bf16 === true);

/** What `only` may name for a target. */
export const subjectsFor = (printer: KernelPrinter): readonly string[] => [
  "session",
  "ops",
  ...pagesFor(printer).map(({ name }) => name),
];

/** Compares a device with `javascript`. */
export async function conformance(
  device: OpenedDevice,
  options: ConformanceOptions,
): Promise<readonly ConformanceRow[]> {
  const { only = subjectsFor(device.printer), steps, choices, tell } = options;
  const rows: ConformanceRow[] = [];
  const add = async (part: Part, of: string, make: () => Promise<readonly ConformanceRow[]>): Promise<void> => {
    for (const row of await make().catch((error: unknown) => [refusal(part, of, error)])) {
      rows.push(row);
      tell(row);
    }
  };
  const reference = await openDevice("javascript");
  const part = device.printer.profile.kind === "cpu" ? "kernels" : "outputs";
  try {
    if (only.includes("session")) await add("session", "session", async () => [await compareSessions(device, choices)]);
    if (only.includes("ops")) await add(part, "ops", async () => [await compareOps(device, reference, choices)]);
    for (const page of pagesFor(device.printer).filter(({ name }) => only.includes(name))) {
      let compiled: CompiledPage | null = null;
      await add(part, page.name, async () => {
        compiled = await compilePage(page, device, choices);
        return [await comparePage(page.name, compiled, device, reference)];
      });
      // What cannot be compiled cannot be trained.
      const { plan, expected } = (compiled as CompiledPage | null) ?? {};
      if (plan?.train && expected)
        await add("losses", page.name, async () =>
          stepRows(page, steps, await compareSteps({ plan, expected, device, reference, steps })),
        );
    }
    return rows;
  } finally {
    await reference.close();
  }
}

/** A row for a device that refuses. Any other error is thrown again. */
function refusal(part: Part, of: string, error: unknown): ConformanceRow {
  if (!(error instanceof MhcError)) throw error;
  const first = error.fix === null ? error.message : `${error.message} (${error.fix})`;
  return { part, of, ok: false, count: 0, worst: null, tolerance: null, first };
}

/** Words and kernels of a device, as its printer was given them. */
interface RecordingPrinter {
  readonly printer: KernelPrinter;
  readonly kernels: () => readonly Kernel[];
}

function recording({ name, printer }: OpenedDevice): RecordingPrinter {
  let seen: readonly Kernel[] = [];
  const print = (kernels: readonly Kernel[]): ReturnType<KernelPrinter["print"]> => printer.print((seen = kernels));
  return { printer: { ...printer, name, print }, kernels: () => seen };
}

/** What the device promises beside numbers. */
async function compareSessions(device: OpenedDevice, choices: Choices): Promise<ConformanceRow> {
  const { printer } = device;
  const { count, broken } = await compareSession(device, printer, profileWith(printer.profile, choices));
  const first = broken[0] ?? null;
  return { part: "session", of: "session", ok: first === null, count, worst: null, tolerance: null, first };
}

/** All ops, as kernels of the device: one by one on a CPU, else by their outputs. */
async function compareOps(device: OpenedDevice, reference: Device, choices: Choices): Promise<ConformanceRow> {
  const { graph, values, exact } = opGraph({ edges: device.printer.profile.kind === "cpu" });
  const planFor = async (
    profile: KernelProfile,
    { print }: KernelPrinter,
  ): Promise<[DevicePlan, readonly Kernel[]]> => {
    const { infos, kernels, entries, pools, constants } = schedule([graph], profile, new Map(), 0);
    return [{ kernels: infos, code: await print(kernels), entries, pools, constants }, kernels];
  };
  const [plan, kernels] = await planFor(profileWith(device.printer.profile, choices), device.printer);
  const feed = (session: Session, { entries }: DevicePlan): void => {
    for (const [name, ref] of Object.entries(mustValue(entries, graph.name).inputs)) {
      const words = mustGet(values, name);
      session.write(ref, ref.dtype === "u32" ? Uint32Array.from(words) : Float32Array.from(words));
    }
  };
  const start = (): void => undefined;
  if (device.printer.profile.kind === "cpu") {
    const subject = { plan, kernels, start, feed: (session: Session) => feed(session, plan) };
    return kernelRow("ops", await compareKernels(device, reference, subject, TOLERANCES.kernels));
  }
  const [expected] = await planFor(javascript.profile, javascript);
  const least = (_entry: string, output: string): number | undefined => (exact.has(output) ? 0 : undefined);
  const subject = { found: plan, expected, start, feed, least };
  return outputRow("ops", await compareOutputs(device, reference, subject), TOLERANCES.ops);
}

/** A page of the corpus for a device and for `javascript`. */
interface CompiledPage {
  readonly plan: Plan;
  /** The plan for `javascript`. */
  readonly expected: Plan;
  readonly kernels: readonly Kernel[];
}

async function compilePage(page: CorpusPage, device: OpenedDevice, choices: Choices): Promise<CompiledPage> {
  const { spec, set, bf16 } = page;
  const { printer, kernels } = recording(device);
  const planFor = async (devices: readonly (KernelPrinter | "javascript")[], own: CorpusPage["set"]): Promise<Plan> => {
    const { plan, diagnostics } = await compile(pageText(spec), {
      file: `${spec}.mhc`,
      devices,
      choices: { [device.name]: choices },
      facts,
      set: own,
    });
    if (plan) return plan;
    throw new Error(`bug: ${page.name} is not compiled: ${diagnostics.map(({ message }) => message).join("; ")}`);
  };
  if (bf16) {
    const plan = await planFor([printer], merged(set, { "train.precision": "bf16" }));
    return { plan, kernels: kernels(), expected: await planFor(["javascript"], set) };
  }
  const plan = await planFor(device.name === "javascript" ? [printer] : [printer, "javascript"], set);
  return { plan, kernels: kernels(), expected: plan };
}

/**
 * What cancels in kernels that nobody compares one by one is as far off as what it cancels of. Distances from a set, of
 * points with numbers of about 1, are taken to be so large at least, and gradients so large a share of the largest of
 * their step: those of the coordinates of a mix are sums that should be 0.
 */
const LEAST = { distance: 1e-2, gradient: 1e-1 } as const;

/** Seed of parameters and batches. */
const SEED = 4;

async function comparePage(
  of: string,
  { plan, kernels, expected: reckoned }: CompiledPage,
  device: OpenedDevice,
  reference: Device,
): Promise<ConformanceRow> {
  const found = mustValue(plan.devices, device.name);
  const expected = mustValue(reckoned.devices, "javascript");
  const start = (session: Session): void => {
    for (const info of plan.parameters) session.write(stateRef(info), initialValues(info, SEED));
    for (const state of plan.states) session.write(stateRef(state), atStart(plan, state));
  };
  const feed = (session: Session, { entries }: DevicePlan, entry: string): void => {
    const table = mustValue(entries, entry);
    const batch = madeUp(plan, table, SEED);
    for (const [name, ref] of Object.entries(table.inputs))
      session.write(ref, isOfTheRun(name, ref) ? Uint32Array.of(name === "step" ? 1 : SEED) : mustValue(batch, name));
  };
  if (device.printer.profile.kind === "cpu") {
    const subject = {
      plan: found,
      kernels,
      start,
      feed: (session: Session, entry: string) => feed(session, found, entry),
    };
    return kernelRow(of, await compareKernels(device, reference, subject, TOLERANCES.kernels));
  }
  const least = (entry: string, output: string, all: ReadonlyMap<string, Words>): number | undefined => {
    const kindOf = (name: string): string => mustValue(mustValue(plan.roles.entries, entry).outputs, name).kind;
    const kind = kindOf(output);
    if (kind === "constraint") return LEAST.distance;
    if (kind !== "gradient" && kind !== "cotangent") return undefined;
    return (
      LEAST.gradient * Math.max(0, ...[...all].map(([name, words]) => (kindOf(name) === kind ? largestOf(words) : 0)))
    );
  };
  const subject = { found, expected, start, feed, least };
  return outputRow(of, await compareOutputs(device, reference, subject), TOLERANCES.outputs);
}

const shown = (value: number): string => `${Number(value.toPrecision(7))}`;

/** The row of findings, with the first that is wrong in the words of `tell`. */
function rowOf<T extends { readonly difference: Difference }>(
  part: Part,
  of: string,
  findings: readonly T[],
  tolerance: number,
  tell: (finding: T) => string,
): ConformanceRow {
  const wrong = findings.find(({ difference }) => difference.share > tolerance);
  const worst = Math.max(0, ...findings.map(({ difference }) => difference.share));
  return { part, of, ok: !wrong, count: findings.length, worst, tolerance, first: wrong ? tell(wrong) : null };
}

const numbers = ({ found, expected, share }: Difference): string =>
  `${shown(found)}, and ${shown(expected)} on javascript` +
  (Number.isFinite(share) ? `, which is ${share.toExponential(1)} of the largest` : "");

const kernelRow = (of: string, findings: readonly KernelFinding[]): ConformanceRow =>
  rowOf(
    "kernels",
    of,
    findings,
    TOLERANCES.kernels,
    ({ kernel, entry, pool, difference }) =>
      `kernel ${kernel} of ${entry}: word ${difference.at} of ${pool} is ${numbers(difference)}`,
  );

const outputRow = (of: string, findings: readonly OutputFinding[], tolerance: number): ConformanceRow =>
  rowOf(
    "outputs",
    of,
    findings,
    tolerance,
    ({ kernel, entry, output, difference }) =>
      `output ${output} of ${entry}${kernel === null ? "" : `, by kernel ${kernel}`}: number ${difference.at} is ` +
      numbers(difference),
  );

function stepRows({ name: of, bf16 }: CorpusPage, steps: number, finding: StepsFinding): readonly ConformanceRow[] {
  const { share, step, found, expected, differs } = finding;
  const tolerance = bf16 ? TOLERANCES.bf16 : TOLERANCES.losses;
  const ok = share <= tolerance;
  const loss = `the loss of step ${step} is ${shown(found)}, and ${shown(expected)} on javascript`;
  const bits = `two runs of ${steps} steps differ, first in byte ${differs} of their checkpoints`;
  return [
    { part: "losses", of, ok, count: steps, worst: share, tolerance, first: ok ? null : loss },
    {
      part: "bits",
      of,
      ok: differs === null,
      count: steps,
      worst: null,
      tolerance: null,
      first: differs === null ? null : bits,
    },
  ];
}
