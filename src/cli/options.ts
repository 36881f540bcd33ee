/** Options that several commands have, spelt once. */
import { InvalidArgumentError, Option } from "commander";
import { deviceNames, isBuiltIn } from "../../runtime/registry.js";
import { isOptimization, optimizationNames, type Optimization } from "../compile/optimizations.js";
import { UsageError } from "./outcome.js";
import { isPath, unknownDevice } from "./targets.js";

/** JSON instead of text. */
export const json = (): Option => new Option("--json", "print JSON only, one object a line");
/** Settings from outside, as a list. */
export const set = (): Option =>
  new Option(
    "--set <name=value>",
    "override a dim, a manifold or a setting: width=256, train.steps=50, train.rate=1e-3 (repeatable)",
  ).argParser(gather);
/** Where data is read, as a list. */
export const data = (): Option =>
  new Option(
    "--data <path>",
    "the data, instead of what the spec names: a path, a glob, npm:package/path, or name=path (repeatable)",
  ).argParser(gather);
const DEVICES = ["auto", ...deviceNames];

/** The device that runs: one of mhc by name, or a module of the user's own by path. */
export const device = (): Option =>
  new Option("--device <name>", `where to run: ${DEVICES.join(", ")}, or the path of your own (./mine.js)`)
    .argParser((word: string): string => {
      if (word === "auto" || isBuiltIn(word) || isPath(word)) return word;
      throw unknownDevice(word, "--device", DEVICES);
    })
    .default("auto");
/** The device profile to compile for. */
export const profile = (): Option =>
  new Option(
    "--profile <name>",
    "compile for this device profile: its kernels, memory and precision (laptop, rtx, phone, …, " +
      "what `mhc devices --calibrate` measured, or ./file.json)",
  );
/** Threads of the wasm device. */
export const threads = (): Option =>
  new Option("--threads <n>", "threads of the native or the wasm device").argParser(positive);

/** Steps between two evaluations. */
export const evaluate = (): Option =>
  new Option("--evaluate <k>", "take the hold-out loss every k steps, not only at the end (default: 500)").argParser(
    positive,
  );
/** Held-out examples of an evaluation while training. */
export const evaluateOn = (): Option =>
  new Option(
    "--evaluate-on <n>",
    "held-out examples of an evaluation while training, evenly spread (default: 1024)",
  ).argParser(positive);
/** Held-out examples of the last evaluation. */
export const evaluateEnd = (): Option =>
  new Option("--evaluate-end <n>", "held-out examples of the evaluation at the end (default: all)").argParser(positive);

/** Optimizations that are turned off. Throws a UsageError for a name that there is none of. */
export const without = (): Option =>
  new Option(
    "--without <names>",
    `turn optimizations off: ${optimizationNames.join(", ")} (comma-separated)`,
  ).argParser((text: string): readonly Optimization[] =>
    text.split(",").map((part) => {
      const name = part.trim();
      if (isOptimization(name)) return name;
      throw new UsageError(`error: --without ${name}: there are ${optimizationNames.join(", ")}`);
    }),
  );

function gather(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** A whole number from the command line. Throws InvalidArgumentError for anything else. */
export function whole(value: string): number {
  const parsed = Number(value);
  if (!Number.isInteger(parsed) || parsed < 0) throw new InvalidArgumentError("a whole number is expected.");
  return parsed;
}

/** A whole number of at least 1. Throws InvalidArgumentError for anything else. */
export function positive(value: string): number {
  const parsed = whole(value);
  if (parsed === 0) throw new InvalidArgumentError("a whole number of at least 1 is expected.");
  return parsed;
}

/** A number from the command line. Throws InvalidArgumentError for what it does not take. */
export function decimal(value: string): number {
  const parsed = Number(value);
  if (value.trim() === "" || !Number.isFinite(parsed) || parsed < 0)
    throw new InvalidArgumentError("a number of at least 0 is expected.");
  return parsed;
}

/**
 * Options as they are given, for a command that is to be repeated: those with a value, in the order given here; `auto`
 * is no device.
 */
export function given(
  values: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>,
): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined || value === false || (name === "device" && value === "auto")) return [];
    if (value === true) return [`--${name}`];
    return (typeof value === "object" ? value : [value]).flatMap((item) => [`--${name}`, `${item}`]);
  });
}

/** A command as a shell takes it. */
export const command = (...words: readonly string[]): string => words.map(quoted).join(" ");

/** A word as a shell takes it. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
