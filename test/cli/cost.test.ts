/** `mhc cost`, and `mhc devices --calibrate`, which measures what it models with. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { builtCommand, commandIn, rows, SPEC } from "../helpers/command.js";

const build = builtCommand();
const cwd = mkdtempSync(join(tmpdir(), "mhc cost "));

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(12));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const mhc = commandIn(build, cwd);

it("counts a step, and models it on a profile that was measured here", async () => {
  const env = { MHC_CACHE: join(cwd, "cost cache", "tune.json") };
  const counted = await mhc(["cost", "small.mhc", "--json"], env);
  expect([counted.code, counted.err]).toEqual([0, ""]);
  const [found] = rows(counted.out) as [
    Record<string, number> & Record<"memory" | "by_block" | "by_kind" | "by_phase", readonly Record<string, number>[]>,
  ];
  for (const key of ["parameters", "flops_per_token", "bytes_per_token", "memory_bytes", "joules_per_token", "time_ms"])
    expect(found[key], key).toBeGreaterThan(0);
  expect([found["device"], found["measured"]]).toEqual(["cpu", expect.stringContaining("EPYC")]);
  expect(found.memory.reduce((sum, { bytes }) => sum + bytes!, 0)).toBe(found["memory_bytes"]);
  for (const shares of [found.by_block, found.by_kind, found.by_phase])
    expect(shares.reduce((sum, share) => sum + share["flops_per_token"]!, 0) / found["flops_per_token"]!).toBeCloseTo(
      1,
      9,
    );
  expect(found.by_block.reduce((sum, share) => sum + share["parameters"]!, 0)).toBe(found["parameters"]);

  const measured = await mhc(["devices", "--calibrate", "--device", "javascript", "-o", "here.json"], env);
  expect(measured.code).toBe(0);
  // Tests beside each other are what it warns of.
  expect(measured.err).toMatch(/^(warning: rounds of \w+ differ by \d+%: something else runs .*\n)?$/);
  expect(measured.out).toMatch(
    /^javascript \(.*GFLOP\/s: product [\d.]+, .*us a dispatch, .*us a step\nwritten to .*here\.json; energy is not measured/,
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
      /^warning: the profile .*wasm\.json cannot be read \(.*\) and is ignored; `mhc devices --calibrate` measures it anew\n$/,
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
