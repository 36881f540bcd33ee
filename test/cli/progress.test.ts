/**
 * Progress on a terminal: one line rewritten in place that never wraps, and whatever follows begins on a line of its
 * own.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Progress } from "../../src/cli/progress.js";
import type { StepLine } from "../../src/tools/train.js";

const line = (step: number): StepLine => ({
  step,
  loss: 2.5,
  ms: 3,
  tokens_per_s: 12345.6,
  constraints: { Mixing: 1.5e-5, Another: 2e-6 },
});
const gains = [
  { name: "gain:x:forward", direction: "forward" },
  { name: "gain:x:backward", direction: "backward" },
] as const;
const given = { isTTY: process.stdout.isTTY, columns: process.stdout.columns };
let written = "";

beforeEach(() => {
  written = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  Object.assign(process.stdout, given);
});

describe("on a terminal", () => {
  it.each([30, 60, 200])("of %i columns a line is rewritten and does not wrap", (columns) => {
    Object.assign(process.stdout, { isTTY: true, columns });
    const progress = new Progress({ steps: 3, json: false, gains });
    for (const step of [1, 2, 3]) progress.step(line(step));
    const shown = written.split("\r\u001b[K").slice(1);
    expect(shown.length).toBe(3);
    for (const [i, text] of shown.entries()) {
      expect(text.startsWith(`step ${i + 1}/3  loss 2.5000`)).toBe(true);
      expect(text.length).toBeLessThan(columns);
      expect(text).not.toContain("\n");
      expect(text.endsWith("Another off by 2.0e-6")).toBe(columns === 200);
    }
  });

  it("what follows begins on its own line, once", () => {
    Object.assign(process.stdout, { isTTY: true, columns: 80 });
    const progress = new Progress({ steps: 3, json: false, gains });
    progress.stop();
    expect(written).toBe("");
    progress.step(line(1));
    progress.stop();
    progress.end("done");
    expect(written).toMatch(/left[^\n]*\ndone\n$/);
  });
});

it("elsewhere a line every tenth of the way, without control characters", () => {
  Object.assign(process.stdout, { isTTY: false });
  const progress = new Progress({ steps: 100, json: false, gains });
  for (let step = 1; step <= 100; step++) progress.step(line(step));
  progress.end("done");
  const lines = written.trimEnd().split("\n");
  expect(lines.map((text) => /^step (\d+)/.exec(text)?.[1] ?? text)).toEqual([
    "1",
    "10",
    "20",
    "30",
    "40",
    "50",
    "60",
    "70",
    "80",
    "90",
    "100",
    "done",
  ]);
  for (const control of ["\r", "\u001b"]) expect(written).not.toContain(control);
});

it("shows the gain that was measured last, and of which step it is", () => {
  Object.assign(process.stdout, { isTTY: false });
  const progress = new Progress({ steps: 100, json: false, gains });
  const measured = (step: number): StepLine["monitors"] => ({ "gain:x:forward": 1 + step / 100, "gain:x:backward": 1 });
  for (let step = 1; step <= 100; step++) {
    progress.step({ ...line(step), ...(step % 25 === 0 ? { monitors: measured(step)! } : {}) });
  }
  const shown = written
    .trimEnd()
    .split("\n")
    .map((text) => /gain (.*?) {2}/.exec(text)?.[1] ?? "none");
  // Lines are of steps 1, 10, 20, …; those of steps 25 and 75 are not printed, and their gains are.
  expect(shown).toEqual([
    "none",
    "none",
    "none",
    "1.25 / 1.00 (step 25)",
    "1.25 / 1.00 (step 25)",
    "1.50 / 1.00",
    "1.50 / 1.00 (step 50)",
    "1.50 / 1.00 (step 50)",
    "1.75 / 1.00 (step 75)",
    "1.75 / 1.00 (step 75)",
    "2.00 / 1.00",
  ]);
});

it("says which run it is, and counts no steps down when only time ends the run", () => {
  Object.assign(process.stdout, { isTTY: false });
  const progress = new Progress({ steps: Number.POSITIVE_INFINITY, json: false, prefix: "deep, seed 5: " });
  for (let step = 1; step <= 100; step++) progress.step(line(step));
  expect(written).toBe(
    "deep, seed 5: step 1  loss 2.5000  12,346 tokens/s  Mixing off by 1.5e-5  Another off by 2.0e-6\n",
  );
});

it("as JSON a line a step and no words", () => {
  Object.assign(process.stdout, { isTTY: true, columns: 20 });
  const progress = new Progress({ steps: 2, json: true, gains });
  progress.say("hello");
  progress.step(line(1));
  progress.step(line(2));
  progress.end("done");
  expect(
    written
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text) as unknown),
  ).toEqual([line(1), line(2)]);
});
