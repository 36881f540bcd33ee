/** mhc compare: trains several specs under the same conditions, and says how far apart they are. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { DataError } from "../../runtime/errors.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { mustTrain } from "../../runtime/plan.js";
import { partsOf, type Loaded } from "../../runtime/node/sources.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import {
  budgetOf,
  compare,
  differences,
  type AskedBudget,
  type Comparison,
  type Contender,
  type Watcher,
} from "../tools/compare.js";
import { gainMonitors } from "../tools/gains.js";
import { modelledStep, profileFor } from "../tools/modelled.js";
import { folderFor } from "../tools/run.js";
import { isEntropy } from "../tools/evaluation.js";
import { countedIn, evaluationOf, unitOf } from "../tools/words.js";
import { openAsked } from "./device.js";
import { usedWith } from "./data.js";
import { filesToKeep } from "./host.js";
import { exitCodeBy, heedSignals, write, type Ending, type Heeded } from "./interrupt.js";
import { namesOf, type NamedSpec } from "./named-specs.js";
import * as options from "./options.js";
import { Progress } from "./progress.js";
import {
  compileFor,
  describeRun,
  openProject,
  settingsOf,
  trainable,
  type CompiledFor,
  type Project,
  type SpecOptions,
} from "./project.js";
import { version } from "./version.js";
import { merged } from "../../runtime/records.js";

interface CompareFlags extends SpecOptions, AskedBudget {
  readonly device: DeviceName;
  readonly seeds: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
  readonly unequal?: boolean;
}

/** The command `mhc compare`. */
export const compareCommand = (): Command =>
  new Command("compare")
    .description("train several specs with the same data and budget, and compare them")
    .argument(
      "<specs...>",
      "files; page.mhc@layers=4,width=32 is the page with these settings, page.mhc@train.rate=1e-3,3e-3 the page " +
        "with each of these values, page.mhc@like=RUN what a run of it ended with, from the start",
    )
    .option("--seeds <k>", "runs of each spec, with seeds that follow one another", options.positive, 3)
    .option("--seed <n>", "the first seed (default: that of the first spec)", options.whole)
    .option("--steps <n>", "train each run this many steps; schedules still end where the spec says", options.positive)
    .option("--seconds <s>", "train each run this long", options.decimal)
    .option("--unequal", "compare although data or budgets differ")
    .addOption(options.device())
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.evaluate())
    .addOption(options.evaluateOn())
    .addOption(options.evaluateEnd())
    .option(
      "--out <folder>",
      "the folder of runs and report; runs that it holds are taken (default: runs/compare-TIME)",
    )
    .addOption(options.json())
    .action(compareSpecs);

/** A page as a command line names it, compiled. */
interface CompiledSpec extends CompiledFor {
  readonly name: string;
  readonly project: Project;
}

/** A comparison under way, as the command tells it. */
interface Telling {
  readonly json: boolean;
  /** The line of the run under way. */
  progress: Progress;
  /** Runs that have ended, of how many. */
  ended: number;
  total: number;
}

async function compareSpecs(words: string[], flags: CompareFlags): Promise<void> {
  const json = flags.json === true;
  const projects = await Promise.all(namesOf(words).map((spec) => projectOf(spec, flags)));
  const device = await openAsked(flags);
  const telling: Telling = { json, progress: new Progress({ steps: 0, json }), ended: 0, total: 0 };
  let heeded: Heeded | null = null;
  try {
    const compiled: CompiledSpec[] = [];
    for (const spec of projects) compiled.push({ ...spec, ...(await compileFor(spec.project, device, json, true)) });
    // Energies are compared on one profile: that of the first page that has one.
    const profile = profileFor(compiled.find(({ plan }) => plan.cost)?.plan ?? {}, device.name);
    const contenders = await Promise.all(compiled.map((spec) => contenderOf(spec, device, profile)));
    const notes = differences(contenders, flags);
    if (notes.length && !flags.unequal)
      throw new DataError(
        `these specs cannot be compared as they are\n  ${notes.join("\n  ")}`,
        "give them one source of data (--data) and one budget (--set train.batch=12, --steps 500), or " +
          "compare all the same with --unequal",
      );
    const first = mustAt(contenders, 0);
    const firstSeed = flags.seed ?? mustTrain(first.plan).seed;
    const seeds = Array.from({ length: flags.seeds }, (_, i) => firstSeed + i);
    const out = folderFor(flags.out, "compare");
    telling.total = contenders.length * seeds.length;
    tellBeginning(telling, contenders, notes, device, flags);
    heeded = heedSignals();
    const comparison = await compare({
      contenders,
      seeds,
      asked: flags,
      device,
      out,
      signal: heeded.signal,
      watcher: watcherOf(telling),
    });
    const again = `npx mhc compare ${repeated(words, flags, out)}`;
    if (comparison) {
      const areEntropies = await Promise.all(compiled.map((spec) => isEntropy(spec.project.text, spec.options)));
      const unit = unitOf(mustAt(first.plan.data, 0), areEntropies.every(Boolean));
      await writeReport(comparison, { out, again, json, unit });
    } else tellStop(telling, heeded.by(), out, again);
  } finally {
    telling.progress.stop();
    heeded?.release();
    await device.close();
  }
}

/** The project of a page; what is set of one page goes before what is set of all. */
async function projectOf(
  { name, file, set }: NamedSpec,
  flags: CompareFlags,
): Promise<{ readonly name: string; readonly project: Project }> {
  const like = set.find((setting) => setting.startsWith("like="))?.slice("like=".length);
  const settings = set.filter((setting) => !setting.startsWith("like="));
  const project = await openProject(file, {
    ...flags,
    set: settingsOf(flags.set ?? [], settings),
    ...(like === undefined ? {} : { like }),
  });
  return { name, project };
}

function tellBeginning(
  { progress, total }: Telling,
  contenders: readonly Contender[],
  notes: readonly string[],
  device: Device,
  flags: CompareFlags,
): void {
  for (const note of notes) progress.say(`not the same: ${note}`);
  const budgets = contenders.map((contender) => `${contender.name}: ${budgetWords(contender, flags)}`);
  progress.say(`${total} runs on ${device.name} (${device.adapter}), ${budgets.join("; ")}`);
  const { plan, source } = mustAt(contenders, 0);
  const { loss, of } = evaluationOf(mustAt(plan.data, 0), source.holdoutExamples);
  if (loss !== "hold-out loss") progress.say(`nothing is held out: the hold-out loss is that over ${of}`);
}

const watcherOf = (telling: Telling): Watcher => ({
  begin({ name, plan }, seed, steps) {
    const { json, ended, total } = telling;
    const prefix = `${name}, seed ${seed} (${ended + 1} of ${total}): `;
    telling.progress = new Progress({ steps, json, prefix, gains: gainMonitors(plan), counted: countedIn(plan.data) });
  },
  // With --json there is one object, at the end.
  step: (line) => (telling.json ? undefined : telling.progress.step(line)),
  evaluating: (at) =>
    telling.progress.evaluating({ ...at, last: false }, `${at.of.toLocaleString("en")} held-out examples`),
  end({ name }, { seed, steps, holdout, seconds, failure, folder }, taken) {
    telling.ended++;
    const [loss, time] = [holdout?.toFixed(4), seconds?.toFixed(1)];
    const outcome = failure ?? `hold-out loss ${loss} after ${steps} steps in ${time} s`;
    const whose = `${name}, seed ${seed} (${telling.ended} of ${telling.total})`;
    telling.progress.end(`${whose}: ${outcome}${taken ? `; taken from ${folder}` : ""}`);
  },
});

/** Says how far a comparison came that was asked to end, and sets the exit code. */
function tellStop({ json, progress, ended, total }: Telling, by: Ending | null, out: string, again: string): void {
  if (json) process.stdout.write(`${JSON.stringify({ done: false, out, runs: ended, stopped_by: by, again })}\n`);
  else progress.end(`stopped by ${by} after ${ended} of ${total} runs; go on with: ${again}`);
  if (by) process.exitCode = exitCodeBy(by);
}

/** Writes the page and the figures of a comparison, and prints its table. */
async function writeReport(
  comparison: Comparison,
  { out, again, json, unit }: { out: string; again: string; json: boolean; unit: string },
): Promise<void> {
  const { tableText, toJson } = await import("../tools/report.js");
  const { page } = await import("../tools/comparison-page.js");
  const report = join(out, "report.html");
  const time = new Date().toISOString().slice(0, 16).replace("T", " ");
  await write(report, page(comparison, { command: again, version, time, unit }));
  const result = JSON.stringify(merged<unknown>(toJson(comparison), { report }));
  await write(join(out, "comparison.json"), `${result}\n`);
  process.stdout.write(
    json ? `${result}\n` : `\n${tableText(comparison, process.stdout.columns || 160)}\nthe report is ${report}\n`,
  );
}

async function contenderOf(
  { name, project, plan, loaded, sources, recompile, accounts }: CompiledSpec,
  device: Device,
  profile: string,
): Promise<Contender> {
  const { info, source } = trainable(plan, loaded);
  const data = digestOf(mustGet(loaded, info.name));
  const used = await filesToKeep(usedWith(project.used, loaded));
  // What modules import is not among the files that the page names.
  const imported = used.filter(({ path }) => ![...project.used.keys()].some((named) => resolve(named) === path));
  const spec = digest([project.text, ...[...project.used].flat(), ...imported.map(({ text }) => text)]);
  const set = JSON.stringify({
    ...project.options.set,
    ...(project.shrunk ? { like: digest([JSON.stringify(project.shrunk.kept)]) } : {}),
  });
  return {
    name,
    text: project.text,
    used,
    plan,
    source,
    recompile,
    joules: modelledStep(plan, device.name, accounts, profile)?.joules ?? null,
    data,
    describe: (seed) => describeRun(project, { loaded, sources, used, first: info.name, seed, device: device.name }),
    conditions: { mhc: version, spec, set, data },
  };
}

/** Short, for people compare it when it differs. */
function digest(parts: Iterable<string | Uint8Array | Uint16Array | Uint32Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 16);
}

const digestOf = (loaded: Loaded): string => digest(partsOf(loaded));

function budgetWords(contender: Contender, asked: AskedBudget): string {
  const { steps, seconds } = budgetOf(contender, asked);
  return [
    ...(Number.isFinite(steps) ? [`${steps} steps`] : []),
    ...(seconds === undefined ? [] : [`${seconds} s`]),
  ].join(", at most ");
}

/** The arguments that make the comparison go on, or say what made it. */
function repeated(words: readonly string[], flags: CompareFlags, out: string): string {
  const { seeds, seed, steps, seconds, evaluate, evaluateOn, evaluateEnd, unequal, device, threads, set, data } = flags;
  const evaluations = { evaluate, "evaluate-on": evaluateOn, "evaluate-end": evaluateEnd };
  return options.command(
    ...words,
    ...options.given({ seeds, seed, steps, seconds, ...evaluations, unequal, device, threads, set, data, out }),
  );
}
