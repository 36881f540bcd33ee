/** mhc train: compiles the spec for a device, trains it, and leaves a run folder. */
import { basename } from "node:path";
import { Command } from "commander";
import { NumericError } from "../../runtime/errors.js";
import { vocabularyOf } from "../../runtime/data.js";
import { load, openDevice } from "../../runtime/index.js";
import { parametersOf } from "../../runtime/plan.js";
import type { DeviceName } from "../../runtime/device.js";
import { energyOf, openMeter, type Energy } from "../tools/energy.js";
import { modelledStep } from "../tools/modelled.js";
import { openRun } from "../tools/run.js";
import { failureLine, trainModel, type Trained } from "../tools/train.js";
import { evaluationOf, exampleOf, joules, unitOf } from "../tools/words.js";
import * as options from "./options.js";
import { Progress } from "./progress.js";
import { compileFor, describeRun, openProject, trainable, type SpecOptions } from "./project.js";

interface TrainFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly steps?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
  readonly monitor?: number;
  readonly evaluate?: number;
  readonly sample?: number;
}

export const trainCommand = (): Command =>
  new Command("train")
    .description("train a spec and keep the run")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .option("--steps <n>", "train this many steps; schedules still end where the spec says", options.whole)
    .option("--seed <n>", "seed of initial values and batches", options.whole)
    .addOption(options.threads())
    .addOption(options.profile())
    .addOption(options.set())
    .addOption(options.data())
    .option("--like <run>", "train what the model of a run ended with, from the start")
    .option("--evaluate <k>", "take the hold-out loss every k steps, not only at the end (default: 500)", options.positive)
    .option("--out <folder>", "the run folder (default: runs/NAME-TIME)")
    .option("--monitor <k>", "measure gains, mixes and monitored claims every k steps, 0 for never (default: 50)", options.whole)
    .option("--sample <n>", "print this many characters sampled at the end", options.whole)
    .addOption(options.json())
    .action(async (file: string, given: TrainFlags) => {
      const json = given.json === true;
      const project = await openProject(file, given);
      const device = await openDevice(given.device, { threads: given.threads });
      const { plan, loaded, recompile, accounts } = await compileFor(project, device, json, given.monitor !== 0);
      const { settings, info, source } = trainable(plan, loaded);
      const model = await load(plan, { device, seed: given.seed });
      const stem = basename(file).replace(/\.mhc$/, "");
      const run = await openRun(given.out, stem, project.text);
      const steps = given.steps ?? settings.steps;
      const count = parametersOf(plan);
      const progress = new Progress(steps, json);
      const evaluation = evaluationOf(info, source.holdoutExamples);
      progress.say(`${plan.name}: ${count.toLocaleString("en")} parameters on ${device.name} (${device.adapter}), ${steps} steps of ${settings.batch} x ${exampleOf(info)}`);

      const describe = describeRun(project, loaded, info.name, model.seed, device.name);
      // Ctrl-C ends the run after the step under way, with a checkpoint; a second one ends the process at once.
      const interrupt = new AbortController();
      const interrupted = (): void => interrupt.abort();
      process.once("SIGINT", interrupted);
      let trained: Trained;
      const meter = openMeter(device);
      let step = modelledStep(plan, device.name, accounts);
      let modelled = 0;
      let energy: Energy | null = null;
      try {
        trained = await trainModel(model, source, { steps, monitor: plan.devices[device.name]!.entries["monitor"] ? given.monitor : 0, recompile, evaluate: given.evaluate }, {
          signal: interrupt.signal,
          step(line) {
            run.log({ ...line });
            progress.step(line);
            if (!step) return;
            modelled += step.joules;
            if (line.shrunk) step = { ...step, joules: plan.cost!.dense["energy"]! * line.shrunk.share["energy"]! };
          },
          save: () => run.save(model, { ...describe, step: model.step }),
          evaluating: () => progress.end(`evaluating on ${evaluation.of} …`),
        });
        // What evaluations took is in what was measured.
        energy = energyOf(meter, "read" in meter ? meter.read() : 0, step && { joules: modelled, profile: `${step.profile}, steps alone` });
      } catch (error) {
        progress.stop();
        if (error instanceof NumericError) {
          const failed = { done: false, run: run.folder, steps: model.step, ...failureLine(error), device: device.name };
          run.log(failed);
          if (json) process.stdout.write(`${JSON.stringify(failed)}\n`);
        }
        throw error;
      } finally {
        process.off("SIGINT", interrupted);
        if ("close" in meter) meter.close();
      }
      const { loss, holdout, seconds } = trained;
      if (holdout === null) {
        if (json) process.stdout.write(`${JSON.stringify({ done: false, run: run.folder, steps: model.step, loss, device: device.name })}\n`);
        else progress.end(`stopped after step ${model.step}; the checkpoint is in ${run.folder}`);
        process.exitCode = 130;
        await model.close();
        await device.close();
        return;
      }
      const done = { done: true, run: run.folder, steps: model.step, seconds, loss, holdout, device: device.name, ...(energy ? { joules: energy.joules, energy_by: energy.by } : {}) };
      run.log(done);
      if (json) process.stdout.write(`${JSON.stringify(done)}\n`);
      else {
        progress.end(`trained ${model.step} steps in ${seconds.toFixed(1)} s; ${evaluation.loss} ${holdout.toFixed(4)} ${unitOf(info)} (${evaluation.of})`);
        if (energy) process.stdout.write(`${joules(energy.joules)} (${energy.by})\n`);
        if (given.sample && info.kind === "characters") process.stdout.write(`\n${await model.generate("", { tokens: given.sample })}\n\n`);
        process.stdout.write(`the run is in ${run.folder}\n`);
        const data = (given.data ?? []).map((location) => ` --data ${options.quoted(location)}`).join("");
        const prompt = "Call me ";
        const next = info.kind === "characters" ? [`npx mhc sample ${options.quoted(run.folder)}${vocabularyOf(prompt).every((character) => info.vocabulary.includes(character)) ? ` --prompt "${prompt}"` : ""}`] : [];
        process.stdout.write(`try next: ${[...next, `npx mhc train ${options.quoted(file)}${data} --set train.batch=${2 * settings.batch}`, `npx mhc compile ${options.quoted(file)}${data} -o out`].join("\n          ")}\n`);
      }
      await model.close();
      await device.close();
    });
