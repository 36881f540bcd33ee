/**
 * What all commands that read a spec share: the file, settings from outside, data and its facts, diagnostics on the terminal. This
 * is the compiler's host: the only place where it meets the file system.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Source } from "../../runtime/data.js";
import type { Device } from "../../runtime/device.js";
import { sourceFrom, type Loaded } from "../../runtime/node/files.js";
import type { DataInfo, Plan } from "../../runtime/plan.js";
import type { CheckOptions, Checked, CompileOptions, Host, LoadedModule } from "../compile.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { valueOf } from "../graph/sizes.js";
import type { RunInfo } from "../tools/run.js";
import { SpecError, UsageError } from "./outcome.js";
import { choicesFor } from "./tuned.js";

export interface SpecOptions {
  readonly set?: readonly string[];
  readonly data?: readonly string[];
  readonly json?: boolean;
}

export interface Project {
  readonly file: string;
  readonly text: string;
  readonly options: CheckOptions;
  /** The texts of the files that the spec uses, as they are read. */
  readonly used: ReadonlyMap<string, string>;
}

/** `a=b` pairs of a repeatable option. */
export function pairs(list: readonly string[] | undefined, option: string): Record<string, string> {
  return Object.fromEntries((list ?? []).map((item) => {
    const at = item.indexOf("=");
    if (at < 1) throw new UsageError(`error: --${option} ${item}: write --${option} name=value`);
    return [item.slice(0, at).trim(), item.slice(at + 1).trim()];
  }));
}

/** The text of a page. */
export function readPage(file: string): string {
  if (!existsSync(file)) throw new UsageError(`error: there is no file ${file}`);
  if (!statSync(file).isFile()) throw new UsageError(`error: ${file} is not a file`);
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`error: ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export async function openProject(file: string, { set, data }: SpecOptions): Promise<Project> {
  const text = readPage(file);
  const { host, used } = await hostOf(file, text);
  const named = (data ?? []).filter((item) => item.includes("="));
  const plain = (data ?? []).filter((item) => !item.includes("="));
  if (plain.length > 1) throw new UsageError("error: --data: name the source when there are several: --data corpus=path");
  const locations = Object.fromEntries(Object.entries(pairs(named, "data")).map(([name, path]) => [name, fromHere(path)]));
  return { file, text, used, options: { file, set: pairs(set, "set"), data: plain[0] === undefined ? locations : { ...locations, "": fromHere(plain[0]) }, host } };
}

/** The files and modules that a page uses; modules are imported at once, since importing waits and checking does not. */
export async function hostOf(file: string, text: string): Promise<{ readonly host: Host; readonly used: ReadonlyMap<string, string> }> {
  const used = new Map<string, string>();
  const modules = new Map<string, LoadedModule>();
  const host: Host = {
    read(path) {
      if (!existsSync(path)) return null;
      const found = readFileSync(path, "utf8");
      used.set(path, found);
      return found;
    },
    load: (path) => modules.get(path) ?? null,
  };
  // A page without the word uses nothing; others wait for the compiler to be loaded, which they need anyway.
  if (!/\buse\b/.test(text)) return { host, used };
  const { modulesOf } = await import("../compile.js");
  for (const path of modulesOf(text, { file, host })) {
    if (host.read(path) === null) continue;
    try {
      modules.set(path, { value: ((await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown }).default });
    } catch (error) {
      modules.set(path, { error: error instanceof Error ? error.message : String(error) });
    }
  }
  return { host, used };
}

/** Paths on the command line are relative to where it is called, those of a spec to the spec. */
const fromHere = (path: string): string => (path.startsWith("npm:") || isAbsolute(path) ? path : resolve(path));

/** Prints diagnostics; throws when one is an error. */
export async function report(found: { readonly diagnostics: readonly Diagnostic[]; readonly sources: (file: string) => string | undefined }, json: boolean): Promise<void> {
  const { render, toJson } = await import("../diagnostics/render.js");
  for (const diagnostic of found.diagnostics) {
    if (json) process.stdout.write(`${JSON.stringify(toJson(diagnostic, found.sources))}\n`);
    else process.stderr.write(`${render(diagnostic, found.sources, { color: process.stderr.isTTY === true })}\n\n`);
  }
  const errors = found.diagnostics.filter(({ severity }) => severity === "error").length;
  if (errors) throw new SpecError(json ? "" : `${errors} error${errors === 1 ? "" : "s"}`);
}

export interface WithData {
  readonly options: CheckOptions;
  readonly loaded: ReadonlyMap<string, Loaded>;
}

/** Warnings are left to what compiles next, so that each is told once. */
const errorsOf = (checked: Checked): Checked => ({ ...checked, diagnostics: checked.diagnostics.filter(({ severity }) => severity === "error") });

/** Checks the spec, reads the data it names, and returns the options with the facts. */
export async function readFacts(project: Project, json: boolean): Promise<WithData> {
  const { check } = await import("../compile.js");
  const plain = project.options.data?.[""];
  const data = { ...project.options.data };
  delete data[""];
  let checked: Checked = check(project.text, { ...project.options, data });
  await report(errorsOf(checked), json);
  if (plain !== undefined) {
    const sources = checked.model!.data;
    if (sources.length !== 1) throw new UsageError(`error: --data ${plain}: the spec has ${sources.length} data sources; name one: --data NAME=path`);
    data[sources[0]!.name] = plain;
    checked = check(project.text, { ...project.options, data });
    await report(errorsOf(checked), json);
  }
  const { readData } = await import("../../runtime/node/files.js");
  const loaded = new Map<string, Loaded>();
  for (const { name, kind, location, length } of checked.model!.data) {
    loaded.set(name, await readData({ name, kind, location, features: valueOf(length) }, dirname(resolve(project.file))));
  }
  const facts = Object.fromEntries([...loaded].map(([name, { facts: found }]) => [name, found]));
  return { options: { ...project.options, data, facts }, loaded };
}

/** Checks, reads the data and compiles for one device, with the choices that were tuned for it. */
export async function compileFor(project: Project, device: Device, json: boolean, monitors: CompileOptions["monitors"] = false): Promise<{ readonly plan: Plan; readonly loaded: ReadonlyMap<string, Loaded> }> {
  const { options, loaded } = await readFacts(project, json);
  const { compile } = await import("../compile.js");
  const compiled = await compile(project.text, { ...options, devices: [device.name], monitors, choices: { [device.name]: choicesFor(device) } });
  await report(compiled, json);
  return { plan: compiled.plan!, loaded };
}

/** What training needs of a plan; an error when its spec has no loss, or no data. */
export function trainable(plan: Plan, loaded: ReadonlyMap<string, Loaded>): { readonly settings: NonNullable<Plan["train"]>; readonly info: DataInfo; readonly source: Source } {
  if (!plan.train) throw new SpecError(`error: ${plan.name} has no loss to train`);
  const info = plan.data[0];
  if (!info) throw new SpecError(`error: ${plan.name} names no data to train on`);
  return { settings: plan.train, info, source: sourceFrom(info, loaded.get(info.name)!) };
}

/** What a run's folder says about it; `first` is the data source that a location without a name is for. */
export function describeRun({ file, options }: Project, loaded: ReadonlyMap<string, Loaded>, first: string, seed: number, device: string): Omit<RunInfo, "step"> {
  const data = Object.fromEntries(Object.entries(options.data ?? {}).map(([name, location]) => [name === "" ? first : name, location]));
  return { format: 1, file: resolve(file), set: options.set ?? {}, data, facts: Object.fromEntries([...loaded].map(([name, { facts }]) => [name, facts])), seed, device };
}
