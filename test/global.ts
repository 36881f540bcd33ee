/** Once a run of vitest, beside all files: the folder that the command line is built into, and its end. */
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Within the package, where its dependencies are found; `builtCommand` fills it. */
    readonly commandFolder: string;
  }
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export default function setup(project: TestProject): () => void {
  const folder = join(root, "node_modules", ".cache", `mhc-cli-${process.pid}`);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  project.provide("commandFolder", folder);
  // While watching, a change of the sources is a change of the command.
  project.onTestsRerun(remove);
  return remove;
}
