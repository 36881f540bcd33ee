/**
 * The one layout, for random pages with comments everywhere: formatting twice changes nothing, every comment is kept
 * once, and the page means what it meant.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { printModel } from "../../src/model/print.js";
import { asked } from "./asked.js";
import { chooserOf, numbers } from "./chooser.js";
import { commented } from "./comments.js";
import { pageOf } from "./pages.js";

const meaning = (text: string): string => {
  const { model, diagnostics } = check(text, { file: "page.mhc" });
  return model ? printModel(model) : diagnostics.map(({ message }) => message).join("\n");
};

it("of a page keeps its meaning and its comments, and is its own layout", { timeout: 3_600_000 }, () => {
  fc.assert(
    fc.property(numbers, numbers, (list, places) => {
      const { text: plain } = pageOf(list, { smooth: false });
      const { text, comments } = commented(plain, chooserOf(places), 2);
      const formatted = format(text, "page.mhc").text;
      if (formatted === null) throw new Error(`it is not laid out:\n${text}`);
      const again = format(formatted, "page.mhc").text;
      if (again !== formatted) throw new Error(`a second time it is another:\n${text}\n${formatted}\n${again}`);
      const kept = formatted.match(/\/\/ remark \d+ of \S+(?: \S+)? page\./g) ?? [];
      expect([...kept].sort(), `${text}\n${formatted}`).toEqual([...comments].sort());
      expect(meaning(formatted)).toBe(meaning(plain));
    }),
    { numRuns: asked("programs", 60), seed: asked("seed", 5), endOnFailure: asked("shrink", 0) === 0 },
  );
});

it("of a head with comments behind and before its brace indents the second as the body", () => {
  const text = "block twice(y[a, // one\n b]) { // two\n  return [a, b] = 2 * y\n}\n";
  expect(format(text, "page.mhc").text).toBe("block twice(y[a, b]) { // one\n  // two\n  return [a, b] = 2 * y\n}\n");
});
