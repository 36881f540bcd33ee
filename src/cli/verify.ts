/** mhc verify: whether a page keeps what it promises, on a device, by property tests of its own kernels. */
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import { DataError } from "../../runtime/errors.js";
import type { Loaded } from "../../runtime/node/sources.js";
import { mustAt } from "../../runtime/lookup.js";
import type { Plan } from "../../runtime/plan.js";
import type { CheckOptions } from "../compile/compile.js";
import { readRun, type RunInfo, type StoredRun } from "../tools/run.js";
import type { OpenedDevice } from "../tools/opened.js";
import type { When } from "../tools/promises.js";
import type { Finding } from "../tools/verify.js";
import { written } from "../model/paths.js";
import { openAsked } from "./device.js";
import { ofRun } from "./of-run.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { mustCompile, openProject, readFacts, report, trainable, type Project, type SpecOptions } from "./project.js";
import { choicesFor } from "./tuned.js";

interface VerifyFlags extends SpecOptions {
  readonly device: DeviceName;
  readonly run?: string;
  readonly runs?: number;
  readonly seed?: number;
  readonly threads?: number;
}

/** The command `mhc verify`. */
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
    .action(verifySpec);

async function verifySpec(file: string | undefined, flags: VerifyFlags): Promise<void> {
  const json = flags.json === true;
  const begun = performance.now();
  const run = flags.run === undefined ? null : readRun(flags.run);
  const project = await projectOf(file, flags, run);
  const device = await openAsked(flags);
  const say = (text: string): void => void (json || process.stdout.write(`${text}\n`));
  try {
    const { plan, loaded, missing } = await compileToVerify(project, run, device, flags);
    const [first] = plan.data;
    const source = plan.train && first && loaded.has(first.name) ? trainable(plan, loaded).source : null;
    say(`${plan.name} on ${device.name} (${device.adapter})`);
    if (missing) say(`the data of the run is not there, and batches are made up (${missing})`);
    const { verify } = await import("../tools/verify.js");
    const again = `npx mhc verify ${repeated(file, flags)}`;
    const findings = await verify(plan, device, {
      seed: flags.seed,
      runs: flags.runs,
      source,
      checkpoint: run?.checkpoint,
      phase(when, ended) {
        if (json) for (const finding of ended) process.stdout.write(`${JSON.stringify(toJson(finding))}\n`);
        else say(phaseText(when, ended, again, flags.run ?? null));
      },
    });
    if (findings.length === 0)
      say("it has no constraints, no claims, and no lanes that are mixed: there is nothing to verify");
    else say(`\n${verdict(findings)}; ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    if (findings.some(({ ok }) => ok === false)) process.exitCode = 1;
  } finally {
    await device.close();
  }
}

/** The page that is named, or that of the run. Throws UsageError when there is neither. */
async function projectOf(file: string | undefined, flags: VerifyFlags, run: StoredRun | null): Promise<Project> {
  if (!run) {
    if (file === undefined) throw new UsageError("error: say which page: a .mhc file, or --run FOLDER");
    return openProject(file, flags);
  }
  return openProject(file ?? run.info.file, ofRun(flags, run.info), file === undefined ? run : undefined);
}

/** Compiles all that can be measured; with the data where it is there. */
async function compileToVerify(
  project: Project,
  run: StoredRun | null,
  device: OpenedDevice,
  flags: VerifyFlags,
): Promise<{ readonly plan: Plan; readonly loaded: ReadonlyMap<string, Loaded>; readonly missing: string | null }> {
  const json = flags.json === true;
  const { options: full, loaded, missing } = await factsOf(project, run?.info ?? null, flags.data !== undefined, json);
  const { compile } = await import("../compile/compile.js");
  const compiled = await compile(project.text, {
    ...full,
    devices: [device.target],
    monitors: "all",
    choices: { [device.name]: choicesFor(device) },
    ...(run?.info.shrunk ? { shrunk: run.info.shrunk } : {}),
  });
  await report(compiled, json);
  return { plan: mustCompile(compiled), loaded, missing };
}

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
  for (const [i, { ok, runs, worst, promised, limit }] of findings.entries()) {
    const mark = { true: "  ok      ", false: "  BROKEN  ", null: "  measured" }[`${ok}`];
    const name = mustAt(names, i).padEnd(width);
    const measured = (runs ? number(worst) : "-").padStart(11);
    lines.push(`${mark} ${name}${`${runs}`.padStart(6)}${measured}  ${promisedWords(promised, limit)}`);
  }
  const far = findings.flatMap(({ beyond }, i) =>
    beyond && beyond.from !== null
      ? [
          `  ${names[i]}: ${number(beyond.worst)} with coordinates of ${number(beyond.from)}; promised up to ` +
            `${number(beyond.reach)}`,
        ]
      : [],
  );
  if (far.length) lines.push("", ...far);
  for (const [i, finding] of findings.entries()) lines.push(...brokenLines(finding, mustAt(names, i), again));
  return lines.join("\n");
}

/** The promise in words, with its limit. */
function promisedWords(promised: Finding["promised"], limit: number | null): string {
  if (promised === "nothing" || limit === null) return "nothing";
  return promised === "tolerance" ? number(limit) : `${number(limit)}, ${promised}`;
}

/** A state in which a limit is passed, in words; nothing where there is none. */
function brokenLines({ counterexample, ok, promised, when }: Finding, name: string, again: string): readonly string[] {
  if (!counterexample) return [];
  const { state, measured } = counterexample;
  const what = ok === false ? "does not hold:" : "is only monitored, and";
  const isBug = ok === false && (promised === "proved" || when === "drawn");
  const whose = promised === "proved" ? "It was proved, so this" : "This";
  return [
    "",
    `  ${name} ${what} it comes to ${number(measured)} with`,
    ...state.flatMap((line) => wrapped(line)),
    ...(isBug ? [`    ${whose} is a bug of mhc: please report it with the spec.`] : []),
    ...(ok === false ? [`    again: ${again}`] : []),
  ];
}
