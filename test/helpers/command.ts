/**
 * The command line as a process, built into a folder of its own, so that tests neither need nor disturb `dist`: once a
 * run of vitest, by the first file that needs it (`../global.ts` names the folder and takes it away).
 */
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, inject } from "vitest";
import { CHEVROTAIN } from "./chevrotain.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The folder of the built command; what starts it is `src/cli/main.js` in it. Waits where another file builds it. */
export function builtCommand(): string {
  const folder = inject("commandFolder");
  // Its package.json is written last: where that is, all is.
  const isWhole = (): boolean => existsSync(join(folder, "package.json"));
  while (!isWhole()) {
    if (isFirst(folder)) {
      try {
        buildCommand(folder);
      } catch (error) {
        rmSync(folder, { recursive: true, force: true });
        throw error;
      }
    } else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  return folder;
}

/** Whoever makes the folder is to build into it. */
function isFirst(folder: string): boolean {
  mkdirSync(dirname(folder), { recursive: true });
  try {
    mkdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

function buildCommand(folder: string): void {
  execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", root, "--outDir", folder], {
    cwd: root,
    stdio: "pipe",
  });
  const parser = join(folder, "node_modules/chevrotain");
  mkdirSync(parser, { recursive: true });
  writeFileSync(join(parser, "package.json"), JSON.stringify({ name: "chevrotain", exports: "./index.mjs" }));
  // The pages that come with the package, which are its corpus.
  cpSync(join(root, "specs"), join(folder, "specs"), {
    recursive: true,
    filter: (from) => !/\.(m?ts|mjs)$/.test(from),
  });
  writeFileSync(join(parser, "index.mjs"), `export * from ${JSON.stringify(pathToFileURL(CHEVROTAIN).href)};\n`);
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      name: "mhc-lang",
      type: "module",
      version: "0.1.0",
      exports: {
        ".": "./src/index.js",
        "./manifolds": "./src/manifolds/index.js",
        "./runtime": "./runtime/index.js",
      },
    }),
  );
}

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command in a folder; one that does not end by itself is killed and fails with the code null. */
export const commandIn =
  (build: string, cwd: string) =>
  (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [join(build, "src/cli/main.js"), ...args], {
        cwd,
        env: { ...process.env, MHC_CACHE: join(cwd, "tune.json"), ...env },
        stdio: ["ignore", "pipe", "pipe"],
        timeout: 120_000,
      });
      let out = "";
      let err = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      child.on("close", (code) => resolve({ code, out, err }));
    });

/** A folder for a file of tests, in which the command runs. */
export interface Sandbox {
  readonly cwd: string;
  /** The package as it is built for the tests. */
  readonly build: string;
  /** What `process.execPath` starts. */
  readonly main: string;
  readonly mhc: ReturnType<typeof commandIn>;
}

/** An empty folder, whose path has a space. It goes when the tests of the file are done. */
export function sandbox(): Sandbox {
  const build = builtCommand();
  const cwd = mkdtempSync(join(tmpdir(), "mhc cli "));
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));
  return { cwd, build, main: join(build, "src/cli/main.js"), mhc: commandIn(build, cwd) };
}

/** What `SPEC` trains on: `text.txt`. */
export const TEXT = "the sea was calm, and the whale went down. all hands! ".repeat(12);

/** JSON, one object a line. */
export const rows = (out: string): Record<string, unknown>[] =>
  out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A page that trains on `text.txt` in no time. */
export const SPEC = `/// A small decoder.
model Small {
  dim context = 6, width = 8, heads = 2, lanes = 2

  data corpus = characters("text.txt", window = context, holdout = 20%)

  manifold Mixing = birkhoff(iterations = 20)

  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())

  x through attention(heads) via mhc(Mixing)

  loss = cross_entropy(unembed(norm(total(x))), corpus.next)

  train {
    batch = 3, steps = 20, seed = 5
    optimizer = adamw(rate = 1e-2)
  }
}
`;
