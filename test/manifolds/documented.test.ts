/**
 * docs/manifolds.md has a section for every set, with the facts of its record as they are. UPDATE_DOCS=1 writes these
 * anew; the prose is by hand.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { sets, type ConstraintSet, type OptionKind } from "../../src/manifolds/registry.js";

const file = new URL("../../docs/manifolds.md", import.meta.url);
const POINTS = { entry: "a number", vector: "a vector", matrix: "a matrix", square: "a square matrix" } as const;
const KINDS = { convex: "A convex set", manifold: "A manifold", variety: "A variety" } as const;
const PRODUCTS = {
  product: "products are members",
  square: "products of square members are members",
  radii: "products are members for the product of the radii",
} as const;

function optionText(name: string, option: OptionKind): string {
  switch (option.kind) {
    case "choice":
      return (
        `\`${name} = ${option.default}\` ` +
        `(${option.choices.filter((choice) => choice !== option.default).join(", ")})`
      );
    case "flag":
      return `\`${name} = ${option.default}\`${option.opposite ? ` (\`${option.opposite}\`: ${name} = false)` : ""}`;
    case "integer":
    case "real":
      return `\`${name} = ${option.default}\` (${option.from} to ${option.to})`;
    default:
      return option satisfies never;
  }
}

function facts(set: ConstraintSet): string {
  const options = Object.entries(set.options);
  const defaults = Object.fromEntries(options.map(([name, option]) => [name, option.default]));
  const tolerance = set.tolerance(defaults);
  const adapts = set.adapts(defaults);
  const listed = options.map(([name, option]) => optionText(name, option));
  const exactly = tolerance === 0 ? "exactly" : `to ${tolerance?.toExponential()} in f32`;
  return [
    `- **What**: ${set.summary}. ${KINDS[set.kind]}; a point is ${POINTS[set.point]}.`,
    `- **Options**: ${listed.length ? listed.join("; ") : "none"}. ` +
      `Adapts: ${adapts.length ? adapts.join(", ") : "nothing"}.`,
    `- **Holds**: ${tolerance === null ? "in the limit only, by default" : exactly}; ` +
      `${set.closed ? PRODUCTS[set.closed] : "products are not members in general"}.`,
    `- **Source**: ${set.source}.`,
  ].join("\n");
}

const sections = (text: string): Map<string, string> =>
  new Map(
    text
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf("\n")), section.slice(section.indexOf("\n") + 1)]),
  );

it("every set has its section, in the order of the registry, and nothing else has one", () => {
  if (process.env["UPDATE_DOCS"]) {
    let text = readFileSync(file, "utf8");
    for (const [name, set] of Object.entries(sets))
      text = text.replace(
        new RegExp(`(^## ${name}\n\n)(?:- \\*\\*.*\n)*\n?`, "m"),
        (_, head: string) => `${head}${facts(set)}\n\n`,
      );
    writeFileSync(file, text);
  }
  expect([...sections(readFileSync(file, "utf8")).keys()]).toEqual(Object.keys(sets));
});

it.each(Object.entries(sets))("%s: the facts are those of the record, and there is prose", (name, set) => {
  const section = sections(readFileSync(file, "utf8")).get(name)!;
  expect(section.trim().startsWith(facts(set))).toBe(true);
  expect(section.trim().length).toBeGreaterThan(facts(set).length + 80);
});
