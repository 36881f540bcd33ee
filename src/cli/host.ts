/**
 * The compiler's host: the files and modules that a page uses, from where they are or from the run that has kept them.
 * A run keeps what its page uses, and what the modules among it import by a relative path, under `files/` of its
 * folder, in the folders that they had beside each other; so it works after its page was moved, changed or deleted.
 * Packages are not kept: a module that imports one finds it from the run's folder, or from where it was.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, parse, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { mustGet } from "../../runtime/lookup.js";
import { messageOf } from "../../runtime/errors.js";
import { decodeText } from "../../runtime/node/encoding.js";
import type { PageHost, LoadedModule } from "../compile/compile.js";
import type { KeptFile } from "../tools/run.js";

/** A file that a page uses. */
export interface Used {
  readonly host: PageHost;
  /** The texts of the files that the page uses, as they were read, by their paths. */
  readonly used: ReadonlyMap<string, string>;
}

const noFiles: ReadonlyMap<string, string> = new Map();

/**
 * The files and modules that a page uses; modules are imported at once, since importing waits and checking does not.
 * `kept`: where a run has the files that were at absolute paths when it ran.
 */
export async function hostOf(file: string, text: string, kept: ReadonlyMap<string, string> = noFiles): Promise<Used> {
  const used = new Map<string, string>();
  const modules = new Map<string, LoadedModule>();
  const host: PageHost = {
    read(path) {
      const place = kept.get(resolve(path)) ?? path;
      if (!existsSync(place)) return null;
      const content = decodeText(readFileSync(place), place, { mark: true });
      used.set(path, content);
      return content;
    },
    load: (path) => modules.get(path) ?? null,
  };
  // A page without the word uses nothing; others wait for the compiler to be loaded, which they need anyway.
  if (!/\buse\b/.test(text)) return { host, used };
  const { modulesOf } = await import("../compile/compile.js");
  for (const path of modulesOf(text, { file, host })) {
    if (host.read(path) === null) continue;
    modules.set(path, await imported(kept.get(resolve(path)) ?? path, path));
  }
  return { host, used };
}

/**
 * Imports a module; one that was kept, and lacks a package where it is now, from where it was, if it is there
 * unchanged.
 */
async function imported(place: string, before: string): Promise<LoadedModule> {
  try {
    return { value: ((await import(pathToFileURL(resolve(place)).href)) as { readonly default?: unknown }).default };
  } catch (error) {
    const lacks = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    if (lacks && place !== before && existsSync(before) && readFileSync(before, "utf8") === readFileSync(place, "utf8"))
      return imported(before, before);
    return { error: messageOf(error) };
  }
}

const isModule = (path: string): boolean => /\.[cm]?js$/.test(path);

/** The files that a run keeps: those that its page uses, and what modules among them import. */
export async function filesToKeep(used: ReadonlyMap<string, string>): Promise<readonly KeptFile[]> {
  const texts = new Map([...used].map(([path, text]) => [resolve(path), text]));
  if ([...texts.keys()].some(isModule)) {
    const { ts } = await import("ts-morph");
    // A map that grows while it is walked: what is imported imports in turn.
    for (const [path, text] of texts) {
      if (!isModule(path)) continue;
      for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
        const target = resolve(dirname(path), fileName);
        if (/^\.{1,2}\//.test(fileName) && !texts.has(target) && existsSync(target))
          texts.set(target, readFileSync(target, "utf8"));
      }
    }
    const root = commonFolder([...texts.keys()]);
    for (const path of [...texts.keys()].filter(isModule)) {
      const { folder, type } = packageOf(dirname(path));
      const place = join(folder.startsWith(root) ? folder : root, "package.json");
      if (!texts.has(place)) texts.set(place, `${JSON.stringify({ type: type ?? typeOf(mustGet(texts, path)) })}\n`);
    }
  }
  const root = commonFolder([...texts.keys()]);
  return [...texts].map(([path, text]) => ({
    path,
    file: ["files", ...relative(root, path).split(sep)].join("/"),
    text,
  }));
}

/** The innermost folder that all paths are in. */
function commonFolder(paths: readonly string[]): string {
  const folders = paths.map((path) => dirname(path).split(sep));
  const [first = []] = folders;
  const depth = first.findIndex((part, i) => folders.some((folder) => folder[i] !== part));
  return (depth < 0 ? first : first.slice(0, depth)).join(sep) || parse(paths[0] ?? "/").root;
}

/** What Node takes a module for that no package.json speaks of; it says so with a warning where one is silent. */
const typeOf = (text: string): string => (/^\s*(?:import|export)\b/m.test(text) ? "module" : "commonjs");

/**
 * How Node reads the modules of a folder: the nearest package.json says it, for a copy elsewhere too. Null when none
 * says.
 */
function packageOf(folder: string): { readonly folder: string; readonly type: string | null } {
  const file = join(folder, "package.json");
  if (existsSync(file)) {
    try {
      const { type } = JSON.parse(readFileSync(file, "utf8")) as { readonly type?: unknown };
      return { folder, type: type === "module" || type === "commonjs" ? type : null };
    } catch {
      return { folder, type: null };
    }
  }
  return dirname(folder) === folder ? { folder, type: null } : packageOf(dirname(folder));
}
