/** Pairs of names as batches: negatives that are none of a name's own, what is held out, and lines that are refused. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { array, assert, integer, property, tuple } from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { Batch, Source } from "../../runtime/data.js";
import { DataError } from "../../runtime/errors.js";
import { readData } from "../../runtime/node/sources.js";
import { namesOf, pairsSource, parsePairs, type Pair } from "../../runtime/pairs.js";
import type { DataInfo } from "../../runtime/plan.js";

const info = (
  pairs: readonly Pair[],
  negatives: number,
  holdout = 0,
): Extract<DataInfo, { readonly kind: "pairs" }> => ({
  kind: "pairs",
  name: "kinds",
  location: "x",
  negatives,
  holdout,
  names: namesOf(pairs),
});
const sourceOf = (pairs: readonly Pair[], negatives: number, holdout = 0): Source =>
  pairsSource(info(pairs, negatives, holdout), pairs);

/** Examples of a batch, by name. */
function examples(
  pairs: readonly Pair[],
  batch: Batch,
  count = batch["kinds.first"]!.length,
): { readonly first: string; readonly second: string; readonly others: readonly string[] }[] {
  const names = namesOf(pairs);
  const negatives = batch["kinds.others"]!.length / batch["kinds.first"]!.length;
  return Array.from({ length: count }, (_, i) => ({
    first: names[batch["kinds.first"]![i]!]!,
    second: names[batch["kinds.second"]![i]!]!,
    others: Array.from(batch["kinds.others"]!.subarray(i * negatives, (i + 1) * negatives), (k) => names[k]!),
  }));
}

/** A chain of kinds, each of all that come after it. */
const chain = (length: number): Pair[] =>
  Array.from({ length }, (_, i) => i).flatMap((i) =>
    Array.from({ length: length - i - 1 }, (_, k): Pair => [`n${i}`, `n${i + k + 1}`]),
  );
const some = array(tuple(integer({ min: 0, max: 15 }), integer({ min: 0, max: 15 })), { minLength: 3, maxLength: 40 })
  .map((list) => list.filter(([a, b]) => a !== b).map(([a, b]): Pair => [`n${a}`, `n${b}`]))
  .filter((pairs) => pairs.length > 2);

describe("pairs of a text", () => {
  it("are lines of two names", () => {
    expect(parsePairs("dog\tcanine\r\n\n  wild boar \tswine\n")).toEqual([
      ["dog", "canine"],
      ["wild boar", "swine"],
    ]);
    expect(
      namesOf([
        ["dog", "canine"],
        ["wolf", "canine"],
      ]),
    ).toEqual(["canine", "dog", "wolf"]);
  });

  it.each([
    ["dog\tcanine\ndog\n", 'line 2 of kinds.tsv has 1 column: "dog"'],
    ["dog\tcanine\tmammal", "line 1 of kinds.tsv has 3 columns"],
    ["dog\t\n", "line 1 of kinds.tsv has an empty column"],
    ["dog canine", "line 1 of kinds.tsv has 1 column"],
    ["dog\tcanine\n\ncat\tcat", 'line 3 of kinds.tsv pairs "cat" with itself'],
  ])("such as %j are refused", (text, message) => {
    expect(() => parsePairs(text, "kinds.tsv")).toThrow(DataError);
    expect(() => parsePairs(text, "kinds.tsv")).toThrow(message);
  });
});

describe("negatives", () => {
  it("are different names, and neither the first itself nor one that it is paired with, held out or not", () => {
    assert(
      property(some, integer({ min: 0, max: 1000 }), (pairs, seed) => {
        const names = namesOf(pairs);
        const related = new Map(
          names.map((name) => [
            name,
            new Set([name, ...pairs.flatMap(([first, second]) => (first === name ? [second] : []))]),
          ]),
        );
        const most = Math.min(...pairs.map(([first]) => names.length - related.get(first)!.size));
        if (most < 1) return;
        const source = sourceOf(pairs, most);
        const found = [
          ...examples(pairs, source.batch(8, seed, 3)),
          ...[...source.holdout(4)].flatMap(({ batch, count }) => examples(pairs, batch, count)),
        ];
        for (const { first, others } of found) {
          expect(new Set(others).size).toBe(most);
          expect(others.filter((other) => related.get(first)!.has(other))).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("are any of the others, equally often", () => {
    // Of n2: 4 of the 8 names from a to h.
    const all: Pair[] = [
      ["n2", "n0"],
      ["n2", "n1"],
      ["a", "b"],
      ["c", "d"],
      ["e", "f"],
      ["g", "h"],
    ];
    const source = sourceOf(all, 4);
    const counts = new Map<string, number>();
    let drawn = 0;
    for (let step = 0; step < 2000; step++)
      for (const { first, others } of examples(all, source.batch(4, 1, step))) {
        if (first !== "n2") continue;
        drawn++;
        for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1);
      }
    expect([...counts.keys()].sort()).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
    // Half of about 2,700 draws each: 6 standard deviations are 156.
    for (const count of counts.values()) expect(Math.abs(count - drawn / 2)).toBeLessThan(160);
  });

  it("that are more than there are say of which name", () => {
    expect(() => sourceOf(chain(6), 1)).toThrow(
      '"n0" has 0 negatives among the 6 names of `kinds`, and `negatives` asks for 1',
    );
    expect(() => sourceOf([["dog", "canine"]], 10)).toThrow(DataError);
  });
});

describe("batches", () => {
  const pairs = parsePairs("a\tx\nb\tx\nc\ty\nd\ty\ne\tz\nf\tz\n");

  it("are the same for the same seed and step, and others otherwise", () => {
    const source = sourceOf(pairs, 5);
    expect(source.batch(6, 1, 9)).toEqual(sourceOf(pairs, 5).batch(6, 1, 9));
    expect(source.batch(6, 1, 9)).not.toEqual(source.batch(6, 1, 10));
    expect(source.batch(6, 1, 9)).not.toEqual(source.batch(6, 2, 9));
    // A batch of more examples begins with the smaller one.
    expect(source.batch(9, 1, 9)["kinds.others"]!.slice(0, 30)).toEqual(source.batch(6, 1, 9)["kinds.others"]);
  });

  it("show training every pair, and only pairs", () => {
    const seen = new Set<string>();
    for (let step = 0; step < 60; step++)
      for (const { first, second } of examples(pairs, sourceOf(pairs, 2).batch(4, 3, step)))
        seen.add(`${first}\t${second}`);
    expect([...seen].sort()).toEqual(pairs.map((pair) => pair.join("\t")).sort());
  });

  it("of a name that the plan does not know are refused", () => {
    expect(() => pairsSource(info(pairs, 2), [...pairs, ["g", "x"]])).toThrow(
      '"g" is not among the 9 names of `kinds`',
    );
  });
});

describe("what is evaluated", () => {
  it("is every pair once when nothing is held out, with the same negatives each time", () => {
    const pairs = chain(7).filter(([, second]) => second !== "n6");
    const source = sourceOf([...pairs, ["p", "q"]], 2);
    const parts = [...source.holdout(4)];
    const found = parts.flatMap(({ batch, count }) => examples([...pairs, ["p", "q"]], batch, count));
    expect(source.holdoutExamples).toBe(16);
    expect(found.map(({ first, second }) => `${first}\t${second}`)).toEqual(
      [...pairs, ["p", "q"]].map((pair) => pair.join("\t")),
    );
    expect([...source.holdout(4)]).toEqual(parts);
  });

  it("is a share that training never sees, of names that it does see, in batches of any size", () => {
    assert(
      property(some, (all) => {
        const pairs = [...all, ["p", "q"], ["p", "r"], ["s", "q"], ["s", "r"]] satisfies Pair[];
        const source = sourceOf(pairs, 1, 0.25);
        const key = ({ first, second }: { readonly first: string; readonly second: string }): string =>
          `${first}\t${second}`;
        const held = [...source.holdout(3)].flatMap(({ batch, count }) => examples(pairs, batch, count).map(key));
        const listed = new Set(pairs.map((pair) => pair.join("\t")));
        expect(held.length).toBe(source.holdoutExamples);
        expect(held.length).toBeGreaterThanOrEqual(1);
        expect(held.length).toBeLessThanOrEqual(Math.max(1, Math.floor(listed.size / 4)));
        expect(new Set(held).size).toBe(held.length);
        const seen = new Set<string>();
        // 1,200 draws of fewer than 50 pairs: one that is never drawn is a fault (its odds are e^-24).
        for (let step = 0; step < 30; step++)
          for (const example of examples(pairs, source.batch(40, 1, step))) seen.add(key(example));
        expect([...seen, ...held].sort()).toEqual([...listed].sort());
        expect(new Set([...seen].flatMap((pair) => pair.split("\t"))).size).toBe(namesOf(pairs).length);
      }),
      { numRuns: 30 },
    );
  });

  it("cannot be held out where each pair has a name of its own", () => {
    expect(() =>
      sourceOf(
        [
          ["a", "b"],
          ["c", "d"],
          ["e", "f"],
        ],
        1,
        0.5,
      ),
    ).toThrow("no pair of `kinds` can be held out");
  });
});

describe("files of pairs", () => {
  const folder = mkdtempSync(join(tmpdir(), "mhc pairs "));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const read = (location: string) =>
    readData({ name: "kinds", kind: "pairs", location, holdout: 0, sizes: {}, settings: {} }, folder);

  it("are read one after the other, with the names of all as facts", async () => {
    writeFileSync(join(folder, "b.tsv"), "wolf\tcanine\n");
    writeFileSync(join(folder, "a.tsv"), "dog\tcanine");
    expect(await read("*.tsv")).toEqual({
      kind: "pairs",
      pairs: [
        ["dog", "canine"],
        ["wolf", "canine"],
      ],
      facts: { names: ["canine", "dog", "wolf"] },
    });
  });

  it("that are missing, empty or wrong are refused by name", async () => {
    writeFileSync(join(folder, "empty.txt"), "\n");
    writeFileSync(join(folder, "wrong.txt"), "dog\tcanine\nwolf\n");
    await expect(read("nowhere.tsv")).rejects.toThrow("no file matches nowhere.tsv");
    await expect(read("empty.txt")).rejects.toThrow("there are no pairs in `kinds`");
    await expect(read("wrong.txt")).rejects.toThrow(/line 2 of .*wrong\.txt has 1 column/);
  });
});
