/**
 * The command on every kind of data: it trains, samples, and says what is wrong with a file.
 *
 * @module-tag slow
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox } from "../helpers/command.js";

const { cwd, build, mhc } = sandbox();
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const put = (path: string, content: string | Uint8Array): void => writeFileSync(join(cwd, path), content);

const HOUSES = `model Houses {
  data table = csv("houses.csv", target = "price", scale = standard)
  dim inputs = table.features
  param weight[inputs] ~ zeros
  loss = (sum[inputs](table.value[inputs] * weight[inputs]) - table.target) ^ 2
  train { batch = 4, steps = 5, seed = 1, optimizer = sgd(rate = 1e-1) }
}
`;
const NAMES = `model Names {
  dim length = 6, width = 8
  data names = lines("names.txt", length = length)
  stream x[length, width] = embed(names.token) + positions()
  x through mlp(hidden = 8)
  loss = cross_entropy(unembed(x), names.next)
  train { batch = 4, steps = 5, seed = 1, optimizer = adamw(rate = 1e-2) }
}
`;
const DIGITS = `model Digits {
  dim rows = 2, columns = 2, digits = 2
  data images = images("digits-images-idx3-ubyte", height = rows, width = columns, classes = digits, holdout = 25%)
  param weight[rows, columns, digits] ~ zeros
  scores[digits] = images.value[rows, columns] * weight[rows, columns, digits]
  loss = cross_entropy(scores, images.label)
  train { batch = 4, steps = 5, seed = 1, optimizer = sgd(rate = 1e-1) }
}
`;
const table = (rows: number): string =>
  `area,price\n${Array.from({ length: rows }, (_, i) => `${i},${3 * i + 1}\n`).join("")}`;

beforeAll(() => {
  put("houses.mhc", HOUSES);
  put("houses.csv", table(20));
  put("names.mhc", NAMES);
  put("names.txt", "anna\notto\nida\nberta\nrosa\ndora\n");
  put("digits.mhc", DIGITS);
  put(
    "digits-images-idx3-ubyte",
    Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2, ...Array<number>(16).fill(9)]),
  );
  put("digits-labels-idx1-ubyte", Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1]));
});

describe("the command on data", () => {
  it("csv: takes another file by --data, and says what is wrong with it", async () => {
    put("other.csv", table(8).replace("3,10", "3,"));
    const { code, err } = await mhc(["train", "houses.mhc", "--data", "other.csv"]);
    expect(code).toBe(1);
    expect(err).toMatch(/line 5 of .*other\.csv, column "price" has no value/);
    put("other.csv", table(8));
    const { out } = await mhc(["train", "houses.mhc", "--data", "other.csv", "--out", "run-other"]);
    expect(out).toContain("(1 held-out row");
  });

  it("lines: trains and samples a line, also when its data is gone", async () => {
    const { code, out } = await mhc(["train", "names.mhc", "--out", "run-names"]);
    expect(code).toBe(0);
    expect(out).toMatch(/hold-out loss \d\.\d{4} nats a character \(1 held-out line/);
    rmSync(join(cwd, "names.txt"));
    const sample = await mhc(["sample", "run-names", "--prompt", "an"]);
    expect(sample.code).toBe(0);
    expect(sample.out).toMatch(/^an[a-z]{0,4}\n$/);
    put("names.txt", "anna\nbartholomew\n");
    expect((await mhc(["train", "names.mhc"])).err).toMatch(
      /line 2 of .*names\.txt has 11 characters and its end, and `length = 6` has room for 5/,
    );
  });

  it("images: trains on IDX files, and compiles to a module", async () => {
    const { code, out } = await mhc(["train", "digits.mhc", "--out", "run-digits"]);
    expect(code).toBe(0);
    expect(out).toMatch(/hold-out loss 0\.\d{4} nats an image \(1 held-out image/);
    expect((await mhc(["compile", "digits.mhc", "-o", "out"])).code).toBe(0);
    const module = readFileSync(join(cwd, "out/digits.ts"), "utf8");
    expect(module).toContain("static get data(): ImagesInfo");
    expect(module).toContain("train(data: Source, options");
  });

  it("tokens: keeps the tokenizer, and samples when its file is gone", async () => {
    // A stand-in for the package: what the command does with it is what counts here. `test/runtime/tokenizer.test.ts`
    // tries the package itself.
    const place = join(build, "node_modules/@huggingface/tokenizers");
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "package.json"), '{ "name": "@huggingface/tokenizers", "exports": "./index.mjs" }');
    writeFileSync(
      join(place, "index.mjs"),
      `export class Tokenizer {
  constructor(file) { this.tokens = Object.keys(file.model.vocab); }
  encode(text) { return { ids: (text.match(/\\w+|[^]/g) ?? []).map((word) => this.tokens.indexOf(word)) }; }
  decode(ids) { return ids.map((id) => this.tokens[id]).join(""); }
}
`,
    );
    const vocab = Object.fromEntries(["\n", " ", "sea", "the", "was"].map((word, i) => [word, i]));
    put("words.json", JSON.stringify({ model: { type: "WordPiece", vocab } }));
    put("sea.txt", "sea\nwas ".repeat(90));
    put(
      "tokens.mhc",
      `model Tokens {
  dim context = 4, width = 8
  data corpus = tokens("sea.txt", tokenizer = "words.json", window = context)
  stream x[context, width] = embed(corpus.token) + positions()
  x through mlp(hidden = 16)
  loss = cross_entropy(unembed(x), corpus.next)
  train { batch = 8, steps = 80, seed = 1, optimizer = adamw(rate = 3e-2) }
}
`,
    );
    const { code, out, err } = await mhc(["train", "tokens.mhc", "--out", "run-tokens", "--sample", "4"]);
    expect([code, err.includes("error")]).toEqual([0, false]);
    expect(out).toMatch(/hold-out loss \d\.\d{4} nats a token \(\d+ held-out windows\)/);
    rmSync(join(cwd, "words.json"));
    rmSync(join(cwd, "sea.txt"));
    const sample = await mhc(["sample", "run-tokens", "--prompt", "sea", "--tokens", "4", "--temperature", "0"]);
    expect([sample.code, sample.out]).toEqual([0, "sea\nwas sea\n"]);
    // As if it were not there: what it exports is gone.
    rmSync(join(place, "index.mjs"));
    const without = await mhc(["sample", "run-tokens"]);
    expect(without.code).toBe(1);
    expect(without.err).toContain("run `npm install @huggingface/tokenizers`");
    rmSync(place, { recursive: true });
  });

  it("sequences: trains on the pairs of the script, and makes the target of a source", async () => {
    execFileSync(process.execPath, [join(root, "specs/reverse.mjs"), "both", "500", join(cwd, "pairs.tsv")]);
    put(
      "reverse.mhc",
      `model Reverse {
  dim long = 9, room = 10, width = 16
  data task = sequences("pairs.tsv", source = long, target = room)
  dim vocab = task.vocab
  param letter[vocab, width] ~ normal(0.3)
  memory[width] = sum[long](task.source_present[long] * letter[task.source[long], width])
  stream x[room, width] = letter[task.target[room], width] + positions() + memory[width]
  x through mlp(hidden = 16)
  loss = cross_entropy(unembed(x), task.next)
  train { batch = 8, steps = 20, seed = 1, optimizer = adamw(rate = 1e-2) }
}
`,
    );
    const { code, out } = await mhc(["train", "reverse.mhc", "--out", "run-reverse"]);
    expect(code).toBe(0);
    expect(out).toMatch(/nats a character \(50 held-out pairs\)/);
    expect((await mhc(["sample", "run-reverse"])).err).toContain("this model makes a target from a source");
    expect((await mhc(["sample", "run-reverse", "--prompt", "12+3"])).code).toBe(0);
    expect((await mhc(["sample", "run-reverse", "--prompt", "ABC"])).err).toContain(
      'the source has the character "A", which is not in the vocabulary',
    );
  });
});
