/**
 * The pipeline as one function: text to a plan. Pure: what is outside (other files, facts of the data) comes in as
 * arguments, and a wrong spec gives diagnostics, never an exception. Each stage can be printed.
 */
import { standardLibrary } from "../../specs/std.js";
import { printers as builtIn } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import type { Choice } from "../kernel/profile.js";
import { parse } from "../../grammar/parse.js";
import {
  copiesOf,
  wordBytes,
  type DataInfo,
  type DevicePlan,
  type Dispatch,
  type KernelInfo,
  type Plan,
  type PoolName,
} from "../../runtime/plan.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnostic } from "../diagnostics/table.js";
import { fit, type Fitted } from "./fit.js";
import { buildEntries, type Monitors } from "../step/entries.js";
import { rolesOf } from "../step/roles.js";
import { printGraph } from "../graph/text.js";
import { valueOf } from "../graph/sizes.js";
import { printKernel } from "../kernel/text.js";
import { elaborate, type Facts } from "../model/elaborate/elaborate.js";
import { reachOf } from "../manifolds/set.js";
import { flagText } from "../model/elaborate/outside.js";
import { printModel } from "../model/print.js";
import type { TypedModel } from "../model/typed.js";
import { unusedIn } from "../model/unused.js";
import type { Accounted } from "../cost/account.js";
import { schedule, type Scheduled } from "../schedule/plan.js";
import { stateOf } from "./layout.js";
import type { DeviceProfile } from "../cost/profile.js";
import { profileOf, shrinking, type Shrunk } from "./shrink.js";
import { blame, readUses, type Host, type OwnSet } from "./uses.js";
import { recordOf, valueAt } from "../../runtime/records.js";

export { modulesOf } from "./uses.js";
export type { Facts, Host };
export type { LoadedModule } from "./uses.js";
export type { Shrunk } from "./shrink.js";

export interface CheckOptions {
  /** The name of the file, for messages and for resolving `use`. */
  readonly file: string;
  readonly facts?: Facts | null;
  readonly set?: Readonly<Record<string, string>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly host?: Host;
  /** Device profiles of the caller's own, for `device NAME` of a `cost` section. */
  readonly profiles?: readonly DeviceProfile[];
}

export interface Checked {
  readonly model: TypedModel | null;
  readonly diagnostics: readonly Diagnostic[];
  /** The text of every file that a diagnostic may point at. */
  readonly sources: (file: string) => string | undefined;
  /** Sets of the user's own. */
  readonly own: readonly OwnSet[];
}

export interface CompileOptions extends CheckOptions {
  /** Names of built-in targets, or targets of the caller's own. */
  readonly devices: readonly (DeviceName | KernelPrinter)[];
  /** Choices of kernels by device, as `mhc tune` found them; defaults where there are none. */
  readonly choices?: Readonly<Partial<Record<DeviceName, Choices>>>;
  /**
   * Whether the plan can measure gains and mixes while it trains: one more entry, `monitor`, where there is something
   * to measure. "all": proved claims too, and what `mhc verify` judges sets by.
   */
  readonly monitors?: Monitors;
  /**
   * The device that plans of its kind are for: its kernels, the memory that they must fit into, and its precision where
   * the page says `auto`.
   */
  readonly profile?: DeviceProfile;
  /** What is left of a page that shrinks; all of it when it does not say. */
  readonly shrunk?: Shrunk;
}

/** Choices by `skeleton` or `skeleton/shape`. */
export type Choices = Readonly<Record<string, Choice>>;

export type DeviceName = "wasm" | "webgpu" | "javascript";

export interface Stages {
  readonly model: () => string;
  readonly graph: () => string;
  readonly kernels: () => string;
  readonly plan: () => string;
}

export interface Compiled {
  readonly plan: Plan | null;
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: (file: string) => string | undefined;
  readonly stages: Stages | null;
  /** Whose work the dispatches of a device's entry do, in their order; what `cost` adds up. */
  readonly accounts: ((device: string, entry: string) => Accounted) | null;
}

/** Parses and elaborates; `facts` may be missing, then sizes that come from the data stay symbolic. */
export function check(text: string, options: CheckOptions): Checked {
  const { files, texts, own, diagnostics } = readUses(text, options);
  const sources = (file: string): string | undefined =>
    texts.get(file) ?? standardLibrary.find(({ name }) => name === file)?.text ?? flagText(options.set ?? {}, file);
  if (diagnostics.length) return { model: null, diagnostics, sources, own };
  const std = standardLibrary.map(({ name, text: content }) => parse(content, name).file);
  try {
    const { model, diagnostics: found } = elaborate([...files, ...std], {
      set: options.set ?? {},
      data: options.data ?? {},
      facts: options.facts ?? null,
      sets: own.map(({ set }) => set),
    });
    const lost = model?.cost && profileOf(model.cost, { ...options, place: model.cost.span });
    const whole = model && !found.some(({ severity }) => severity === "error");
    const warnings = whole ? unusedIn(model, files, std) : [];
    return lost && "code" in lost
      ? { model: null, diagnostics: [...found, lost], sources, own }
      : { model, diagnostics: [...found, ...warnings], sources, own };
  } catch (error) {
    return { model: null, diagnostics: [blame(own, error, options.file)], sources, own };
  }
}

/** Compiles for some devices. `plan` is null when there are errors. */
export async function compile(text: string, options: CompileOptions): Promise<Compiled> {
  const checked = check(text, options);
  const { model, diagnostics, sources, own } = checked;
  if (!model) return { plan: null, diagnostics, sources, stages: null, accounts: null };
  try {
    return await compileModel(text, model, checked, options);
  } catch (error) {
    return {
      plan: null,
      diagnostics: [...diagnostics, blame(own, error, options.file)],
      sources,
      stages: null,
      accounts: null,
    };
  }
}

async function compileModel(
  text: string,
  model: TypedModel,
  { diagnostics, sources }: Checked,
  options: CompileOptions,
): Promise<Compiled> {
  const missing = model.data.filter((source) => valueOf(source.range) === null);
  if (missing.length) {
    const reports = missing.map((source) =>
      diagnostic("MHC403", source.span, `the facts of \`${source.name}\` are not known: its data has not been read`, {
        fix: `pass the data: \`--data ${source.name}=path\``,
      }),
    );
    return { plan: null, diagnostics: [...diagnostics, ...reports], sources, stages: null, accounts: null };
  }
  const { profile: machine = null } = options;
  const printers = options.devices.map((device) => {
    if (typeof device !== "string") return { name: device.name, printer: device, profile: device.profile };
    const printer = builtIn[device];
    const choices = { ...(machine?.device === device ? machine.kernels : {}), ...options.choices?.[device] };
    return {
      name: device,
      printer,
      profile: Object.keys(choices).length ? { ...printer.profile, choices } : printer.profile,
    };
  });
  const asked = model.train?.half ?? null;
  const half =
    asked &&
    (!asked.auto ||
      (machine?.half === true && printers.every(({ name, profile }) => profile.half && name === machine.device)))
      ? { span: asked.span, auto: false }
      : null;
  const lacking = half && printers.find(({ profile }) => !profile.half);
  if (lacking) {
    const fix =
      `take WebGPU alone (\`--device webgpu\`, \`--target typescript,wgsl\`), or \`precision = f32\` (\`--set ` +
      `train.precision=f32\`)`;
    return {
      plan: null,
      diagnostics: [
        ...diagnostics,
        diagnostic(
          "MHC601",
          half.span,
          `\`precision = f16\` needs memory of 16-bit floats, which ${lacking.name} does not have`,
          { fix },
        ),
      ],
      sources,
      stages: null,
      accounts: null,
    };
  }
  const train = model.train && { ...model.train, half };
  const trained = { ...model, train };
  const shrinks = await shrinking(trained, { ...options, place: { file: options.file, start: 0, end: 1 } });
  if (shrinks && "code" in shrinks)
    return { plan: null, diagnostics: [...diagnostics, shrinks], sources, stages: null, accounts: null };
  const entries = buildEntries(trained, {
    monitors: options.monitors ?? false,
    ...(shrinks ? { kept: shrinks.kept, shrinking: shrinks.gates } : {}),
  });
  const { parameters, states, layout, words } = stateOf(entries);
  const room =
    machine && printers.some(({ name }) => name === machine.device)
      ? {
          profile: machine.name,
          bytes: machine.memory_bytes,
          binding: machine.binding_bytes ?? null,
          span: { file: options.file, start: 0, end: 1 },
        }
      : null;
  const fitted = fit(entries, train, room, (graphs) =>
    printers.map(({ profile }) => schedule(graphs, profile, layout, words)),
  );
  if ("code" in fitted)
    return { plan: null, diagnostics: [...diagnostics, fitted], sources, stages: null, accounts: null };
  const scheduled: [string, Scheduled][] = [];
  const devices = new Map<string, DevicePlan>();
  for (const [i, { name, printer }] of printers.entries()) {
    const result = fitted.scheduled[i]!;
    scheduled.push([name, result]);
    devices.set(name, {
      kernels: result.infos,
      code: await printer.print(result.kernels),
      entries: result.entries,
      pools: result.pools,
      constants: result.constants,
    });
  }
  const plan: Plan = {
    format: 1,
    name: model.name,
    doc: model.doc,
    dims: recordOf(model.dims.map(({ name, size }) => [name, valueOf(size)!])),
    dimDocs: recordOf(model.dims.flatMap(({ name, doc }) => (doc ? [[name, doc]] : []))),
    data: model.data.map((source) => dataOf(source, options.facts ?? {})),
    spec: text,
    parameters,
    states,
    train: model.train && { batch: model.train.batch, steps: model.train.steps, seed: model.train.seed },
    inputs: recordOf(model.inputs.map(({ name, axes }) => [name, shaped(axes)])),
    outputs: recordOf(model.outputs.map(({ name, axes }) => [name, shaped(axes)])),
    constraints: constraintsOf(model, entries.lowered.constraints),
    claims: model.claims.map(({ text: claim, bound, monitored, proof }) => ({ text: claim, bound, monitored, proof })),
    ...(shrinks ? shrinks.info : {}),
    roles: rolesOf(entries),
    devices: recordOf(devices),
  };
  const stages: Stages = {
    model: () => printModel(model),
    graph: () => fitted.graphs.map(printGraph).join("\n\n"),
    kernels: () =>
      scheduled.map(([name, result]) => `// ${name}\n${result.kernels.map(printKernel).join("\n\n")}`).join("\n\n"),
    plan: () => scheduled.map(([name, result]) => `// ${name}\n${printPlan(result, fitted)}`).join("\n\n"),
  };
  const accounts = (device: string, entry: string): Accounted => {
    const found = scheduled.find(([name]) => name === device)?.[1];
    return { accounts: found?.accounts(entry) ?? [], peak: valueAt(found?.peaks, entry) ?? { work: 0, streams: 0 } };
  };
  return { plan, diagnostics, sources, stages, accounts };
}

/** What is watched: manifolds of the page that make values, and parameters on a set. */
const constraintsOf = (
  { manifolds, parameters }: TypedModel,
  watched: ReadonlyMap<string, unknown>,
): Plan["constraints"] => {
  const members = parameters.flatMap(({ name, on }) => (on ? [{ name, manifold: on.manifold }] : []));
  return [...manifolds, ...members]
    .filter(({ name }) => watched.has(name))
    .map(({ name, manifold: { set, options } }) => ({
      name,
      manifold: set.name,
      tolerance: set.tolerance(options),
      reach: reachOf(set),
    }));
};

const shaped = (axes: TypedModel["inputs"][number]["axes"]): { shape: readonly number[]; axes: readonly string[] } => ({
  shape: axes.map((axis) => valueOf(axis.size)!),
  axes: axes.map((axis) => axis.name),
});

function dataOf(source: TypedModel["data"][number], facts: Facts): DataInfo {
  const { name, location, holdout } = source;
  const fact = valueAt(facts, name);
  const length = valueOf(source.length)!;
  if (source.kind === "characters")
    return {
      kind: "characters",
      name,
      location,
      window: length,
      holdout,
      vocabulary: fact && "vocabulary" in fact ? fact.vocabulary : [],
    };
  if (source.kind === "pairs")
    return {
      kind: "pairs",
      name,
      location,
      negatives: length,
      holdout,
      names: fact && "names" in fact ? fact.names : [],
    };
  return { kind: "examples", name, location, features: length, holdout, classes: valueOf(source.range)! };
}

function printPlan({ entries, infos, pools, peaks }: Scheduled, { recompute }: Fitted): string {
  const bytes = (Object.keys(wordBytes) as PoolName[])
    .map((name) => `${name} ${wordBytes[name] * pools[name]} bytes`)
    .join(", ");
  const tables = Object.entries(entries).map(([name, { dispatches }]) =>
    [
      `entry ${name}: ${dispatches.length} dispatches, ${memoryOf(valueAt(peaks, name)!)}`,
      ...dispatches.map(
        (dispatch) =>
          `  ${infos[dispatch.kernel]!.name} (${groupsOf(dispatch, infos[dispatch.kernel]!)} groups) at ` +
          `${dispatch.offsets.join(", ")}`,
      ),
    ].join("\n"),
  );
  return [`pools: ${bytes}`, `recompute: ${recompute}`, `kernels: ${infos.length}`, ...tables].join("\n");
}

const groupsOf = (dispatch: Dispatch, info: KernelInfo): string =>
  copiesOf(dispatch, info) > 1 ? `${copiesOf(dispatch, info)} x ${info.groups}` : `${info.groups}`;

const memoryOf = ({ work, streams }: Scheduled["peaks"][string]): string =>
  `work ${work} bytes${streams ? `, activations of the streams ${streams} bytes at their peak` : ""}`;
