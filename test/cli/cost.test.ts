/** `mhc cost`: what it counts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

const env = { MHC_CACHE: join(cwd, "cost cache", "tune.json") };

it("counts a step", async () => {
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
});
