/**
 * Pages that are too deep or too large are told so, at once, by a code: none ends in the host's stack or its memory.
 */
import { describe, expect, it } from "vitest";
import { MOST_BRACKETS, MOST_OPERATORS } from "../../grammar/depth.js";
import { check, compile } from "../../src/compile/compile.js";
import { MOST_UNROLLED } from "../../src/model/elaborate/limits.js";
import { readSpec } from "../helpers/specs.js";

const page = (body: string, blocks = "", dims = ""): string =>
  `model Deep {\n  dim w = 3${dims}\n  input u[w]\n  ${body}\n}\n${blocks}\n`;
const output = (value: string): string => page(`output y[w] = ${value}`);
const each = <T>(n: number, part: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => part(i));
const codes = (text: string, set: Readonly<Record<string, string>> = {}): string[] => [
  ...new Set(
    check(text, { file: "deep.mhc", set })
      .diagnostics.filter(({ severity }) => severity === "error")
      .map(({ code }) => code),
  ),
];

const kinds: Readonly<Record<string, (n: number) => string>> = {
  parentheses: (n) => output(`${"(".repeat(n)}u${")".repeat(n)}`),
  calls: (n) => output(`${"tanh(".repeat(n)}u${")".repeat(n)}`),
  sums: (n) => output(`u${" + u".repeat(n)}`),
  products: (n) => output(`u${" * u".repeat(n)}`),
  powers: (n) => output(`u${" ^ 1".repeat(n)}`),
  signs: (n) => output(`${"- ".repeat(n)}u`),
  conditions: (n) => output(`u + sum[w](u where u > 0${" and u > 0".repeat(n)})`),
  dims: (n) => page("output y[w] = u * size(k)", "", `, k = 1${" + 1".repeat(n)}`),
  blocks: (n) =>
    page(
      "output y[w] = b0(u)",
      each(n, (i) => `block b${i}(x[w]) { return [w] = ${i + 1 < n ? `b${i + 1}(x)` : "x"} }`).join("\n"),
    ),
  repeats: (n) =>
    page(
      `stream s[w] = u\n${each(n, (i) => `repeat r${i} {`).join(" ")} s = s + u ${"}".repeat(n)}\n output y[w] = s`,
      "",
      `, ${each(n, (i) => `r${i} = 1`).join(", ")}`,
    ),
};

describe.each(Object.keys(kinds))("%s", (kind) => {
  it("of fifty are right, and of hundreds and of ten thousand one error", () => {
    expect(codes(kinds[kind]!(50))).toEqual([]);
    for (const n of [MOST_OPERATORS + 1, 10_000])
      expect(codes(kinds[kind]!(n))).toEqual([kind === "blocks" ? "MHC223" : "MHC109"]);
  });
});

it("as deep as may be compiles", async () => {
  const half = Math.floor(MOST_BRACKETS / 2);
  for (const text of [
    kinds["sums"]!(MOST_OPERATORS),
    kinds["calls"]!(MOST_BRACKETS - 1),
    output(`${"tanh(1 - ".repeat(half)}u${")".repeat(half)}`),
    kinds["blocks"]!(60),
  ]) {
    expect((await compile(text, { file: "deep.mhc", devices: ["javascript"] })).plan).not.toBeNull();
  }
});

it("blocks that use themselves or each other are named", () => {
  expect(
    codes(page("output y[w] = a(u)", "block a(x[w]) { return [w] = b(x) }\nblock b(x[w]) { return [w] = a(x) }")),
  ).toEqual(["MHC218"]);
  expect(codes(page("output y[w] = a(u)", "block a(x[w]) { return [w] = a(x) }"))).toEqual(["MHC218"]);
});

it("a chain of definitions that ends the stack is a diagnostic of the page", async () => {
  const { plan, diagnostics } = await compile(
    page(`${each(4000, (i) => `h${i}[w] = ${i ? `h${i - 1}` : "u"} + 1`).join("\n  ")}\n  output y[w] = h3999`),
    { file: "deep.mhc", devices: ["javascript"] },
  );
  expect(plan).toBeNull();
  expect(diagnostics.map(({ code }) => code)).toEqual(["MHC224"]);
});

describe("sizes from outside", () => {
  const spec = readSpec("moby-dick").replace(/\n {2}constrain \{[^}]*\}\n/, "");
  it.each<readonly [Readonly<Record<string, string>>, string, string]>([
    [{ lanes: "300" }, "MHC303", "lanes = 300"],
    [{ layers: "100000" }, "MHC224", "repeat layers"],
    [{ layers: `${MOST_UNROLLED / 2 + 1}` }, "MHC224", "repeat layers"],
    [{ "train.batch": "10000000" }, "MHC502", "at most 1,000,000"],
    [{ "train.batch": "1000000" }, "MHC224", "a batch of 1,000,000"],
    [{ width: "100000000", heads: "1" }, "MHC224", "width = 100000000"],
    [{ width: "9007199254740993" }, "MHC224", "`width`"],
    [{ width: "4294967296" }, "MHC224", "`width`"],
  ])("%j", (set, code, words) => {
    const { model, diagnostics } = check(spec, { file: "moby-dick.mhc", set });
    expect(model).toBeNull();
    expect(diagnostics[0]!.code).toBe(code);
    expect(`${diagnostics[0]!.message} ${diagnostics[0]!.fix}`).toContain(words);
  });
});
