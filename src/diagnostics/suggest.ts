/**
 * "Did you mean": the nearest of some names by edit distance with transpositions, when it is near enough to be a slip.
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

/** Optimal string alignment distance. */
function edits(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, rows[i - 2]![j - 2]! + 1);
      row.push(cost);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
