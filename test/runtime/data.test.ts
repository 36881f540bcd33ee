/**
 * Text and examples as batches: what training may see, what is held out, and that a step's batch is always the same.
 */
import { assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeTokens, encodeText, examplesSource, textSource, vocabularyOf } from "../../runtime/data.js";
import { DataError } from "../../runtime/errors.js";
import type { DataInfo } from "../../runtime/plan.js";

/** A text whose token i is i: every place can be told. */
const distinct = (length: number): string =>
  Array.from({ length }, (_, i) => String.fromCodePoint(0x4e00 + i)).join("");
const info = (text: string, window: number, holdout: number): Extract<DataInfo, { readonly kind: "characters" }> => ({
  kind: "characters",
  name: "corpus",
  location: "text",
  window,
  holdout,
  vocabulary: vocabularyOf(text),
});

describe("characters", () => {
  it("are code points, sorted, each once", () => {
    expect(vocabularyOf("ba😀éa\nb")).toEqual(["\n", "a", "b", "é", "😀"]);
    const vocabulary = vocabularyOf("ba😀éa\nb");
    expect([...encodeText("😀a\n", vocabulary)]).toEqual([4, 1, 0]);
    expect(decodeTokens([4, 1, 0], vocabulary)).toBe("😀a\n");
  });

  it("that the training text lacks are named", () => {
    expect(() => encodeText("a😀", ["a", "b"])).toThrow(DataError);
    expect(() => encodeText("a😀", ["a", "b"])).toThrow("U+1F600");
    expect(() => encodeText("\u0007", ["a"])).toThrow("U+0007");
  });
});

describe("windows of a text", () => {
  it("never show training what is held out, and show it everything else", () => {
    assert(
      property(
        integer({ min: 2, max: 9 }),
        integer({ min: 60, max: 90 }),
        integer({ min: 0, max: 1000 }),
        (window, length, seed) => {
          const text = distinct(length);
          const cut = Math.floor(length * 0.75);
          const source = textSource(info(text, window, 0.25), text);
          const seen = new Set<number>();
          // 2,400 windows over fewer than 70 starts: one that is never drawn is a fault, not chance (its odds are
          // e^-35).
          for (let step = 0; step < 300; step++) {
            const batch = source.batch(8, seed, step);
            const tokens = batch["corpus.token"]!;
            const next = batch["corpus.next"]!;
            expect(tokens.length).toBe(8 * window);
            expect(
              tokens.every((token, i) => next[i] === token + 1 && (i % window === 0 || token === tokens[i - 1]! + 1)),
            ).toBe(true);
            for (let i = 0; i < tokens.length; i++) seen.add(tokens[i]!).add(next[i]!);
          }
          expect(Math.max(...seen)).toBe(cut - 1);
          expect(Math.min(...seen)).toBe(0);
        },
      ),
      { numRuns: 10 },
    );
  });

  it("are the same for the same seed and step, and others otherwise", () => {
    const text = distinct(200);
    const source = textSource(info(text, 5, 0.1), text);
    expect(source.batch(6, 1, 9)).toEqual(textSource(info(text, 5, 0.1), text).batch(6, 1, 9));
    expect(source.batch(6, 1, 9)).not.toEqual(source.batch(6, 1, 10));
    expect(source.batch(6, 1, 9)).not.toEqual(source.batch(6, 2, 9));
    // A batch of more examples begins with the smaller one: examples do not depend on the batch's size.
    expect(source.batch(9, 1, 9)["corpus.token"]!.slice(0, 30)).toEqual(source.batch(6, 1, 9)["corpus.token"]);
  });

  it.each([[1], [2], [3], [4], [100]])("tile the held-out part once, in batches of %i", (size) => {
    const text = distinct(101);
    const window = 7;
    const source = textSource(info(text, window, 0.3), text);
    const cut = 70;
    const starts: number[] = [];
    for (const { batch, count } of source.holdout(size)) {
      expect(batch["corpus.token"]!.length).toBe(size * window);
      for (let i = 0; i < count; i++) starts.push(batch["corpus.token"]![i * window]!);
    }
    expect(starts).toEqual([70, 77, 84, 91]);
    expect(starts[0]).toBe(cut);
    expect(source.holdoutExamples).toBe(4);
  });

  it("that do not fit say so", () => {
    const text = distinct(40);
    expect(() => textSource(info(text, 36, 0.1), text)).toThrow(/36 characters to train on, and a window needs 37/);
    expect(() => textSource(info(text, 8, 0.1), text)).toThrow(/held-out part of `corpus` has 4 characters/);
  });
});

describe("examples", () => {
  const rows = (label: number, count: number): { values: Float32Array; count: number } => ({
    values: Float32Array.from({ length: 2 * count }, (_, i) => 100 * label + i),
    count,
  });
  const about: Extract<DataInfo, { readonly kind: "examples" }> = {
    kind: "examples",
    name: "images",
    location: "x",
    features: 2,
    holdout: 0.25,
    classes: 2,
  };
  const source = examplesSource(about, [rows(0, 8), rows(1, 4)]);

  it("hold out the last part of each class", () => {
    const held: [number, number][] = [];
    for (const { batch, count } of source.holdout(2))
      for (let i = 0; i < count; i++) held.push([batch["images.label"]![i]!, batch["images.value"]![2 * i]!]);
    expect(held).toEqual([
      [0, 12],
      [0, 14],
      [1, 106],
    ]);
    expect(source.holdoutExamples).toBe(3);
  });

  it("train on the others, with values and label of the same row", () => {
    const seen = new Set<number>();
    for (let step = 0; step < 40; step++) {
      const batch = source.batch(4, 3, step);
      batch["images.label"]!.forEach((label, i) => {
        const [a, b] = batch["images.value"]!.slice(2 * i, 2 * i + 2);
        expect(b).toBe(a! + 1);
        expect(Math.floor(a! / 100)).toBe(label);
        seen.add(a!);
      });
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 2, 4, 6, 8, 10, 100, 102, 104]);
  });

  it("need some on both sides", () => {
    expect(() => examplesSource({ ...about, holdout: 0 }, [rows(0, 3)])).toThrow(DataError);
  });
});
