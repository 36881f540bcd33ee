/**
 * Explanations of codes: the wrong page of each raises its code and no other, the right one raises nothing, and both
 * stand in the one layout. What a page alone does not raise says how it comes about.
 */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { explanations } from "../../src/diagnostics/explanations/index.js";

const codesOf = (text: string): readonly string[] => [
  ...new Set(check(text, { file: "page.mhc", host: { read: () => null } }).diagnostics.map(({ code }) => code)),
];

const pages = Object.entries(explanations).flatMap(([code, { example }]) =>
  example ? [[code, example] as const] : [],
);

describe.each(pages)("%s", (code, { wrong, right }) => {
  it("is raised by its wrong page alone, and not by the right one", () => {
    expect(codesOf(wrong)).toEqual([code]);
    expect(codesOf(right)).toEqual([]);
  });

  it("has pages in the one layout", () => {
    expect(format(right, "page.mhc").text).toBe(right);
    // A page that does not parse has no layout.
    expect(format(wrong, "page.mhc").text ?? wrong).toBe(wrong);
  });
});

it.each(Object.entries(explanations))("%s is explained in at most three sentences", (_, { text, example, arises }) => {
  expect(text).toMatch(/\.$/);
  expect(text.match(/[.!?](?= [A-Z`]|$)/g)!.length).toBeLessThanOrEqual(3);
  expect((example === null) !== (arises === null)).toBe(true);
});
