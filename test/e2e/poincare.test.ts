/**
 * specs/poincare.mhc on the felines of WordNet: the reader of WordNet, steps that are those of the graph, and points
 * that tell what is what.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { namesOf, pairsSource, parsePairs } from "../../runtime/pairs.js";
import { cpuDevices } from "../helpers/devices.js";
import { loaded, readSpec } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

interface Reconstruction {
  readonly rank: number;
  readonly map: number;
}

type Distance = (x: readonly number[], y: readonly number[]) => number;

const { poincare, euclidean, reconstruction } = (await import(
  new URL("../experiments/reconstruction.mjs", import.meta.url).href
)) as {
  readonly poincare: Distance;
  readonly euclidean: Distance;
  readonly reconstruction: (
    points: readonly (readonly number[])[],
    pairs: readonly (readonly [number, number])[],
    distance: Distance,
  ) => Reconstruction;
};
const { readNouns, closureBelow } = (await import(new URL("../../specs/mammals.mjs", import.meta.url).href)) as {
  readonly readNouns: (text: string) => ReadonlyMap<string, unknown>;
  readonly closureBelow: (nouns: ReadonlyMap<string, unknown>, root: string) => readonly (readonly [string, string])[];
};

const text = readFileSync(new URL("../fixtures/wordnet/felines.tsv", import.meta.url), "utf8");
const pairs = parsePairs(text);
const names = namesOf(pairs);
const facts = { mammals: { names } };
const spec = readSpec("poincare");

describe("nouns of WordNet", () => {
  // Lines of data.noun as WordNet has them, shortened: two cats, of which one is a whip; a lion that is a cat and a
  // star; a star by name.
  const nouns = readNouns(
    [
      "  1 This software and database is being provided to you",
      "00000001 05 n 01 animal 0 000 | a living organism  ",
      '00000002 05 n 02 cat 0 true_cat 0 002 @ 00000001 n 0000 + 00000009 v 0102 | feline mammal; "a cat | a dog"  ',
      "00000003 06 n 01 whip 0 001 @ 00000008 n 0000 | an instrument  ",
      "00000004 06 n 02 cat 0 cat-o'-nine-tails 0 001 @ 00000003 n 0000 | a whip  ",
      "00000005 05 n 02 lion 0 king_of_beasts 0 002 @ 00000002 n 0000 @ 00000008 n 0000 | large cat  ",
      "00000006 18 n 01 Leo 0 001 @i 00000005 n 0000 | a lion by name  ",
      "00000007 05 n 01 cat 1 001 @ 00000005 n 0000 | another cat  ",
      "00000008 03 n 01 thing 0 000 | a thing  ",
      "",
    ].join("\n"),
  );

  it("are paired with all that they are a kind of, up to the root", () => {
    expect(closureBelow(nouns, "cat")).toEqual([
      ["lion", "cat"],
      ["Leo", "lion"],
      ["Leo", "cat"],
      ["cat.2", "lion"],
      ["cat.2", "cat"],
    ]);
    expect(closureBelow(nouns, "whip")).toEqual([["cat", "whip"]]);
    expect(() => closureBelow(nouns, "dog")).toThrow("WordNet has no noun dog");
  });
});

describe("reconstruction", () => {
  it("ranks what is related among what is not, and averages precisions", () => {
    // From a at 0: b 1, c 2, d 3, e 4. Related are b and d: ranks 1 and 2, precisions 1/1 and 2/3. From e at 4: d is
    // nearest.
    const line = [[0], [1], [2], [3], [4]];
    const { rank, map } = reconstruction(
      line,
      [
        [0, 1],
        [0, 3],
        [4, 3],
      ],
      euclidean,
    );
    expect(rank).toBeCloseTo((1 + 2 + 1) / 3, 12);
    expect(map).toBeCloseTo(((1 + 2 / 3) / 2 + 1) / 2, 12);
  });

  it("of points that lie on each other is as bad as can be", () => {
    expect(reconstruction([[0], [0], [0], [0]], [[0, 1]], poincare)).toEqual({ rank: 3, map: 1 / 3 });
  });
});

describe("specs/poincare.mhc", () => {
  /** Higher rates, since sixty names have fewer pairs to be moved by. */
  const page = spec
    .replace(/batch = \d+, steps = \d+/, "batch = 5, steps = 10")
    .replace(/optimizer = .*/, "optimizer = rsgd(rate = 2)");

  it.each(cpuDevices)("trains on %s as its graph says", async (device) => {
    const { losses, parameters } = await compareSteps(page, text, facts, device, 2);
    expect(losses).toBeLessThan(1e-5);
    expect(parameters).toBeLessThan(1e-4);
  });

  it("tells felines by two numbers each, better in the ball than in the plane", async () => {
    const found: Reconstruction[] = [];
    for (const [space, distance] of [
      ["hyperbolic", poincare],
      ["euclidean", euclidean],
    ] as const) {
      const model = await loaded(
        spec.replace(/optimizer = .*/, "optimizer = rsgd(rate = linear(3, 0.1, warmup = 200))"),
        "wasm",
        { facts, threads: 1, set: { Space: space, width: "2", "train.batch": "10", "train.steps": "3000" } },
      );
      const info = model.plan.data[0] as Parameters<typeof pairsSource>[0];
      const source = pairsSource(info, pairs);
      const before = await model.holdout(source);
      for await (const _ of model.train(text));
      expect(await model.holdout(source)).toBeLessThan(space === "hyperbolic" ? before / 5 : before);
      const points = await model.parameters()["point"]!.get();
      const rows = names.map((_, i) => [...points.subarray(2 * i, 2 * i + 2)]);
      found.push(
        reconstruction(
          rows,
          pairs.map(([first, second]) => [names.indexOf(first), names.indexOf(second)] as const),
          distance,
        ),
      );
      await model.close();
    }
    const [ball, plane] = found as [Reconstruction, Reconstruction];
    expect(ball.map).toBeGreaterThan(0.8);
    expect(ball.map).toBeGreaterThan(plane.map + 0.1);
    expect(ball.rank).toBeLessThan(plane.rank);
  });
});
