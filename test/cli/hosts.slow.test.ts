/**
 * What training does where a host refuses a device: flags, permissions, addresses.
 *
 * @module-tag slow
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, SPEC, TEXT } from "../helpers/command.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, main, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

/** No GPU and no compiler are found: what a driver does with a host's flags is not asked. */
const quiet = { VK_DRIVER_FILES: "none", VK_ICD_FILENAMES: "none", CC: "/nowhere/cc" };

describe("the command and its host", () => {
  it("train where the host refuses workers, WebAssembly or addresses", async () => {
    const permission =
      `${process.allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission"} ` +
      "--allow-fs-read=* --allow-fs-write=*";
    const train = (name: string, flags: string, ...more: readonly string[]) =>
      mhc(["train", "small.mhc", "--steps", "2", "--out", name, ...more], { NODE_OPTIONS: flags, ...quiet });
    const alone = await train("alone", permission);
    expect(alone).toMatchObject({
      code: 0,
      err: expect.stringMatching(
        /^note: one thread, which is the caller's own: this host allows no workers \(.+\)$/m,
      ) as string,
    });
    const other = await train("other", "--jitless");
    expect(other).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^note: javascript, not wasm: this host has no WebAssembly$/m) as string,
      out: expect.stringMatching(/ parameters on javascript /) as string,
    });
    expect(await train("named", "--jitless", "--device", "wasm")).toMatchObject({
      code: 3,
      err: expect.stringMatching(
        pattern(
          /error: this host has no WebAssembly\nfix: start Node without --jitless, /,
          /or let the device `auto` choose another\n$/,
        ),
      ) as string,
    });
    const none = await train("none", "--jitless --disallow-code-generation-from-strings");
    expect(none).toMatchObject({
      code: 3,
      err: expect.stringMatching(
        pattern(
          /error: no device can be used here: native: .+; wasm: .+; javascript: .+; webgpu: .+/,
          /\nfix: let CC name GCC or Clang; or start Node without --jitless; or start Node without --disallow/,
        ),
      ) as string,
    });
  });

  it.runIf(process.platform === "linux")("train where addresses are limited", async () => {
    // Less than Node reserves for one memory.
    const words = [process.execPath, main, "train", "small.mhc", "--steps", "2", "--out", "limited"];
    const line = `ulimit -v 8000000 && exec ${words.map((word) => `'${word}'`).join(" ")}`;
    const err = await new Promise<string>((resolve, reject) => {
      const done = (error: Error | null, _: string, said: string): void =>
        error ? reject(new Error(said)) : resolve(said);
      execFile("sh", ["-c", line], { cwd, env: { ...process.env, ...quiet }, timeout: 120_000 }, done);
    });
    expect(err).toMatch(/^note: javascript, not wasm: no WebAssembly memory can be made: .+$/m);
  });
});
