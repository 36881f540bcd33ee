/**
 * The devices of a host as the command tells of them, and what it does where a host refuses one: flags, permissions,
 * addresses, drivers.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtCommand, commandIn, rows, SPEC } from "../helpers/command.js";

const build = builtCommand();
const cwd = mkdtempSync(join(tmpdir(), "mhc hosts "));

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(12));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const mhc = commandIn(build, cwd);

/** No GPU is found: what its driver does with a host's flags is not asked. */
const quiet = { VK_DRIVER_FILES: "none", VK_ICD_FILENAMES: "none" };

describe("the command and its host", () => {
  it("devices", async () => {
    const { code, out } = await mhc(["devices", "--json"]);
    expect(code).toBe(0);
    const found = rows(out);
    for (const row of found)
      expect(Object.keys(row).sort()).toEqual([
        "adapter",
        "default",
        "device",
        "features",
        "fix",
        "limits",
        "notes",
        "usable",
        "why",
      ]);
    for (const { usable, adapter, why } of found)
      expect([usable, adapter === null, why !== null]).toEqual(usable ? [true, false, false] : [false, true, true]);
    expect(found.map(({ device }) => device).sort()).toEqual(["javascript", "wasm", "webgpu"]);
    expect(found.filter((row) => row["default"]).map(({ device }) => device)).toEqual(["wasm"]);
  });

  it("devices of hosts that refuse", async () => {
    const jitless = await mhc(["devices"], { NODE_OPTIONS: "--jitless" });
    expect(jitless.out).toMatch(
      /^  wasm        not here: this host has no WebAssembly \(start Node without --jitless, or let /m,
    );
    expect(jitless.out).toMatch(/^\* javascript  JavaScript$/m);
    const text = await mhc(["devices", "--json"], { NODE_OPTIONS: "--disallow-code-generation-from-strings" });
    expect(rows(text.out).find(({ device }) => device === "javascript")).toMatchObject({
      usable: false,
      why: expect.stringMatching(/^this host forbids code that is made of text/) as string,
    });
  });

  it("devices and train say nothing of Vulkan's own where a driver is named and no loader finds it", async () => {
    // With a loader in the system there is an adapter, and nothing to be said.
    const env = { LD_LIBRARY_PATH: "" };
    const listed = await mhc(["devices"], env);
    expect([listed.err, listed.out]).toEqual([
      "",
      expect.stringMatching(/webgpu +(SwiftShader|not here: there is no Vulkan loader)/),
    ]);
    expect((await mhc(["train", "small.mhc", "--steps", "1", "--out", "unheard"], env)).err).toBe("");
  });

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
        /error: this host has no WebAssembly\nfix: start Node without --jitless, or let the device `auto` choose another\n$/,
      ) as string,
    });
    const none = await train("none", "--jitless --disallow-code-generation-from-strings");
    expect(none).toMatchObject({
      code: 3,
      err: expect.stringMatching(
        /error: no device can be used here: wasm: .+; javascript: .+; webgpu: .+\nfix: start Node without --jitless; or start Node without --disallow/,
      ) as string,
    });
  });

  it.runIf(process.platform === "linux")("train where addresses are limited", async () => {
    // Less than Node reserves for one memory.
    const words = [
      process.execPath,
      join(build, "src/cli/main.js"),
      "train",
      "small.mhc",
      "--steps",
      "2",
      "--out",
      "limited",
    ];
    const line = `ulimit -v 8000000 && exec ${words.map((word) => `'${word}'`).join(" ")}`;
    const err = await new Promise<string>((resolve, reject) => {
      const done = (error: Error | null, _: string, said: string): void =>
        error ? reject(new Error(said)) : resolve(said);
      execFile("sh", ["-c", line], { cwd, env: { ...process.env, ...quiet }, timeout: 30_000 }, done);
    });
    expect(err).toMatch(/^note: javascript, not wasm: no WebAssembly memory can be made: .+$/m);
  });
});
