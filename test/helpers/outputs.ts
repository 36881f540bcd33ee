/** What the outputs of a page are, by the f64 evaluation of its graph. */
import { expect } from "vitest";
import { check, type CheckOptions } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { buildEntries } from "../../src/step/entries.js";

/** The entries of a page that has no errors. */
export function entriesOfText(text: string, options: Partial<CheckOptions> = {}): ReturnType<typeof buildEntries> {
  const { model, diagnostics } = check(text, { file: "page.mhc", ...options });
  expect(diagnostics.filter(({ severity }) => severity === "error").map(({ message }) => message)).toEqual([]);
  return buildEntries(model!, { monitors: false });
}

/** The values of an entry's outputs, by name, where inputs and parameters have these values. */
export function outputsOf(
  text: string,
  values: Readonly<Record<string, readonly number[]>>,
  options: Partial<CheckOptions> & { readonly entry?: string } = {},
): ReadonlyMap<string, readonly number[]> {
  const { graphs } = entriesOfText(text, options);
  const graph = graphs.find(({ name }) => name === (options.entry ?? "forward"))!;
  return new Map(
    [...evaluate(graph, new Map(Object.entries(values))).outputs].map(([name, value]) => [name, [...value]]),
  );
}
