/**
 * A page that shrinks, from the command line: it trains, is compiled smaller on the way, and its run is sampled from,
 * counted, compiled, compared and trained again as what is left.
 *
 * @module-tag slow
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { sandbox, rows } from "../helpers/command.js";
import { decode } from "../../runtime/checkpoint.js";
import { shrinkingPage, text } from "../helpers/shrinking.js";
import { pattern } from "../helpers/pattern.js";

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

interface Info {
  readonly shrunk: { readonly kept: Readonly<Record<string, readonly number[]>>; readonly settled: boolean };
}

interface Shrunk {
  readonly share: Readonly<Record<string, number>>;
  readonly parameters: number;
  readonly compiled: boolean;
}

it("trains, is compiled smaller on the way, and its run is what is left", async () => {
  const run = await mhc(["train", "lean.mhc", "--device", "wasm", "--out", "run", "--json"]);
  expect([run.code, run.err]).toEqual([0, ""]);
  const lines = rows(run.out);
  const at = lines.findIndex((line) => line["shrunk"] !== undefined);
  const { share, parameters, compiled } = lines[at]!["shrunk"] as Shrunk;
  expect(compiled).toBe(true);
  expect(lines[at]!["step"]).toBe(24);
  expect(share["energy"]).toBeLessThanOrEqual(0.6);
  // Of a page this small a unit is much.
  expect(share["energy"]).toBeGreaterThan(0.85 * 0.6);
  expect(lines.slice(0, at).every((line) => (line["costs"] as Record<string, number>)["energy"]! > 0)).toBe(true);
  expect(lines.slice(at + 1, -1).every((line) => line["costs"] === undefined)).toBe(true);
  expect(lines.at(-1)).toMatchObject({ done: true, steps: 60, energy_by: "modelled: profile cpu, steps alone" });
  const { shrunk } = JSON.parse(readFileSync(join(cwd, "run/run.json"), "utf8")) as Info;
  expect(shrunk.settled).toBe(true);
  const { tensors, metadata } = decode(new Uint8Array(readFileSync(join(cwd, "run/model.safetensors"))));
  expect(metadata["kept"]).toBe(JSON.stringify(shrunk.kept));
  expect(
    [...tensors].filter(([name]) => !name.startsWith("state:")).reduce((sum, [, { data }]) => sum + data.length, 0),
  ).toBe(parameters);

  const sampled = await mhc(["sample", "run", "--device", "javascript", "--tokens", "20", "--prompt", "the "]);
  expect([sampled.code, sampled.err]).toEqual([0, ""]);
  expect(sampled.out).toHaveLength(25);
  const counted = rows((await mhc(["cost", "--run", "run", "--json"])).out)[0]!;
  expect(counted).toMatchObject({ parameters, device: "cpu" });
  expect(counted["advice"]).toEqual(
    expect.arrayContaining([expect.stringContaining(`energy ${Math.round(100 * share["energy"]!)}%`)]),
  );
  const before = rows((await mhc(["cost", "lean.mhc", "--json"])).out)[0]!;
  expect(before["advice"]).toEqual(
    expect.arrayContaining([
      expect.stringMatching(
        pattern(
          /before anything is switched off; from step 24 on at most 60% of its energy /,
          /\(the least that can be had is \d+%\)/,
        ),
      ),
    ]),
  );
  const compiledRun = await mhc(["compile", "--run", "run", "-o", "out"]);
  expect([compiledRun.code, compiledRun.err]).toEqual([0, ""]);
  expect(existsSync(join(cwd, "out/lean.ts"))).toBe(true);

  const again = await mhc([
    "train",
    "lean.mhc",
    "--like",
    "run",
    "--device",
    "javascript",
    "--steps",
    "3",
    "--out",
    "like",
    "--json",
  ]);
  expect([again.code, again.err]).toEqual([0, ""]);
  expect(rows(again.out).every((line) => line["costs"] === undefined)).toBe(true);
  expect((JSON.parse(readFileSync(join(cwd, "like/run.json"), "utf8")) as Info).shrunk.kept).toEqual(shrunk.kept);
  const verified = await mhc(["verify", "lean.mhc", "--run", "run", "--device", "javascript", "--runs", "2"]);
  expect([verified.code, verified.err]).toEqual([0, ""]);
}, 300_000);

it("is compared by what is left of it, and with what magnitude leaves", async () => {
  const compared = await mhc([
    "compare",
    "lean.mhc",
    "lean.mhc@cost.by=magnitude",
    "--device",
    "wasm",
    "--seeds",
    "1",
    "--evaluate",
    "20",
    "--out",
    "compared",
    "--json",
  ]);
  expect(compared.code).toBe(1);
  expect(compared.out).toContain("`layers` has no magnitude");
  writeFileSync(
    join(cwd, "pruned.mhc"),
    page
      .replace("heads, mlp.hidden, layers, attention, mlp within 40%", "heads, mlp.hidden within 40% by magnitude")
      .replace("60%", "90%"),
  );
  const { code, err, out } = await mhc([
    "compare",
    "lean.mhc",
    "pruned.mhc",
    "--device",
    "wasm",
    "--seeds",
    "1",
    "--evaluate",
    "20",
    "--out",
    "compared",
    "--json",
  ]);
  expect([code, err], out).toEqual([0, ""]);
  const specs = rows(out)[0]!["specs"] as Record<string, { readonly mean: number } & number>[];
  for (const spec of specs) {
    expect(spec["left"]!.mean).toBeLessThan(spec["parameters"]!);
    expect(spec["joules"]!.mean).toBeGreaterThan(0);
  }
  expect(specs[0]!["joules"]!.mean / specs[1]!["joules"]!.mean).toBeLessThan(1);
  expect(readFileSync(join(cwd, "compared/report.html"), "utf8")).toContain("mJ a step, modelled");
}, 300_000);
