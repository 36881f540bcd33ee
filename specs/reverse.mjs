// Pairs of lines that a model is to make the second from the first of: words to be written backwards (`stone`, a tab,
// `enots`) and sums to be worked out (`27+6`, a tab, `33`). Every line is another: what is held out was never seen.
// Writes specs/data/reverse.tsv, for a page whose data is `sequences("data/reverse.tsv", source = 9, target = 10)`:
//
//   node specs/reverse.mjs [words|sums|both] [LINES] [FILE]
//
// The lines are drawn from a seed that does not change (mulberry32, a generator of 32 bits by Tommy Ettinger), so that
// they are the same everywhere.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A word of 3 to 9 letters, whichever they are, and itself backwards. */
function word(draw) {
  const length = 3 + Math.floor(draw() * 7);
  const made = Array.from({ length }, () => LETTERS[Math.floor(draw() * LETTERS.length)]).join("");
  return [made, [...made].reverse().join("")];
}

/** Two numbers of up to three digits, and their sum. */
function sum(draw) {
  const number = () => Math.floor(draw() * 10 ** (1 + Math.floor(draw() * 3)));
  const [a, b] = [number(), number()];
  return [`${a}+${b}`, `${a + b}`];
}

const TASKS = { words: [word], sums: [sum], both: [word, sum] };

/** Pairs [source, target] of a task, no two with the same source. */
export function pairsOf(task, count, seed = 1) {
  const draw = generator(seed);
  const kinds = TASKS[task];
  const pairs = new Map();
  while (pairs.size < count) {
    const [source, target] = kinds[pairs.size % kinds.length](draw);
    pairs.set(source, target);
  }
  return [...pairs];
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [task = "both", lines = "20000", file = fileURLToPath(new URL("./data/reverse.tsv", import.meta.url))] =
    process.argv.slice(2);
  const count = Number(lines);
  if (!Object.hasOwn(TASKS, task) || !Number.isInteger(count) || count < 1 || count > 200_000) {
    console.error("usage: node specs/reverse.mjs [words|sums|both] [LINES, up to 200000] [FILE]");
    process.exit(2);
  }
  const pairs = pairsOf(task, count);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, pairs.map((pair) => `${pair.join("\t")}\n`).join(""));
  console.log(`${file}: ${pairs.length} pairs`);
}
