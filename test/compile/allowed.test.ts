/** `allow MHC220`: which warnings a page and its blocks allow, and what is said of an `allow` that is wrong or idle. */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check, compile } from "../../src/compile/compile.js";

const page = (items: string, inBlock = "", clauses = ""): string => `model M {
  dim context = 4, width = 4, idle = 3
  data corpus = characters("t.txt", window = context)
  ${items}
  stream x[context, width] = embed(corpus.token)
  x through own
  loss = cross_entropy(unembed(x), corpus.next)
  train {
    batch = 2, steps = 3, optimizer = adamw(rate = 1e-2)${clauses}
  }
}

block own(y[t, w]) {
  ${inBlock}
  param still[w] ~ zeros
  unused[t, w] = 2 * y[t, w]
  return [t, w] = y[t, w] + 0 * still[w]
}
`;

const said = (text: string): readonly string[] => {
  const { model, diagnostics } = check(text, { file: "m.mhc" });
  expect(model).not.toBeNull();
  return diagnostics.map(({ code, span }) => `${code} ${text.slice(span.start, span.end)}`);
};

describe("a page with warnings", () => {
  it("has these where it allows none", () =>
    expect(said(page(""))).toEqual(["MHC220 idle", "MHC221 x through own", "MHC220 unused"]));

  it.each([
    ["allow MHC220", "", ["MHC221 x through own"]],
    ["allow MHC220, MHC221", "", []],
    ["allow MHC220\n  allow MHC221", "", []],
    ["", "allow MHC220", ["MHC220 idle", "MHC221 x through own"]],
    ["", "allow MHC221, MHC220", ["MHC220 idle"]],
    ["allow MHC221", "allow MHC220", ["MHC220 idle"]],
    // What nothing raises is said, there where it is allowed.
    ["allow MHC222", "", ["MHC220 idle", "MHC221 x through own", "MHC220 unused", "MHC225 MHC222"]],
    ["", "allow MHC306", ["MHC220 idle", "MHC221 x through own", "MHC220 unused", "MHC225 MHC306"]],
    ["allow MHC222, MHC225", "", ["MHC220 idle", "MHC221 x through own", "MHC220 unused"]],
  ])("that allows %j, and in its block %j", (items, inBlock, left) => {
    expect(said(page(items, inBlock))).toEqual(left);
  });
});

it("what only compiling finds is judged when the page is compiled", async () => {
  const codes = async (text: string): Promise<readonly string[]> => {
    const options = { file: "m.mhc", facts: { corpus: { vocabulary: ["a", "b"] } }, devices: ["native"] as const };
    const { plan, diagnostics } = await compile(text, options);
    expect(plan).not.toBeNull();
    return diagnostics.map(({ code }) => code);
  };
  const quiet = "allow MHC220, MHC221";
  // The products of this page are too narrow for operands of bf16.
  const bf16 = ", precision = bf16";
  expect(await codes(page(quiet, "", bf16))).toEqual(["MHC602"]);
  expect(await codes(page(`${quiet}, MHC602`, "", bf16))).toEqual([]);
  expect(await codes(page(`${quiet}, MHC602`))).toEqual(["MHC225"]);
  expect(said(page(`${quiet}, MHC602`))).toEqual([]);
});

it("is laid out with one blank behind its commas", () => {
  const { text, diagnostics } = format(page("allow   MHC220,MHC221 // for now", "allow MHC221"), "m.mhc");
  expect(diagnostics).toEqual([]);
  expect(text).toContain("\n  allow MHC220, MHC221 // for now\n");
  expect(text).toContain(") {\n  allow MHC221\n");
  expect(format(text!, "m.mhc").text).toBe(text);
});

it("is a name like any other elsewhere", () => {
  expect(said(page("allow MHC220, MHC221\n  allow = 2\n  dim frozen = 2, group = 3, freeze = 4"))).toEqual([]);
});
