/** A folder of a run is one run's; what a run keeps is in runs.slow.test.ts. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { sandbox, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

it("one folder is one run's, also for two that begin at once; the other is told what to do", async () => {
  const args = ["train", "small.mhc", "--steps", "1", "--device", "wasm", "--threads", "1", "--out", "one"];
  const both = await Promise.all([mhc(args), mhc(args)]);
  expect(both.map(({ code }) => code).sort()).toEqual([0, 1]);
  expect(readdirSync(join(cwd, "one")).sort()).toEqual(["metrics.jsonl", "model.safetensors", "run.json", "spec.mhc"]);
  const again = await mhc(args);
  expect(again.err).toBe(
    "error: one holds a run already (of small.mhc: its checkpoint is of step 1)\nfix: give another --out, or " +
      "move the old run away; `mhc sample` uses it as it is\n",
  );
});
