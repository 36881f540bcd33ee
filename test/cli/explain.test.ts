/** mhc explain: all codes, one of them in words and as JSON, and what it says of a code that there is not. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { explanations } from "../../src/diagnostics/explanations/index.js";
import { table } from "../../src/diagnostics/table.js";
import { rows, sandbox } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "wrong.mhc"), explanations.MHC204.example!.wrong);
});

describe("mhc explain", { timeout: 60_000 }, () => {
  it("lists every code with its title", async () => {
    const { code, out, err } = await mhc(["explain"]);
    expect([code, err]).toEqual([0, ""]);
    for (const [name, { title }] of Object.entries(table)) {
      expect(out).toContain(`${name}  `);
      expect(out).toContain(title);
    }
    const listed = rows((await mhc(["explain", "--json"])).out);
    expect(listed.map((row) => row["code"])).toEqual(Object.keys(table).sort());
  });

  it("explains one, however it is written", async () => {
    const { wrong, right } = explanations.MHC204.example!;
    const { code, out } = await mhc(["explain", "204"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^error MHC204: an axis that stands only once in a product\n/);
    const plain = out.replace(/^ {4}/gm, "");
    expect(plain).toContain(wrong);
    expect(plain).toContain(right);
    expect(out).toMatch(/More: docs\/language\.md#/);
    const { out: json } = await mhc(["explain", "mhc204", "--json"]);
    expect(rows(json)).toEqual([expect.objectContaining({ code: "MHC204", severity: "error", wrong, right })]);
  });

  it("says how a code comes about that a page does not raise", async () => {
    const { out } = await mhc(["explain", "MHC504"]);
    expect(out).toContain("How it comes about");
    expect(out).not.toContain("Wrong:");
  });

  it("knows what is near a code that there is not", async () => {
    const { code, err } = await mhc(["explain", "MHC214"]);
    expect([code, err]).toEqual([
      2,
      "error: there is no code MHC214; near it are MHC212, MHC213, MHC215 (mhc explain lists all)\n",
    ]);
  });

  it("is pointed to once by a command that finds errors, and not in JSON", async () => {
    const { code, err } = await mhc(["check", "wrong.mhc"]);
    expect(code).toBe(1);
    expect(err).toMatch(/1 error\n`mhc explain MHC204` says more\n$/);
    const { out, err: silent } = await mhc(["check", "wrong.mhc", "--json"]);
    expect(`${out}${silent}`).not.toContain("mhc explain");
  });
});
