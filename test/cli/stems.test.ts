/**
 * The files of a page have names that every system, URL and bundler reads alike, and stand beside no file that is the
 * same on some.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { mustStandBeside, stemOf } from "../../src/cli/stems.js";

const folder = mkdtempSync(join(tmpdir(), "mhc-stems-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("a page's name is that of its files", () => {
  const pages = ["a/moby-dick.mhc", "naïve é.mhc", "con-x.mhc", "console.mhc", "a.b.mhc", "[x] (1).mhc", "page.txt"];
  expect(pages.map(stemOf)).toEqual(["moby-dick", "naïve é", "con-x", "console", "a.b", "[x] (1)", "page.txt"]);
});

it.each([
  "a#b",
  "a%20b",
  "a?b",
  'a"b',
  "a:b",
  "a\\b",
  "a\nb",
  "a\u2028b",
  "a\0b",
  "con",
  "AUX",
  "nul.x",
  "Com1",
  "lpt9.y",
  "",
  ".",
  ".x",
  "x.",
  "x ",
  "x".repeat(201),
  "é".repeat(101),
])("but for %j, which some system or URL does not have", (stem) => {
  expect(() => stemOf(`${stem}.mhc`)).toThrow(/^error: files for an app cannot be called "/);
});

it("a file that differs in case or composition alone is not written over", () => {
  writeFileSync(join(folder, "Café.ts"), "");
  mustStandBeside(folder, ["Café.ts", "cafe.ts", "Café.wasm"]);
  mustStandBeside(join(folder, "none"), ["a.ts"]);
  for (const file of ["café.ts", "CAFÉ.ts", "Cafe\u0301.ts"]) {
    expect(() => mustStandBeside(folder, [file])).toThrow(/has Café\.ts, and on Windows and macOS .* is the same file/);
  }
});
