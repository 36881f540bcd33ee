/** docs/data.md: its pages are right as they stand, and it has every source with every option and tensor. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../src/compile/compile.js";
import { sourceKinds } from "../src/model/elaborate/source-kinds.js";

const text = readFileSync(new URL("../docs/data.md", import.meta.url), "utf8");
const pages = [...text.matchAll(/^```mhc\n([\s\S]*?)^```/gm)].map(([, page = ""]) => page);

/** The section of a source. */
const sectionOf = (kind: string): string => new RegExp(`^## ${kind}\\n([\\s\\S]*?)(?=^## )`, "m").exec(text)?.[1] ?? "";

describe("pages of docs/data.md", () => {
  it.each(pages.map((page) => [/data \w+ = (\w+)/.exec(page)?.[1] ?? "none", page] as const))("%s", (_, page) => {
    const { diagnostics, model } = check(page, { file: "page.mhc" });
    expect(diagnostics.map(({ code, message }) => `${code}: ${message}`)).toEqual([]);
    expect(model).not.toBeNull();
  });
});

describe.each(Object.entries(sourceKinds))("%s", (kind, { options }) => {
  it("has a section with each of its options", () => {
    const rows = sectionOf(kind)
      .split("\n")
      .filter((line) => line.startsWith("| `"));
    expect(options.filter((option) => !rows.some((row) => new RegExp(`\`${option}\\b`).test(row)))).toEqual([]);
  });

  it("has a page", () => expect(sectionOf(kind)).toMatch(new RegExp(`^\`\`\`mhc[\\s\\S]* = ${kind}\\(`, "m")));
});
