/** What a page takes of the files that it uses: all of their blocks, or those that it lists. */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { outputsOf } from "../helpers/outputs.js";

const files: Readonly<Record<string, string>> = {
  "a.mhc": `
block twice(y[w]) { return [w] = 2 * y[w] }
block most(y[w]) { return [w] = helper(y) }
block helper(y[w]) { return [w] = 10 * y[w] }
`,
  "b.mhc": `
block twice(y[w]) { return [w] = 3 * y[w] }
block helper(y[w]) { return [w] = 5 * y[w] }
`,
  "c.mhc": `use "./a.mhc" { most }
block over(y[w]) { return [w] = most(y) }
`,
};
const host = { read: (path: string) => files[path] ?? null };
const page = (uses: string, value: string, more = ""): string => `${uses}
model Uses {
  dim width = 2
  input u[width]
  output y[width] = ${value}
}
${more}`;
const y = (uses: string, value: string, more = ""): readonly number[] =>
  outputsOf(page(uses, value, more), { u: [1, -2] }, { host }).get("y")!;
const errors = (uses: string, value: string): readonly string[] =>
  check(page(uses, value), { file: "page.mhc", host }).diagnostics.map(({ message }) => message);
const fixes = (uses: string, value: string): readonly (string | null)[] =>
  check(page(uses, value), { file: "page.mhc", host }).diagnostics.map(({ fix }) => fix);

describe("a use", () => {
  it("takes all blocks of a file, or those that it lists", () => {
    expect(y('use "./a.mhc"', "twice(u) + most(u)")).toEqual([12, -24]);
    expect(y('use "./a.mhc" { twice, most }', "twice(u) + most(u)")).toEqual([12, -24]);
  });

  it("takes what another file takes, and a block of a file finds what stands beside it", () => {
    // `most` of a.mhc calls the helper of its own file, whatever the page has under that name.
    const own = "block helper(y[w]) { return [w] = 7 * y[w] }";
    expect(y('use "./c.mhc"', "over(u) + most(u) as second + helper(u)", own)).toEqual([27, -54]);
    expect(y('use "./a.mhc" { most }\nuse "./b.mhc"', "most(u) + helper(u)")).toEqual([15, -30]);
  });

  it("of what is not listed is an error that says where it is", () => {
    expect(errors('use "./a.mhc" { most }', "twice(u)")).toEqual([
      "`twice` is a block of `a.mhc`, and is not taken of it here",
    ]);
    expect(errors('use "./c.mhc" { over }', "most(u)")[0]).toContain("is not taken of it here");
  });

  it("of what is not there is an error that says what may be meant", () => {
    expect(errors('use "./a.mhc" { twise }', "u")).toEqual(["there is no block `twise` in `./a.mhc`"]);
    expect(fixes('use "./a.mhc" { twise }', "u")).toEqual(["did you mean `twice`?"]);
    expect(fixes('use "./a.mhc" { x }', "u")).toEqual(["it has `twice`, `most`, `helper`"]);
  });

  it("of two files with one name is an error that offers the braces, and a list decides", () => {
    expect(errors('use "./a.mhc"\nuse "./b.mhc"', "u")).toEqual([
      "`twice` is a block of `./a.mhc` and of `./b.mhc`",
      "`helper` is a block of `./a.mhc` and of `./b.mhc`",
    ]);
    expect(fixes('use "./a.mhc"\nuse "./b.mhc" { twice }', "u")).toEqual([
      'say what is taken of each: `use "./b.mhc" { … }` without `twice`',
    ]);
    expect(y('use "./a.mhc" { most }\nuse "./b.mhc" { twice }', "twice(u) + most(u)")).toEqual([13, -26]);
    // A page's own block hides both.
    expect(
      y('use "./a.mhc" { twice }\nuse "./b.mhc" { twice }', "twice(u)", "block twice(y[w]) { return [w] = y }"),
    ).toEqual([1, -2]);
  });

  it("is no clash where two files take one block of a third", () => {
    expect(y('use "./a.mhc" { most, twice }\nuse "./c.mhc"', "most(u)")).toEqual([10, -20]);
  });

  it("keeps its list in the one layout", () => {
    const text = 'use "./a.mhc" { twice, most } // two\nuse "./b.mhc"\n';
    expect(format('use  "./a.mhc"{twice,most} // two\nuse "./b.mhc"\n', "page.mhc").text).toBe(text);
  });

  it("of a module lists nothing", () => {
    const loaded = check(page('use "./set.js" { mine }', "u"), {
      file: "page.mhc",
      host: { read: () => null, load: () => ({ value: [] }) },
    });
    expect(loaded.diagnostics[0]!.message).toBe("`./set.js` is a module, and its sets are taken as one");
  });
});
