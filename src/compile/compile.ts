/**
 * The pipeline as one function: text to a plan. Pure: what is outside (other files, facts of the data) comes in as
 * arguments, and a wrong spec gives diagnostics, never an exception. Each stage can be printed.
 */
import type { KernelPrinter } from "../../codegen/target.js";
import { parse } from "../../grammar/parse.js";
import { mustAt } from "../../runtime/lookup.js";
import type { DevicePlan, Plan } from "../../runtime/plan.js";
import { valueAt } from "../../runtime/records.js";
import { standardLibrary } from "../../specs/std.js";
import type { Accounted } from "../cost/account.js";
import type { DeviceProfile } from "../cost/profile.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import type { Graph } from "../graph/node.js";
import { valueOf } from "../graph/sizes.js";
import { elaborate, type Facts } from "../model/elaborate/elaborate.js";
import { flagText } from "../model/elaborate/outside.js";
import type { TypedModel } from "../model/typed.js";
import { unusedIn } from "../model/unused.js";
import type { Scheduled } from "../schedule/plan.js";
import type { Monitors } from "../step/measured.js";
import { allowancesOf, shown, type Allowances } from "./allowed.js";
import { ofSchedule, type Optimization } from "./optimizations.js";
import { planModel } from "./pipeline.js";
import { planOf } from "./plan.js";
import { profileOf, shrinking, type Shrunk } from "./shrink.js";
import { stagesOf, type NamedSchedule, type Stages } from "./stages.js";
import { idlePrecision, precisionOf, roomOf, targetsOf, type TargetOptions } from "./targets.js";
import { blame, readUses, type PageHost, type OwnSet } from "./uses.js";

export { modulesOf } from "./uses.js";
export type { Facts, PageHost };
export type { LoadedModule } from "./uses.js";
export type { Shrunk } from "./shrink.js";
export type { Optimization } from "./optimizations.js";
export type { Stages } from "./stages.js";
export type { BuiltInDevice, Choices, DeviceName } from "./targets.js";

/** What a page is checked with. */
export interface CheckOptions {
  /** The name of the file, for messages and for resolving `use`. */
  readonly file: string;
  readonly facts?: Facts | null;
  readonly set?: Readonly<Record<string, string>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly host?: PageHost;
  /** Device profiles of the caller's own, for `device NAME` of a `cost` section. */
  readonly profiles?: readonly DeviceProfile[];
}

/** A page that was read; `model` is null when it has errors, and of a file of blocks alone. */
export interface Checked {
  readonly model: TypedModel | null;
  /** Of a file of blocks alone, how many it has: they were checked as far as they can be without a use. */
  readonly blocks?: number;
  readonly diagnostics: readonly Diagnostic[];
  /** The text of every file that a diagnostic may point at. */
  readonly sources: (file: string) => string | undefined;
  /** Sets of the user's own. */
  readonly own: readonly OwnSet[];
  /** The warnings that the page allows. */
  readonly allowed: Allowances;
}

/** What a page is compiled with. */
export interface CompileOptions extends CheckOptions, TargetOptions {
  /**
   * Whether the plan can measure gains and mixes while it trains: one more entry, `monitor`, where there is something
   * to measure. "all": proved claims too, and what `mhc verify` judges sets by.
   */
  readonly monitors?: Monitors;
  /** The entries that the plan has, by name (`train`, `forward`, …); all of them when it does not say. */
  readonly entries?: readonly string[];
  /** Optimizations that are turned off. */
  readonly without?: readonly Optimization[];
  /**
   * Whether what each pass of the schedule makes is verified. What is not sound is a bug of mhc, and an UnsoundPass is
   * thrown that names the pass, the entry and the node.
   */
  readonly verify?: boolean;
  /** What is left of a page that shrinks; all of it when it does not say. */
  readonly shrunk?: Shrunk;
}

/** A page that was compiled; `plan` is null when it has errors. */
export interface Compiled {
  readonly plan: Plan | null;
  readonly diagnostics: readonly Diagnostic[];
  /** As of a page that was checked. */
  readonly sources: (file: string) => string | undefined;
  readonly stages: Stages | null;
  /** The entries as they were planned. */
  readonly graphs: readonly Graph[] | null;
  /** Whose work the dispatches of a device's entry do, in their order; what `cost` adds up. */
  readonly accounts: ((device: string, entry: string) => Accounted) | null;
}

/**
 * Parses and elaborates; `facts` may be missing, then sizes that come from the data stay symbolic. Throws TypeError
 * where `text` or `options.file` is no text.
 */
export function check(text: string, options: CheckOptions): Checked {
  const { file } = (options as CheckOptions | undefined) ?? {};
  if (typeof text !== "string") throw new TypeError("the text of a page is expected, as a string");
  if (typeof file !== "string") throw new TypeError("the options of a page are expected, with its name as `file`");
  const { files, texts, own, diagnostics } = readUses(text, options);
  const sources = (file: string): string | undefined =>
    texts.get(file) ?? standardLibrary.find(({ name }) => name === file)?.text ?? flagText(options.set ?? {}, file);
  const allowed = allowancesOf(files);
  const wrong = [...diagnostics, ...allowed.errors];
  if (wrong.length) return { model: null, diagnostics: wrong, sources, own, allowed };
  const std = standardLibrary.map(({ name, text: content }) => parse(content, name).file);
  try {
    const {
      model,
      diagnostics: told,
      blocks,
    } = elaborate([...files, ...std], {
      set: options.set ?? {},
      data: options.data ?? {},
      facts: options.facts ?? null,
      sets: own.map(({ set }) => set),
    });
    const lost = model?.cost && profileOf(model.cost, { ...options, place: model.cost.span });
    const whole = model !== null && !told.some(({ severity }) => severity === "error");
    const warnings = whole ? unusedIn(model, files, std) : [];
    const isLost = lost !== null && lost !== undefined && "code" in lost;
    const all = isLost ? [...told, lost] : [...told, ...warnings];
    const seen = shown(allowed, all, { page: file, whole: whole && !isLost });
    const found = blocks === undefined ? {} : { blocks };
    return { model: isLost ? null : model, diagnostics: seen, sources, own, allowed, ...found };
  } catch (error) {
    return { model: null, diagnostics: [blame(own, error, options.file)], sources, own, allowed };
  }
}

/** Compiles for some devices. `plan` is null when there are errors. */
export async function compile(text: string, options: CompileOptions): Promise<Compiled> {
  const checked = withModel(check(text, options), options.file);
  if (!checked.model) return failed(checked);
  try {
    return await compileModel(text, checked.model, checked, options);
  } catch (error) {
    return failed(checked, blame(checked.own, error, options.file));
  }
}

/** A page that is to be compiled: of a file of blocks alone, it is an error that there is no model. */
export const withModel = (checked: Checked, file: string): Checked =>
  checked.blocks === undefined
    ? checked
    : {
        ...checked,
        diagnostics: [
          ...checked.diagnostics,
          diagnostic("MHC216", { file, start: 0, end: 1 }, "there is no model in this file", {
            fix: `a page takes its blocks with \`use "…"\``,
          }),
        ],
      };

/** Why nothing is compiled. */
const failed = ({ diagnostics, sources }: Checked, ...reasons: readonly Diagnostic[]): Compiled => ({
  plan: null,
  diagnostics: [...diagnostics, ...reasons],
  sources,
  stages: null,
  graphs: null,
  accounts: null,
});

/** Data whose facts are not known: without them a plan has no sizes. */
const missingFacts = (model: TypedModel): Diagnostic[] =>
  model.data
    .filter(({ sizes }) => [...sizes.values()].some((size) => valueOf(size) === null))
    .map((source) =>
      diagnostic("MHC403", source.span, `the facts of \`${source.name}\` are not known: its data has not been read`, {
        fix: `pass the data: \`--data ${source.name}=path\``,
      }),
    );

async function compileModel(
  text: string,
  page: TypedModel,
  checked: Checked,
  options: CompileOptions,
): Promise<Compiled> {
  const missing = missingFacts(page);
  if (missing.length) return failed(checked, ...missing);
  const without = options.without ?? [];
  const targets = targetsOf(options, !without.includes("tuning"));
  const precision = without.includes("half") ? null : precisionOf(page, targets, options.profile ?? null);
  if (precision && "code" in precision) return failed(checked, precision);
  const place = { file: options.file, start: 0, end: 1 };
  const model = { ...page, train: page.train && { ...page.train, precision } };
  const shrinks = await shrinking(model, { ...options, place });
  if (shrinks && "code" in shrinks) return failed(checked, shrinks);
  const planned = planModel(model, {
    entries: {
      monitors: options.monitors ?? false,
      attention: !without.includes("attention"),
      ...(options.entries ? { only: options.entries } : {}),
      ...(shrinks ? { kept: shrinks.kept, shrinking: shrinks.gates } : {}),
    },
    profiles: targets.map(({ profile }) =>
      precision?.word === "bf16" ? { ...profile, products: "bf16" as const } : profile,
    ),
    recompute: !without.includes("recompute"),
    schedule: { verify: options.verify ?? false, without: ofSchedule(without) },
    room: roomOf(targets, options.profile ?? null, place),
  });
  const { fitted } = planned;
  if ("code" in fitted) return failed(checked, fitted);
  const schedules = targets.map(({ name }, i): NamedSchedule => [name, mustAt(fitted.scheduled, i)]);
  const devices = new Map<string, DevicePlan>();
  for (const [i, { name, printer }] of targets.entries())
    devices.set(name, await devicePlanOf(mustAt(fitted.scheduled, i), printer));
  const accounts = (device: string, entry: string): Accounted => {
    const scheduled = schedules.find(([name]) => name === device)?.[1];
    return {
      accounts: scheduled?.accounts(entry) ?? [],
      peak: valueAt(scheduled?.peaks, entry) ?? { work: 0, streams: 0 },
    };
  };
  const infos = fitted.scheduled.flatMap((scheduled) => scheduled.infos);
  const idle = idlePrecision(precision, infos);
  return {
    plan: planOf({ text, model: page, facts: options.facts ?? {}, planned, shrinks, devices }),
    diagnostics: [
      ...checked.diagnostics,
      ...shown(checked.allowed, idle, { page: options.file, whole: true, later: true }),
    ],
    sources: checked.sources,
    stages: stagesOf(page, fitted, schedules),
    graphs: fitted.graphs,
    accounts,
  };
}

const devicePlanOf = async (
  { infos, kernels, entries, pools, constants }: Scheduled,
  printer: KernelPrinter,
): Promise<DevicePlan> => ({ kernels: infos, code: await printer.print(kernels), entries, pools, constants });
