/**
 * Which optimization makes a number wrong. A few steps of training on a device are compared with the same steps in f64.
 * Where they differ, optimizations are turned off: all at once, to see whether it is one of them, then one by one. An
 * optimization that hides the difference when it is off is a suspect. Those that come to work before the wrong one may
 * hide it too (nothing is kept on the chip where there are no regions), those after it hardly can, so the last suspect
 * is named first. Where no single one hides it, the smallest set is looked for that does: turned on again in halves, as
 * long as the difference stays away (delta debugging; Zeller and Hildebrandt, 2002).
 */
import type { Optimization } from "../compile/optimizations.js";
import { UnsoundPass } from "../schedule/passes.js";

/** What is to be found out. */
export interface Bisection {
  /** The losses of the first steps on the device, of a plan without some optimizations. */
  readonly run: (without: readonly Optimization[]) => Promise<readonly number[]>;
  /** The same losses in f64. */
  readonly exact: readonly number[];
  /** Largest relative difference of a loss that is rounding. */
  readonly tolerance: number;
  /** The optimizations that can be turned off, in the order in which they come to work. */
  readonly optimizations: readonly Optimization[];
  /** Is told of every run. */
  readonly tell?: (trial: Trial) => void;
}

/** One run: what was off, and the largest relative difference of a loss; infinite where one is no number. */
export interface Trial {
  readonly without: readonly Optimization[];
  readonly difference: number;
}

/** What was found. */
export type Verdict =
  /** The device computes what the evaluator does. */
  | { readonly kind: "same"; readonly difference: number }
  /** A pass made what is not sound, and the verifier said so. */
  | { readonly kind: "unsound"; readonly pass: string; readonly entry: string; readonly faults: readonly string[] }
  /** Without this one the difference is gone; `also` are others of which that is true, which come before it. */
  | {
      readonly kind: "one";
      readonly optimization: Optimization;
      readonly also: readonly Optimization[];
      readonly difference: number;
    }
  /** Only without all of these the difference is gone. */
  | { readonly kind: "several"; readonly optimizations: readonly Optimization[]; readonly difference: number }
  /** It stays when all is off: a kernel, a printer or the device is wrong. */
  | { readonly kind: "elsewhere"; readonly difference: number };

/** The largest relative difference of two rows of losses; infinite where one is no number, or is missing. */
export function differenceOf(losses: readonly number[], exact: readonly number[]): number {
  if (losses.length !== exact.length) return Number.POSITIVE_INFINITY;
  const differences = exact.map(
    (value, i) => Math.abs((losses[i] ?? Number.NaN) - value) / Math.max(Math.abs(value), 1e-9),
  );
  return differences.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(0, ...differences);
}

/** Looks for the optimization that makes the losses of a device differ from those in f64. */
export async function bisect(bisection: Bisection): Promise<Verdict> {
  try {
    return await search(bisection);
  } catch (error) {
    if (!(error instanceof UnsoundPass)) throw error;
    return { kind: "unsound", pass: error.pass, entry: error.entry, faults: error.faults };
  }
}

async function search({ run, exact, tolerance, optimizations, tell }: Bisection): Promise<Verdict> {
  const differenceWithout = async (without: readonly Optimization[]): Promise<number> => {
    const difference = differenceOf(await run(without), exact);
    tell?.({ without, difference });
    return difference;
  };
  const isGone = async (without: readonly Optimization[]): Promise<boolean> =>
    (await differenceWithout(without)) <= tolerance;
  const difference = await differenceWithout([]);
  if (difference <= tolerance) return { kind: "same", difference };
  if (!(await isGone(optimizations))) return { kind: "elsewhere", difference };
  const suspects: Optimization[] = [];
  for (const name of optimizations) if (await isGone([name])) suspects.push(name);
  const last = suspects.pop();
  return last === undefined
    ? { kind: "several", optimizations: await smallest(optimizations, isGone), difference }
    : { kind: "one", optimization: last, also: suspects, difference };
}

/** A set without which the difference is gone, and of which nothing can be turned on again; found by halves. */
async function smallest(
  off: readonly Optimization[],
  isGone: (without: readonly Optimization[]) => Promise<boolean>,
): Promise<readonly Optimization[]> {
  let needed = off;
  for (let size = Math.ceil(off.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let at = 0; at < needed.length;) {
      const fewer = [...needed.slice(0, at), ...needed.slice(at + size)];
      if (await isGone(fewer)) needed = fewer;
      else at += size;
    }
  }
  return needed;
}
