/**
 * The C compiler of the machine, and what it says of the processor. CC names one; else `cc`, `gcc` and `clang` are
 * tried in this order. What it defines when it compiles for this processor tells how wide its vectors are, and is what
 * a cache knows the processor by.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createHash } from "node:crypto";
import type { Readable, Writable } from "node:stream";
import { DeviceError, reasonOf } from "../../errors.js";
import { merged } from "../../records.js";

/** A compiler that works here. */
export interface Compiler {
  /** The command, and arguments that CC gives it, which come last and so have the last word. */
  readonly command: string;
  readonly userFlags: readonly string[];
  /** The first line of what it says of itself: "gcc (Debian 12.2.0-14+deb12u1) 12.2.0". */
  readonly version: string;
  /** Flags for kernels on this processor. */
  readonly flags: readonly string[];
  /** Equal for one compiler, its flags and one kind of processor. */
  readonly identity: string;
  /** Words of the processor's vectors, and how many of these it holds in registers. */
  readonly lanes: 4 | 8 | 16;
  readonly registers: 16 | 32;
  /** The unit that multiplies bf16: "AMX", "AVX512-BF16", "BFDOT"; null where there is none. */
  readonly bf16: string | null;
}

/** What a command printed, and whether it ended well. */
export interface Printed {
  readonly code: number | null;
  /** The signal that ended it, Ctrl-C in its terminal say; null for none. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Seconds that a compiler is waited for when it is asked what it is. */
const PATIENCE = 20;

/**
 * Runs a command to its end, or for some seconds; `code` is null where it could not be started or was killed, and
 * `stderr` says why.
 */
export const runCommand = (
  command: readonly string[],
  input = "",
  { seconds = 0 }: { readonly seconds?: number } = {},
): Promise<Printed> =>
  new Promise((resolve) => {
    const [file = "", ...args] = command;
    const env = merged<string | undefined>(process.env, { LC_ALL: "C" });
    let child: ChildProcessByStdio<Writable, Readable, Readable>;
    try {
      child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], env });
    } catch (error) {
      // A permission model refuses at once.
      return resolve({ code: null, signal: null, stdout: "", stderr: reasonOf(error) });
    }
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => out.push(part));
    child.stderr.on("data", (part: Buffer) => err.push(part));
    const text = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString("utf8");
    const failed = (stderr: string): void => resolve({ code: null, signal: null, stdout: "", stderr });
    const timer = seconds > 0 ? setTimeout(() => (child.kill("SIGKILL"), failed(late(seconds))), 1000 * seconds) : null;
    child.on("error", (error) => {
      if (timer) clearTimeout(timer);
      failed("code" in error && error.code === "ENOENT" ? `there is no program ${file}` : error.message);
    });
    child.on("close", (code, signal) => {
      if (timer) clearTimeout(timer);
      resolve({ code, signal, stdout: text(out), stderr: text(err) });
    });
    // One that ends before it has read everything closes the pipe; its exit code tells why.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });

const late = (seconds: number): string => `it has not ended after ${seconds} s`;

/**
 * Results must not depend on what else is in a program: nothing of -ffast-math but what leaves values alone (no errno,
 * no traps). Products and sums are contracted, which rounds once where it would round twice.
 */
const FLAGS = [
  "-std=gnu11",
  "-O2",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-ffp-contract=fast",
] as const;

/** What a compiler defines where the processor has a unit for bf16, in the order in which kernels prefer them. */
const UNITS = [
  ["__AMX_BF16__", "AMX"],
  ["__AVX512BF16__", "AVX512-BF16"],
  ["__ARM_FEATURE_BF16_VECTOR_ARITHMETIC", "BFDOT"],
] as const;

let found: Promise<Compiler> | null = null;

/** The compiler of this machine. Throws DeviceError where none works. */
export function findCompiler(): Promise<Compiler> {
  found ??= search();
  // What is installed later is found by the next call.
  found.catch(() => (found = null));
  return found;
}

async function search(): Promise<Compiler> {
  const named = process.env["CC"]?.trim();
  const commands = named ? [named.split(/\s+/)] : [["cc"], ["gcc"], ["clang"]];
  const refusals: string[] = [];
  for (const command of commands) {
    const version = await runCommand([...command, "--version"], "", { seconds: PATIENCE });
    if (version.code !== 0) {
      const silent = `\`--version\` ends with ${version.code}, and it says nothing`;
      refusals.push(`${command.join(" ")}: ${firstLine(version.stderr) || silent}`);
      continue;
    }
    const [file = "", ...userFlags] = command;
    const compiler = await examined(file, userFlags, firstLine(version.stdout));
    if (typeof compiler !== "string") return compiler;
    refusals.push(`${command.join(" ")}: ${compiler}`);
  }
  throw new DeviceError(
    `no C compiler works here (${refusals.join("; ")})`,
    named ? "let CC name GCC or Clang" : "install GCC or Clang, or let CC name one",
  );
}

/** What a compiler can do here, or why it cannot be used. */
async function examined(command: string, userFlags: readonly string[], version: string): Promise<Compiler | string> {
  const reasons: string[] = [];
  for (const target of [["-march=native"], ["-mcpu=native"], []]) {
    const flags = [...FLAGS, ...target];
    const macros = await runCommand([command, ...flags, ...userFlags, "-dM", "-E", "-x", "c", "-"], "", {
      seconds: PATIENCE,
    });
    if (macros.code !== 0) {
      reasons.push(firstLine(macros.stderr));
      continue;
    }
    const defines = (name: string): boolean => macros.stdout.includes(`#define ${name} `);
    if (!defines("__GNUC__")) return "it lacks the vector extensions of GCC and Clang";
    const lanes = defines("__AVX512F__") ? 16 : defines("__AVX__") ? 8 : 4;
    // GCC makes two halves of its loops over 16 lanes if it is not told that whole registers are meant.
    const wide = lanes === 16 ? ["-mprefer-vector-width=512"] : [];
    const registers = lanes === 16 || defines("__aarch64__") ? 32 : 16;
    const bf16 = UNITS.find(([macro]) => defines(macro))?.[1] ?? null;
    const all = [...flags, ...wide];
    const identity = createHash("sha256")
      .update(JSON.stringify([command, userFlags, version, all, macros.stdout]))
      .digest("hex");
    return { command, userFlags, version, flags: all, identity, lanes, registers, bf16 };
  }
  return reasons.find((reason) => reason !== "") ?? "it compiles nothing";
}

/** The first line of a text that says something. */
export const firstLine = (text: string): string =>
  text
    .split("\n")
    .map((line) => line.trim())
    .find((line) => line !== "") ?? "";
