/** mhc train: compiles the spec for a device, trains it, and leaves a run folder. */
import { basename, join } from "node:path";
import { Command } from "commander";
import { vocabularyOf } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { DataError, MhcError, NumericError } from "../../runtime/errors.js";
import { load } from "../../runtime/index.js";
import { textMadeBy, type TextTokenizer } from "../../runtime/generate.js";
import type { Model } from "../../runtime/model.js";
import { parametersOf, type DataInfo, type Plan } from "../../runtime/plan.js";
import { merged, mustValue, valueAt } from "../../runtime/records.js";
import { described } from "../../runtime/sources.js";
import { energyOf, meteredBy, openMeter, type Energy, type OpenedMeter } from "../tools/energy.js";
import { firstNotFinite, inWords, type NotFiniteOperation, type Question } from "../tools/first-not-finite.js";
import { gainMonitors } from "../tools/gains.js";
import { modelledStep, type ModelledStep } from "../tools/modelled.js";
import type { OpenedDevice } from "../tools/opened.js";
import { CHECKPOINT, openRun, refuseTaken, type RunFolder, type RunInfo } from "../tools/run.js";
import { failureLine, holdoutFields, shareIn, trainModel, type StepLine, type TrainedRun } from "../tools/train.js";
import { isEntropy } from "../tools/evaluation.js";
import {
  countedIn,
  evaluationOf,
  exampleOf,
  joules,
  namedNumbers,
  unitOf,
  type EvaluationWords,
} from "../tools/words.js";
import { openAsked } from "./device.js";
import { tokenizerOf, usedWith } from "./data.js";
import { filesToKeep } from "./host.js";
import { exitCodeBy, heedSignals, type Ending, type Heeded } from "./interrupt.js";
import * as options from "./options.js";
import { errorLine, PrintedError } from "./outcome.js";
import { Progress } from "./progress.js";
import {
  compileFor,
  describeRun,
  openProject,
  trainable,
  type CompiledFor,
  type Project,
  type SpecOptions,
  type Trainable,
  isOfBf16,
} from "./project.js";

interface TrainFlags extends SpecOptions {
  readonly device: DeviceName;
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

/** The command `mhc train`. */
export const trainCommand = (): Command =>
  new Command("train")
    .description("train a spec and keep the run")
    .argument("<spec>", "a .mhc file")
    .addOption(options.device())
    .option("--steps <n>", "train this many steps; schedules still end where the spec says", options.whole)
    .option("--seed <n>", "seed of initial values and batches", options.whole)
    .addOption(options.threads())
    .addOption(options.without())
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
    .option("--sample <n>", "print this many characters, or tokens, sampled at the end", options.whole)
    .addOption(options.json())
    .action(async (file: string, flags: TrainFlags) => {
      refuseTaken(flags.out);
      const project = await openProject(file, flags);
      const device = await openAsked(flags);
      try {
        await trainOn(device, project, flags);
      } finally {
        await device.close();
      }
    });

/** A run of the command: what is trained, on what, and where it is told. */
interface TrainRun {
  readonly project: Project;
  readonly flags: TrainFlags;
  readonly device: OpenedDevice;
  readonly compiled: CompiledFor;
  readonly trainable: Trainable;
  readonly model: Model;
  readonly heeded: Heeded;
  readonly meter: OpenedMeter;
  readonly progress: Progress;
  /** Joules of a step, modelled; null when they are not known. They fall when the model shrinks. */
  step: ModelledStep | null;
  /** Joules of the steps so far. */
  modelled: number;
}

const print = (line: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function trainOn(device: OpenedDevice, project: Project, flags: TrainFlags): Promise<void> {
  const json = flags.json === true;
  const compiled = await compileFor(project, device, json, flags.monitor !== 0);
  const { plan, loaded, accounts } = compiled;
  const parts = trainable(plan, loaded);
  const model = await load(plan, { device, seed: flags.seed });
  const steps = flags.steps ?? parts.settings.steps;
  const heeded = heedSignals();
  const meter = openMeter(meteredBy(device));
  const progress = new Progress({ steps, json, gains: gainMonitors(plan), counted: countedIn(plan.data) });
  try {
    const step = modelledStep(plan, device.name, accounts);
    await trainAndTell(
      { project, flags, device, compiled, trainable: parts, model, heeded, meter, progress, step, modelled: 0 },
      steps,
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

async function trainAndTell(state: TrainRun, steps: number): Promise<void> {
  const { project, flags, device, compiled, model, meter, progress } = state;
  const { settings, info } = state.trainable;
  const { plan, loaded, sources } = compiled;
  const used = await filesToKeep(usedWith(project.used, loaded));
  const run = await openRun(flags.out, basename(project.file).replace(/\.mhc$/, ""), project.text, used);
  progress.say(
    `${plan.name}: ${parametersOf(plan).toLocaleString("en")} parameters on ${device.name} ` +
      `(${device.adapter}), ${steps} steps of ${settings.batch} x ${exampleOf(info)}`,
  );
  const parts = { loaded, sources, used, first: info.name, seed: model.seed, device: device.name };
  const trained = await trainInto(run, describeRun(project, parts), state, steps);
  // What evaluations took is in what was measured.
  const energy = energyOf(
    meter,
    "read" in meter ? meter.read() : 0,
    state.step && { joules: state.modelled, profile: `${state.step.profile}, steps alone` },
  );
  if (trained.holdout === null) tellStop(state, run, trained.loss);
  else await tellEnd(state, run, { ...trained, holdout: trained.holdout }, energy);
}

/** Trains into a folder. What ends it in numbers that are not finite is logged, and told with its first operation. */
async function trainInto(
  run: RunFolder,
  info: Omit<RunInfo, "step">,
  state: TrainRun,
  steps: number,
): Promise<TrainedRun> {
  const { flags, device, compiled, model, heeded, progress } = state;
  const { plan, recompile } = compiled;
  const { source } = state.trainable;
  const monitor = valueAt(plan.devices[device.name]?.entries, "monitor") ? flags.monitor : 0;
  const { evaluate, evaluateOn, evaluateEnd } = flags;
  try {
    return await trainModel(
      model,
      source,
      { steps, monitor, recompile, evaluate, evaluateOn, evaluateEnd },
      {
        signal: heeded.signal,
        step(line) {
          run.log({ ...line });
          progress.step(line);
          account(state, line);
        },
        save: () => run.save(model, { ...info, step: model.step }),
        evaluating: (at) => progress.evaluating(at, evaluation(state, at.of).of),
      },
    );
  } catch (error) {
    if (!(error instanceof NumericError)) throw error;
    throw await failureOf(error, run, state);
  }
}

/** Adds what a step took; after the step at which the model shrinks a step takes less. */
function account(state: TrainRun, { shrunk }: StepLine): void {
  const { step } = state;
  if (!step) return;
  state.modelled += step.joules;
  const { cost } = state.compiled.plan;
  if (shrunk && cost)
    state.step = { ...step, joules: mustValue(cost.dense, "energy") * mustValue(shrunk.share, "energy") };
}

/** What a loss is called, and over what it is the mean, for so many held-out examples. */
const evaluation = ({ trainable: { info, source } }: TrainRun, count: number): EvaluationWords =>
  evaluationOf(info, count, source.holdoutExamples);

/** Logs that a run ended in numbers that are not finite, and gives the error to end with. */
async function failureOf(error: NumericError, run: RunFolder, state: TrainRun): Promise<Error> {
  const { project, flags, device, compiled, model } = state;
  const { settings, source } = state.trainable;
  const operation = await operationOf(error, {
    text: project.text,
    options: compiled.options,
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
  if (flags.json !== true) return told;
  print(failed);
  return new PrintedError(told);
}

/** Says where a run is that was asked to end, and sets the exit code. */
function tellStop(
  { flags, device, model, heeded, progress, trainable: { info } }: TrainRun,
  run: RunFolder,
  loss: number,
): void {
  const by = heeded.by();
  if (by) process.exitCode = exitCodeBy(by);
  const checkpoint = join(run.folder, CHECKPOINT);
  const line = {
    done: false,
    run: run.folder,
    steps: model.step,
    loss,
    device: device.name,
    stopped_by: by,
    checkpoint,
  };
  if (flags.json === true) print(line);
  else progress.end(stopped(by, model, { run: run.folder, checkpoint, device: device.module ?? device.name }, info));
}

/** Logs and tells what came of a run, with a sample where one is asked for, and what can be done next. */
async function tellEnd(
  state: TrainRun,
  run: RunFolder,
  { loss, holdout, terms, metrics, evaluated, seconds }: TrainedRun & { readonly holdout: number },
  energy: Energy | null,
): Promise<void> {
  const { flags, device, model, progress } = state;
  const { info, source } = state.trainable;
  const done = {
    done: true,
    run: run.folder,
    steps: model.step,
    seconds,
    loss,
    holdout,
    holdout_share: shareIn(source, evaluated),
    ...holdoutFields({ terms, metrics }),
    device: device.name,
    ...(energy ? { joules: energy.joules, energy_by: energy.by } : {}),
  };
  run.log(done);
  if (flags.json === true) return print(done);
  const { loss: name, of } = evaluation(state, evaluated);
  const unit = unitOf(info, await isEntropy(state.project.text, state.compiled.options));
  progress.end(`trained ${model.step} steps in ${seconds.toFixed(1)} s; ${name} ${holdout.toFixed(4)} ${unit} (${of})`);
  const measured = namedNumbers(merged(terms, metrics));
  if (measured) process.stdout.write(`on the same: ${measured}\n`);
  if (energy) process.stdout.write(`${joules(energy.joules)} (${energy.by})\n`);
  if (flags.sample)
    process.stdout.write(`\n${await sampled(model, flags.sample, tokenizerOf(state.compiled.loaded, info.name))}\n\n`);
  process.stdout.write(`the run is in ${run.folder}\n${next(state, run.folder)}\n`);
}

/** The first operation of a step that was not finite, where its parameters and its batch were. */
async function operationOf(
  error: NumericError,
  question: Omit<Question, "calmer">,
): Promise<NotFiniteOperation | null> {
  const { step, tensors } = error.report;
  const isOfTheStep = step === question.model.step + 1;
  const [first] = tensors;
  if (!isOfTheStep || (first && first.kind !== "gradient")) return null;
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
async function sampled(model: Model, tokens: number, tokenizer: TextTokenizer | undefined): Promise<string> {
  return model.generate("", { tokens, tokenizer }).catch((error: unknown) => {
    if (error instanceof DataError)
      return `no sample: ${error.message}${error.fix === null ? "" : `\nfix: ${error.fix}`}`;
    throw error;
  });
}

/** The command that samples from a run, for a model that makes text. */
function sampling(run: string, { device }: Pick<TrainFlags, "device">, info: DataInfo, plan: Plan): string[] {
  const { text } = described(info);
  if (!text || textMadeBy(plan) instanceof DataError) return [];
  if (text.info.kind === "sequences")
    return [options.command("npx", "mhc", "sample", run, "--prompt", "SOURCE", ...options.given({ device }))];
  const known = text.info.kind === "tokens" ? [] : text.info.vocabulary;
  const prompt = vocabularyOf(PROMPT).every((character) => known.includes(character)) ? ["--prompt", PROMPT] : [];
  return [options.command("npx", "mhc", "sample", run, ...prompt, ...options.given({ device }))];
}

/** What can be done now, with the page, the settings, the data and the device as they were given. */
function next({ project, flags, trainable: { settings, info }, compiled }: TrainRun, run: string): string {
  const { file } = project;
  const { batch } = settings;
  const { set = [], data, device, profile } = flags;
  const larger = [...set.filter((setting) => !/^\s*train\.batch\s*=/.test(setting)), `train.batch=${2 * batch}`];
  return `try next: ${[
    ...sampling(run, flags, info, compiled.plan),
    options.command(
      "npx",
      "mhc",
      "train",
      file,
      ...options.given({ data, device, profile, like: flags.like, set: larger }),
    ),
    // Only the target `c` has what a page in bf16 asks for.
    options.command(
      "npx",
      "mhc",
      "compile",
      file,
      ...options.given({ data, set, profile }),
      ...(isOfBf16(compiled.plan) ? ["--target", "c"] : []),
      "-o",
      "out",
    ),
  ].join("\n          ")}`;
}

/** Where the checkpoint of a run is that was asked to end, and how to go on. */
function stopped(
  by: Ending | null,
  model: Model,
  { run, checkpoint, device }: { readonly run: string; readonly checkpoint: string; readonly device: string },
  info: DataInfo,
): string {
  const sample = sampling(run, { device }, info, model.plan);
  return [
    `stopped by ${by} after step ${model.step}; the checkpoint is in ${run}`,
    ...(sample.length ? [`try it: ${sample.join()}`] : []),
    `to go on in a program: load ${checkpoint} into the page's module (\`model.load\`), and \`model.train\` ` +
      "makes the steps that are left",
  ].join("\n");
}
