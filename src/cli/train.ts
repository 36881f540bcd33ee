/** mhc train: compiles the spec for a device, trains it, and leaves a run folder. */
import { basename, join } from "node:path";
import { Command } from "commander";
import { DataError, MhcError, NumericError } from "../../runtime/errors.js";
import { vocabularyOf } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import { parametersOf } from "../../runtime/plan.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import type { Model } from "../../runtime/model.js";
import type { DataInfo } from "../../runtime/plan.js";
import { energyOf, openMeter } from "../tools/energy.js";
import { firstNotFinite, inWords, type NotFiniteOperation, type Question } from "../tools/first-not-finite.js";
import { gainMonitors } from "../tools/gains.js";
import { modelledStep } from "../tools/modelled.js";
import { CHECKPOINT, openRun, refuseTaken } from "../tools/run.js";
import { failureLine, shareIn, trainModel, type Trained } from "../tools/train.js";
import { evaluationOf, exampleOf, joules, unitOf } from "../tools/words.js";
import { openAsked } from "./device.js";
import { filesToKeep } from "./host.js";
import { exitCodeBy, heedSignals, type Ending } from "./interrupt.js";
import * as options from "./options.js";
import { errorLine, PrintedError } from "./outcome.js";
import { Progress } from "./progress.js";
import { compileFor, describeRun, openProject, trainable, type Project, type SpecOptions } from "./project.js";
import { merged } from "../../runtime/records.js";

interface TrainFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly steps?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
  readonly monitor?: number;
  readonly evaluate?: number;
  readonly evaluateOn?: number;
  readonly evaluateEnd?: number;
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
    .addOption(options.evaluate())
    .addOption(options.evaluateOn())
    .addOption(options.evaluateEnd())
    .option("--out <folder>", "the run folder (default: runs/NAME-TIME)")
    .option(
      "--monitor <k>",
      "measure gains, mixes and monitored claims every k steps, 0 for never (default: 50)",
      options.whole,
    )
    .option("--sample <n>", "print this many characters sampled at the end", options.whole)
    .addOption(options.json())
    .action(async (file: string, given: TrainFlags) => {
      refuseTaken(given.out);
      const project = await openProject(file, given);
      const device = await openAsked(given);
      try {
        await trainOn(device, project, given);
      } finally {
        await device.close();
      }
    });

async function trainOn(device: Device, project: Project, given: TrainFlags): Promise<void> {
  const json = given.json === true;
  const print = (line: Readonly<Record<string, unknown>>): void =>
    void process.stdout.write(`${JSON.stringify(line)}\n`);
  const {
    plan,
    options: checked,
    loaded,
    sources,
    recompile,
    accounts,
  } = await compileFor(project, device, json, given.monitor !== 0);
  const { settings, info, source } = trainable(plan, loaded);
  const model = await load(plan, { device, seed: given.seed });
  const heeded = heedSignals();
  const meter = openMeter(device);
  const steps = given.steps ?? settings.steps;
  const progress = new Progress({ steps, json, gains: gainMonitors(plan) });
  try {
    const used = await filesToKeep(project.used);
    const run = await openRun(given.out, basename(project.file).replace(/\.mhc$/, ""), project.text, used);
    const evaluation = (count: number): { readonly loss: string; readonly of: string } =>
      evaluationOf(info, count, source.holdoutExamples);
    progress.say(
      `${plan.name}: ${parametersOf(plan).toLocaleString("en")} parameters on ${device.name} ` +
        `(${device.adapter}), ${steps} steps of ${settings.batch} x ${exampleOf(info)}`,
    );
    const describe = describeRun(project, { loaded, sources }, used, info.name, model.seed, device.name);
    let step = modelledStep(plan, device.name, accounts);
    let modelled = 0;
    let trained: Trained;
    try {
      const monitor = plan.devices[device.name]!.entries["monitor"] ? given.monitor : 0;
      const { evaluate, evaluateOn, evaluateEnd } = given;
      trained = await trainModel(
        model,
        source,
        { steps, monitor, recompile, evaluate, evaluateOn, evaluateEnd },
        {
          signal: heeded.signal,
          step(line) {
            run.log({ ...line });
            progress.step(line);
            if (!step) return;
            modelled += step.joules;
            if (line.shrunk) step = { ...step, joules: plan.cost!.dense["energy"]! * line.shrunk.share["energy"]! };
          },
          save: () => run.save(model, { ...describe, step: model.step }),
          evaluating: (at) => progress.evaluating(at, evaluation(at.of).of),
        },
      );
    } catch (error) {
      if (!(error instanceof NumericError)) throw error;
      const operation = await operationOf(error, {
        text: project.text,
        options: checked,
        model,
        batch: source.batch(settings.batch, model.seed, model.step),
      });
      const told = operation
        ? new NumericError(`${error.message}\n${inWords(operation)}`, operation.fix, error.report)
        : error;
      const line = {
        done: false,
        run: run.folder,
        steps: model.step,
        ...failureLine(error),
        device: device.name,
        ...(operation ? { operation } : {}),
      };
      const failed = merged<unknown>(line, errorLine(told));
      run.log(failed);
      if (!json) throw told;
      print(failed);
      throw new PrintedError(told);
    }
    // What evaluations took is in what was measured.
    const energy = energyOf(
      meter,
      "read" in meter ? meter.read() : 0,
      step && { joules: modelled, profile: `${step.profile}, steps alone` },
    );
    const { loss, holdout, evaluated, seconds } = trained;
    if (holdout === null) {
      const by = heeded.by()!;
      process.exitCode = exitCodeBy(by);
      const checkpoint = join(run.folder, CHECKPOINT);
      if (json)
        print({
          done: false,
          run: run.folder,
          steps: model.step,
          loss,
          device: device.name,
          stopped_by: by,
          checkpoint,
        });
      else progress.end(stopped(by, model, run.folder, checkpoint, info));
      return;
    }
    const done = {
      done: true,
      run: run.folder,
      steps: model.step,
      seconds,
      loss,
      holdout,
      holdout_share: shareIn(source, evaluated),
      device: device.name,
      ...(energy ? { joules: energy.joules, energy_by: energy.by } : {}),
    };
    run.log(done);
    if (json) return print(done);
    const { loss: name, of } = evaluation(evaluated);
    progress.end(
      `trained ${model.step} steps in ${seconds.toFixed(1)} s; ${name} ${holdout.toFixed(4)} ${unitOf(info)} (${of})`,
    );
    if (energy) process.stdout.write(`${joules(energy.joules)} (${energy.by})\n`);
    if (given.sample && info.kind === "characters") process.stdout.write(`\n${await sampled(model, given.sample)}\n\n`);
    process.stdout.write(
      `the run is in ${run.folder}\n${next(project.file, given, run.folder, settings.batch, info)}\n`,
    );
  } catch (error) {
    progress.stop();
    throw error;
  } finally {
    heeded.release();
    if ("close" in meter) meter.close();
    await model.close();
  }
}

/** The first operation of a step that was not finite, where its parameters and its batch were. */
async function operationOf(
  error: NumericError,
  question: Omit<Question, "calmer">,
): Promise<NotFiniteOperation | null> {
  const { step, tensors } = error.report;
  const isOfTheStep = step === question.model.step + 1;
  if (!isOfTheStep || (tensors.length && tensors[0]!.kind !== "gradient")) return null;
  try {
    return await firstNotFinite({ ...question, calmer: error.fix ?? "look at what this is computed from" });
  } catch (failure) {
    // A device that fails now has nothing to add to what is known.
    if (failure instanceof MhcError) return null;
    throw failure;
  }
}

const PROMPT = "Call me ";

/** A sample of what was trained; where the loss has several heads, how to ask for one. */
async function sampled(model: Model, tokens: number): Promise<string> {
  return model.generate("", { tokens }).catch((error: unknown) => {
    if (error instanceof DataError) return `no sample: ${error.message}\nfix: ${error.fix}`;
    throw error;
  });
}

/** The command that samples from a run, for data that can be sampled. */
function sampling(run: string, { device }: Pick<TrainFlags, "device">, info: DataInfo): string[] {
  if (info.kind !== "characters") return [];
  const prompt = vocabularyOf(PROMPT).every((character) => info.vocabulary.includes(character))
    ? ["--prompt", PROMPT]
    : [];
  return [options.command("npx", "mhc", "sample", run, ...prompt, ...options.given({ device }))];
}

/** What can be done now, with the page, the settings, the data and the device as they were given. */
function next(file: string, given: TrainFlags, run: string, batch: number, info: DataInfo): string {
  const { set = [], data, device, profile } = given;
  const larger = [...set.filter((one) => !/^\s*train\.batch\s*=/.test(one)), `train.batch=${2 * batch}`];
  return `try next: ${[
    ...sampling(run, given, info),
    options.command(
      "npx",
      "mhc",
      "train",
      file,
      ...options.given({ data, device, profile, like: given.like, set: larger }),
    ),
    options.command("npx", "mhc", "compile", file, ...options.given({ data, set, profile }), "-o", "out"),
  ].join("\n          ")}`;
}

/** What is there of a run that was asked to end, and how to go on. */
function stopped(by: Ending, model: Model, run: string, checkpoint: string, info: DataInfo): string {
  const sample = sampling(run, { device: model.device.name }, info);
  return [
    `stopped by ${by} after step ${model.step}; the checkpoint is in ${run}`,
    ...(sample.length ? [`try it: ${sample.join()}`] : []),
    `to go on in a program: load ${checkpoint} into the page's module (\`model.load\`), and \`model.train\` ` +
      "makes the steps that are left",
  ].join("\n");
}
