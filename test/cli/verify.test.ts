/** mhc verify of a page, as scripts and people have it: keys and exit codes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

const verify = (file: string, ...more: string[]): ReturnType<typeof mhc> =>
  mhc(["verify", file, "--device", "wasm", "--threads", "1", "--runs", "10", ...more]);

beforeAll(() => {
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(
    join(cwd, "plain.mhc"),
    SPEC.replace("  manifold Mixing = birkhoff(iterations = 20)\n\n", "").replace("via mhc(Mixing)", "via identity"),
  );
});

const KEYS = ["property", "tensor", "runs", "ok", "worst", "counterexample", "when", "promised", "limit", "beyond"];

describe("mhc verify", () => {
  it("--json: a property a line, and 0 when all hold", async () => {
    const { code, out, err } = await verify("small.mhc", "--json");
    expect([code, err]).toEqual([0, ""]);
    const found = rows(out);
    for (const row of found) expect(Object.keys(row)).toEqual(KEYS);
    expect(found.map(({ when, property, tensor, ok, limit }) => [when, property, tensor, ok, limit])).toEqual([
      ["drawn", "on birkhoff", "Mixing", true, 1e-5],
      ["drawn", "gain", "x", null, null],
      ["training", "on birkhoff", "Mixing", true, 1e-5],
      ["training", "gain", "x", null, null],
    ]);
    for (const { runs, worst } of found) expect([(runs as number) > 4, (worst as number) >= 0]).toEqual([true, true]);
  });

  it("a page that promises nothing has nothing to verify", async () => {
    expect(await verify("plain.mhc")).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringContaining("there is nothing to verify") as string,
    });
  });

  it.each<[string, string[], number, RegExp]>([
    ["no states", ["small.mhc", "--runs", "0"], 2, /at least 1/],
    ["a spec that is not there", ["none.mhc"], 2, /there is no file none\.mhc/],
    ["a run that is none", ["small.mhc", "--run", "."], 1, /is not a run/],
  ])("%s", async (_, args, code, message) => {
    const outcome = await mhc(["verify", ...args]);
    expect(outcome.err).toMatch(message);
    expect(outcome.code).toBe(code);
  });
});
