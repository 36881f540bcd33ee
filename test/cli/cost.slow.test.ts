/**
 * `mhc devices --calibrate`, and what `mhc cost` models with what that has measured.
 *
 * @module-tag slow
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { sandbox, SPEC, TEXT } from "../helpers/command.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

const env = { MHC_CACHE: join(cwd, "cost cache", "tune.json") };

it("models a step on a profile that was measured here", async () => {
  const measured = await mhc(["devices", "--calibrate", "--device", "javascript", "-o", "here.json"], env);
  expect(measured.code).toBe(0);
  // Tests beside each other are what it warns of.
  expect(measured.err).toMatch(/^(warning: rounds of \w+ differ by \d+%: something else runs .*\n)?$/);
  expect(measured.out).toMatch(
    pattern(
      /^javascript \(.*GFLOP\/s: product [\d.]+, .*us a dispatch, /,
      /.*us a step\nwritten to .*here\.json; energy is not measured/,
    ),
  );
  const modelled = await mhc(["cost", "small.mhc", "--device", "./here.json", "--html", "pictures/cost.html"], env);
  expect([modelled.code, modelled.err]).toEqual([0, ""]);
  expect(modelled.out).toMatch(/^Small on javascript .*counted from the plan/);
  expect(modelled.out).toMatch(/modelled from what was measured \(.*Node/);
  expect(modelled.out).toMatch(/\nforward .*\nbackward .*\nupdate /);
  expect(readFileSync(join(cwd, "pictures", "cost.html"), "utf8")).toContain("<h2>Time by block</h2>");

  writeFileSync(
    join(cwd, "half.json"),
    JSON.stringify({ ...JSON.parse(readFileSync(join(cwd, "here.json"), "utf8")), dispatch_us: 0 }),
  );
  expect(await mhc(["cost", "small.mhc", "--device", "./half.json"], env)).toMatchObject({
    code: 2,
    err: expect.stringMatching(
      /half\.json is no device profile: "dispatch_us" is no positive number; `mhc devices --calibrate` writes one/,
    ),
  });
  expect(await mhc(["cost", "small.mhc", "--device", "tpu"], env)).toMatchObject({
    code: 2,
    err: expect.stringMatching(
      /--device tpu: there are cpu, laptop, .*`mhc devices --calibrate --device wasm` measures one of this machine/,
    ),
  });
  mkdirSync(join(cwd, "cost cache", "profiles"), { recursive: true });
  writeFileSync(join(cwd, "cost cache", "profiles", "wasm.json"), "{");
  const broken = await mhc(["cost", "small.mhc"], env);
  expect(broken).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^Small on cpu /),
    err: expect.stringMatching(
      pattern(
        /^warning: the profile .*wasm\.json cannot be read \(.*\) and is ignored; /,
        /`mhc devices --calibrate` measures it anew\n$/,
      ),
    ),
  });
  copyFileSync(join(cwd, "here.json"), join(cwd, "cost cache", "profiles", "javascript.json"));
  expect(await mhc(["cost", "small.mhc"], env)).toMatchObject({
    code: 0,
    err: "",
    out: expect.stringMatching(/^Small on javascript /),
  });
  expect(await mhc(["devices", "--threads", "2"], env)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--threads goes with --calibrate/),
  });
  expect(await mhc(["devices", "-o", "x.json"], env)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/-o goes with --calibrate/),
  });
});
