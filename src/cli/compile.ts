/** mhc compile: a spec to files for an app, or a stage as text. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command, Option } from "commander";
import type { KernelPrinter, ModuleEmitter, OutputFile, Target } from "../../codegen/target.js";
import type { DeviceName, Stages } from "../compile/compile.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { mustStandBeside, stemOf } from "./stems.js";
import { profileNamed } from "./profiles.js";
import { pageOf, profiled, report, type SpecOptions } from "./project.js";
import { valueAt } from "../../runtime/records.js";

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
}

const BUILT_IN: Readonly<Record<string, DeviceName | "typescript">> = {
  wasm: "wasm",
  wgsl: "webgpu",
  javascript: "javascript",
  typescript: "typescript",
};

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
        "typescript, wgsl, wasm, javascript, or the path of your own (comma-separated)",
      ).default("typescript,wasm,wgsl"),
    )
    .option("--monitors", "let the module measure gains and mixes while it trains")
    .option("--verify", "verify what each pass makes: a bug of mhc is told with its pass, entry and node")
    .addOption(options.without())
    .addOption(options.profile())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string | undefined, given: CompileFlags) => {
      const stages = (given.emit?.split(",") ?? []).map((name) => name.trim());
      const unknown = stages.find((name) => !isStage(name));
      if (unknown !== undefined) throw new UsageError(`error: --emit ${unknown}: there are ${STAGES.join(", ")}`);
      if (!given.emit && !given.out && !given.verify)
        throw new UsageError(`error: say where to write (-o folder) or what to print (--emit ${STAGES.join(",")})`);
      const targets = await Promise.all(given.target.split(",").map((name) => targetNamed(name.trim())));
      const { text, file: page, options: full } = await pageOf(file, { ...given, profile: undefined });
      const stem = given.out === undefined ? "" : stemOf(page);
      const { compile } = await import("../compile/compile.js");
      const devices = targets.flatMap((target): (DeviceName | KernelPrinter)[] =>
        typeof target === "string"
          ? target === "typescript"
            ? []
            : [target]
          : target.kind === "kernels"
            ? [target]
            : [],
      );
      const all = devices.length ? devices : (["wasm", "webgpu"] as const);
      const machine =
        given.profile === undefined
          ? {}
          : profiled(
              { profile: profileNamed(given.profile, "--profile") },
              all.map((one) => (typeof one === "string" ? one : one.name)),
            );
      const compiled = await compile(text, {
        ...full,
        ...machine,
        devices: all,
        monitors: given.monitors ?? false,
        verify: given.verify ?? false,
        ...(given.without ? { without: given.without } : {}),
      });
      await report(compiled, given.json === true);
      const plan = compiled.plan!;
      if (given.verify) {
        const names = Object.keys(plan.devices);
        const line = { verified: names, entries: compiled.graphs!.map(({ name }) => name) };
        process.stdout.write(
          given.json
            ? `${JSON.stringify(line)}\n`
            : `every pass is sound: ${line.entries.join(", ")} on ${names.join(", ")}\n`,
        );
      }
      for (const stage of stages.filter(isStage)) {
        const printed = compiled.stages![stage]();
        process.stdout.write(`${given.json ? JSON.stringify({ stage, text: printed }) : printed}\n`);
      }
      if (given.out === undefined) return;

      const { printers } = await import("../../codegen/registry.js");
      const files: OutputFile[] = [];
      for (const target of targets) {
        if (target === "typescript") {
          const { typescript } = await import("../../codegen/typescript/emitter.js");
          files.push(...(await typescript.emit(stem, plan)));
        } else if (typeof target === "string") {
          const printer = printers[target];
          files.push(...printer.files(stem, plan.devices[target]!.code));
        } else if (target.kind === "kernels")
          files.push(...target.files(stem, valueAt(plan.devices, target.name)!.code));
        else files.push(...(await target.emit(stem, plan)));
      }
      mustStandBeside(
        given.out,
        files.map(({ path }) => path),
      );
      for (const { path, content } of files) {
        await write(resolve(given.out, path), content);
        const bytes = typeof content === "string" ? Buffer.byteLength(content) : content.length;
        process.stdout.write(
          given.json
            ? `${JSON.stringify({ file: resolve(given.out, path), bytes })}\n`
            : `${given.out}/${path}  ${bytes.toLocaleString("en")} bytes\n`,
        );
      }
    });

/** A built-in target by name, or the default export of the user's module. */
async function targetNamed(name: string): Promise<DeviceName | "typescript" | KernelPrinter | ModuleEmitter> {
  const builtIn = valueAt(BUILT_IN, name);
  if (builtIn) return builtIn;
  if (!/[./\\]/.test(name))
    throw new UsageError(
      `error: --target ${name}: there are ${Object.keys(BUILT_IN).join(", ")}; your own begins with ./`,
    );
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(name)).href)) as { default?: unknown };
  } catch (error) {
    throw new UsageError(
      `error: --target ${name} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const target = module.default as Partial<Target> | undefined;
  const fine =
    (target?.kind === "kernels" &&
      typeof target.print === "function" &&
      typeof target.files === "function" &&
      target.profile !== undefined) ||
    (target?.kind === "module" && typeof target.emit === "function");
  if (!fine || typeof target?.name !== "string")
    throw new UsageError(
      `error: --target ${name}: its default export is neither a KernelPrinter nor a ModuleEmitter (see ` +
        "codegen/target.ts)",
    );
  return target as Target;
}
