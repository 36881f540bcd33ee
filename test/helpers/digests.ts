/** Digests of plans and code (`test/corpus/digests.mjs`), of the compiler that is built for the tests. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { builtCommand } from "./command.js";

const script = fileURLToPath(new URL("../corpus/digests.mjs", import.meta.url));

/** What the script says that differs from `digests.txt`. */
export const checkDigests = (...flags: readonly string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(process.execPath, [script, builtCommand(), "--check", ...flags], (_, out, err) => resolve(`${err}${out}`));
  });

/** What it says where nothing does. */
export const SAME = "all plans and kernels are what they were\n";
