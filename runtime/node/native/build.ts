/**
 * Makes libraries of kernels: every kernel is a translation unit of its own, as many are compiled side by side
 * as the machine has cores, and what was compiled once is found again by the hash of its text, the compiler, its flags
 * and the processor. A file of the cache is whole or not there, since it is renamed when it is whole.
 */
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { DeviceError, messageOf, reasonOf } from "../../errors.js";
import { mustAt } from "../../lookup.js";
import type { DeviceCode, KernelInfo } from "../../plan.js";
import { valueAt } from "../../records.js";
import { cacheFolder } from "../cache.js";
import { firstLine, runCommand, type Compiler } from "./compiler.js";
import { DRIVER } from "../../native/driver.js";

type NativeCode = Extract<DeviceCode, { readonly kind: "c" }>;

/** A translation unit, and who it belongs to in a message. */
interface TranslationUnit {
  readonly what: string;
  readonly text: string;
  readonly hash: string;
}

/** Days after which what nobody has used is removed from the cache. */
const KEPT_DAYS = 30;

/** A library that was built, or found. */
export interface Library {
  readonly path: string;
  /** Takes a library out of the cache that the system refused to load. */
  discard(): Promise<void>;
}

/** The library that runs dispatches on threads. Throws DeviceError as `kernelLibrary` does. */
export const driverLibrary = (compiler: Compiler): Promise<Library> =>
  libraryOf([{ what: "the driver", text: DRIVER, hash: hashOf(compiler, DRIVER) }], compiler);

/**
 * The library of some of a plan's kernels, whose function `mhc_table` gives their addresses in the order of `which`.
 * Throws DeviceError where the compiler refuses, or no folder can be written.
 */
export const kernelLibrary = (
  code: NativeCode,
  kernels: readonly KernelInfo[],
  which: readonly number[],
  compiler: Compiler,
): Promise<Library> => libraryOf(unitsOf(code, kernels, which, compiler), compiler);

/** Bytes of room below which a compiler's failure is taken to be the disk's. */
const LITTLE_ROOM = 16 << 20;

/** Whether a folder's disk has next to no room; false where the system does not say. */
const isFull = (folder: string): Promise<boolean> =>
  statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize < LITTLE_ROOM,
    () => false,
  );

/** A library in the cache, or in a temporary folder where the cache's disk is full. */
async function libraryOf(units: readonly TranslationUnit[], compiler: Compiler): Promise<Library> {
  const folder = await folderFor(compiler);
  try {
    return await libraryIn(folder, units, compiler);
  } catch (error) {
    if (!(await isFull(folder))) throw error;
    const other = await (fallback ??= temporaryFolder());
    if (other !== folder && !(await isFull(other))) return libraryIn(other, units, compiler);
    throw new DeviceError(
      `there is no room for compiled kernels in ${folder}`,
      "make room, or let MHC_CACHE name a folder on another disk",
    );
  }
}

async function libraryIn(folder: string, units: readonly TranslationUnit[], compiler: Compiler): Promise<Library> {
  const hash = hashOf(compiler, units.map((unit) => unit.hash).join());
  const path = join(folder, `${hash}.so`);
  const discard = (): Promise<void> => rm(path, { force: true });
  if (await touched(path)) return { path, discard };
  const makeLibrary = async (): Promise<void> => {
    const objects = await inTurns(units, (unit) => objectOf(unit, folder, compiler));
    await making(path, (temporary) => linked(objects, temporary, compiler));
  };
  try {
    await makeLibrary();
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    // An object file of the cache may be damaged: all are made once more.
    await Promise.all(units.map((unit) => rm(objectPath(unit, folder), { force: true })));
    await makeLibrary();
  }
  await prune(folder);
  return { path, discard };
}

/** The object files of a library do not fit together. */
class LinkError extends DeviceError {}

async function linked(objects: readonly string[], library: string, compiler: Compiler): Promise<void> {
  const { command, userFlags } = compiler;
  const { code, signal, stderr } = await runCommand([
    command,
    "-shared",
    ...userFlags,
    "-o",
    library,
    ...objects,
    "-lpthread",
    "-lm",
  ]);
  if (code === 0) return;
  if (signal) throw interrupted(signal, "linked the kernels");
  const { message, fix } = refusal("could not link the kernels", stderr, compiler);
  throw new LinkError(message, fix);
}

const hashOf = ({ identity }: Compiler, text: string): string =>
  createHash("sha256").update(identity).update(text).digest("hex").slice(0, 32);

/**
 * A unit for each kernel, and one for their table. A kernel is named by its text, so that one that plans have in common
 * is compiled once.
 */
function unitsOf(
  code: NativeCode,
  kernels: readonly KernelInfo[],
  which: readonly number[],
  compiler: Compiler,
): TranslationUnit[] {
  const named = new Map<string, TranslationUnit>();
  const names = which.map((i) => {
    const { text, functions } = mustAt(code.kernels, i);
    const parts = [code.prelude, ...functions.map((name) => valueAt(code.functions, name) ?? ""), text];
    // The name of a kernel in a plan is the number that it has there.
    const plain = parts.join("\n").replace(new RegExp(String.raw`\bk${i}\b`), "kernel");
    const name = `k_${hashOf(compiler, plain)}`;
    const unit = `#define kernel ${name}\n${plain}\n`;
    named.set(name, { what: mustAt(kernels, i).name, text: unit, hash: hashOf(compiler, unit) });
    return name;
  });
  const table = [
    "#include <stddef.h>",
    "typedef void kernel(void *const *, char *, ptrdiff_t, ptrdiff_t);",
    ...[...named.keys()].map((name) => `extern kernel ${name};`),
    `static kernel *const kernels[] = {${[...names, "NULL"].join(", ")}};`,
    '__attribute__((visibility("default"))) const void *mhc_table(void) { return kernels; }',
    "",
  ].join("\n");
  return [...named.values(), { what: "the table of kernels", text: table, hash: hashOf(compiler, table) }];
}

/** Runs `make` for every unit, the longest first, as many at once as there are cores. */
async function inTurns<T>(
  units: readonly TranslationUnit[],
  make: (unit: TranslationUnit) => Promise<T>,
): Promise<T[]> {
  const order = [...units.entries()].sort(([, a], [, b]) => b.text.length - a.text.length);
  const results: T[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    for (let item = order[next++]; item && !failed; item = order[next++]) {
      const [i, unit] = item;
      try {
        results[i] = await make(unit);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

const objectPath = ({ hash }: TranslationUnit, folder: string): string => join(folder, `${hash}.o`);

/** The object file of a unit. */
async function objectOf(unit: TranslationUnit, folder: string, compiler: Compiler): Promise<string> {
  const path = objectPath(unit, folder);
  if (await touched(path)) return path;
  await making(path, async (temporary) => {
    const compiled = await runCommand(
      [compiler.command, ...compiler.flags, ...compiler.userFlags, "-w", "-c", "-x", "c", "-o", temporary, "-"],
      unit.text,
    );
    if (compiled.signal) throw interrupted(compiled.signal, `compiled ${unit.what}`);
    if (compiled.code !== 0) throw refusal(`refused ${unit.what}`, compiled.stderr, compiler);
  });
  return path;
}

const interrupted = (signal: NodeJS.Signals, what: string): DeviceError =>
  new DeviceError(
    `the C compiler was ended by ${signal} while it ${what}`,
    "give the command again: what is compiled already is kept",
  );

const refusal = (what: string, reason: string, { version }: Compiler): DeviceError =>
  new DeviceError(
    `the C compiler (${version}) ${what}: ${firstLine(reason.split("\n").find((l) => /error/i.test(l)) ?? reason)}`,
    "let CC name another compiler; if it is a current GCC or Clang, report it with the page",
  );

/**
 * Makes a file under a temporary name and renames it when it is whole; an attempt that fails leaves nothing. Its size
 * stands beside it: a system that loads a library which was cut off later ends the process.
 */
async function making(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${process.pid}.${made++}.tmp`;
  try {
    await make(temporary);
    await writeFile(sizeFile(path), String((await stat(temporary)).size));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(
      `${path} cannot be written: ${messageOf(error)}`,
      "make room, or let MHC_CACHE name a folder",
    );
  }
}

/** Tells apart the temporary names of one process. */
let made = 0;

const sizeFile = (path: string): string => `${path}.size`;

/** Whether a file is there and whole; it counts as used now. */
async function touched(path: string): Promise<boolean> {
  try {
    const [{ size }, whole] = await Promise.all([stat(path), readFile(sizeFile(path), "utf8")]);
    if (size !== Number(whole)) return false;
    const now = new Date();
    await Promise.all([path, sizeFile(path)].map((file) => utimes(file, now, now).catch(() => undefined)));
    return true;
  } catch {
    return false;
  }
}

/** The folder of this compiler and processor in the cache; one that ends with the process where that cannot be had. */
async function folderFor({ identity }: Compiler): Promise<string> {
  const folder = join(cacheFolder(), "native", identity.slice(0, 16));
  try {
    await mkdir(folder, { recursive: true });
    const probe = join(folder, `${process.pid}.${made++}.tmp`);
    await writeFile(probe, "");
    await rm(probe);
    return folder;
  } catch {
    return (fallback ??= temporaryFolder());
  }
}

let fallback: Promise<string> | null = null;

async function temporaryFolder(): Promise<string> {
  try {
    const folder = await mkdtemp(join(tmpdir(), "mhc-native-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    return folder;
  } catch (error) {
    throw new DeviceError(
      `no folder for compiled kernels can be written: ${reasonOf(error)}`,
      "let MHC_CACHE name a folder",
    );
  }
}

/** Removes what nobody has used for long; a file that is gone already is no matter. */
async function prune(folder: string): Promise<void> {
  const oldest = Date.now() - KEPT_DAYS * 24 * 3600 * 1000;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (mtimeMs < oldest) await rm(path, { force: true });
  }
}
