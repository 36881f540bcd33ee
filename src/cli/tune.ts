/** mhc tune: times the knobs of a spec's kernels on a device, and keeps the fastest for later commands. */
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { SpecError } from "./outcome.js";
import { openProject, readFacts, report, type SpecOptions } from "./project.js";
import { engineChoices, keepTuned } from "./tuned.js";
import { merged, recordOf } from "../../runtime/records.js";

interface TuneFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly threads?: number;
}

export const tuneCommand = (): Command =>
  new Command("tune")
    .description("time the knobs of a spec's kernels, and keep the fastest for later commands")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string, given: TuneFlags) => {
      const json = given.json === true;
      const project = await openProject(file, given);
      const device = await openAsked(given);
      try {
        const { options: full } = await readFacts(project, json);
        const { compile } = await import("../compile/compile.js");
        const { tune } = await import("../tools/tune.js");
        let reported = false;
        const found = await tune(device, async (choices) => {
          const compiled = await compile(project.text, {
            ...full,
            devices: [device.name],
            choices: { [device.name]: merged(engineChoices(device), choices) },
          });
          if (!reported) await report(compiled, json);
          reported = true;
          if (!compiled.plan!.train) throw new SpecError(`error: ${compiled.plan!.name} has no loss to train`);
          return compiled.plan!.devices[device.name]!;
        });
        const choices = recordOf(found.flatMap(({ kernel, choice }) => (choice ? [[kernel, choice]] : [])));
        const path = await keepTuned(device, choices);
        if (json) for (const row of found) process.stdout.write(`${JSON.stringify(row)}\n`);
        else process.stdout.write(table(device.adapter, found, path));
      } finally {
        await device.close();
      }
    });

function table(
  adapter: string,
  found: readonly {
    readonly kernel: string;
    readonly count: number;
    readonly default_ms: number;
    readonly ms: number;
    readonly choice: Readonly<Record<string, number>> | null;
  }[],
  path: string | null,
): string {
  const width = Math.max(6, ...found.map(({ kernel }) => kernel.length));
  const total = (pick: (row: (typeof found)[number]) => number): string =>
    found.reduce((sum, row) => sum + pick(row), 0).toFixed(2);
  return `${[
    `${adapter}: ${found.length} shapes of kernels, ${found.filter(({ choice }) => choice).length} with a ` +
      "better choice than the default",
    `${"kernel".padEnd(width)}${"count".padStart(7)}${"default".padStart(10)}${"tuned".padStart(10)}  choice`,
    ...found.map(
      ({ kernel, count, default_ms: before, ms, choice }) =>
        `${kernel.padEnd(width)}${`${count}`.padStart(7)}${before.toFixed(3).padStart(10)}${ms.toFixed(3).padStart(10)}  ${
          choice
            ? Object.entries(choice)
                .map(([knob, value]) => `${knob} ${value}`)
                .join(", ")
            : "default"
        }`,
    ),
    `${"ms a step".padEnd(width)}${"".padStart(7)}${total((row) => row.default_ms).padStart(10)}${total((row) => row.ms).padStart(10)}`,
    ...(path === null ? [] : [`kept in ${path}`]),
  ].join("\n")}\n`;
}
