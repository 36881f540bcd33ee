/**
 * Plans and kernels are what they were, byte for byte: of each page on one device, and of each kind of plan.
 * `npm run digests:check` compares all pages on all devices.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { builtCommand } from "../helpers/command.js";

const script = fileURLToPath(new URL("digests.mjs", import.meta.url));

/** What the script says of the compiler that is built for the tests. */
const check = (): Promise<string> =>
  new Promise((resolve) => {
    execFile(process.execPath, [script, builtCommand(), "--check", "--quick"], (_, out, err) =>
      resolve(`${err}${out}`),
    );
  });

const SAME = "all plans and kernels are what they were\n";
const HOW = "`npm run -s digests > test/corpus/digests.txt` keeps what is meant";

it("each page on a device, and each kind of plan", { tags: "slow", timeout: 600_000 }, async () => {
  expect(await check(), HOW).toBe(SAME);
});
