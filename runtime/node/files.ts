/**
 * Everything that touches the file system, loaded only in Node: reading data by location, writing without ever leaving
 * half a file.
 */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { existsSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, floatsOf } from "../check.js";
import { examplesSource, tokenSource, type Labelled, type Source } from "../data.js";
import { DataError, messageOf } from "../errors.js";
import { mustAt } from "../lookup.js";
import { namesOf, pairsSource, parsePairs, type Pair } from "../pairs.js";
import type { DataInfo } from "../plan.js";
import type { Tokenized } from "../tokens.js";
import { readText, readTokens } from "./reading.js";

/** A name in order of reading: chapter_2 before chapter_10. */
const natural = new Intl.Collator("en", { numeric: true });

/** Writes to a temporary name, syncs, and renames: the file is the old one or the new one, never half. */
export async function writeAtomically(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${writes++}.tmp`;
  underWay.add(temporary);
  try {
    await mkdir(dirname(resolve(path)), { recursive: true });
    const handle = await open(temporary, "w");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new DataError(`${path} cannot be written: ${messageOf(error)}`);
  } finally {
    underWay.delete(temporary);
  }
}

/** Tells apart the temporary names of writes to one path that overlap. */
let writes = 0;

/** Temporary files of writes that have not ended. */
const underWay = new Set<string>();

/**
 * Removes the temporary files of writes that have not ended, for a process that ends now: every file stays what it was
 * before them.
 */
export function abandonWrites(): void {
  for (const temporary of underWay) rmSync(temporary, { force: true });
}

/**
 * The files of a location, in natural order: "npm:package/path/*.txt" is looked up in the node_modules folders above
 * `from` and above this file; anything else is a path or glob relative to `from`. What is there as it is written is
 * meant as it is written, folder by folder, so that brackets, braces and stars in names are no pattern.
 */
export async function filesAt(location: string, from: string): Promise<string[]> {
  let cwd = resolve(from);
  let pattern = location;
  if (location.startsWith("npm:")) {
    const parts = location.slice(4).split("/");
    const name = parts.slice(0, location[4] === "@" ? 2 : 1).join("/");
    const folder = packageFolder(name, [cwd, dirname(fileURLToPath(import.meta.url))]);
    if (!folder) throw new DataError(`the npm package ${name} is not installed`, `run \`npm install ${name}\``);
    cwd = folder;
    pattern = location.slice(5 + name.length);
  }
  if (existsSync(resolve(cwd, pattern))) return [resolve(cwd, pattern)];
  const { folder, rest } = plainPart(cwd, pattern);
  const { glob } = await import("tinyglobby");
  const matches = await glob([rest], { cwd: folder, absolute: true, onlyFiles: true });
  if (matches.length === 0) throw new DataError(`no file matches ${location}`, `paths are relative to ${cwd}`);
  return matches.sort(natural.compare);
}

/** Splits a pattern into the folders at its beginning that exist under that name, and the rest, which is matched. */
function plainPart(cwd: string, pattern: string): { readonly folder: string; readonly rest: string } {
  const parts = pattern.split("/");
  let folder = pattern.startsWith("/") ? "/" : cwd;
  let i = pattern.startsWith("/") ? 1 : 0;
  while (i < parts.length - 1 && existsSync(join(folder, mustAt(parts, i)))) folder = join(folder, mustAt(parts, i++));
  return { folder, rest: parts.slice(i).join("/") };
}

function packageFolder(name: string, starts: readonly string[]): string | null {
  for (const start of starts) {
    for (let at = start; ; at = dirname(at)) {
      const folder = join(at, "node_modules", name);
      if (existsSync(folder)) return folder;
      if (dirname(at) === at) break;
    }
  }
  return null;
}

/** What was read at a location, with the facts that the compiler needs. */
export type Loaded =
  | {
      readonly kind: "characters";
      readonly tokens: Tokenized["tokens"];
      readonly facts: { readonly vocabulary: readonly string[] };
    }
  | {
      readonly kind: "examples";
      readonly classes: readonly Labelled[];
      readonly facts: { readonly features: number; readonly classes: number };
    }
  | { readonly kind: "pairs"; readonly pairs: readonly Pair[]; readonly facts: { readonly names: readonly string[] } };

/** A source of data as a page names it. */
export interface DataRequest {
  readonly name: string;
  readonly kind: Loaded["kind"];
  readonly location: string;
  /** Numbers an example; null where the page does not say. */
  readonly features: number | null;
}

/** Reads a data source. Relative locations are relative to `from`. */
export async function readData({ name, kind, location, features }: DataRequest, from: string): Promise<Loaded> {
  const files = await filesAt(location, from);
  if (kind === "characters") {
    const { tokens, vocabulary } = await readTokens(files);
    if (tokens.length === 0) throw new DataError(`the text of \`${name}\` is empty`, `look at ${location}`);
    return { kind, tokens, facts: { vocabulary } };
  }
  if (kind === "pairs") {
    const lists = await Promise.all(files.map(async (file) => parsePairs(await readText(file), file)));
    const pairs = lists.flat();
    if (pairs.length === 0) throw new DataError(`there are no pairs in \`${name}\``, `look at ${location}`);
    return { kind, pairs, facts: { names: namesOf(pairs) } };
  }
  if (features === null) throw new DataError(`the number of features of \`${name}\` is not known`);
  const classes = await Promise.all(files.map((file) => readExamples(file, features)));
  return { kind, classes, facts: { features, classes: classes.length } };
}

async function readExamples(file: string, features: number): Promise<Labelled> {
  const text = await readText(file);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DataError(
      `${file} is not JSON`,
      "a class is a file with a list of numbers, or an object with such a list as `data`",
    );
  }
  const list = Array.isArray(parsed) ? parsed : (parsed as { data?: unknown } | null)?.data;
  if (!Array.isArray(list))
    throw new DataError(
      `${file} does not hold a list of numbers`,
      "a class is such a list, or an object with one as `data`",
    );
  const wrong = list.findIndex((value) => typeof value !== "number");
  if (wrong >= 0) {
    const what = `place ${wrong} has ${describe(list[wrong])}`;
    throw new DataError(
      `${file} does not hold a list of numbers: ${what}`,
      "write the examples one after the other, in one list",
    );
  }
  const values = floatsOf(file, list as number[]);
  const beyond = values.findIndex((value) => !Number.isFinite(value));
  if (beyond >= 0)
    throw new DataError(`${file} holds a number that is not finite, at place ${beyond}`, "look at the data");
  const count = values.length / features;
  if (Number.isInteger(count) && count > 0) return { values, count };
  const fix = `write ${features} numbers an example, or change \`features\``;
  throw new DataError(`${file} has ${values.length} numbers, and an example takes ${features}`, fix);
}

/** Batches of what was read. Throws DataError where that is of another kind. */
export function sourceFrom(info: DataInfo, loaded: Loaded): Source {
  if (info.kind === "characters" && loaded.kind === "characters")
    return tokenSource(info, { tokens: loaded.tokens, vocabulary: loaded.facts.vocabulary });
  if (info.kind === "examples" && loaded.kind === "examples") return examplesSource(info, loaded.classes);
  if (info.kind === "pairs" && loaded.kind === "pairs") return pairsSource(info, loaded.pairs);
  throw new DataError(`\`${info.name}\` is not data of the kind ${info.kind}`);
}
