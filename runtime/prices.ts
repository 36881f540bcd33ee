/**
 * What a step costs by the units that stay: the polynomial of a plan, for the trainer that chooses and for the
 * compiler that says what cannot be had.
 */
import type { ShrinkInfo, SlotInfo } from "./plan.js";
import { mustAt } from "./lookup.js";
import { mustValue } from "./records.js";

/** Rows of vectors are whole: of many units a multiple of so many is kept. */
const GRAIN = 8;
const MANY = 64;

/** A step's cost, as a share of the dense model's, with these shares of units open. */
export function costShare(
  { names, terms, coefficients }: ShrinkInfo["prices"],
  measure: string,
  open: (slot: string) => number,
): number {
  const shares = names.map(open);
  const factors = mustValue(coefficients, measure);
  return terms.reduce(
    (sum, term, i) => sum + term.reduce((product, at) => product * mustAt(shares, at), mustAt(factors, i)),
    0,
  );
}

/** How many units of a slot are opened together. */
export const chunkOf = ({ kept }: SlotInfo): number => (kept.length >= MANY ? GRAIN : 1);

/** The fewest units of a slot: a layer can go, of an axis something stays. */
export const fewest = (slot: SlotInfo): number =>
  slot.kind === "layer" ? 0 : Math.min(slot.kept.length, chunkOf(slot));

/** The least that a step can cost, as a share of the dense model's. */
export function leastShare({ slots, prices }: ShrinkInfo, measure: string): number {
  const least = new Map(slots.map((slot) => [slot.name, fewest(slot) / slot.size]));
  return costShare(prices, measure, (name) => least.get(name) ?? 0);
}
