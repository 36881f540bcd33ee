/** How much of a property is asked of a run: `npm run fuzz` says so in the environment, and tests have their own. */

const WORDS = {
  programs: "FUZZ_PROGRAMS",
  mutations: "FUZZ_MUTATIONS",
  seed: "FUZZ_SEED",
  shrink: "FUZZ_SHRINK",
} as const;

/** The number that the environment has, else the one given. Throws where it is no whole number. */
export function asked(what: keyof typeof WORDS, otherwise: number): number {
  const word = process.env[WORDS[what]];
  if (word === undefined) return otherwise;
  const number = Number(word);
  if (!Number.isSafeInteger(number)) throw new Error(`${WORDS[what]}=${word} is no whole number`);
  return number;
}
