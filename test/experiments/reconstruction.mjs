// How well distances between points tell what is related, as Nickel and Kiela measure it (NIPS 2017, section 4.1): for
// every pair (u, v) the rank of v by its distance from u among all names that u is not paired with, and for every u the
// average precision of its pairs in the order of distances from u. Of equal distances the unrelated name counts as the
// nearer one, so that points that lie on each other are no success.

/** Distances in the Poincaré ball, by the area cosine of the paper; in f64 it has digits enough for an order. */
export function poincare(x, y) {
  let [apart, first, second] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    apart += (x[i] - y[i]) ** 2;
    first += x[i] ** 2;
    second += y[i] ** 2;
  }
  return Math.acosh(1 + (2 * apart) / ((1 - first) * (1 - second)));
}

export const euclidean = (x, y) => Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0));

/**
 * Mean rank over all pairs and mean average precision over all names that stand first; `pairs` are indices of rows of
 * `points`.
 */
export function reconstruction(points, pairs, distance) {
  const related = new Map();
  for (const [first, second] of pairs) related.set(first, (related.get(first) ?? new Set()).add(second));
  let ranks = 0;
  let count = 0;
  let precisions = 0;
  for (const [first, own] of related) {
    const order = points.map((point, i) => ({ i, at: distance(points[first], point) })).filter(({ i }) => i !== first);
    order.sort((a, b) => a.at - b.at || Number(own.has(a.i)) - Number(own.has(b.i)));
    let found = 0;
    let precision = 0;
    order.forEach(({ i }, place) => {
      if (!own.has(i)) return;
      // Unrelated names before it, and itself.
      ranks += place - found + 1;
      found++;
      precision += found / (place + 1);
    });
    count += found;
    precisions += precision / found;
  }
  return { rank: ranks / count, map: precisions / related.size };
}
