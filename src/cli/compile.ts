/** mhc compile: a spec to files for an app, or a stage as text. */
import { resolve } from "node:path";
import { Command, Option } from "commander";
import type { KernelPrinter, OutputFile, Target } from "../../codegen/target.js";
import { DeviceError } from "../../runtime/errors.js";
import type { Plan } from "../../runtime/plan.js";
import type { Choices, CompileOptions, Stages } from "../compile/compile.js";
import { VECTORS } from "../compile/targets.js";
import type { Graph } from "../graph/node.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { mustStandBeside, stemOf } from "./stems.js";
import { profileNamed } from "./profiles.js";
import { mustCompile, pageOf, profiled, report, type SpecOptions } from "./project.js";
import { engineChoices } from "./tuned.js";
import { mustValue, recordOf, valueAt } from "../../runtime/records.js";
import { deviceNames, registry, type BuiltInDevice } from "../../runtime/registry.js";
import { importTarget, isPath } from "./targets.js";

const STAGES = [
  "model",
  "graph",
  "legal",
  "clusters",
  "regions",
  "stages",
  "places",
  "kernels",
  "plan",
] as const satisfies readonly (keyof Stages)[];
type Stage = (typeof STAGES)[number];
const isStage = (name: string): name is Stage => (STAGES as readonly string[]).includes(name);

interface CompileFlags extends SpecOptions {
  readonly emit?: string;
  readonly target: string;
  readonly out?: string;
  readonly monitors?: boolean;
  readonly verify?: boolean;
  readonly run?: string;
  readonly entries?: string;
  readonly lanes?: "4" | "8" | "16";
}

/** What each name of `--target` is: the code of a device, or what makes files of a plan. */
const BUILT_IN = recordOf<string, BuiltInDevice | "typescript" | "c">([
  ["c", "c"],
  ...deviceNames.map((name) => [registry[name].target, name] as const),
  ["typescript", "typescript"],
]);

/** The command `mhc compile`. */
export const compileCommand = (): Command =>
  new Command("compile")
    .description("compile a spec to a typed module, or print a stage")
    .argument("[spec]", "a .mhc file")
    .option("--run <folder>", "compile the page of a run as it was run; of a model that has shrunk, what is left of it")
    .option("-o, --out <folder>", "where to write files")
    .addOption(new Option("--emit <stages>", `print stages instead: ${STAGES.join(", ")} (comma-separated)`))
    .addOption(
      new Option(
        "--target <names>",
        "typescript, wgsl, wasm, native, javascript, c (a model as one file of C), or the path of your own " +
          "(comma-separated)",
      ).default("typescript,wasm,wgsl"),
    )
    .option("--entries <names>", "with --target c: what the file can do: train, loss, forward, … (comma-separated)")
    .addOption(
      new Option(
        "--lanes <n>",
        "with --target c or native: numbers in a vector (default: 4 of c, as the machine has of native)",
      ).choices(["4", "8", "16"]),
    )
    .option("--monitors", "let the module measure gains and mixes while it trains")
    .option("--verify", "verify what each pass makes: a bug of mhc is told with its pass, entry and node")
    .addOption(options.without())
    .addOption(options.profile())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(compilePage);

/** What `--target` takes: a built-in name, or a target of the user's own. */
type AskedTarget = BuiltInDevice | "typescript" | Target;

/** Compiles the page that is asked for, prints the stages of it, and writes its files. */
async function compilePage(file: string | undefined, flags: CompileFlags): Promise<void> {
  const stages = stagesAsked(flags);
  const asked = flags.target.split(",").map((name) => name.trim());
  const entries = entriesAsked(flags, asked);
  const targets = await Promise.all(asked.map((name) => targetNamed(name, flags)));
  const names = targets.map((target) => (typeof target === "string" ? target : target.name));
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new UsageError(`error: --target ${flags.target}: two targets are called ${twice}`);
  const { text, file: page, options: full } = await pageOf(file, { ...flags, profile: undefined });
  const stem = flags.out === undefined ? "" : stemOf(page);
  const { compile } = await import("../compile/compile.js");
  const devices = devicesOf(targets);
  const compiled = await compile(text, {
    ...full,
    ...machineOf(flags, devices),
    devices,
    ...(entries ? { entries } : {}),
    ...(devices.includes("native") ? { choices: { native: await vectorsFor(flags) } } : {}),
    monitors: flags.monitors ?? false,
    verify: flags.verify ?? false,
    ...(flags.without ? { without: flags.without } : {}),
  });
  const json = flags.json === true;
  await report(compiled, json);
  const plan = mustCompile(compiled);
  if (flags.entries !== undefined) mustHave(plan, entries ?? []);
  const { graphs, stages: texts } = compiled;
  if (!graphs || !texts) throw new Error("bug: a page without an error has no stages");
  if (flags.verify) tellVerified(plan, graphs, json);
  for (const stage of stages) {
    const printed = texts[stage]();
    process.stdout.write(`${json ? JSON.stringify({ stage, text: printed }) : printed}\n`);
  }
  if (flags.out !== undefined) await writeFiles(flags.out, await filesOf(targets, stem, plan), json);
}

/** The stages that are to be printed. Throws a UsageError for one that there is not, and when nothing is asked for. */
function stagesAsked({ emit, out, verify }: CompileFlags): readonly Stage[] {
  const names = (emit?.split(",") ?? []).map((name) => name.trim());
  const unknown = names.find((name) => !isStage(name));
  if (unknown !== undefined) throw new UsageError(`error: --emit ${unknown}: there are ${STAGES.join(", ")}`);
  if (!emit && !out && !verify)
    throw new UsageError(`error: say where to write (-o folder) or what to print (--emit ${STAGES.join(",")})`);
  return names.filter(isStage);
}

/** What a file of C does when it is not said: all that needs no tools around it. */
const C_ENTRIES = ["train", "loss", "start", "forward", "outputs"];

/** The entries that are asked for; undefined for all. Throws a UsageError where a typed module would lack some. */
function entriesAsked({ entries, lanes }: CompileFlags, targets: readonly string[]): readonly string[] | undefined {
  if (entries !== undefined && targets.some((name) => Object.hasOwn(BUILT_IN, name) && name !== "c"))
    throw new UsageError("error: --entries goes with --target c, or a target of your own: the others have all entries");
  if (lanes !== undefined && !targets.some((name) => name === "c" || name === "native"))
    throw new UsageError("error: --lanes goes with --target c or native");
  if (entries !== undefined) return entries.split(",").map((name) => name.trim());
  return targets.every((name) => name === "c") ? C_ENTRIES : undefined;
}

/** Throws a UsageError for an entry that was asked for and that the page does not have. */
function mustHave({ devices }: Plan, entries: readonly string[]): void {
  const lacking = entries.find((name) => !Object.values(devices).some((device) => valueAt(device.entries, name)));
  if (lacking === undefined) return;
  throw new UsageError(
    `error: --entries ${lacking}: this page has no such entry; a page with a loss has train, loss and gradients, and ` +
      "forward if its data is text; one with outputs has forward (outputs beside a loss) and vjp; monitor goes with " +
      "--monitors, and start is there where parameters are points of a manifold",
  );
}

/** The vectors of kernels for the native device: those asked for, else those of this machine if it has a compiler. */
async function vectorsFor({ lanes }: CompileFlags): Promise<Choices> {
  if (lanes !== undefined) return { [VECTORS]: { lanes: Number(lanes), registers: lanes === "16" ? 32 : 16 } };
  const { openDevice } = await import("../../runtime/index.js");
  try {
    const device = await openDevice("native");
    await device.close();
    return engineChoices(device);
  } catch (error) {
    if (error instanceof DeviceError) return {};
    throw error;
  }
}

/** The devices of some targets; where no target is of a device, those that a module is made for. */
function devicesOf(targets: readonly AskedTarget[]): readonly (BuiltInDevice | KernelPrinter)[] {
  const devices = targets.flatMap((target): (BuiltInDevice | KernelPrinter)[] => {
    if (target === "typescript") return [];
    if (typeof target === "string" || target.kind === "kernels") return [target];
    return [...(target.devices ?? [])];
  });
  return devices.length ? devices : ["wasm", "webgpu"];
}

/** The machine that `--profile` names, as compiling takes it. Throws a UsageError when it is of none of the devices. */
const machineOf = (
  { profile }: CompileFlags,
  devices: readonly (BuiltInDevice | KernelPrinter)[],
): Pick<CompileOptions, "profile"> =>
  profile === undefined
    ? {}
    : profiled(
        { profile: profileNamed(profile, "--profile") },
        devices.map((device) => (typeof device === "string" ? device : device.name)),
      );

/** Says that every pass was verified, of which entries and for which devices. */
function tellVerified(plan: Plan, graphs: readonly Graph[], json: boolean): void {
  const verified = Object.keys(plan.devices);
  const entries = graphs.map(({ name }) => name);
  process.stdout.write(
    json
      ? `${JSON.stringify({ verified, entries })}\n`
      : `every pass is sound: ${entries.join(", ")} on ${verified.join(", ")}\n`,
  );
}

/** The files of all targets, in the order in which they were asked for. */
async function filesOf(targets: readonly AskedTarget[], stem: string, plan: Plan): Promise<readonly OutputFile[]> {
  const { printers } = await import("../../codegen/registry.js");
  const files: OutputFile[] = [];
  for (const target of targets) {
    if (target === "typescript") {
      const { typescript } = await import("../../codegen/typescript/emitter.js");
      files.push(...(await typescript.emit(stem, plan)));
    } else if (typeof target === "string") {
      files.push(...printers[target].files(stem, mustValue(plan.devices, target).code));
    } else if (target.kind === "kernels") {
      files.push(...target.files(stem, mustValue(plan.devices, target.name).code));
    } else files.push(...(await target.emit(stem, plan)));
  }
  return files;
}

/** Writes files into a folder, and tells of each. */
async function writeFiles(folder: string, files: readonly OutputFile[], json: boolean): Promise<void> {
  const twice = files.find(({ path }, i) => files.findIndex((other) => other.path === path) < i);
  if (twice) throw new UsageError(`error: two targets make a file ${twice.path}: compile them into two folders`);
  mustStandBeside(
    folder,
    files.map(({ path }) => path),
  );
  for (const { path, content } of files) {
    await write(resolve(folder, path), content);
    const bytes = typeof content === "string" ? Buffer.byteLength(content) : content.length;
    process.stdout.write(
      json
        ? `${JSON.stringify({ file: resolve(folder, path), bytes })}\n`
        : `${folder}/${path}  ${bytes.toLocaleString("en")} bytes\n`,
    );
  }
}

/** A built-in target by name, or the default export of the user's module. */
async function targetNamed(name: string, { lanes }: CompileFlags): Promise<AskedTarget> {
  const builtIn = valueAt(BUILT_IN, name);
  if (builtIn === "c")
    return (await import("../../codegen/c/model.js")).cModel(lanes ? (Number(lanes) as 4 | 8 | 16) : 4);
  if (builtIn) return builtIn;
  if (isPath(name)) return importTarget(name);
  throw new UsageError(
    `error: --target ${name}: there are ${Object.keys(BUILT_IN).join(", ")}; your own begins with ./`,
  );
}
