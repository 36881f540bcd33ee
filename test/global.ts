/**
 * Once a run of vitest, beside all files: the folder that the command line is built into, and its end; and which
 * devices are tested, since tests of one that is not here are left out.
 */
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { everyDevice, nativeRefusal } from "./helpers/devices.js";

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
  // The projects of `vitest.config.ts` have this, too.
  if (project.isRootProject()) {
    const without = nativeRefusal === null ? "" : `; native is left out: ${nativeRefusal}`;
    process.stdout.write(`devices under test: ${everyDevice.join(", ")}${without}\n`);
  }
  // While watching, a change of the sources is a change of the command.
  project.onTestsRerun(remove);
  return remove;
}
