/** The devices of a host as the command tells of them: flags that refuse some, and drivers that are not there. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { hasCompiler } from "../helpers/devices.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

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
    expect(found.map(({ device }) => device).sort()).toEqual(["javascript", "native", "wasm", "webgpu"]);
    const byName = new Map(found.map((row) => [row["device"], row]));
    expect(byName.get("native")!["usable"]).toBe(hasCompiler);
    expect(found.filter((row) => row["default"]).map(({ device }) => device)).toEqual([
      hasCompiler ? "native" : "wasm",
    ]);
  });

  it("devices of hosts that refuse", async () => {
    const jitless = await mhc(["devices"], { NODE_OPTIONS: "--jitless", CC: "/nowhere/cc" });
    expect(jitless.out).toMatch(
      /^  native      not here: no C compiler works here \(\/nowhere\/cc: .+\) \(let CC name GCC or Clang, or let /m,
    );
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
    const { err } = await mhc(["train", "small.mhc", "--steps", "1", "--out", "unheard"], env);
    // That there is no compiler is said, where there is none.
    expect(err.replace(/^note: wasm, not native: .*\n/, "")).toBe("");
  });
});
