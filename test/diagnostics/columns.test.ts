/**
 * What is drawn under a line stands under its place, whatever the line is made of; a very long line is cut around
 * the place.
 */
import { expect, it } from "vitest";
import fc from "fast-check";
import { check } from "../../src/compile/compile.js";
import { underlined } from "../../src/diagnostics/columns.js";
import { positionOf, render } from "../../src/diagnostics/render.js";

/** What a terminal shows of each, and its columns. */
const CHARACTERS: readonly (readonly [character: string, shown: string, columns: number])[] = [
  ["a", "a", 1],
  ["\t", "    ", 4],
  ["日", "日", 2],
  ["한", "한", 2],
  ["（", "（", 2],
  ["ｱ", "ｱ", 1],
  ["é", "é", 1],
  ["e\u0301", "e\u0301", 1],
  ["😀", "😀", 2],
  ["👩‍🔬", "👩‍🔬", 2],
  ["🇫🇷", "🇫🇷", 2],
  ["❤️", "❤️", 2],
  ["\u200b", "<U+200B>", 8],
  ["\u0007", "<U+0007>", 8],
  ["×", "×", 1],
  ["𝔸", "𝔸", 1],
];

it("marks stand under the place", () => {
  const line = fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 12 });
  const widthOf = (list: typeof CHARACTERS): number => list.reduce((sum, [, , columns]) => sum + columns, 0);
  fc.assert(
    fc.property(line, line, line, (before, place, after) => {
      const all = [...before, ...place, ...after];
      // A mark joins the character before it, and what is joined is one.
      const whole = all.map(([character]) => `${character}\u0020`);
      const text = (from: number, to: number): string => whole.slice(from, to).join("");
      const start = text(0, before.length).length;
      const end = start + Math.max(1, text(before.length, before.length + place.length).length);
      const shown = underlined(whole.join(""), start, end);
      expect(shown.line).toBe(
        all
          .map(([, seen]) => `${seen} `)
          .join("")
          .slice(0, shown.line.length),
      );
      if (widthOf(all) + all.length > 120) return;
      expect(shown.under).toHaveLength(widthOf(before) + before.length);
      if (place.length) expect(shown.marks).toHaveLength(widthOf(place) + place.length);
    }),
  );
});

it("a long line is cut around the place, with marks under it", () => {
  const line = `${"left ".repeat(400)}PLACE${" right".repeat(400)}`;
  const shown = underlined(line, line.indexOf("PLACE"), line.indexOf("PLACE") + 5);
  expect(shown.line.length).toBeLessThan(130);
  expect(shown.line.slice(shown.under.length, shown.under.length + shown.marks.length)).toBe("PLACE");
  const ends = underlined(line, 0, line.length);
  expect(ends.under + ends.marks).toHaveLength(120);
  expect(underlined(line, line.length, line.length + 1).marks).toBe("^");
});

it("a byte order mark is no column, and a carriage return is not shown", () => {
  const page = "\ufeffmodle M {\r\n  dim a = b\r\n}\r\n";
  const { diagnostics, sources } = check(page, { file: "m.mhc" });
  expect(render(diagnostics[0]!, sources)).toContain(" --> m.mhc:1:1\n1 | modle M {\n  | ^^^^^");
  expect(positionOf(page, page.indexOf("dim"))).toEqual({ line: 2, column: 3 });
  expect(
    check(page.replace("modle", "model").replace("= b", "= 3"), { file: "m.mhc" }).diagnostics.map(({ code }) => code),
  ).toEqual(["MHC213"]);
});
