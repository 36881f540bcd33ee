/**
 * mhc verify of a run: a table that fits 80 columns, what breaks a claim, and a run whose data has gone.
 *
 * @module-tag slow
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, mhc } = sandbox();

const verify = (file: string, ...more: string[]): ReturnType<typeof mhc> =>
  mhc(["verify", file, "--device", "wasm", "--threads", "1", "--runs", "10", ...more]);

/** With a claim that no mix keeps, and one on a parameter. */
const CLAIMED = SPEC.replace(
  "  train {",
  "  constrain {\n    attention.wq each heads on stiefel\n    gain(x) <= 0.5 monitored\n  }\n\n  train {",
);

beforeAll(async () => {
  writeFileSync(join(cwd, "text.txt"), TEXT);
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

describe("mhc verify", () => {
  it("1 when a run has broken a claim, with what to set to break it, and how to see it again", async () => {
    const { code, out, err } = await verify("claimed.mhc", "--run", "run");
    expect([code, err]).toEqual([1, ""]);
    expect(out).toMatch(
      pattern(
        /^Small on wasm \(.*\)\n\nbefore training: .*/,
        /\n +runs +worst +promised\n {2}ok {7}Mixing on birkhoff +\d+ +\S+ {2}1e-5\n/,
        / {2}ok {7}attention\.wq on stiefel +\d+ +\S+ {2}1e-5\n/,
      ),
    );
    expect(out).toMatch(/gain\(x\) <= 0\.5 is only monitored, and it comes to 1 with\n/);
    expect(out).toMatch(
      pattern(
        /after training: the parameters of run, over batches\n(.*\n){3}/,
        / {2}BROKEN {3}gain\(x\) <= 0\.5 +20 +1 {2}0\.5, monitored\n/,
      ),
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
});
