/** The command on a table: it checks without one, trains, keeps the facts, and says what a run is not for. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox } from "../helpers/command.js";

const { cwd, mhc } = sandbox();
const put = (path: string, content: string | Uint8Array): void => writeFileSync(join(cwd, path), content);

const HOUSES = `model Houses {
  data table = csv("houses.csv", target = "price", scale = standard)
  dim inputs = table.features
  param weight[inputs] ~ zeros
  loss = (sum[inputs](table.value[inputs] * weight[inputs]) - table.target) ^ 2
  train { batch = 4, steps = 5, seed = 1, optimizer = sgd(rate = 1e-1) }
}
`;
const table = (rows: number): string =>
  `area,price\n${Array.from({ length: rows }, (_, i) => `${i},${3 * i + 1}\n`).join("")}`;

beforeAll(() => {
  put("houses.mhc", HOUSES);
  put("houses.csv", table(20));
});

describe("the command on data", () => {
  it("csv: trains, keeps the facts, and needs no file to check", async () => {
    const { code, out, err } = await mhc(["train", "houses.mhc", "--out", "run-houses", "--sample", "5"]);
    expect(err).not.toMatch(/error/);
    expect(code).toBe(0);
    expect(out).toMatch(/hold-out loss \d\.\d{4} a row \(2 held-out rows\)/);
    expect(out).toContain("no sample: Houses does not generate text");
    const { facts } = JSON.parse(readFileSync(join(cwd, "run-houses/run.json"), "utf8")) as {
      readonly facts: { readonly table: { readonly columns: readonly { readonly mean: number }[] } };
    };
    // The mean of 18 of the 20 numbers from 0 to 19.
    expect(facts.table.columns[0]!.mean).toBeGreaterThan(8);
    expect(facts.table.columns[0]!.mean).toBeLessThan(11);
    mkdirSync(join(cwd, "apart"), { recursive: true });
    put("apart/houses.mhc", HOUSES);
    expect((await mhc(["check", "apart/houses.mhc"])).code).toBe(0);
    const sample = await mhc(["sample", "run-houses"]);
    expect([sample.code, sample.err]).toEqual([1, expect.stringContaining("Houses does not generate text") as string]);
  });
});
