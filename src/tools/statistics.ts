/**
 * What is said about a few repeated measurements: their mean, their sample deviation, and the interval that holds the
 * true mean with 95% confidence (Student 1908). Seeds are few, so the quantile must be that of t and not of the normal
 * distribution: with three seeds it is 4.3, not 1.96.
 */

/** What is said about a few measurements. */
export interface Summary {
  readonly mean: number;
  /** Of the sample (n - 1); null for one value. */
  readonly deviation: number | null;
  /** 95% confidence interval of the mean; null for one value. */
  readonly interval: readonly [number, number] | null;
  /** As measured; null where a run gave none. */
  readonly values: readonly (number | null)[];
}

/** Null when there is no value at all. */
export function summarize(values: readonly (number | null)[]): Summary | null {
  const measured = values.filter((value) => value !== null);
  const count = measured.length;
  if (count === 0) return null;
  const mean = meanOf(measured);
  if (count === 1) return { mean, deviation: null, interval: null, values };
  const deviation = Math.sqrt(measured.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1));
  const half = (quantileOfT(0.975, count - 1) * deviation) / Math.sqrt(count);
  return { mean, deviation, interval: [mean - half, mean + half], values };
}

/** Counted from the first of them: the mean of equal values is that value, to the last bit. */
export function meanOf(values: readonly number[]): number {
  const first = values[0] ?? Number.NaN;
  return first + values.reduce((sum, value) => sum + (value - first), 0) / values.length;
}

/** The middle of some values, of an even number of them the mean of the two in the middle; NaN of none. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (i: number): number => sorted[i] ?? Number.NaN;
  const half = sorted.length / 2;
  return sorted.length % 2 ? at(Math.floor(half)) : (at(half - 1) + at(half)) / 2;
}

/**
 * The t below which a share `p` (0.5 to 1) of Student's distribution lies. The share is known in closed form and rises
 * with the angle, which is halved into.
 */
export function quantileOfT(p: number, freedom: number): number {
  let low = 0;
  let high = Math.PI / 2;
  for (let i = 0; i < 60; i++) {
    const angle = (low + high) / 2;
    if ((1 + within(angle, freedom)) / 2 < p) low = angle;
    else high = angle;
  }
  return Math.sqrt(freedom) * Math.tan((low + high) / 2);
}

/**
 * The share of Student's distribution between -t and t, where t = sqrt(freedom) tan(angle): a finite sum for whole
 * degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
 */
function within(angle: number, freedom: number): number {
  const odd = freedom % 2;
  const cos = Math.cos(angle);
  let term = odd ? cos : 1;
  let sum = freedom > 1 ? term : 0;
  for (let k = odd + 2; k < freedom; k += 2) {
    term *= ((k - 1) / k) * cos * cos;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}
