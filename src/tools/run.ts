/**
 * A run on disk: runs/NAME-TIME/ with the metrics (a JSON object a line), the spec as run with its settings, the files
 * that it uses, the checkpoint, and where the data is, so that the run can be sampled from and repeated, wherever its
 * page is by then.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DataError, messageOf } from "../../runtime/errors.js";
import { writeAtomically } from "../../runtime/node/files.js";
import type { Model } from "../../runtime/model.js";
import type { Facts, Shrunk } from "../compile/compile.js";

/** What a run is, as its folder says it. */
export interface RunInfo {
  readonly format: 1;
  /** The spec's file when it ran: what its relative paths are relative to. */
  readonly file: string;
  readonly set: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
  /**
   * What the data told the compiler, so that the run can be used without its data, and by the vocabulary it was trained
   * with.
   */
  readonly facts: Facts;
  readonly seed: number;
  readonly device: string;
  readonly step: number;
  /** Where each source of data was read from. */
  readonly sources?: readonly ReadFrom[];
  /** The files that the page uses: where each was, and where in the folder of the run it is. */
  readonly used?: readonly Omit<KeptFile, "text">[];
  /** The units that a model has kept, when it has shrunk: its checkpoint is of a page compiled with these. */
  readonly shrunk?: Shrunk;
  /** Under what a run of a comparison was trained, so that a comparison that goes on takes no other. */
  readonly conditions?: Conditions;
}

/**
 * A source of data as it was read: its location, the folder that this is relative to, and the files that it came to.
 */
export interface ReadFrom {
  readonly name: string;
  readonly location: string;
  readonly from: string;
  readonly files: readonly string[];
  /** Where the tokenizer that made its text tokens was; the run keeps it. */
  readonly tokenizer?: string;
}

/** A file that a page uses, as its run keeps it. */
export interface KeptFile {
  /** Absolute, where it was. */
  readonly path: string;
  /** Relative to the folder of the run, with slashes: `files/blocks.mhc`. */
  readonly file: string;
  readonly text: string;
}

/** All that a run's losses and times depend on, by name. */
export type Conditions = Readonly<Record<string, string | number | null>>;

/** Files of a run: its page, and its checkpoint. */
export const SPEC = "spec.mhc";
/** See `SPEC`. */
export const CHECKPOINT = "model.safetensors";
const INFO = "run.json";
const METRICS = "metrics.jsonl";
const FILES = "files";

/** A line of metrics. */
export type Line = Readonly<Record<string, unknown>>;

/** The folder of a run that is under way. */
export interface RunFolder {
  readonly folder: string;
  log(line: Line): void;
  /** Says what the run is, before there is a checkpoint. */
  describe(info: RunInfo): Promise<void>;
  /** The path of the checkpoint. */
  save(model: Model, info: RunInfo): Promise<string>;
}

/** An error when a folder that is asked for holds a run: what was trained is never written over. */
export function refuseTaken(folder: string | undefined): void {
  if (folder === undefined) return;
  const before = [INFO, CHECKPOINT, METRICS].find((file) => existsSync(join(folder, file)));
  if (!before) return;
  throw new DataError(
    `${folder} holds a run already (${whatIsIn(folder, before)})`,
    "give another --out, or move the old run away; `mhc sample` uses it as it is",
  );
}

/** A run in words: `of tiny.mhc: its checkpoint is of step 5`; the file that says so when it cannot be read. */
function whatIsIn(folder: string, file: string): string {
  try {
    const { file: page, step } = JSON.parse(readFileSync(join(folder, INFO), "utf8")) as Partial<RunInfo>;
    const ended = finishedLines(folder) === null ? ", and it did not come to its end" : "";
    return typeof page === "string" && typeof step === "number"
      ? `of ${basename(page)}: its checkpoint is of step ${step}${ended}`
      : file;
  } catch {
    return file;
  }
}

/**
 * Makes the folder of a run, with its page and the files that it uses. Throws DataError when the folder holds a run
 * already, or cannot be written.
 */
export async function openRun(
  folder: string | undefined,
  stem: string,
  spec: string,
  used: readonly KeptFile[],
): Promise<RunFolder> {
  refuseTaken(folder);
  const path = folderFor(folder, stem);
  const metrics = join(path, METRICS);
  claim(metrics, path);
  await writeAtomically(join(path, SPEC), spec);
  for (const { file, text } of used) await writeAtomically(join(path, file), text);
  const describe = (info: RunInfo): Promise<void> =>
    writeAtomically(join(path, INFO), `${JSON.stringify(info, null, 2)}\n`);
  return {
    folder: path,
    log(line) {
      try {
        appendFileSync(metrics, `${JSON.stringify(line)}\n`);
      } catch (error) {
        throw new DataError(`${metrics} cannot be written: ${messageOf(error)}`);
      }
    },
    describe,
    async save(model, info) {
      const checkpoint = join(path, CHECKPOINT);
      await model.save(checkpoint);
      const { settled, kept, cost } = model.plan;
      const shrunk = settled && kept && cost && { kept, settled, dense: cost.dense, profile: cost.profile };
      await describe(shrunk ? { ...info, shrunk } : info);
      return checkpoint;
    },
  };
}

/**
 * Makes the file of metrics, which only one run can: two that were given one folder in the same moment do not share it.
 */
function claim(metrics: string, folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(metrics, "", { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST" && existsSync(metrics))
      throw new DataError(`${folder} holds a run already: another began there just now`, "give another --out");
    throw new DataError(`${metrics} cannot be written: ${messageOf(error)}`, "give another --out");
  }
}

/** The folder that is asked for, or a new one that is named by what runs and when. */
export function folderFor(folder: string | undefined, stem: string): string {
  if (folder !== undefined && existsSync(folder) && !statSync(folder).isDirectory())
    throw new DataError(`${folder} is not a folder`, "give another --out");
  const time = new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");
  return folder ?? makeUnused(join("runs", `${stem}-${time}`));
}

/** The lines of a run that came to its end; null when there is none, or it was broken off. */
export function finishedLines(folder: string): readonly Line[] | null {
  const path = join(folder, METRICS);
  if (!existsSync(path) || !existsSync(join(folder, INFO))) return null;
  try {
    const lines = readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    return lines.at(-1)?.["done"] === true ? lines : null;
  } catch {
    // A line that was cut off: the run was, too.
    return null;
  }
}

/** Removes the files of a run that was broken off. */
export function clearRun(folder: string): void {
  for (const file of [SPEC, INFO, METRICS, CHECKPOINT]) rmSync(join(folder, file), { force: true });
  rmSync(join(folder, FILES), { force: true, recursive: true });
}

/** The conditions of a finished run. */
export function conditionsOf(folder: string): Conditions {
  try {
    return (JSON.parse(readFileSync(join(folder, INFO), "utf8")) as Partial<RunInfo>).conditions ?? {};
  } catch {
    return {};
  }
}

/** Makes the folder, or the first with a number behind its name: two runs that begin in one second do not share one. */
function makeUnused(path: string): string {
  for (let i = 1; ; i++) {
    const tried = i === 1 ? path : `${path}-${i}`;
    try {
      mkdirSync(dirname(tried), { recursive: true });
      mkdirSync(tried);
      return tried;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST")
        throw new DataError(`${tried} cannot be made: ${messageOf(error)}`, "give another --out");
    }
  }
}

/** A run that was read back. */
export interface StoredRun {
  readonly info: RunInfo;
  readonly spec: string;
  /** The path of the checkpoint. */
  readonly checkpoint: string;
  /** Paths of the files that the page uses, by the absolute paths that they had. */
  readonly used: ReadonlyMap<string, string>;
}

/** Reads a run back. Throws DataError for a folder that holds none, or one that cannot be read. */
export function readRun(folder: string): StoredRun {
  const path = resolve(folder);
  for (const file of [INFO, SPEC, CHECKPOINT]) {
    if (!existsSync(join(path, file)))
      throw new DataError(`${folder} is not a run: it has no ${file}`, "give the folder that `mhc train` printed");
  }
  let info: unknown;
  let spec: string;
  try {
    info = JSON.parse(readFileSync(join(path, INFO), "utf8"));
    spec = readFileSync(join(path, SPEC), "utf8");
  } catch (error) {
    throw new DataError(`the run ${folder} cannot be read: ${messageOf(error)}`, "train it again, or give another run");
  }
  if (!isRunInfo(info))
    throw new DataError(
      `${join(folder, INFO)} does not describe a run`,
      "it may have been changed by hand, or be of another version of mhc",
    );
  return {
    info,
    spec,
    checkpoint: join(path, CHECKPOINT),
    used: new Map((info.used ?? []).map(({ path: before, file }) => [before, join(path, file)])),
  };
}

/** The fields that a run is used by; files come from anywhere. */
function isRunInfo(value: unknown): value is RunInfo {
  if (typeof value !== "object" || value === null) return false;
  const { format, file, set, data, facts, used = [] } = value as Partial<Record<keyof RunInfo, unknown>>;
  const isOfWords = (record: unknown): boolean =>
    typeof record === "object" && record !== null && Object.values(record).every((word) => typeof word === "string");
  const isOfObjects = (record: unknown): boolean =>
    typeof record === "object" &&
    record !== null &&
    Object.values(record).every((fact: unknown) => typeof fact === "object" && fact !== null);
  return (
    format === 1 &&
    typeof file === "string" &&
    isOfWords(set) &&
    isOfWords(data) &&
    isOfObjects(facts) &&
    Array.isArray(used) &&
    used.every(isKept)
  );
}

/** A file of the run's own folder: nothing outside of it is a part of a run. */
function isKept(value: unknown): boolean {
  const { path, file } = (value ?? {}) as { readonly path?: unknown; readonly file?: unknown };
  return (
    typeof path === "string" &&
    typeof file === "string" &&
    file.startsWith(`${FILES}/`) &&
    !file.split(/[\\/]/).includes("..")
  );
}
