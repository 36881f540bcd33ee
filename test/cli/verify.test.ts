/** mhc verify as scripts and people have it: keys, exit codes, and a table that fits 80 columns. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtCommand, commandIn, rows, SPEC } from "../helpers/command.js";

const build = builtCommand();
const cwd = mkdtempSync(join(tmpdir(), "mhc verify "));
const mhc = commandIn(build, cwd);
const verify = (file: string, ...more: string[]): ReturnType<typeof mhc> =>
  mhc(["verify", file, "--device", "wasm", "--threads", "1", "--runs", "10", ...more]);

/** With a claim that no mix keeps, and one on a parameter. */
const CLAIMED = SPEC.replace(
  "  train {",
  "  constrain {\n    attention.wq each heads on stiefel\n    gain(x) <= 0.5 monitored\n  }\n\n  train {",
);

beforeAll(async () => {
  writeFileSync(join(cwd, "text.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(12));
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "claimed.mhc"), CLAIMED);
  writeFileSync(
    join(cwd, "plain.mhc"),
    SPEC.replace("  manifold Mixing = birkhoff(iterations = 20)\n\n", "").replace("via mhc(Mixing)", "via identity"),
  );
  expect(
    await mhc([
      "train",
      "claimed.mhc",
      "--device",
      "wasm",
      "--threads",
      "1",
      "--steps",
      "10",
      "--set",
      "width=12",
      "--out",
      "run",
    ]),
  ).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

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

  it("1 when a run has broken a claim, with what to set to break it, and how to see it again", async () => {
    const { code, out, err } = await verify("claimed.mhc", "--run", "run");
    expect([code, err]).toEqual([1, ""]);
    expect(out).toMatch(
      /^Small on wasm \(.*\)\n\nbefore training: .*\n +runs +worst +promised\n {2}ok {7}Mixing on birkhoff +\d+ +\S+ {2}1e-5\n {2}ok {7}attention\.wq on stiefel +\d+ +\S+ {2}1e-5\n/,
    );
    expect(out).toMatch(/gain\(x\) <= 0\.5 is only monitored, and it comes to 1 with\n/);
    expect(out).toMatch(
      /after training: the parameters of run, over batches\n(.*\n){3} {2}BROKEN {3}gain\(x\) <= 0\.5 +20 +1 {2}0\.5, monitored\n/,
    );
    expect(out).toContain(
      "  gain(x) <= 0.5 does not hold: it comes to 1 with\n    batch 0 of the data\n    everything else as it " +
        "starts\n    again: npx mhc verify claimed.mhc --run run --device wasm --runs 10 --threads 1\n",
    );
    expect(out).toMatch(/\n1 of 9 properties does not hold; 3 more measured, without a promise; \d+\.\d s\n$/);
    for (const line of out.split("\n")) if (!line.includes("again:")) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  it("a run is verified with its settings; and when its data has gone, with batches that are made up", async () => {
    // The run had a width of 12.
    const narrow = await verify("claimed.mhc", "--run", "run", "--set", "width=8");
    expect([narrow.code, narrow.err]).toEqual([
      1,
      expect.stringMatching(/^error: .*run.*is \[.*\] in the checkpoint, and \[.*\] in the model/) as string,
    ]);
    expect(await verify("claimed.mhc", "--run", "run", "--data", "none.txt")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no file matches .*none\.txt/) as string,
    });
    renameSync(join(cwd, "text.txt"), join(cwd, "moved.txt"));
    const gone = await verify("claimed.mhc", "--run", "run", "--json");
    renameSync(join(cwd, "moved.txt"), join(cwd, "text.txt"));
    expect([gone.code, gone.err]).toEqual([1, ""]);
    expect(rows(gone.out).filter(({ ok }) => ok === false)).toEqual([
      expect.objectContaining({
        property: "gain(x) <= 0.5",
        tensor: "x",
        when: "trained",
        promised: "monitored",
        limit: 0.5,
        counterexample: {
          state: ["a batch of random values (draw 0)", "everything else as it starts"],
          measured: expect.closeTo(1, 3) as number,
          seed: 5,
        },
      }),
    ]);
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
