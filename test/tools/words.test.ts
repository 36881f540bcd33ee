/** What commands call examples and losses, for every kind of data. */
import { expect, it } from "vitest";
import type { DataInfo } from "../../runtime/plan.js";
import { evaluationOf, exampleOf, unitOf } from "../../src/tools/words.js";

const common = { name: "data", location: "x" };
const text: DataInfo = { kind: "characters", ...common, window: 64, holdout: 0.1, vocabulary: ["a"] };
const examples: DataInfo = { kind: "examples", ...common, features: 2, holdout: 0.1, classes: 2 };
const pairs: DataInfo = { kind: "pairs", ...common, negatives: 10, holdout: 0, names: ["a", "b"] };

it.each([
  [text, "64 characters", "a character", "hold-out loss", "1,200 held-out windows"],
  [examples, "1 example", "an example", "hold-out loss", "1,200 held-out examples"],
  [pairs, "1 pair and 10 negatives", "an example", "loss", "all 1,200 pairs"],
  [
    { ...pairs, negatives: 1, holdout: 0.1 },
    "1 pair and 1 negative",
    "an example",
    "hold-out loss",
    "1,200 held-out pairs",
  ],
  [
    { kind: "tokens", ...common, window: 8, holdout: 0.1, vocab: 5, tokenizer: "t.json" },
    "8 tokens",
    "a token",
    "hold-out loss",
    "1,200 held-out windows",
  ],
  [
    { kind: "lines", ...common, length: 8, cut: false, holdout: 0.1, vocabulary: ["\n"] },
    "1 line",
    "a line",
    "hold-out loss",
    "1,200 held-out lines",
  ],
  [
    { kind: "sequences", ...common, source: 8, target: 9, cut: false, holdout: 0.1, vocabulary: ["a"] },
    "1 pair",
    "a pair",
    "hold-out loss",
    "1,200 held-out pairs",
  ],
  [
    {
      kind: "csv",
      ...common,
      holdout: 0.1,
      separator: ",",
      columns: [],
      target: null,
      label: null,
      standard: false,
      fill: false,
    },
    "1 row",
    "a row",
    "hold-out loss",
    "1,200 held-out rows",
  ],
  [
    { kind: "images", ...common, holdout: 0.1, height: 2, width: 2, channels: 0, classes: ["a"] },
    "1 image",
    "an image",
    "hold-out loss",
    "1,200 held-out images",
  ],
] as const)("of %j", (info, example, unit, loss, of) => {
  const isOfPlaces = info.kind === "lines" || info.kind === "sequences";
  expect(unitOf(info, true)).toBe(`nats ${isOfPlaces ? "a character" : unit}`);
  expect([exampleOf(info), unitOf(info, false), evaluationOf(info, 1200)]).toEqual([example, unit, { loss, of }]);
});
