/** mhc tune: times the knobs of a spec's kernels on a device, and keeps the fastest for later commands. */
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { SpecError } from "./outcome.js";
import { mustCompile, openProject, readFacts, report, type SpecOptions } from "./project.js";
import { engineChoices, keepTuned } from "./tuned.js";
import { merged, mustValue, recordOf } from "../../runtime/records.js";
import type { TunedKernel } from "../tools/tune.js";

interface TuneFlags extends SpecOptions {
  readonly device: DeviceName;
  readonly threads?: number;
}

/** The command `mhc tune`. */
export const tuneCommand = (): Command =>
  new Command("tune")
    .description("time the knobs of a spec's kernels, and keep the fastest for later commands")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string, flags: TuneFlags) => {
      const json = flags.json === true;
      const project = await openProject(file, flags);
      const device = await openAsked(flags);
      try {
        const { options: full } = await readFacts(project, json);
        const { compile } = await import("../compile/compile.js");
        const { tune } = await import("../tools/tune.js");
        let reported = false;
        const kernels = await tune(device, async (choices) => {
          const compiled = await compile(project.text, {
            ...full,
            devices: [device.target],
            choices: { [device.name]: merged(engineChoices(device), choices) },
          });
          if (!reported) await report(compiled, json);
          reported = true;
          const plan = mustCompile(compiled);
          if (!plan.train) throw new SpecError(`error: ${plan.name} has no loss to train`);
          return mustValue(plan.devices, device.name);
        });
        const choices = recordOf(kernels.flatMap(({ kernel, choice }) => (choice ? [[kernel, choice]] : [])));
        const path = await keepTuned(device, choices);
        if (json) for (const row of kernels) process.stdout.write(`${JSON.stringify(row)}\n`);
        else process.stdout.write(table(device.adapter, kernels, path));
      } finally {
        await device.close();
      }
    });

function table(adapter: string, kernels: readonly TunedKernel[], path: string | null): string {
  const width = Math.max(6, ...kernels.map(({ kernel }) => kernel.length));
  const row = (name: string, count: string, before: string, after: string): string =>
    `${name.padEnd(width)}${count.padStart(7)}${before.padStart(10)}${after.padStart(10)}`;
  const total = (msOf: (kernel: TunedKernel) => number): string =>
    kernels.reduce((sum, kernel) => sum + msOf(kernel), 0).toFixed(2);
  const better = kernels.filter(({ choice }) => choice).length;
  const lines = [
    `${adapter}: ${kernels.length} shapes of kernels, ${better} with a better choice than the default`,
    `${row("kernel", "count", "default", "tuned")}  choice`,
    ...kernels.map(
      ({ kernel, count, default_ms: before, ms, choice }) =>
        `${row(kernel, `${count}`, before.toFixed(3), ms.toFixed(3))}  ${choiceWords(choice)}`,
    ),
    row(
      "ms a step",
      "",
      total((kernel) => kernel.default_ms),
      total((kernel) => kernel.ms),
    ),
    ...(path === null ? [] : [`kept in ${path}`]),
  ];
  return `${lines.join("\n")}\n`;
}

const choiceWords = (choice: TunedKernel["choice"]): string =>
  choice
    ? Object.entries(choice)
        .map(([knob, value]) => `${knob} ${value}`)
        .join(", ")
    : "default";
