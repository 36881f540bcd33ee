/** What the command refuses of pages that shrink and of runs that have. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { sandbox } from "../helpers/command.js";
import { shrinkingPage, text } from "../helpers/shrinking.js";

const { cwd, mhc } = sandbox();

const page = shrinkingPage({
  cost: "device cpu\n    energy <= 60%\n    shrink heads, mlp.hidden, layers, attention, mlp within 40%",
  optimizer: "adamw(rate = 3e-3)",
})
  .replace("steps = 500", "steps = 60")
  .replace("output logits[context, letters] = scores\n", "");

beforeAll(() => {
  writeFileSync(join(cwd, "lean.mhc"), page);
  writeFileSync(join(cwd, "text.txt"), text);
});

it.each([
  [["cost"], "error: say which page: a .mhc file, or --run FOLDER"],
  [
    ["compile", "lean.mhc", "--run", "run", "-o", "out"],
    "error: --run takes the page of the run as it was run: leave out the spec, --set and --data",
  ],
  [["train", "lean.mhc", "--like", "nowhere"], "error: nowhere is not a run: it has no run.json"],
  [["train", "lean.mhc", "--profile", "phon"], "error: --profile phon: there are cpu, laptop, rtx, h100, phone, board"],
  [
    ["train", "lean.mhc", "--device", "wasm", "--profile", "phone"],
    "error: --profile phone is of webgpu, and this is compiled for wasm",
  ],
])(
  "%j is an error that says what to do",
  async (args, words) => {
    const { code, err } = await mhc(args);
    expect(code).not.toBe(0);
    expect(err).toContain(words);
  },
  60_000,
);
