/**
 * Wrong specs, each with the exact text that a user sees. `UPDATE_WRONG=1` writes the expectations anew, to be read
 * before they are committed. A first line `// set: name=value` stands for --set.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { check, type PageHost } from "../../src/compile/compile.js";
import { render, toJson } from "../../src/diagnostics/render.js";
import { nearest } from "../../src/diagnostics/suggest.js";
import { readSpec } from "../helpers/specs.js";

const folder = new URL("../fixtures/wrong/", import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".mhc"))
  .map((name) => name.slice(0, -4))
  .sort();

/** The modules that the pages name. */
const half = (await import(new URL("../fixtures/sets/half.js", import.meta.url).href)) as { readonly default: unknown };
const host: PageHost = {
  read: () => null,
  load: (path) => (path === "../sets/half.js" ? { value: half.default } : null),
};

function diagnose(text: string, file: string): ReturnType<typeof check> {
  const set = /^\/\/ set: (\S+)=(\S+)/.exec(text);
  return check(text, { file, host, set: set ? { [set[1]!]: set[2]! } : {} });
}

describe("wrong specs", () => {
  it("are fifty at least", () => expect(names.length).toBeGreaterThanOrEqual(50));

  it.each(names)("%s", (name) => {
    const text = readFileSync(new URL(`${name}.mhc`, folder), "utf8");
    const { model, diagnostics, sources } = diagnose(text, `${name}.mhc`);
    const rendered = `${diagnostics.map((diagnostic) => render(diagnostic, sources)).join("\n\n")}\n`;
    expect(model).toBeNull();
    expect(diagnostics.length).toBeGreaterThan(0);
    const expected = new URL(`${name}.txt`, folder);
    if (process.env["UPDATE_WRONG"]) writeFileSync(expected, rendered);
    expect(existsSync(expected), "run with UPDATE_WRONG=1 and read what it writes").toBe(true);
    expect(rendered).toBe(readFileSync(expected, "utf8"));
    // Every place is inside the text that it is about.
    for (const { span } of diagnostics)
      expect(span.end).toBeLessThanOrEqual(Math.max(1, sources(span.file)?.length ?? Number.POSITIVE_INFINITY) + 1);
  });
});

describe("no text makes the compiler throw", () => {
  const pages = ["moby-dick", "nanogpt", "sublayer", "digits", "poincare"].map(readSpec);
  const tokens = pages.map((page) => page.split(/(\s+|[()[\]{}=,~*+/])/).filter((token) => token !== ""));

  it("however the examples are mutilated", () => {
    fc.assert(
      fc.property(
        fc.nat(pages.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.nat(), fc.constantFrom("drop", "double", "swap")), {
          minLength: 1,
          maxLength: 4,
        }),
        (which, changes) => {
          const list = [...tokens[which]!];
          for (const [a, b, change] of changes) {
            const i = a % list.length;
            const j = b % list.length;
            if (change === "drop") list.splice(i, 1);
            else if (change === "double") list.splice(i, 0, list[i]!);
            else [list[i], list[j]] = [list[j]!, list[i]!];
          }
          const { diagnostics, sources } = check(list.join(""), { file: "page.mhc" });
          for (const diagnostic of diagnostics) render(diagnostic, sources);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => void check(text, { file: "page.mhc" })),
      { numRuns: 300 },
    );
  });
});

it("as JSON a diagnostic has the keys that scripts rely on", () => {
  const { diagnostics, sources } = check("model M {\n  dim width = 3\n  input u[widht]\n  output y[width] = u\n}\n", {
    file: "m.mhc",
  });
  expect(toJson(diagnostics[0]!, sources)).toEqual({
    code: "MHC205",
    severity: "error",
    message: "there is no axis `widht` here",
    file: "m.mhc",
    start: { line: 3, column: 11 },
    end: { line: 3, column: 16 },
    notes: [],
    fix: "did you mean `width`?",
  });
});

it("suggests what is near, and nothing else", () => {
  expect(nearest("modle", ["model", "manifold"])).toBe("model");
  expect(nearest("atention", ["attention", "mlp"])).toBe("attention");
  expect(nearest("xyz", ["attention", "mlp"])).toBeNull();
});
