/** mhc eval: what a trained model comes to on data, in its loss, the named parts of it and the metrics of its page. */
import { existsSync, statSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import { load } from "../../runtime/index.js";
import type { Evaluation } from "../../runtime/model.js";
import type { DataInfo } from "../../runtime/plan.js";
import { merged } from "../../runtime/records.js";
import { described } from "../../runtime/sources.js";
import { crossEntropyIn, evaluateModel, perplexityOf, type DataPart } from "../tools/evaluation.js";
import type { OpenedDevice } from "../tools/opened.js";
import { readRun, type StoredRun } from "../tools/run.js";
import { shareIn } from "../tools/train.js";
import { evaluationOf, namedNumbers, unitOf } from "../tools/words.js";
import { openAsked } from "./device.js";
import { ofRun } from "./of-run.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { Progress } from "./progress.js";
import {
  mustCheck,
  mustCompile,
  openProject,
  readFacts,
  report,
  trainable,
  type Project,
  type SpecOptions,
  type Trainable,
} from "./project.js";
import { choicesFor } from "./tuned.js";

interface EvalFlags extends SpecOptions {
  readonly checkpoint?: string;
  readonly on: DataPart;
  readonly limit?: number;
  readonly device: DeviceName;
  readonly threads?: number;
}

/** The command `mhc eval`. */
export const evalCommand = (): Command =>
  new Command("eval")
    .description("evaluate a trained model: its loss, the named parts of it, and the metrics of its page")
    .argument("<run>", "a run folder, or a .mhc file with --checkpoint")
    .option("--checkpoint <file>", "the parameters (default: those of the run)")
    .option("--on <part>", "holdout, or train: examples drawn as training draws them", partOf, "holdout")
    .option(
      "--limit <n>",
      "at most so many examples, but a batch (default: all held out; 1024 of train)",
      options.positive,
    )
    .addOption(options.device())
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (what: string, flags: EvalFlags) => {
      const asked = await askedOf(what, flags);
      const device = await openAsked(flags);
      try {
        await evaluateOn(device, asked, flags);
      } finally {
        await device.close();
      }
    });

function partOf(word: string): DataPart {
  if (word === "holdout" || word === "train") return word;
  throw new InvalidArgumentError("it is holdout or train.");
}

/** A page and its parameters. */
interface EvalRequest {
  readonly project: Project;
  /** The run that they are of; null of a page. */
  readonly run: StoredRun | null;
  readonly checkpoint: string;
}

/** The run or the page that is named. Throws UsageError where there is neither, or no parameters. */
async function askedOf(what: string, flags: EvalFlags): Promise<EvalRequest> {
  const { checkpoint } = flags;
  if (!existsSync(what)) throw new UsageError(`error: there is no run and no file ${what}`);
  if (statSync(what).isDirectory()) {
    if (flags.set?.length)
      throw new UsageError("error: a run is evaluated with its settings: leave out --set, or name a page");
    const run = readRun(what);
    const project = await openProject(run.info.file, ofRun(flags, run.info), run);
    return { project, run, checkpoint: checkpoint ?? run.checkpoint };
  }
  if (checkpoint === undefined)
    throw new UsageError(`error: ${what} is a page: say whose parameters are evaluated, --checkpoint FILE`);
  return { project: await openProject(what, flags), run: null, checkpoint };
}

async function evaluateOn(
  device: OpenedDevice,
  { project, run, checkpoint }: EvalRequest,
  flags: EvalFlags,
): Promise<void> {
  const { on, limit } = flags;
  const json = flags.json === true;
  const { options: read, loaded } = await readFacts(project, json);
  // The vocabulary of a run is the one that it was trained with, whatever its data is now.
  const full = { ...read, ...(run ? { facts: run.info.facts } : {}) };
  const { check, compile } = await import("../compile/compile.js");
  const compiled = await compile(project.text, {
    ...full,
    ...(run?.info.shrunk ? { shrunk: run.info.shrunk } : {}),
    devices: [device.target],
    choices: { [device.name]: choicesFor(device) },
  });
  await report(compiled, json);
  const plan = mustCompile(compiled);
  const parts = trainable(plan, loaded);
  const { source, info } = parts;
  const model = await load(plan, { device, seed: run?.info.seed });
  const progress = new Progress({ steps: 0, json });
  try {
    await model.load(checkpoint);
    const watch = (done: number, of: number): void =>
      progress.evaluating({ done, of, last: false }, `${of.toLocaleString("en")} examples`);
    const evaluation = await evaluateModel(model, source, { on, limit, watch });
    progress.stop();
    const entropy = crossEntropyIn(mustCheck(check(project.text, full)));
    // A perplexity is said of texts, where an example is a row of choices.
    const perplexity = described(info).text ? perplexityOf(evaluation, entropy) : null;
    const told: ToldEvaluation = { evaluation, perplexity, entropy, on };
    const { name } = plan;
    const page = { page: name, checkpoint, step: model.step, device: device.name };
    const line = merged<unknown>(page, fieldsOf(told, parts));
    process.stdout.write(
      json ? `${JSON.stringify(line)}\n` : `${name} at step ${model.step} on ${device.name}\n${textOf(told, parts)}`,
    );
  } finally {
    await model.close();
  }
}

/** An evaluation as it is told. */
interface ToldEvaluation {
  readonly evaluation: Evaluation;
  readonly perplexity: number | null;
  /** The number that the perplexity is of: "" for the loss, or the name of a part of it; null when there is none. */
  readonly entropy: string | null;
  readonly on: DataPart;
}

const fieldsOf = (
  { evaluation, perplexity, entropy, on }: ToldEvaluation,
  { source, info }: Trainable,
): Readonly<Record<string, unknown>> => {
  const { loss, terms, metrics, examples } = evaluation;
  return {
    on,
    examples,
    ...(on === "holdout" ? { share: shareIn(source, examples) } : {}),
    loss,
    ...(entropy === "" ? { unit: unitOf(info, true) } : {}),
    ...(perplexity === null ? {} : { perplexity, ...(entropy ? { perplexity_of: entropy } : {}) }),
    terms,
    metrics,
  };
};

function textOf({ evaluation, perplexity, entropy, on }: ToldEvaluation, { source, info }: Trainable): string {
  const { loss, terms, metrics, examples } = evaluation;
  const words = evaluationOf(info, examples, source.holdoutExamples);
  const [what, of] = on === "train" ? ["training loss", drawnOf(info, examples)] : [words.loss, words.of];
  const unit = entropy === "" ? ` ${unitOf(info, true)}` : "";
  const measured = namedNumbers(merged(terms, metrics), "\n");
  return [
    `${what} ${loss.toFixed(4)}${unit} (${of})`,
    ...(perplexity === null ? [] : [`perplexity ${perplexity.toPrecision(4)}${entropy ? ` (of ${entropy})` : ""}`]),
    ...(measured ? [measured] : []),
    "",
  ].join("\n");
}

/** `1,024 windows drawn from what it is trained on` */
const drawnOf = (info: DataInfo, examples: number): string =>
  `${examples.toLocaleString("en")} ${described(info).held} drawn from what it is trained on`;
