/** "Did you mean": guesses what a misspelt name was to be. */
import { mustAt } from "../../runtime/lookup.js";

/**
 * The nearest of some names by edit distance with transpositions, letters' size aside, when it is near enough to be a
 * slip: a third of the letters, one at least. Null when none is, or the name is among them.
 */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  let best: { name: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase());
    const longest = Math.max(name.length, candidate.length);
    // One letter for another is no slip.
    if (distance <= (longest === 1 ? 0 : Math.max(1, Math.floor(longest / 3))) && (!best || distance < best.distance))
      best = { name: candidate, distance };
  }
  return best && best.name !== name ? best.name : null;
}

/** Optimal string alignment distance, a row of its table at a time. */
function edits(a: string, b: string): number {
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const [twoAbove, oneAbove] = [above, row];
    let cost = i;
    row = [cost];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      cost = Math.min(mustAt(oneAbove, j) + 1, cost + 1, mustAt(oneAbove, j - 1) + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, mustAt(twoAbove, j - 2) + 1);
      row.push(cost);
    }
    above = oneAbove;
  }
  return mustAt(row, b.length);
}
