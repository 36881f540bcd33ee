/**
 * Numbers and names as the printers of textual targets need them: the shortest decimal that reads back as the same f32,
 * and renaming of a kernel's names that a target has taken (the verifier keeps names that end in `_` free for this).
 */

const LARGEST = 3.4028234663852886e38;

/** For finite numbers. Never beyond the largest f32 as a f64, since some readers refuse that. */
export function shortestF32(value: number): string {
  const rounded = Math.fround(value);
  if (Object.is(rounded, -0)) return "-0";
  for (let digits = 6; digits <= 9; digits++) {
    const text = rounded.toPrecision(digits);
    if (Math.fround(Number(text)) === rounded && Math.abs(Number(text)) <= LARGEST) return `${Number(text)}`;
  }
  return `${rounded}`;
}

/** A function that puts `_` behind names that a target has taken. */
export const renamer =
  (taken: ReadonlySet<string>) =>
  (name: string): string =>
    taken.has(name) ? `${name}_` : name;
