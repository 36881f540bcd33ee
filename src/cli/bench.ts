/** mhc bench: times the training step of a spec on one device, and its kernels beside the machine's ceilings. */
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import type { Benchmark } from "../tools/bench.js";
import { modelledStep } from "../tools/modelled.js";
import { joules } from "../tools/words.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { choicesFor } from "./tuned.js";
import { openProject, profiled, readFacts, report, trainable, type SpecOptions } from "./project.js";

interface BenchFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly threads?: number;
  readonly steps: number;
  readonly kernels?: boolean;
}

const WARMUP = 5;

export const benchCommand = (): Command =>
  new Command("bench")
    .description("time the training step of a spec, and its kernels")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .addOption(options.threads())
    .option("--steps <n>", "steps that are timed", options.positive, 20)
    .option("--kernels", "time every kernel, beside the measured ceilings of the machine")
    .addOption(options.profile())
    .option("--like <run>", "the step of what the model of a run ended with")
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string, given: BenchFlags) => {
      const json = given.json === true;
      const project = await openProject(file, given);
      const device = await openAsked(given);
      try {
        const { options: full, loaded } = await readFacts(project, json);
        const { compile } = await import("../compile/compile.js");
        const choices = choicesFor(device);
        const begun = performance.now();
        const compiled = await compile(project.text, {
          ...full,
          ...profiled(project, [device.name]),
          ...(project.shrunk ? { shrunk: project.shrunk } : {}),
          devices: [device.name],
          choices: { [device.name]: choices },
        });
        const compileMs = performance.now() - begun;
        await report(compiled, json);
        const plan = compiled.plan!;
        const { source } = trainable(plan, loaded);
        const { bench } = await import("../tools/bench.js");
        const found = await bench(plan, device, source, {
          steps: given.steps,
          warmup: WARMUP,
          kernels: given.kernels === true,
          compileMs,
          choices,
          modelled: modelledStep(plan, device.name, compiled.accounts!),
          accounts: compiled.accounts!(device.name, "train").accounts,
        });
        process.stdout.write(json ? `${JSON.stringify(found)}\n` : table(plan.name, found));
      } finally {
        await device.close();
      }
    });

const whole = (value: number): string => Math.round(value).toLocaleString("en");

function table(name: string, found: Benchmark): string {
  const lines = [
    `${name} on ${found.device} (${found.adapter}): ${found.median_ms.toFixed(1)} ms a step (least ` +
      `${found.min_ms.toFixed(1)}), ${whole(found.tokens_per_s)} tokens/s, ${found.gflops.toFixed(1)} GFLOP/s`,
    `${found.dispatches} dispatches and ${found.submits} submission${found.submits === 1 ? "" : "s"} a step; ` +
      `${(found.arena_bytes / 2 ** 20).toFixed(1)} MiB in pools; ${whole(found.parameters)} parameters`,
    ...(found.joules_per_step === null ? [] : [`${joules(found.joules_per_step)} a step (${found.energy_by})`]),
    `compiled in ${whole(found.compile_ms)} ms; the first step ended ${whole(found.first_step_ms)} ms after ` +
      "loading began",
  ];
  if (found.kernels && found.peak) {
    const total = found.kernels.reduce((sum, { ms }) => sum + ms, 0);
    lines.push(
      "",
      `kernels, ${total.toFixed(1)} ms one by one; ceilings measured here: ${found.peak.gflops.toFixed(1)} ` +
        `GFLOP/s, ${found.peak.gbytes.toFixed(1)} GB/s`,
    );
    const width = Math.max(...found.kernels.map(({ whose }) => whose.length)) + 2;
    const row = (name: string, cells: readonly string[], kernel: string): string => {
      const widths = [6, 9, 6, 10, 9, 9, 8, 9];
      return `${name.padEnd(width)}${cells.map((cell, i) => cell.padStart(widths[i]!)).join("")}  ${kernel}`;
    };
    lines.push(row("whose", ["count", "ms", "%", "MFLOP", "MB", "GFLOP/s", "GB/s", "of peak"], "kernel"));
    for (const { kernel, whose, count, ms, flops, bytes, share, bound } of found.kernels) {
      const sizes = [
        (flops / 1e6).toFixed(1),
        (bytes / 1e6).toFixed(2),
        (flops / ms / 1e6).toFixed(1),
        (bytes / ms / 1e6).toFixed(1),
      ];
      lines.push(
        row(
          whose,
          [
            `${count}`,
            ms.toFixed(3),
            ((100 * ms) / total).toFixed(1),
            ...sizes,
            `${(100 * share).toFixed(0)}% ${bound === "compute" ? "c" : "m"}`,
          ],
          kernel,
        ),
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
