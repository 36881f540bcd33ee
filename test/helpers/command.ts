/** The command line as a process, built into a folder of its own, so that tests neither need nor disturb `dist`. */
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Within the package, where its dependencies are found. */
export const buildFolder = (): string => join(root, "node_modules", ".cache", `mhc-cli-${process.pid}`);

export function buildCommand(folder: string): void {
  execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", root, "--outDir", folder], {
    cwd: root,
    stdio: "pipe",
  });
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      name: "mhc-lang",
      type: "module",
      version: "0.1.0",
      exports: { ".": "./src/index.js", "./manifolds": "./src/manifolds/index.js" },
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
        timeout: 30_000,
      });
      let out = "";
      let err = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      child.on("close", (code) => resolve({ code, out, err }));
    });

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
