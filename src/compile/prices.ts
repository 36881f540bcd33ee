/**
 * What a step costs as a function of the units that are left. A count of operations is a sum of monomials in dims, and
 * bytes and what follows from them nearly are; so the cost of a block is a polynomial that is linear in every axis of
 * its own, and of the third degree in an axis that the whole page has (the lanes of a stream: their mixes' coefficients
 * take lanes^3 operations). It is found by planning the page without gates: whole, with the units of its blocks cut in
 * half, and with three quarters, a half and a quarter of an axis of the page. What a layer costs is multiplied by
 * whether it is there, the optimizer's update is shared out by the numbers of parameters. Coefficients are shares of
 * the dense model's cost.
 */
import type { Kept } from "../../runtime/plan.js";
import { sizeOf } from "../graph/record.js";
import { MEASURES, type Gate, type Measure, type TypedModel } from "../model/typed.js";
import { gateSlots } from "../model/lower/slots.js";
import { countsOf, everyLayer, inside, numbered } from "../model/paths.js";
import { repeatsOf } from "../model/paths.js";
import type { PricePolynomial } from "../step/hard-concrete.js";
import { pathOf, type Costs, type Share } from "../cost/cost.js";
import { recordOf } from "../../runtime/records.js";

/** A plan of what is left, counted. */
export interface Counted {
  readonly costs: Costs;
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/** What a step costs, as a function of the units that are left. */
export interface Prices {
  readonly polynomial: PricePolynomial;
  /** Of a step of the dense model: FLOPs, bytes, joules, milliseconds. */
  readonly dense: Readonly<Record<Measure, number>>;
}

type Vector = Readonly<Record<Measure, number>>;

/** The measures that a page can speak of (`energy <= 50%`), of a share of a step. */
export const measuresOf = ({ flops, bytes, joules, ms }: Share): Vector => ({ flops, bytes, energy: joules, time: ms });

/** Blocks that depend on the same gates. */
interface GatedRegion {
  /** Layers and connections that it is inside of. */
  readonly layers: readonly Gate[];
  /** Axes of its own. */
  readonly axes: readonly Gate[];
}

/** At most so many sizes of an axis of the page: a polynomial of the third degree. */
const MOST_SIZES = 4;

/**
 * The prices of a page that shrinks. `count` plans the page with the units that are left and counts its step; it is
 * called for a few choices of these (see the head of this file).
 */
export function pricesOf(model: TypedModel, count: (kept: Kept) => Counted): Prices {
  const gates = model.cost?.gates ?? [];
  const { slots } = gateSlots(model, {});
  const own = gates.filter((gate): gate is Extract<Gate, { kind: "axis" }> => gate.kind === "axis" && gate.path !== "");
  const shared = gates.filter(
    (gate): gate is Extract<Gate, { kind: "axis" }> => gate.kind === "axis" && gate.path === "",
  );
  const layers = gates.filter(({ kind }) => kind === "layer");
  const counts = countsOf(model.statements);
  const sizeOfGate = new Map(gates.map((gate) => [gate, slots.find(({ name }) => pathOf(name) === gate.name)!.size]));

  const regionOf = (path: string): GatedRegion => ({
    layers: layers.filter(({ name }) => inside(path, name)),
    axes: own.filter((gate) => inside(path, gate.path)),
  });
  const keyOf = ({ layers: around, axes }: GatedRegion): string =>
    [...around, ...axes].map(({ name }) => name).join(" ");

  // The sizes at which the page is planned: every combination of the coordinates of a grid.
  const bits = coloured(own);
  const widest = Math.max(0, ...[...bits.values()].map((bit) => bit + 1));
  const halves: readonly (readonly number[])[] = Array.from({ length: widest }, () => [0, 1]);
  const sizes = shared.map((gate) => spread(sizeOfGate.get(gate)!));
  const halfOf = (gate: Gate): number => Math.max(1, Math.floor(sizeOfGate.get(gate)! / 2));
  const regions = new Map<string, { readonly region: GatedRegion; readonly values: Vector[] }>();
  const grid = combinations([...halves, ...sizes]);
  let dense: Vector | null = null;
  for (const [at, point] of grid.entries()) {
    const left = (gate: Gate): number => {
      const bit = bits.get(gate);
      return bit === undefined
        ? point[widest + shared.indexOf(gate as (typeof shared)[number])]!
        : point[bit] === 1
          ? halfOf(gate)
          : sizeOfGate.get(gate)!;
    };
    const kept = recordOf(
      [...own, ...shared].flatMap((gate) =>
        slots
          .filter(({ name }) => pathOf(name) === gate.name)
          .map(({ name }) => [name, Array.from({ length: left(gate) }, (_, i) => i)]),
      ),
    );
    const counted = count(kept);
    dense ??= measuresOf(counted.costs.total);
    for (const [path, share] of byPath(counted)) {
      const region = regionOf(path);
      const key = keyOf(region);
      const found = regions.get(key) ?? { region, values: grid.map(() => nothing) };
      found.values[at] = plus(found.values[at]!, share);
      regions.set(key, found);
    }
  }

  const position = new Map(slots.map(({ name }, i) => [name, i]));
  const terms: number[][] = [];
  const coefficients: Record<Measure, number[]> = { flops: [], bytes: [], energy: [], time: [] };
  for (const { region, values } of regions.values()) {
    const { layers: around, axes } = region;
    const longest = [...around, ...axes].reduce(
      (name, gate) => (repeatsOf(gate.name).length > repeatsOf(name).length ? gate.name : name),
      "",
    );
    const numbers = everyLayer(repeatsOf(longest).map((repeat) => counts.get(repeat)!));
    // Along every direction of the grid, values become coefficients of powers; a direction of another region's axes has
    // no effect here.
    const mine = Array.from({ length: widest }, (_, bit) => axes.find((gate) => bits.get(gate) === bit) ?? null);
    const points = [
      ...mine.map((gate) => (gate ? [1, halfOf(gate) / sizeOfGate.get(gate)!] : [1])),
      ...sizes.map((list, i) => list.map((size) => size / sizeOfGate.get(shared[i]!)!)),
    ];
    const shape = [...halves, ...sizes].map((list) => list.length);
    for (const measure of MEASURES) {
      const whole = values.map((value) => value[measure] / dense![measure] / numbers.length);
      const own = along(whole, shape, points);
      if (measure === MEASURES[0])
        for (const layerNumbers of numbers) for (const powers of own.powers) terms.push(factors(layerNumbers, powers));
      for (const _ of numbers) coefficients[measure].push(...own.coefficients);
    }

    function factors(layerNumbers: readonly number[], powers: readonly number[]): number[] {
      const slot = (gate: Gate): number => position.get(numbered(gate.name, layerNumbers))!;
      return [
        ...around.map(slot),
        ...powers.flatMap((power, direction) =>
          Array.from({ length: power }, () =>
            slot(direction < widest ? mine[direction]! : shared[direction - widest]!),
          ),
        ),
      ];
    }
  }
  return { polynomial: { slots: slots.map(({ name }) => name), terms, coefficients }, dense: dense! };
}

/** Sizes from the whole to a quarter. */
function spread(size: number): number[] {
  const count = Math.min(MOST_SIZES, size);
  return Array.from({ length: count }, (_, i) => Math.round((size * (count - i)) / count));
}

/** Axes of one block are cut one by one: each has a bit of its own there. */
function coloured(own: readonly Extract<Gate, { kind: "axis" }>[]): Map<Gate, number> {
  const bits = new Map<Gate, number>();
  const together = (a: { path: string }, b: { path: string }): boolean =>
    inside(a.path, b.path) || inside(b.path, a.path);
  for (const gate of own) {
    const taken = new Set(
      [...bits].filter(([other]) => other.kind === "axis" && together(gate, other)).map(([, bit]) => bit),
    );
    let bit = 0;
    while (taken.has(bit)) bit++;
    bits.set(gate, bit);
  }
  return bits;
}

/** What blocks cost, each with its share of the update, by the path with stars. */
function byPath({ costs, parameters }: Counted): Map<string, Vector> {
  const found = new Map<string, Vector>();
  const add = (path: string, share: Vector): void => void found.set(path, plus(found.get(path) ?? nothing, share));
  for (const [path, phases] of costs.blockPhases)
    for (const phase of ["forward", "backward"] as const) add(path, measuresOf(phases[phase]));
  const all = parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const update = measuresOf(costs.phases.update);
  for (const { name, shape } of parameters)
    add(pathOf(name).split(".").slice(0, -1).join("."), times(update, sizeOf(shape) / all));
  let step = costs.overheadMs;
  for (const [path, ms] of costs.dispatchMs) {
    add(path, { ...nothing, time: ms });
    step -= ms;
  }
  add("", { ...nothing, time: step });
  return found;
}

const nothing: Vector = { flops: 0, bytes: 0, energy: 0, time: 0 };
const each = (f: (measure: Measure) => number): Vector => ({
  flops: f("flops"),
  bytes: f("bytes"),
  energy: f("energy"),
  time: f("time"),
});
const plus = (a: Vector, b: Vector): Vector => each((measure) => a[measure] + b[measure]);
const times = (a: Vector, factor: number): Vector => each((measure) => a[measure] * factor);

/** Every choice of one value a list, the last list's fastest. */
const combinations = (lists: readonly (readonly number[])[]): readonly (readonly number[])[] =>
  lists.reduce<readonly (readonly number[])[]>(
    (all, list) => all.flatMap((point) => list.map((value) => [...point, value])),
    [[]],
  );

/**
 * Values on a grid -> coefficients of the polynomial through them, with the powers of each direction. A direction with
 * one point is taken at its first value.
 */
function along(
  values: readonly number[],
  shape: readonly number[],
  points: readonly (readonly number[])[],
): { readonly powers: readonly (readonly number[])[]; readonly coefficients: readonly number[] } {
  let now = [...values];
  let sizes = [...shape];
  points.forEach((at, direction) => {
    const inner = sizes.slice(direction + 1).reduce((product, size) => product * size, 1);
    const outer = sizes.slice(0, direction).reduce((product, size) => product * size, 1);
    const size = sizes[direction]!;
    const next = new Array<number>(outer * at.length * inner);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const line = at.map((_, k) => now[(o * size + k) * inner + i]!);
        through(at, line).forEach((coefficient, k) => (next[(o * at.length + k) * inner + i] = coefficient));
      }
    }
    now = next;
    sizes = sizes.map((old, k) => (k === direction ? at.length : old));
  });
  return { powers: combinations(points.map((at) => at.map((_, k) => k))), coefficients: now };
}

/** The coefficients of the polynomial through some points, by Newton's divided differences. */
export function through(x: readonly number[], y: readonly number[]): number[] {
  const divided = [...y];
  for (let k = 1; k < x.length; k++)
    for (let i = x.length - 1; i >= k; i--) divided[i] = (divided[i]! - divided[i - 1]!) / (x[i]! - x[i - k]!);
  let result: number[] = [];
  for (let k = x.length - 1; k >= 0; k--) {
    // result * (t - x_k) + divided_k
    const next = new Array<number>(result.length + (result.length || divided.length ? 1 : 0)).fill(0);
    result.forEach((coefficient, power) => {
      next[power + 1]! += coefficient;
      next[power]! -= coefficient * x[k]!;
    });
    next[0]! += divided[k]!;
    result = next;
  }
  while (result.length > x.length) result.pop();
  return result;
}
