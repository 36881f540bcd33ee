/** mhc bench: times the training step of a spec on one device, and its kernels beside the machine's ceilings. */
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import type { Plan } from "../../runtime/plan.js";
import type { Benchmark, KernelTime } from "../tools/bench.js";
import { modelledStep } from "../tools/modelled.js";
import { countedIn, joules } from "../tools/words.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { choicesFor } from "./tuned.js";
import {
  mustAccount,
  mustCompile,
  openProject,
  profiled,
  readFacts,
  report,
  trainable,
  type SpecOptions,
} from "./project.js";

interface BenchFlags extends SpecOptions {
  readonly device: DeviceName;
  readonly threads?: number;
  readonly steps: number;
  readonly kernels?: boolean;
}

const WARMUP = 5;

/** The command `mhc bench`. */
export const benchCommand = (): Command =>
  new Command("bench")
    .description("time the training step of a spec, and its kernels")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .addOption(options.threads())
    .option("--steps <n>", "steps that are timed", options.positive, 20)
    .option("--kernels", "time every kernel, beside the measured ceilings of the machine")
    .addOption(options.without())
    .addOption(options.profile())
    .option("--like <run>", "the step of what the model of a run ended with")
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string, flags: BenchFlags) => {
      const json = flags.json === true;
      const project = await openProject(file, flags);
      const device = await openAsked(flags);
      try {
        const { options: full, loaded } = await readFacts(project, json);
        const { compile } = await import("../compile/compile.js");
        const choices = choicesFor(device);
        const begun = performance.now();
        const compiled = await compile(project.text, {
          ...full,
          ...profiled(project, [device.name]),
          ...(project.shrunk ? { shrunk: project.shrunk } : {}),
          ...(project.without ? { without: project.without } : {}),
          devices: [device.target],
          choices: { [device.name]: choices },
        });
        const compileMs = performance.now() - begun;
        await report(compiled, json);
        const plan = mustCompile(compiled);
        const accounts = mustAccount(compiled);
        const { source } = trainable(plan, loaded);
        const { bench } = await import("../tools/bench.js");
        const measured = await bench(plan, device, source, {
          steps: flags.steps,
          warmup: WARMUP,
          kernels: flags.kernels === true,
          compileMs,
          choices,
          modelled: modelledStep(plan, device.name, accounts),
          accounts: accounts(device.name, "train").accounts,
        });
        process.stdout.write(json ? `${JSON.stringify(measured)}\n` : table(plan, measured));
      } finally {
        await device.close();
      }
    });

const whole = (value: number): string => Math.round(value).toLocaleString("en");

function table({ name, data }: Plan, measured: Benchmark): string {
  const rate = `${whole(measured.tokens_per_s)} ${countedIn(data)}/s`;
  const { submits, joules_per_step: energy, kernels, peak } = measured;
  const lines = [
    `${name} on ${measured.device} (${measured.adapter}): ${measured.median_ms.toFixed(1)} ms a step (least ` +
      `${measured.min_ms.toFixed(1)}), ${rate}, ${measured.gflops.toFixed(1)} GFLOP/s`,
    `${measured.dispatches} dispatches and ${submits} submission${submits === 1 ? "" : "s"} a step; ` +
      `${(measured.arena_bytes / 2 ** 20).toFixed(1)} MiB in pools; ${whole(measured.parameters)} parameters`,
    ...(energy === null ? [] : [`${joules(energy)} a step (${measured.energy_by})`]),
    `compiled in ${whole(measured.compile_ms)} ms; the first step ended ${whole(measured.first_step_ms)} ms after ` +
      "loading began",
    ...(kernels && peak ? kernelLines(kernels, peak) : []),
  ];
  return `${lines.join("\n")}\n`;
}

/** Columns of the table of kernels, with their widths. */
const COLUMNS = [
  ["count", 6],
  ["ms", 9],
  ["%", 6],
  ["MFLOP", 10],
  ["MB", 9],
  ["GFLOP/s", 9],
  ["GB/s", 8],
  ["of peak", 9],
] as const;

/** Every kernel beside the ceilings of the machine. */
function kernelLines(kernels: readonly KernelTime[], peak: NonNullable<Benchmark["peak"]>): readonly string[] {
  const total = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const width = Math.max(...kernels.map(({ whose }) => whose.length)) + 2;
  const row = (whose: string, cells: readonly string[], kernel: string): string =>
    `${whose.padEnd(width)}${COLUMNS.map(([, columns], i) => (cells[i] ?? "").padStart(columns)).join("")}  ${kernel}`;
  return [
    "",
    `kernels, ${total.toFixed(1)} ms one by one; ceilings measured here: ${peak.gflops.toFixed(1)} ` +
      `GFLOP/s, ${peak.gbytes.toFixed(1)} GB/s`,
    row(
      "whose",
      COLUMNS.map(([title]) => title),
      "kernel",
    ),
    ...kernels.map(({ kernel, whose, count, ms, flops, bytes, share, bound }) =>
      row(
        whose,
        [
          `${count}`,
          ms.toFixed(3),
          ((100 * ms) / total).toFixed(1),
          (flops / 1e6).toFixed(1),
          (bytes / 1e6).toFixed(2),
          (flops / ms / 1e6).toFixed(1),
          (bytes / ms / 1e6).toFixed(1),
          `${(100 * share).toFixed(0)}% ${bound === "compute" ? "c" : "m"}`,
        ],
        kernel,
      ),
    ),
  ];
}
