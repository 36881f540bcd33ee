/** mhc verify: whether a page keeps what it promises, on a device, by property tests of its own kernels. */
import { Command } from "commander";
import type { Source } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { DataError } from "../../runtime/errors.js";
import type { Loaded } from "../../runtime/node/files.js";
import type { CheckOptions } from "../compile/compile.js";
import { readRun, type RunInfo } from "../tools/run.js";
import type { When } from "../tools/promises.js";
import type { Finding } from "../tools/verify.js";
import { written } from "../model/paths.js";
import { openAsked } from "./device.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { openProject, readFacts, report, settingsOf, trainable, type Project, type SpecOptions } from "./project.js";
import { choicesFor } from "./tuned.js";

interface VerifyFlags extends SpecOptions {
  readonly device: DeviceName | "auto";
  readonly run?: string;
  readonly runs?: number;
  readonly seed?: number;
  readonly threads?: number;
}

export const verifyCommand = (): Command =>
  new Command("verify")
    .description("test on a device what a spec promises of sets and claims, before and after training")
    .argument("[spec]", "a .mhc file (default: the page of the run)")
    .option("--run <folder>", "verify the parameters of this run too, with its settings and data")
    .addOption(options.device())
    .option(
      "--runs <n>",
      "states that each property is tried in (default: up to 100, as many as a few seconds take)",
      options.positive,
    )
    .option("--seed <n>", "seed of the start, the batches and the draws (default: the spec's)", options.whole)
    .addOption(options.threads())
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string | undefined, given: VerifyFlags) => {
      const json = given.json === true;
      const begun = performance.now();
      const run = given.run === undefined ? null : readRun(given.run);
      if (file === undefined && !run) throw new UsageError("error: say which page: a .mhc file, or --run FOLDER");
      const project = await openProject(
        file ?? run!.info.file,
        run ? ofRun(given, run.info) : given,
        file === undefined ? run! : undefined,
      );
      const device = await openAsked(given);
      try {
        const {
          options: full,
          loaded,
          missing,
        } = await factsOf(project, run?.info ?? null, given.data !== undefined, json);
        const { compile } = await import("../compile/compile.js");
        const compiled = await compile(project.text, {
          ...full,
          devices: [device.name],
          monitors: "all",
          choices: { [device.name]: choicesFor(device) },
          ...(run?.info.shrunk ? { shrunk: run.info.shrunk } : {}),
        });
        await report(compiled, json);
        const plan = compiled.plan!;
        const say = (text: string): void => void (json || process.stdout.write(`${text}\n`));
        const source: Source | null =
          plan.train && plan.data[0] && loaded.has(plan.data[0].name) ? trainable(plan, loaded).source : null;
        say(`${plan.name} on ${device.name} (${device.adapter})`);
        if (missing) say(`the data of the run is not there, and batches are made up (${missing})`);
        const { verify } = await import("../tools/verify.js");
        const again = `npx mhc verify ${repeated(file, given)}`;
        const found = await verify(plan, device, {
          seed: given.seed,
          runs: given.runs,
          source,
          checkpoint: run?.checkpoint,
          phase(when, findings) {
            if (json) for (const finding of findings) process.stdout.write(`${JSON.stringify(toJson(finding))}\n`);
            else say(phaseText(when, findings, again, run ? given.run! : null));
          },
        });
        const text = verdict(found);
        if (found.length === 0)
          say("it has no constraints, no claims, and no lanes that are mixed: there is nothing to verify");
        else say(`\n${text}; ${((performance.now() - begun) / 1000).toFixed(1)} s`);
        if (found.some(({ ok }) => ok === false)) process.exitCode = 1;
      } finally {
        await device.close();
      }
    });

/** The options with a run's settings and data, where the command line does not say otherwise. */
const ofRun = (given: VerifyFlags, { set, data }: RunInfo): SpecOptions => ({
  set: settingsOf(
    Object.entries(set).map(([name, value]) => `${name}=${value}`),
    given.set ?? [],
  ),
  data: given.data ?? Object.entries(data).map(([name, location]) => `${name}=${location}`),
});

/**
 * The facts of a run are those that it was trained with; its data may have gone, unless it is `named` on the command
 * line.
 */
async function factsOf(
  project: Project,
  run: RunInfo | null,
  named: boolean,
  json: boolean,
): Promise<{
  readonly options: CheckOptions;
  readonly loaded: ReadonlyMap<string, Loaded>;
  readonly missing: string | null;
}> {
  if (!run) return { ...(await readFacts(project, json)), missing: null };
  try {
    const { options: full, loaded } = await readFacts(project, json);
    return { options: { ...full, facts: run.facts }, loaded, missing: null };
  } catch (error) {
    if (!(error instanceof DataError) || named) throw error;
    return { options: { ...project.options, facts: run.facts }, loaded: new Map(), missing: error.message };
  }
}

const repeated = (file: string | undefined, { run, runs, seed, device, threads, set, data }: VerifyFlags): string =>
  options.command(
    ...(file === undefined ? [] : [file]),
    ...options.given({ run, device, runs, seed, threads, set, data }),
  );

/** How many of what is promised hold, and how much more was measured. */
function verdict(findings: readonly Finding[]): string {
  const judged = findings.filter(({ ok }) => ok !== null).length;
  const broken = findings.filter(({ ok }) => ok === false).length;
  const measured = findings.length - judged;
  const count = (of: number): string => (of === 1 ? "1 property" : `${of} properties`);
  if (judged === 0) return `nothing is promised: ${count(measured)} measured`;
  const held = broken
    ? `${broken} of ${count(judged)} ${broken === 1 ? "does" : "do"} not hold`
    : judged === 1
      ? "the property holds"
      : `all ${judged} properties hold`;
  return measured ? `${held}; ${measured} more measured, without a promise` : held;
}

/** JSON has no infinity: what is no number, or overflowed, is null. */
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

function toJson({
  property,
  tensor,
  runs,
  ok,
  worst,
  counterexample,
  when,
  promised,
  limit,
  beyond,
}: Finding): Readonly<Record<string, unknown>> {
  return {
    property,
    tensor,
    runs,
    ok,
    worst: finite(worst),
    counterexample: counterexample && { ...counterexample, measured: finite(counterexample.measured) },
    when,
    promised,
    limit,
    beyond: beyond && { ...beyond, worst: finite(beyond.worst) },
  };
}

const TITLES = {
  drawn: () => "before training: parameters and inputs drawn at random, and at extremes",
  training: () => "while training: steps from the start",
  trained: (run: string) => `after training: the parameters of ${run}, over batches`,
  nearby: (run: string) => `near that: the parameters of ${run}, moved at random`,
} as const satisfies Readonly<Record<When, (run: string) => string>>;

const number = (value: number): string =>
  !Number.isFinite(value)
    ? "no number"
    : value === 0 || (value >= 0.01 && value < 1e4)
      ? `${Number(value.toPrecision(4))}`
      : value.toExponential(1).replace(".0e", "e");

/** A line within 80 columns, broken between words. */
function wrapped(line: string): string[] {
  const lines: string[] = [];
  for (const word of line.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= COLUMNS) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${lines.length ? "      " : "    "}${word}`);
  }
  return lines;
}

const COLUMNS = 80;

/** A phase as a table of properties, and below it what broke. */
function phaseText(when: When, findings: readonly Finding[], again: string, run: string | null): string {
  const names = findings.map(({ property, tensor, promised }) =>
    promised === "proved" || promised === "monitored" || property.includes("(")
      ? property
      : property === "gain"
        ? `gain(${tensor})`
        : `${written(tensor)} ${property}`,
  );
  const width = Math.max(...names.map(({ length }) => length), 8);
  const lines = [
    "",
    TITLES[when](run ?? ""),
    `           ${"".padEnd(width)}${"runs".padStart(6)}${"worst".padStart(11)}  promised`,
  ];
  findings.forEach(({ ok, runs, worst, promised, limit }, i) => {
    const words = {
      tolerance: () => number(limit!),
      proved: () => `${number(limit!)}, proved`,
      monitored: () => `${number(limit!)}, monitored`,
      nothing: () => "nothing",
    }[promised]();
    lines.push(
      `${{ true: "  ok      ", false: "  BROKEN  ", null: "  measured" }[`${ok}`]} ` +
        `${names[i]!.padEnd(width)}${`${runs}`.padStart(6)}${(runs ? number(worst) : "-").padStart(11)}  ${words}`,
    );
  });
  const far = findings.flatMap(({ beyond }, i) =>
    beyond && beyond.from !== null
      ? [
          `  ${names[i]}: ${number(beyond.worst)} with coordinates of ${number(beyond.from)}; promised up to ` +
            `${number(beyond.reach)}`,
        ]
      : [],
  );
  if (far.length) lines.push("", ...far);
  findings.forEach(({ counterexample, ok, promised }, i) => {
    if (!counterexample) return;
    const { state, measured } = counterexample;
    lines.push(
      "",
      `  ${names[i]} ${ok === false ? "does not hold:" : "is only monitored, and"} it comes to ` +
        `${number(measured)} with`,
      ...state.flatMap((line) => wrapped(line)),
    );
    if (ok === false && (promised === "proved" || when === "drawn"))
      lines.push(
        `    ${promised === "proved" ? "It was proved, so this" : "This"} is a bug of mhc: please report it ` +
          "with the spec.",
      );
    if (ok === false) lines.push(`    again: ${again}`);
  });
  return lines.join("\n");
}
