/** Lines and pairs of texts as tokens: what each place holds, what is refused, and where a text ends. */
import { describe, expect, it } from "vitest";
import { array, assert, property, stringMatching } from "fast-check";
import {
  encodeSource,
  linesOf,
  linesSource,
  parseSequences,
  sequencesSource,
  vocabularyOfLines,
  vocabularyOfPairs,
} from "../../runtime/lines.js";
import type { Batch, Source } from "../../runtime/data.js";
import type { LinesInfo, SequencesInfo } from "../../runtime/sources.js";

const linesInfo = (text: string, more: Partial<LinesInfo> = {}): LinesInfo => ({
  kind: "lines",
  name: "names",
  location: "names.txt",
  length: 6,
  cut: false,
  holdout: 0.1,
  vocabulary: vocabularyOfLines(linesOf(text)),
  ...more,
});

/** All examples of a source, row by row: the held-out ones, and those that some steps draw. */
function rowsOf(source: Source, name: string, fields: readonly string[]): string[] {
  const rows = new Set<string>();
  const take = (batch: Batch, count: number): void => {
    for (let i = 0; i < count; i++)
      rows.add(
        JSON.stringify(
          fields.map((field) => {
            const values = batch[`${name}.${field}`]!;
            const size = values.length / 8;
            return Array.from(values.subarray(i * size, (i + 1) * size));
          }),
        ),
      );
  };
  for (const { batch, count } of source.holdout(8)) take(batch, count);
  for (let step = 0; step < 40; step++) take(source.batch(8, 1, step), 8);
  return [...rows].sort();
}

describe("lines", () => {
  it("begin and end with a line feed, and are padded with it", () => {
    // The vocabulary: \n = 0, a = 1, b = 2, c = 3.
    const text = "abc\nb\r\n\nabcab\n";
    const info = linesInfo(text);
    expect(info.vocabulary).toEqual(["\n", "a", "b", "c"]);
    expect(rowsOf(linesSource(info, text), "names", ["token", "next", "present"])).toEqual(
      [
        [
          [0, 1, 2, 3, 0, 0],
          [1, 2, 3, 0, 0, 0],
          [1, 1, 1, 1, 0, 0],
        ],
        [
          [0, 2, 0, 0, 0, 0],
          [2, 0, 0, 0, 0, 0],
          [1, 1, 0, 0, 0, 0],
        ],
        [
          [0, 1, 2, 3, 1, 2],
          [1, 2, 3, 1, 2, 0],
          [1, 1, 1, 1, 1, 1],
        ],
      ]
        .map((row) => JSON.stringify(row))
        .sort(),
    );
  });

  it("are what they were: the tokens of any lines, up to the line feed that ends them", () => {
    assert(
      property(array(stringMatching(/^[a-zé😀\t]{1,5}$/u), { minLength: 2, maxLength: 6 }), (lines) => {
        const text = lines.join("\n");
        const longest = Math.max(...lines.map((line) => [...line].length));
        const info = linesInfo(text, { length: longest + 1 });
        const read = rowsOf(linesSource(info, text), "names", ["next"]).map((row) => {
          const [next] = JSON.parse(row) as [number[]];
          return next
            .map((token) => info.vocabulary[token]!)
            .join("")
            .split("\n")[0]!;
        });
        expect(new Set(read)).toEqual(new Set(lines));
      }),
      { numRuns: 30 },
    );
  });

  it("that are too long are refused, or cut where the page says so", () => {
    const text = "abc\nabcabc\n";
    expect(() => linesSource(linesInfo(text), text)).toThrow(
      "line 2 of the text has 6 characters and its end, and `length = 6` has room for 5",
    );
    expect(rowsOf(linesSource(linesInfo(text, { cut: true }), text), "names", ["token", "present"])).toContain(
      JSON.stringify([
        [0, 1, 2, 3, 1, 2],
        [1, 1, 1, 1, 1, 1],
      ]),
    );
  });

  it("with other characters than the vocabulary's are refused", () =>
    expect(() => linesSource(linesInfo("ab\nba\n"), "ab\nbx\n")).toThrow(
      'line 2 of the text has the character "x", which is not in the vocabulary',
    ));
});

const sequencesInfo = (text: string, more: Partial<SequencesInfo> = {}): SequencesInfo => ({
  kind: "sequences",
  name: "words",
  location: "pairs.tsv",
  source: 3,
  target: 4,
  cut: false,
  holdout: 0.1,
  vocabulary: vocabularyOfPairs(parseSequences(text)),
  ...more,
});

describe("sequences", () => {
  const text = "ab\tba\nc\tabc\n";

  it("have a target that begins with the start, and one that ends with the end", () => {
    const info = sequencesInfo(text);
    expect(info.vocabulary).toEqual(["<padding>", "<start>", "<end>", "a", "b", "c"]);
    const fields = ["source", "source_present", "target", "next", "present"];
    expect(rowsOf(sequencesSource(info, text), "words", fields)).toEqual(
      [
        [
          [3, 4, 0],
          [1, 1, 0],
          [1, 4, 3, 0],
          [4, 3, 2, 0],
          [1, 1, 1, 0],
        ],
        [
          [5, 0, 0],
          [1, 0, 0],
          [1, 3, 4, 5],
          [3, 4, 5, 2],
          [1, 1, 1, 1],
        ],
      ]
        .map((row) => JSON.stringify(row))
        .sort(),
    );
    expect(encodeSource(info, "ca")).toEqual({ tokens: Uint32Array.of(5, 3, 0), present: Float32Array.of(1, 1, 0) });
  });

  it("may have an empty target, and no empty source", () => {
    expect(parseSequences("a\t\n", "x.tsv")).toEqual([{ source: "a", target: "", place: "line 1 of x.tsv" }]);
    expect(() => parseSequences("\ta\n", "x.tsv")).toThrow("line 1 of x.tsv has an empty source");
  });

  it.each([
    ["a b\n", "line 1 of x.tsv has 1 column"],
    ["a\tb\nc\td\te\n", "line 2 of x.tsv has 3 columns"],
  ])("that are %j are refused", (wrong, message) => expect(() => parseSequences(wrong, "x.tsv")).toThrow(message));

  it.each([
    ["abca\tb\nc\ta\n", "the source in line 1 of the text has 4 characters, and `source` is 3"],
    [
      "a\tb\nc\tabca\n",
      "the target in line 2 of the text has 4 characters and its end, and `target = 4` has room for 3",
    ],
  ])("that are too long are refused: %j", (long, message) => {
    expect(() => sequencesSource(sequencesInfo(long), long)).toThrow(message);
    expect(sequencesSource(sequencesInfo(long, { cut: true }), long).holdoutExamples).toBe(1);
  });
});
