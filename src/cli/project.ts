/**
 * What all commands that read a spec share: the file, settings from outside, data and its facts, diagnostics on the
 * terminal. This is the compiler's host: the only place where it meets the file system.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import type { Source } from "../../runtime/data.js";
import { MhcError, messageOf } from "../../runtime/errors.js";
import { decodeText } from "../../runtime/node/encoding.js";
import { sourceFrom, type Loaded } from "../../runtime/node/sources.js";
import { mustGet } from "../../runtime/lookup.js";
import type { DataInfo, Plan, TrainInfo } from "../../runtime/plan.js";
import type { Recompile } from "../../runtime/choose.js";
import type { CheckOptions, Checked, Compiled, CompileOptions, Optimization, Shrunk } from "../compile/compile.js";
import type { TypedModel } from "../model/typed.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { hasBf16 } from "../kernel/profile.js";
import type { OpenedDevice } from "../tools/opened.js";
import { readRun, type KeptFile, type ReadFrom, type RunInfo, type StoredRun } from "../tools/run.js";
import { hostOf } from "./host.js";
import type { DeviceProfile } from "../cost/profile.js";
import { SpecError, UsageError } from "./outcome.js";
import { measuredProfiles, profileNamed } from "./profiles.js";
import { choicesFor } from "./tuned.js";
import { merged, recordOf } from "../../runtime/records.js";
import { fieldsOf } from "../../runtime/sources.js";
import { requestOf } from "./data.js";

/** Options of every command that reads a spec. */
export interface SpecOptions {
  readonly set?: readonly string[];
  readonly data?: readonly string[];
  readonly json?: boolean;
  /** A run whose model has shrunk: what it ended with, from the start. */
  readonly like?: string;
  /** The device profile to compile for. */
  readonly profile?: string;
  /** Optimizations that are turned off. */
  readonly without?: readonly Optimization[];
}

/** A spec as a command line names it: its text, and how it is compiled. */
export interface Project {
  readonly file: string;
  readonly text: string;
  readonly options: CheckOptions;
  /** What the model is from the start, when it is made like that of a run. */
  readonly shrunk?: Shrunk;
  readonly profile?: DeviceProfile;
  /** Optimizations that are turned off. */
  readonly without?: readonly Optimization[];
  /** The texts of the files that the spec uses, as they are read. */
  readonly used: ReadonlyMap<string, string>;
}

/** `a=b` pairs of a repeatable option; a name that is given twice is an error, since one of the two would be lost. */
export function pairs(list: readonly string[] | undefined, option: string): Readonly<Record<string, string>> {
  const values = new Map<string, string>();
  for (const item of list ?? []) {
    const at = item.indexOf("=");
    if (at < 1) throw new UsageError(`error: --${option} ${item}: write --${option} name=value`);
    const [name, value] = [item.slice(0, at).trim(), item.slice(at + 1).trim()];
    const before = values.get(name);
    if (before !== undefined) throw new UsageError(`error: --${option} ${name} is given twice: ${before} and ${value}`);
    values.set(name, value);
  }
  return recordOf(values);
}

const nameIn = (setting: string): string => setting.slice(0, setting.indexOf("=")).trim();

/** Two lists of settings as one: what is said in particular goes before what is said in general. */
export function settingsOf(general: readonly string[], particular: readonly string[]): readonly string[] {
  const named = new Set(particular.map(nameIn));
  return [...general.filter((setting) => !named.has(nameIn(setting))), ...particular];
}

/** The text of a page. */
export function readPage(file: string): string {
  if (!existsSync(file)) throw new UsageError(`error: there is no file ${file}`);
  if (!statSync(file).isFile()) throw new UsageError(`error: ${file} is not a file`);
  try {
    return decodeText(readFileSync(file), file, { mark: true });
  } catch (error) {
    if (error instanceof MhcError) throw error;
    throw new UsageError(`error: ${file} cannot be read: ${messageOf(error)}`);
  }
}

/** `run`: the page is that of a run, with the files that it used then, whatever is at the place of its file now. */
export async function openProject(
  file: string,
  { set, data, like, profile, without }: SpecOptions,
  run?: Pick<StoredRun, "spec" | "used">,
): Promise<Project> {
  const text = run?.spec ?? readPage(file);
  const { host, used } = await hostOf(file, text, run?.used);
  const named = (data ?? []).filter((item) => isNamed(item));
  const plain = (data ?? []).filter((item) => !isNamed(item));
  if (plain.length > 1)
    throw new UsageError("error: --data: name the source when there are several: --data corpus=path");
  const locations = recordOf(Object.entries(pairs(named, "data")).map(([name, path]) => [name, fromHere(path)]));
  return {
    file,
    text,
    used,
    ...(like === undefined ? {} : { shrunk: shrunkLike(like) }),
    ...(profile === undefined ? {} : { profile: profileNamed(profile, "--profile") }),
    ...(without === undefined ? {} : { without }),
    options: {
      file,
      profiles: measuredProfiles(),
      set: pairs(set, "set"),
      data: plain[0] === undefined ? locations : merged(locations, { "": fromHere(plain[0]) }),
      host,
    },
  };
}

/** Whether `--data` names the source: `corpus=path`, and not a path with = in it. */
const isNamed = (item: string): boolean => /^\s*[\p{L}_][\p{L}\p{N}_]*\s*=/u.test(item) && !existsSync(item);

/** What a run ended with. */
function shrunkLike(folder: string): Shrunk {
  const { shrunk } = readRun(folder).info;
  if (!shrunk) throw new UsageError(`error: --like ${folder}: its model has not shrunk`);
  return shrunk;
}

/** Paths on the command line are relative to where it is called, those of a spec to the spec. */
const fromHere = (path: string): string => (path.startsWith("npm:") || isAbsolute(path) ? path : resolve(path));

/** Prints diagnostics; throws when one is an error. */
export async function report(
  checked: { readonly diagnostics: readonly Diagnostic[]; readonly sources: (file: string) => string | undefined },
  json: boolean,
): Promise<void> {
  const { render, toJson } = await import("../diagnostics/render.js");
  for (const diagnostic of checked.diagnostics) {
    if (json) process.stdout.write(`${JSON.stringify(toJson(diagnostic, checked.sources))}\n`);
    else process.stderr.write(`${render(diagnostic, checked.sources, { color: process.stderr.isTTY === true })}\n\n`);
  }
  const errors = checked.diagnostics.filter(({ severity }) => severity === "error");
  const [first] = errors;
  if (!first) return;
  const count = `${errors.length} error${errors.length === 1 ? "" : "s"}`;
  throw new SpecError(json ? "" : `${count}\n\`mhc explain ${first.code}\` says more`);
}

/** How a spec is compiled when its data was read. */
export interface WithData {
  readonly options: CheckOptions;
  readonly loaded: ReadonlyMap<string, Loaded>;
  /** Where each source was read from. */
  readonly sources: readonly ReadFrom[];
}

/** Warnings are left to what compiles next, so that each is told once. */
const errorsOf = (checked: Checked): Checked => ({
  ...checked,
  diagnostics: checked.diagnostics.filter(({ severity }) => severity === "error"),
});

/** Checks the spec, reads the data it names, and returns the options with the facts. */
export async function readFacts(project: Project, json: boolean): Promise<WithData> {
  const { check, withModel } = await import("../compile/compile.js");
  const plain = project.options.data?.[""];
  let data = recordOf(Object.entries(project.options.data ?? {}).filter(([name]) => name !== ""));
  let checked: Checked = withModel(check(project.text, { ...project.options, data }), project.file);
  await report(errorsOf(checked), json);
  if (plain !== undefined) {
    const sources = mustCheck(checked).data;
    const [source] = sources;
    if (!source || sources.length !== 1)
      throw new UsageError(
        `error: --data ${plain}: the spec has ${sources.length} data sources; name one: --data NAME=path`,
      );
    data = merged(data, recordOf([[source.name, plain]]));
    checked = check(project.text, { ...project.options, data });
    await report(errorsOf(checked), json);
  }
  const { filesAt } = await import("../../runtime/node/files.js");
  const { readData } = await import("../../runtime/node/sources.js");
  const loaded = new Map<string, Loaded>();
  const sources: ReadFrom[] = [];
  const from = dirname(resolve(project.file));
  for (const source of mustCheck(checked).data) {
    const { name, location } = source;
    const read = await readData(requestOf(source), from);
    loaded.set(name, read);
    const tokenizer = read.kind === "tokens" ? { tokenizer: read.tokenizerPath } : {};
    sources.push({ name, location, from, files: await filesAt(location, from), ...tokenizer });
  }
  const facts = recordOf([...loaded].map(([name, { facts: fact }]) => [name, fact]));
  return { options: { ...project.options, data, facts }, loaded, sources };
}

/** The model of a page whose errors were reported. Throws an Error when there is none. */
export function mustCheck({ model }: Pick<Checked, "model">): TypedModel {
  if (model) return model;
  throw new Error("bug: a page without an error has no model");
}

/** The plan of a page whose errors were reported. Throws an Error when there is none. */
export function mustCompile({ plan }: Pick<Compiled, "plan">): Plan {
  if (plan) return plan;
  throw new Error("bug: a page without an error has no plan");
}

/** What the cost of such a page is counted from. Throws an Error when there is nothing. */
export function mustAccount({ accounts }: Pick<Compiled, "accounts">): NonNullable<Compiled["accounts"]> {
  if (accounts) return accounts;
  throw new Error("bug: a page without an error has no accounts");
}

/** Checks, reads the data and compiles for one device, with the choices that were tuned for it. */
export async function compileFor(
  project: Project,
  device: OpenedDevice,
  json: boolean,
  monitors: CompileOptions["monitors"] = false,
): Promise<CompiledFor> {
  const { options, loaded, sources } = await readFacts(project, json);
  const { compile } = await import("../compile/compile.js");
  const how: CompileOptions = {
    ...options,
    ...(project.shrunk ? { shrunk: project.shrunk } : {}),
    ...profiled(project, [device.name]),
    ...(project.without ? { without: project.without } : {}),
    devices: [device.target],
    monitors,
    choices: { [device.name]: choicesFor(device) },
  };
  const compiled = await compile(project.text, how);
  await report(compiled, json);
  const plan = mustCompile(compiled);
  if (project.shrunk && !plan.settled)
    throw new UsageError("error: --like: this page shrinks nothing, so it cannot be made like a run's model");
  if (isOfBf16(plan) && device.bf16 === undefined)
    process.stderr.write(
      "note: this processor has no unit for bf16, so products of bf16 take longer than those of f32 " +
        "(`--set train.precision=f32`)\n",
    );
  return {
    plan,
    options,
    loaded,
    sources,
    accounts: mustAccount(compiled),
    recompile: plan.shrinking && ((shrunk) => inBackground(project.text, { ...how, shrunk }, device.module)),
  };
}

/** Whether a plan has products of bf16, which the page asked for. */
export const isOfBf16 = ({ devices }: Plan): boolean => Object.values(devices).some(({ kernels }) => hasBf16(kernels));

/** A spec that was compiled for one device. */
export interface CompiledFor {
  readonly plan: Plan;
  /** With the facts of the data. */
  readonly options: CheckOptions;
  readonly loaded: ReadonlyMap<string, Loaded>;
  readonly sources: readonly ReadFrom[];
  readonly accounts: NonNullable<Compiled["accounts"]>;
  /** Compiles the smaller step of a page that shrinks, in a thread of its own. */
  readonly recompile: Recompile | undefined;
}

/**
 * Compiles in another thread; the files that the page uses are read there again, and so is `module`, that of a device
 * of the user's own: functions do not go from thread to thread.
 */
async function inBackground(text: string, how: CompileOptions, module: string | null): Promise<Plan> {
  const options = { ...how, devices: module === null ? how.devices : [] };
  delete options.host;
  const { Worker } = await import("node:worker_threads");
  let worker: InstanceType<typeof Worker>;
  try {
    worker = new Worker(new URL("./recompile.js", import.meta.url), {
      workerData: { text, options, module } satisfies Recompiling,
    });
  } catch {
    // A permission model forbids threads: training waits while this one compiles.
    const { compile } = await import("../compile/compile.js");
    return mustCompile(await compile(text, how));
  }
  return new Promise((done, failed) => {
    worker.once("message", done);
    worker.once("error", failed);
  });
}

/** What a thread that compiles is told. */
export interface Recompiling {
  readonly text: string;
  readonly options: Omit<CompileOptions, "host">;
  /** The module of the device that is compiled for, when it is none of mhc. */
  readonly module: string | null;
}

/** The profile to compile for; an error when it is of none of the devices. */
export function profiled(
  { profile }: Pick<Project, "profile">,
  devices: readonly string[],
): Pick<CompileOptions, "profile"> {
  if (!profile) return {};
  if (!devices.includes(profile.device))
    throw new UsageError(
      `error: --profile ${profile.name} is of ${profile.device}, and this is compiled for ${devices.join(", ")}`,
    );
  return { profile };
}

/** What a command trains a plan by: its settings, and the data that feeds it. */
export interface Trainable {
  readonly settings: TrainInfo;
  readonly info: DataInfo;
  readonly source: Source;
}

/** What training needs of a plan; an error when its spec has no loss, or no data. */
export function trainable(plan: Plan, loaded: ReadonlyMap<string, Loaded>): Trainable {
  if (!plan.train) throw new SpecError(`error: ${plan.name} has no loss to train`);
  const read = Object.values(plan.devices).flatMap(({ entries }) => Object.keys(entries["train"]?.inputs ?? {}));
  const fed = plan.data.filter((source) => fieldsOf(source).some((field) => read.includes(field)));
  if (fed.length > 1) {
    const names = fed.map(({ name }) => name).join(" and ");
    throw new SpecError(
      `error: ${plan.name} reads ${names} in one step, and a step of this command is fed by one source`,
    );
  }
  const info = fed[0] ?? plan.data[0];
  if (!info) throw new SpecError(`error: ${plan.name} names no data to train on`);
  return { settings: plan.train, info, source: sourceFrom(info, mustGet(loaded, info.name)) };
}

/**
 * How the page of a run is compiled: as it was run, with the files that it used then, and what is left of it when it
 * has shrunk.
 */
export async function optionsOf({
  info: { file, set, data, facts, shrunk },
  spec,
  used,
}: StoredRun): Promise<Omit<CompileOptions, "devices">> {
  const { host } = await hostOf(file, spec, used);
  return { file, profiles: measuredProfiles(), set, data, host, facts, ...(shrunk ? { shrunk } : {}) };
}

/** The page that is asked for: a file, or that of a run. */
export async function pageOf(
  file: string | undefined,
  flags: SpecOptions & { readonly run?: string },
): Promise<{ readonly text: string; readonly file: string; readonly options: Omit<CompileOptions, "devices"> }> {
  if (flags.run === undefined) {
    if (file === undefined) throw new UsageError("error: say which page: a .mhc file, or --run FOLDER");
    const project = await openProject(file, flags);
    return { text: project.text, file, options: (await readFacts(project, flags.json === true)).options };
  }
  if (file !== undefined || flags.set?.length || flags.data?.length)
    throw new UsageError("error: --run takes the page of the run as it was run: leave out the spec, --set and --data");
  const run = readRun(flags.run);
  return { text: run.spec, file: run.info.file, options: await optionsOf(run) };
}

/** What a run is made of, beside its page. */
export interface RunParts extends Pick<WithData, "loaded" | "sources"> {
  readonly used: readonly KeptFile[];
  /** The data source that a location without a name is for. */
  readonly first: string;
  readonly seed: number;
  readonly device: string;
}

/** What a run's folder says about it. */
export function describeRun(
  { file, options }: Project,
  { loaded, sources, used, first, seed, device }: RunParts,
): Omit<RunInfo, "step"> {
  const data = recordOf(
    Object.entries(options.data ?? {}).map(([name, location]) => [name === "" ? first : name, location]),
  );
  const facts = recordOf([...loaded].map(([name, { facts: fact }]) => [name, fact]));
  return {
    format: 1,
    file: resolve(file),
    set: options.set ?? {},
    data,
    facts,
    seed,
    device,
    sources,
    ...(used.length ? { used: used.map(({ path, file: kept }) => ({ path, file: kept })) } : {}),
  };
}
