/** The pages that the words of a comparison name: with settings, and once for each value of a setting. */
import { describe, expect, it } from "vitest";
import { namesOf } from "../../src/cli/named-specs.js";
import { UsageError } from "../../src/cli/outcome.js";

describe("words of a comparison", () => {
  it.each<readonly [words: readonly string[], named: readonly (readonly [string, string, readonly string[]])[]]>([
    [["a/page.mhc"], [["page", "a/page.mhc", []]]],
    [["page.mhc@layers=4,width=32"], [["page@layers=4,width=32", "page.mhc", ["layers=4", "width=32"]]]],
    [
      ["page.mhc@train.rate=1e-3,3e-3"],
      [
        ["page@train.rate=1e-3", "page.mhc", ["train.rate=1e-3"]],
        ["page@train.rate=3e-3", "page.mhc", ["train.rate=3e-3"]],
      ],
    ],
    // Commas in parentheses belong to a value, and so does an `=` there.
    [
      ["page.mhc@train.rate=wsd(1e-3, 0, decay=30%),cosine(1e-3, 1e-4),width=8"],
      [
        [
          "page@train.rate=wsd(1e-3, 0, decay=30%),width=8",
          "page.mhc",
          ["train.rate=wsd(1e-3, 0, decay=30%)", "width=8"],
        ],
        ["page@train.rate=cosine(1e-3, 1e-4),width=8", "page.mhc", ["train.rate=cosine(1e-3, 1e-4)", "width=8"]],
      ],
    ],
    [
      ["page.mhc@train.freeze=(embed, layers.0),none", "page.mhc"],
      [
        ["page@train.freeze=(embed, layers.0)", "page.mhc", ["train.freeze=(embed, layers.0)"]],
        ["page@train.freeze=none", "page.mhc", ["train.freeze=none"]],
        ["page", "page.mhc", []],
      ],
    ],
    // Every value with every other.
    [
      ["p.mhc@a=1,2,b=3,4"],
      [
        ["p@a=1,b=3", "p.mhc", ["a=1", "b=3"]],
        ["p@a=1,b=4", "p.mhc", ["a=1", "b=4"]],
        ["p@a=2,b=3", "p.mhc", ["a=2", "b=3"]],
        ["p@a=2,b=4", "p.mhc", ["a=2", "b=4"]],
      ],
    ],
  ])("%j", (words, named) => expect(namesOf(words)).toEqual(named.map(([name, file, set]) => ({ name, file, set }))));

  it.each(["page.mhc@layers", "page.mhc@layers=", "page.mhc@layers=4,", "page.mhc@=4", "p@(a=1)"])(
    "%s is refused",
    (word) => expect(() => namesOf([word])).toThrow(UsageError),
  );

  it("that name one page twice are refused", () => {
    expect(() => namesOf(["page.mhc", "page.mhc"])).toThrow("page.mhc is given twice");
    expect(() => namesOf(["page.mhc@a=1,1"])).toThrow("page.mhc@a=1 is given twice");
  });
});
