/** mhc bisect: which optimization makes a device compute other losses than the page says. */
import { Command } from "commander";
import type { Source } from "../../runtime/data.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import type { CompileOptions } from "../compile/compile.js";
import { OPTIMIZATIONS, optimizationNames } from "../compile/optimizations.js";
import type { Trial, Verdict } from "../tools/bisect.js";
import type { OpenedDevice } from "../tools/opened.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { SpecError } from "./outcome.js";
import {
  mustCompile,
  openProject,
  profiled,
  readFacts,
  report,
  trainable,
  type Project,
  type SpecOptions,
} from "./project.js";
import { choicesFor } from "./tuned.js";

interface BisectFlags extends SpecOptions {
  readonly device: DeviceName;
  readonly threads?: number;
  readonly steps: number;
  readonly tolerance: number;
}

/** AdamW makes noise of gradients that are zero but for rounding: losses of its first steps differ by 1e-4. */
const TOLERANCE = 1e-3;

/** The command. */
export const bisectCommand = (): Command =>
  new Command("bisect")
    .description("find the optimization that makes a device compute wrong numbers")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .addOption(options.threads())
    .option("--steps <n>", "steps that are compared", options.positive, 3)
    .option("--tolerance <share>", "largest relative difference of a loss that is rounding", options.decimal, TOLERANCE)
    .addOption(options.without())
    .addOption(options.profile())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string, flags: BisectFlags) => {
      const project = await openProject(file, flags);
      const device = await openAsked(flags);
      try {
        await bisectOn(device, project, flags);
      } finally {
        await device.close();
      }
    });

/** Trains the page on a device and in f64, and tells which optimization makes the losses differ. */
async function bisectOn(device: OpenedDevice, project: Project, flags: BisectFlags): Promise<void> {
  const { steps, tolerance, without: off = [] } = flags;
  const json = flags.json === true;
  const { options: full, loaded } = await readFacts(project, json);
  const { compile } = await import("../compile/compile.js");
  const how: CompileOptions = {
    ...full,
    ...profiled(project, [device.name]),
    devices: [device.target],
    choices: { [device.name]: choicesFor(device) },
    verify: true,
  };
  // Without verification: what is not sound is found by the first run.
  const plain = await compile(project.text, { ...how, verify: false, without: optimizationNames });
  await report(plain, json);
  const { plan, graphs } = plain;
  if (!plan || !graphs) throw new SpecError("");
  const { source, settings } = trainable(plan, loaded);
  const { exactLosses } = await import("../tools/exact.js");
  const { bisect } = await import("../tools/bisect.js");
  const say = (text: string): void => void (json || process.stdout.write(`${text}\n`));
  say(`${plan.name} on ${device.name} (${device.adapter}), ${steps} steps beside the same in f64`);
  const verdict = await bisect({
    exact: exactLosses({ plan, graphs, source, seed: settings.seed, steps }),
    tolerance,
    optimizations: optimizationNames.filter((name) => !off.includes(name)),
    run: async (without) => {
      const compiled = await compile(project.text, { ...how, without: [...off, ...without] });
      if (!compiled.plan) await report(compiled, json);
      return lossesOn(device, mustCompile(compiled), source, steps);
    },
    tell: (trial) =>
      json ? void process.stdout.write(`${JSON.stringify(trialOf(trial))}\n`) : say(`  ${trialText(trial)}`),
  });
  process.stdout.write(json ? `${JSON.stringify(verdict)}\n` : `${verdictText(verdict)}\n`);
  if (verdict.kind !== "same") process.exitCode = 1;
}

/** The losses of the first steps of a plan on a device. */
async function lossesOn(device: Device, plan: Plan, source: Source, steps: number): Promise<readonly number[]> {
  const model = await load(plan, { device });
  try {
    const losses: number[] = [];
    for await (const { loss } of model.train(source, { steps })) losses.push(loss);
    return losses;
  } finally {
    await model.close();
  }
}

const share = (difference: number): string =>
  Number.isFinite(difference) ? `differ by ${difference.toExponential(1)}` : "are no numbers";

const trialText = ({ without, difference }: Trial): string => {
  const what =
    without.length === 0
      ? "as it is"
      : without.length === optimizationNames.length
        ? "without any optimization"
        : `without ${without.join(", ")}`;
  return `${what.padEnd(28)} losses ${share(difference)}`;
};

/** JSON has no infinity: a difference that is no number is null. */
const trialOf = ({ without, difference }: Trial): Readonly<Record<string, unknown>> => ({
  without,
  difference: Number.isFinite(difference) ? difference : null,
});

function verdictText(verdict: Verdict): string {
  switch (verdict.kind) {
    case "same":
      return `nothing differs: losses ${share(verdict.difference)}, which is rounding`;
    case "unsound":
      return (
        `the pass ${verdict.pass} makes what is not sound of the entry ${verdict.entry}:\n` +
        `  ${verdict.faults.slice(0, 5).join("\n  ")}\nthis is a bug of mhc: please report it with the spec`
      );
    case "one": {
      const { optimization, also } = verdict;
      const others = also.length ? ` (and without ${also.join(", ")}, which come before it)` : "";
      const what = `  ${optimization}: ${OPTIMIZATIONS[optimization]}`;
      return `${optimization} makes the difference: it is gone without it${others}\n${what}`;
    }
    case "several":
      return `${verdict.optimizations.join(" and ")} make the difference together: it is gone only without all of them`;
    case "elsewhere":
      return "no optimization makes the difference: a kernel, a printer or the device is wrong";
    default:
      return verdict satisfies never;
  }
}
