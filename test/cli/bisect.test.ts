/** mhc bisect, and --verify and --without, as scripts have them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "small.mhc"), SPEC);
});

describe("mhc bisect", () => {
  it("--json: an object a run, and the verdict; 0 where nothing differs", async () => {
    const { code, out } = await mhc(["bisect", "small.mhc", "--device", "javascript", "--steps", "2", "--json"]);
    expect(code).toBe(0);
    const [trial, verdict, ...others] = rows(out);
    expect(trial).toMatchObject({ without: [] });
    expect(verdict).toMatchObject({ kind: "same" });
    expect(others).toEqual([]);
  });

  it("a name that there is none of is told with those that there are", async () => {
    const { code, err } = await mhc(["compile", "small.mhc", "--verify", "--without", "fusion,speed"]);
    expect(code).toBe(2);
    expect(err).toMatch(/--without speed: there are attention, recompute, .*, reuse/);
  });
});

describe("mhc compile", () => {
  it("--verify says that every pass is sound, and --emit prints what they made", async () => {
    const { code, out } = await mhc([
      "compile",
      "small.mhc",
      "--target",
      "wasm",
      "--verify",
      "--without",
      "packs,inplace",
      "--emit",
      "legal,clusters,regions,stages,places",
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/^every pass is sound: train, .* on wasm\n/);
    for (const name of ["graph", "clusters of", "regions of", "stages of", "places of"])
      expect(out).toContain(`\n${name} train {\n`);
  });
});
