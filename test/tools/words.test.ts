/** What commands call examples and losses, for every kind of data. */
import { expect, it } from "vitest";
import type { DataInfo } from "../../runtime/plan.js";
import { evaluationOf, exampleOf, unitOf } from "../../src/tools/words.js";

const common = { name: "data", location: "x" };
const text: DataInfo = { kind: "characters", ...common, window: 64, holdout: 0.1, vocabulary: ["a"] };
const examples: DataInfo = { kind: "examples", ...common, features: 2, holdout: 0.1, classes: 2 };
const pairs: DataInfo = { kind: "pairs", ...common, negatives: 10, holdout: 0, names: ["a", "b"] };

it.each([
  [text, "64 characters", "nats a character", "hold-out loss", "1,200 held-out windows"],
  [examples, "1 example", "nats an example", "hold-out loss", "1,200 held-out examples"],
  [pairs, "1 pair and 10 negatives", "nats an example", "loss", "all 1,200 pairs"],
  [
    { ...pairs, negatives: 1, holdout: 0.1 },
    "1 pair and 1 negative",
    "nats an example",
    "hold-out loss",
    "1,200 held-out pairs",
  ],
] as const)("of %j", (info, example, unit, loss, of) => {
  expect([exampleOf(info), unitOf(info), evaluationOf(info, 1200)]).toEqual([example, unit, { loss, of }]);
});
