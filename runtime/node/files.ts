/**
 * Files, loaded only in Node: finding them by a location, and writing without ever leaving half of one. What they hold
 * is read by `reading.ts` and `sources.ts`.
 */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { existsSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError, messageOf } from "../errors.js";
import { mustAt } from "../lookup.js";

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
