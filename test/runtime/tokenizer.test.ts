/**
 * Text by a tokenizer: the tokens of files, what is refused, and what a model of tokens says. The tokenizers of Hugging
 * Face are tried where their package is installed; elsewhere what is said of its absence.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { tokensSource } from "../../runtime/data.js";
import { DataError } from "../../runtime/errors.js";
import type { TextTokenizer } from "../../runtime/generate.js";
import { load } from "../../runtime/index.js";
import { readData, sourceFrom, type Loaded } from "../../runtime/node/sources.js";
import { openTokenizer, type OpenTokenizer } from "../../runtime/node/tokenizer.js";
import type { TokensInfo } from "../../runtime/sources.js";
import { planOf } from "../helpers/specs.js";

const folder = mkdtempSync(join(tmpdir(), "mhc tokens "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const put = (path: string, content: string): string => {
  writeFileSync(join(folder, path), content);
  return join(folder, path);
};

/** Words and what stands between them are tokens. */
const WORDS = ["<unknown>", "\n", " ", "the", "sea", "whale", "was", "calm", "."];
const words: TextTokenizer = {
  encode: (text) => (text.match(/\w+|[^\w]/g) ?? []).map((word) => Math.max(0, WORDS.indexOf(word))),
  decode: (tokens) => tokens.map((token) => WORDS[token]!).join(""),
};
const openWords: OpenTokenizer = (path) =>
  Promise.resolve({ ...words, size: WORDS.length, text: `the text of ${path}` });

const read = (location: string, open?: OpenTokenizer, tokenizer = "tokenizer.json"): Promise<Loaded> =>
  readData(
    { name: "corpus", kind: "tokens", location, holdout: 0.1, sizes: {}, settings: { tokenizer } },
    folder,
    open,
  );

describe("files of text", () => {
  put("1.txt", "the sea was calm.");
  put("2.txt", "the whale was calm.");
  put("tokenizer.json", "{}");

  it("are the tokens of each, with those of a newline between them", async () => {
    const loaded = await read("*.txt", openWords);
    if (loaded.kind !== "tokens") throw new Error(loaded.kind);
    expect([...loaded.tokens]).toEqual([3, 2, 4, 2, 6, 2, 7, 8, 1, 3, 2, 5, 2, 6, 2, 7, 8]);
    expect(loaded.facts).toEqual({ vocab: 9 });
    expect(loaded.tokenizerPath).toBe(join(folder, "tokenizer.json"));
    const info: TokensInfo = {
      kind: "tokens",
      name: "corpus",
      location: "*.txt",
      window: 2,
      holdout: 0.3,
      vocab: 9,
      tokenizer: "tokenizer.json",
    };
    const { batch } = [...sourceFrom(info, loaded).holdout(1)][0]!;
    // The last 30% of 17 tokens, in windows of 2.
    expect([...batch["corpus.token"]!]).toEqual([11, 12].map((i) => loaded.tokens[i]!));
    expect([...batch["corpus.next"]!]).toEqual([12, 13].map((i) => loaded.tokens[i]!));
    expect(() => tokensSource({ ...info, vocab: 8 }, loaded.tokens)).toThrow(
      "token 7 of `corpus` is 8, and the tokenizer of the model has 8",
    );
    expect(() => tokensSource({ ...info, window: 20 }, loaded.tokens)).toThrow("has 11 tokens to train on");
  });

  it("need a tokenizer that is there, and is one", async () => {
    await expect(read("*.txt", undefined, "none.json")).rejects.toThrow("no file matches none.json");
    put("bad.json", "{");
    await expect(read("*.txt", undefined, "bad.json")).rejects.toThrow("bad.json is not JSON");
    put("bad.json", '{"model": {"type": "BPE"}}');
    await expect(read("*.txt", undefined, "bad.json")).rejects.toThrow("bad.json names no tokens");
  });
});

it("a model of tokens goes on with a text by the tokenizer that it is given", async () => {
  const page = `model Tokens {
  dim context = 4, width = 8
  data corpus = tokens("*.txt", tokenizer = "tokenizer.json", window = context)
  stream x[context, width] = embed(corpus.token) + positions()
  x through mlp(hidden = 16)
  loss = cross_entropy(unembed(x), corpus.next)
  train { batch = 8, steps = 150, seed = 1, optimizer = adamw(rate = 3e-2) }
}
`;
  const plan = await planOf(page, ["javascript"], { facts: { corpus: { vocab: WORDS.length } } });
  const [info] = plan.data;
  if (info?.kind !== "tokens") throw new Error(info?.kind);
  const model = await load(plan, { device: "javascript" });
  const text = "sea was sea was ".repeat(20);
  await expect(model.train(text).next()).rejects.toThrow("does not train on text");
  for await (const { loss } of model.train(tokensSource(info, words.encode(text)))) expect(loss).toBeGreaterThan(0);
  await expect(model.generate("sea")).rejects.toThrow("trained on the tokens of a tokenizer, and none is given");
  const other: TextTokenizer = { ...words, encode: () => [3, 9] };
  await expect(model.generate("sea", { tokenizer: other })).rejects.toThrow(
    "the tokenizer makes the token 9 of the prompt, and the model was trained on 9, 0 to 8",
  );
  // Every token but the space is followed by a space, and three tokens make the next one certain.
  expect(await model.generate("sea was", { tokens: 1, temperature: 0, tokenizer: words })).toBe("sea was ");
  await model.close();
});

/** As the module asks for it. */
const PACKAGE: string = "@huggingface/tokenizers";
const isInstalled = await import(PACKAGE).then(
  () => true,
  () => false,
);

/** The characters that stand for bytes in byte-level BPE: printable ones for themselves, others from 256 on. */
const BYTES = ((): readonly string[] => {
  const isPlain = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : next++));
})();

/** What every tokenizer.json has, also where it says nothing. */
const PLAIN = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };

const bytePairs = (merges: readonly (readonly [string, string])[]): string => {
  const tokens = [...BYTES, ...merges.map((pair) => pair.join(""))];
  return JSON.stringify({
    ...PLAIN,
    added_tokens: [{ id: tokens.length, content: "<|end|>", special: true, normalized: false }],
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, i) => [token, i])),
      merges: merges.map((pair) => pair.join(" ")),
    },
  });
};

describe("tokenizer.json", () => {
  it.runIf(isInstalled)("of word pieces and of unigrams", async () => {
    const pieces = put(
      "pieces.json",
      JSON.stringify({
        ...PLAIN,
        normalizer: { type: "BertNormalizer", clean_text: true, lowercase: true, strip_accents: null },
        pre_tokenizer: { type: "BertPreTokenizer" },
        decoder: { type: "WordPiece", prefix: "##", cleanup: false },
        model: {
          type: "WordPiece",
          unk_token: "[UNK]",
          continuing_subword_prefix: "##",
          max_input_chars_per_word: 100,
          vocab: { "[UNK]": 0, the: 1, wh: 2, "##ale": 3 },
        },
      }),
    );
    const wordPieces = await openTokenizer(pieces);
    expect(Array.from(wordPieces.encode("The whale sang"))).toEqual([1, 2, 3, 0]);
    expect(wordPieces.decode([1, 2, 3])).toBe("the whale");
    const space = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
    const scores = [
      ["<unk>", 0],
      ["▁the", -2],
      ["▁", -3],
      ["wh", -3],
      ["ale", -3],
      ["a", -9],
      ["l", -9],
      ["e", -9],
    ];
    const unigrams = await openTokenizer(
      put(
        "unigrams.json",
        JSON.stringify({
          ...PLAIN,
          pre_tokenizer: space,
          decoder: space,
          model: { type: "Unigram", unk_id: 0, vocab: scores },
        }),
      ),
    );
    expect(unigrams.size).toBe(8);
    expect(Array.from(unigrams.encode("the whale"))).toEqual([1, 2, 3, 4]);
    expect(unigrams.decode([1, 2, 3, 4])).toBe("the whale");
  });

  const path = put(
    "pairs.json",
    bytePairs([
      ["t", "h"],
      ["th", "e"],
    ]),
  );

  it.runIf(isInstalled)("of byte pairs: merges in order, and every text comes back", async () => {
    const tokenizer = await openTokenizer(path);
    expect(tokenizer.size).toBe(259);
    expect(Array.from(tokenizer.encode("the that"))).toEqual([257, 32, 256, 97, 116]);
    expect(Array.from(tokenizer.encode("<|end|>"))).toEqual([258]);
    for (const text of ["the sea,  été 😀\n\n x", "", " ", "a 's don't . ,"])
      expect(tokenizer.decode(Array.from(tokenizer.encode(text)))).toBe(text);
  });

  it("of another kind is an error that names it", async () => {
    const odd = put("odd.json", JSON.stringify({ ...PLAIN, model: { type: "Odd", vocab: { a: 0 } } }));
    await expect(openTokenizer(odd)).rejects.toThrow("odd.json has a model of the kind Odd");
  });

  it.skipIf(isInstalled)("without its package is an error that says how to get it", async () => {
    await expect(openTokenizer(path)).rejects.toThrow(DataError);
    await expect(openTokenizer(path)).rejects.toMatchObject({ fix: "run `npm install @huggingface/tokenizers`" });
  });
});
