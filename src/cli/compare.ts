/** mhc compare: trains several specs under the same conditions, and says how far apart they are. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { DataError } from "../../runtime/errors.js";
import type { Loaded } from "../../runtime/node/files.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import { budgetOf, compare, differences, type Asked, type Contender } from "../tools/compare.js";
import { gainMonitors } from "../tools/gains.js";
import { modelledStep, profileFor } from "../tools/modelled.js";
import { folderFor } from "../tools/run.js";
import { evaluationOf, unitOf } from "../tools/words.js";
import { openAsked } from "./device.js";
import { filesToKeep } from "./host.js";
import { exitCodeBy, heedSignals, write, type Heeded } from "./interrupt.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
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

interface CompareFlags extends SpecOptions, Asked {
  readonly device: DeviceName | "auto";
  readonly seeds: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly out?: string;
  readonly unequal?: boolean;
}

export const compareCommand = (): Command =>
  new Command("compare")
    .description("train several specs with the same data and budget, and compare them")
    .argument(
      "<specs...>",
      "files; page.mhc@layers=4,width=32 is the page with these settings, page.mhc@like=RUN what a run of it " +
        "ended with, from the start",
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
    .action(async (words: string[], given: CompareFlags) => {
      const json = given.json === true;
      const projects = await Promise.all(
        namesOf(words).map(async ({ name, file, set }) => {
          const like = set.find((setting) => setting.startsWith("like="))?.slice("like=".length);
          const own = set.filter((setting) => !setting.startsWith("like="));
          // What is said of one page goes before what is said of all.
          return {
            name,
            project: await openProject(file, {
              ...given,
              set: settingsOf(given.set ?? [], own),
              ...(like === undefined ? {} : { like }),
            }),
          };
        }),
      );
      const device = await openAsked(given);
      let heeded: Heeded | null = null;
      let progress = new Progress({ steps: 0, json });
      try {
        // Energies are compared on one profile: that of the first page that has one.
        const compiled: Compiled[] = [];
        for (const { name, project } of projects)
          compiled.push({ name, project, ...(await compileFor(project, device, json, true)) });
        const on = profileFor(compiled.find(({ plan }) => plan.cost)?.plan ?? {}, device.name);
        const contenders = await Promise.all(compiled.map((one) => contenderOf(one, device, on)));
        const found = differences(contenders, given);
        if (found.length && !given.unequal)
          throw new DataError(
            `these specs cannot be compared as they are\n  ${found.join("\n  ")}`,
            "give them one source of data (--data) and one budget (--set train.batch=12, --steps 500), or " +
              "compare all the same with --unequal",
          );
        const first = given.seed ?? contenders[0]!.plan.train!.seed;
        const seeds = Array.from({ length: given.seeds }, (_, i) => first + i);
        const out = folderFor(given.out, "compare");
        const total = contenders.length * seeds.length;
        for (const note of found) progress.say(`not the same: ${note}`);
        progress.say(
          `${total} runs on ${device.name} (${device.adapter}), ` +
            `${contenders.map((contender) => `${contender.name}: ${budgetWords(contender, given)}`).join("; ")}`,
        );
        const { loss, of } = evaluationOf(contenders[0]!.plan.data[0]!, contenders[0]!.source.holdoutExamples);
        if (loss !== "hold-out loss") progress.say(`nothing is held out: the hold-out loss is that over ${of}`);
        heeded = heedSignals();
        let ended = 0;
        const comparison = await compare(contenders, seeds, given, device, out, heeded.signal, {
          begin({ name, plan }, seed, steps) {
            const prefix = `${name}, seed ${seed} (${ended + 1} of ${total}): `;
            progress = new Progress({ steps, json, prefix, gains: gainMonitors(plan) });
          },
          // With --json there is one object, at the end.
          step: (line) => (json ? undefined : progress.step(line)),
          evaluating: (at) =>
            progress.evaluating({ ...at, last: false }, `${at.of.toLocaleString("en")} held-out examples`),
          end({ name }, { seed, steps, holdout, seconds, failure, folder }, taken) {
            ended++;
            progress.end(
              `${name}, seed ${seed} (${ended} of ${total}): ` +
                `${failure ?? `hold-out loss ${holdout!.toFixed(4)} after ${steps} steps in ${seconds!.toFixed(1)} s`}${taken ? `; taken from ${folder}` : ""}`,
            );
          },
        });
        const again = `npx mhc compare ${repeated(words, given, out)}`;
        if (!comparison) {
          const by = heeded.by()!;
          if (json)
            process.stdout.write(`${JSON.stringify({ done: false, out, runs: ended, stopped_by: by, again })}\n`);
          else progress.end(`stopped by ${by} after ${ended} of ${total} runs; go on with: ${again}`);
          process.exitCode = exitCodeBy(by);
          return;
        }
        const { page, tableText, toJson } = await import("../tools/report.js");
        const unit = unitOf(contenders[0]!.plan.data[0]!);
        const report = join(out, "report.html");
        await write(
          report,
          page(comparison, {
            command: again,
            version,
            time: new Date().toISOString().slice(0, 16).replace("T", " "),
            unit,
          }),
        );
        const result = JSON.stringify(merged<unknown>(toJson(comparison), { report }));
        await write(join(out, "comparison.json"), `${result}\n`);
        process.stdout.write(
          json ? `${result}\n` : `\n${tableText(comparison, process.stdout.columns || 160)}\nthe report is ${report}\n`,
        );
      } finally {
        progress.stop();
        heeded?.release();
        await device.close();
      }
    });

/** `page.mhc@layers=4,width=32`: a page with settings. Names are as short as they can be while they differ. */
function namesOf(
  words: readonly string[],
): { readonly name: string; readonly file: string; readonly set: readonly string[] }[] {
  const parts = words.map((word) => {
    const at = existsSync(word) ? -1 : word.lastIndexOf("@");
    // An @ before a slash is a folder's, unless settings follow it.
    if (at < 1 || (word.includes("/", at) && !/^@\w[\w.]*=/.test(word.slice(at)))) return { word, file: word, set: [] };
    const set = settingsIn(word.slice(at + 1));
    if (!set.every((setting) => /^[^=]+=./.test(setting)))
      throw new UsageError(`error: ${word}: write ${word.slice(0, at)}@name=value,name=value`);
    return { word, file: word.slice(0, at), set };
  });
  const short = parts.map(({ file, set }) =>
    [basename(file).replace(/\.mhc$/, ""), ...(set.length ? [set.join(",")] : [])].join("@"),
  );
  return parts.map(({ word, file, set }, i) => {
    if (words.indexOf(word) !== i)
      throw new UsageError(`error: ${word} is given twice; settings tell two of one page apart: ${file}@name=value`);
    return { name: short.filter((name) => name === short[i]).length > 1 ? word : short[i]!, file, set };
  });
}

/** Settings between commas; those within parentheses belong to a value: `train.optimizer=sgd(0.1, momentum=0.9)`. */
function settingsIn(text: string): string[] {
  let depth = 0;
  const list = [""];
  for (const character of text) {
    depth += Number(character === "(") - Number(character === ")");
    if (character === "," && depth === 0) list.push("");
    else list[list.length - 1] += character;
  }
  return list;
}

interface Compiled extends CompiledFor {
  readonly name: string;
  readonly project: Project;
}

async function contenderOf(
  { name, project, plan, loaded, sources, recompile, accounts }: Compiled,
  device: Device,
  on: string,
): Promise<Contender> {
  const { info, source } = trainable(plan, loaded);
  const data = digestOf(loaded.get(info.name)!);
  const used = await filesToKeep(project.used);
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
    joules: modelledStep(plan, device.name, accounts, on)?.joules ?? null,
    data,
    describe: (seed) => describeRun(project, { loaded, sources }, used, info.name, seed, device.name),
    conditions: { mhc: version, spec, set, data },
  };
}

/** Short, for people compare it when it differs. */
function digest(parts: Iterable<string | Uint8Array | Uint16Array | Uint32Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 16);
}

const digestOf = (loaded: Loaded): string =>
  digest(
    loaded.kind === "characters"
      ? [loaded.facts.vocabulary.join(""), loaded.tokens]
      : loaded.kind === "pairs"
        ? loaded.pairs.flat()
        : loaded.classes.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  );

function budgetWords(contender: Contender, asked: Asked): string {
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
