/**
 * What a step costs as a function of the units that are left. A count of operations is a sum of monomials in dims, and
 * bytes and what follows from them nearly are; so the cost of a block is a polynomial that is linear in every axis of
 * its own, and of the third degree in an axis that the whole page has (the lanes of a stream: their mixes' coefficients
 * take lanes^3 operations). It is found by planning the page without gates: whole, with the units of its blocks cut in
 * half, and with three quarters, a half and a quarter of an axis of the page. What a layer costs is multiplied by
 * whether it is there, the optimizer's update is shared out by the numbers of parameters. Coefficients are shares of
 * the dense model's cost.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Kept, SlotInfo } from "../../runtime/plan.js";
import { sizeOf } from "../graph/record.js";
import { MEASURES, type Gate, type Measure, type TypedModel } from "../model/typed.js";
import { gateSlots } from "../model/lower/slots.js";
import { countsOf, everyLayer, inside, numbered, repeatsOf } from "../model/paths.js";
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

/** The gate of an axis. */
type AxisGate = Extract<Gate, { readonly kind: "axis" }>;

/** The gates of a page, and the grid of sizes at which it is planned. */
interface PriceGrid {
  /** All slots of the page, in the order in which the polynomial counts them. */
  readonly slots: readonly SlotInfo[];
  /** The place of each slot in that order, by its name. */
  readonly positions: ReadonlyMap<string, number>;
  /** Gates of layers and of connections. */
  readonly layers: readonly Gate[];
  /** Axes of a block or a layer: they are planned whole and in half. */
  readonly blockAxes: readonly AxisGate[];
  /** Axes of the whole page. */
  readonly pageAxes: readonly AxisGate[];
  /** The units of a gate in the dense model. */
  readonly units: ReadonlyMap<Gate, number>;
  /**
   * The direction of the grid along which a block's axis is cut: 0, 1, …. Axes that no block has together share one.
   * The axes of the page have the directions after those, in their order.
   */
  readonly directions: ReadonlyMap<Gate, number>;
  /** How many directions are those of blocks' axes. */
  readonly halvings: number;
  /** The sizes at which each axis of the page is planned. */
  readonly pageSizes: readonly (readonly number[])[];
  /** The number of coordinates in every direction. */
  readonly shape: readonly number[];
  /** Every combination of coordinates: 0 (whole) or 1 (half) for axes of blocks, a size for each axis of the page. */
  readonly points: readonly (readonly number[])[];
}

/** Blocks that depend on the same gates, and what they cost together. */
interface PricedBlocks {
  /** Layers and connections that they are inside of. */
  readonly layers: readonly Gate[];
  /** The axes of blocks that they have. */
  readonly axes: readonly AxisGate[];
  /** Their cost at every point of the grid. */
  readonly costs: Vector[];
}

/** A polynomial while its terms are gathered. */
interface PolynomialParts {
  readonly terms: number[][];
  readonly coefficients: Readonly<Record<Measure, number[]>>;
}

/** At most so many sizes of an axis of the page: a polynomial of the third degree. */
const MOST_SIZES = 4;

/**
 * The prices of a page that shrinks. `count` plans the page with the units that are left and counts its step; it is
 * called for a few choices of these (see the head of this file).
 */
export function pricesOf(model: TypedModel, count: (kept: Kept) => Counted): Prices {
  const grid = gridOf(model);
  const { dense, blocks } = costsOnGrid(grid, count);
  const layerCounts = countsOf(model.statements);
  const parts: PolynomialParts = { terms: [], coefficients: { flops: [], bytes: [], energy: [], time: [] } };
  for (const priced of blocks) addTerms(parts, grid, dense, priced, layersOf(priced, layerCounts));
  return { polynomial: { slots: grid.slots.map(({ name }) => name), ...parts }, dense };
}

/** The gates of a page, and the sizes at which it is planned. */
function gridOf(model: TypedModel): PriceGrid {
  const gates = model.cost?.gates ?? [];
  const { slots } = gateSlots(model, {});
  const axes = gates.filter((gate) => gate.kind === "axis");
  const blockAxes = axes.filter(({ path }) => path !== "");
  const pageAxes = axes.filter(({ path }) => path === "");
  const sizes = new Map(slots.map(({ name, size }) => [pathOf(name), size]));
  const units = new Map(gates.map((gate) => [gate, mustGet(sizes, gate.name)]));
  const directions = coloured(blockAxes);
  const halvings = Math.max(0, ...[...directions.values()].map((direction) => direction + 1));
  const pageSizes = pageAxes.map((gate) => spread(mustGet(units, gate)));
  const coordinates = [...Array.from({ length: halvings }, () => [0, 1]), ...pageSizes];
  return {
    slots,
    positions: new Map(slots.map(({ name }, i) => [name, i])),
    layers: gates.filter(({ kind }) => kind === "layer"),
    blockAxes,
    pageAxes,
    units,
    directions,
    halvings,
    pageSizes,
    shape: coordinates.map((list) => list.length),
    points: combinations(coordinates),
  };
}

/** What the dense model costs, which is the first point of the grid, and what blocks cost at every point. */
function costsOnGrid(
  grid: PriceGrid,
  count: (kept: Kept) => Counted,
): { readonly dense: Vector; readonly blocks: Iterable<PricedBlocks> } {
  const blocks = new Map<string, PricedBlocks>();
  let dense = nothing;
  for (const [at, point] of grid.points.entries()) {
    const counted = count(keptAt(grid, point));
    if (at === 0) dense = measuresOf(counted.costs.total);
    for (const [path, share] of byPath(counted)) {
      const layers = grid.layers.filter(({ name }) => inside(path, name));
      const axes = grid.blockAxes.filter((gate) => inside(path, gate.path));
      const key = [...layers, ...axes].map(({ name }) => name).join(" ");
      const priced = blocks.get(key) ?? { layers, axes, costs: grid.points.map(() => nothing) };
      priced.costs[at] = plus(mustAt(priced.costs, at), share);
      blocks.set(key, priced);
    }
  }
  return { dense, blocks: blocks.values() };
}

/** Half of the units of an axis of a block. */
const halfOf = ({ units }: PriceGrid, gate: AxisGate): number => Math.max(1, Math.floor(mustGet(units, gate) / 2));

/** The units that are left at a point of the grid: the first ones of each slot of an axis. */
function keptAt(grid: PriceGrid, point: readonly number[]): Kept {
  const { slots, blockAxes, pageAxes, units, directions, halvings } = grid;
  const sizeOfBlockAxis = (gate: AxisGate): number =>
    mustAt(point, mustGet(directions, gate)) === 1 ? halfOf(grid, gate) : mustGet(units, gate);
  const sizes = [
    ...blockAxes.map((gate) => [gate, sizeOfBlockAxis(gate)] as const),
    ...pageAxes.map((gate, i) => [gate, mustAt(point, halvings + i)] as const),
  ];
  return recordOf(
    sizes.flatMap(([gate, size]) =>
      slots
        .filter(({ name }) => pathOf(name) === gate.name)
        .map(({ name }) => [name, Array.from({ length: size }, (_, i) => i)]),
    ),
  );
}

/** The numbers of every layer that such blocks stand in: of the repeats around the gate that is inside of most. */
function layersOf(
  { layers, axes }: PricedBlocks,
  layerCounts: ReadonlyMap<string, number>,
): readonly (readonly number[])[] {
  const innermost = [...layers, ...axes].reduce(
    (name, gate) => (repeatsOf(gate.name).length > repeatsOf(name).length ? gate.name : name),
    "",
  );
  return everyLayer(repeatsOf(innermost).map((repeat) => mustGet(layerCounts, repeat)));
}

/** Adds the terms of some blocks to the polynomial, for each layer that they stand in. */
function addTerms(
  { terms, coefficients }: PolynomialParts,
  grid: PriceGrid,
  dense: Vector,
  { layers, axes, costs }: PricedBlocks,
  layerNumbers: readonly (readonly number[])[],
): void {
  // Along every direction of the grid, values become coefficients of powers; a direction of other blocks' axes has no
  // effect here.
  const gates = axesAlong(grid, axes);
  const shares = sharesAlong(grid, gates);
  const powersOfTerms = combinations(shares.map((list) => list.map((_, power) => power)));
  for (const numbers of layerNumbers) {
    const slotOf = (gate: Gate): number => mustGet(grid.positions, numbered(gate.name, numbers));
    for (const powers of powersOfTerms) {
      const factors = gates.flatMap((gate, direction) =>
        gate ? Array.from({ length: mustAt(powers, direction) }, () => slotOf(gate)) : [],
      );
      terms.push([...layers.map(slotOf), ...factors]);
    }
  }
  for (const measure of MEASURES) {
    const values = costs.map((cost) => cost[measure] / dense[measure] / layerNumbers.length);
    const fitted = along(values, grid.shape, shares);
    for (const _ of layerNumbers) coefficients[measure].push(...fitted);
  }
}

/** The axis that is cut along each direction of the grid, of blocks with these axes; null where none of theirs is. */
const axesAlong = (
  { halvings, directions, pageAxes }: PriceGrid,
  axes: readonly AxisGate[],
): readonly (AxisGate | null)[] => [
  ...Array.from(
    { length: halvings },
    (_, direction) => axes.find((gate) => directions.get(gate) === direction) ?? null,
  ),
  ...pageAxes,
];

/** The shares of an axis that are left at the coordinates of its direction; a direction without an axis has one. */
function sharesAlong(grid: PriceGrid, gates: readonly (AxisGate | null)[]): readonly (readonly number[])[] {
  const { halvings, pageSizes, units } = grid;
  return gates.map((gate, direction) => {
    if (!gate) return [1];
    const whole = mustGet(units, gate);
    return direction < halvings
      ? [1, halfOf(grid, gate) / whole]
      : mustAt(pageSizes, direction - halvings).map((size) => size / whole);
  });
}

/** Sizes from the whole to a quarter. */
function spread(size: number): number[] {
  const count = Math.min(MOST_SIZES, size);
  return Array.from({ length: count }, (_, i) => Math.round((size * (count - i)) / count));
}

/** Axes of one block are cut one by one: each has a direction of its own there. */
function coloured(blockAxes: readonly AxisGate[]): Map<AxisGate, number> {
  const directions = new Map<AxisGate, number>();
  const together = (a: AxisGate, b: AxisGate): boolean => inside(a.path, b.path) || inside(b.path, a.path);
  for (const gate of blockAxes) {
    const taken = new Set([...directions].filter(([other]) => together(gate, other)).map(([, direction]) => direction));
    let direction = 0;
    while (taken.has(direction)) direction++;
    directions.set(gate, direction);
  }
  return directions;
}

/** What blocks cost, each with its share of the update, by the path with stars. */
function byPath({ costs, parameters }: Counted): Map<string, Vector> {
  const shares = new Map<string, Vector>();
  const add = (path: string, share: Vector): void => void shares.set(path, plus(shares.get(path) ?? nothing, share));
  for (const [path, phases] of costs.blockPhases)
    for (const phase of ["forward", "backward"] as const) add(path, measuresOf(phases[phase]));
  const numbers = parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const update = measuresOf(costs.phases.update);
  for (const { name, shape } of parameters)
    add(pathOf(name).split(".").slice(0, -1).join("."), times(update, sizeOf(shape) / numbers));
  // What the step itself takes: the overhead that is of no dispatch.
  let stepMs = costs.overheadMs;
  for (const [path, ms] of costs.dispatchMs) {
    add(path, { ...nothing, time: ms });
    stepMs -= ms;
  }
  add("", { ...nothing, time: stepMs });
  return shares;
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
 * Values on a grid -> coefficients of the polynomial through them; the powers of the last direction change fastest. A
 * direction with one point is taken at its first value.
 */
function along(
  values: readonly number[],
  shape: readonly number[],
  points: readonly (readonly number[])[],
): readonly number[] {
  let now = values;
  let sizes = shape;
  for (const [direction, at] of points.entries()) {
    const inner = sizes.slice(direction + 1).reduce((product, size) => product * size, 1);
    const outer = sizes.slice(0, direction).reduce((product, size) => product * size, 1);
    const size = mustAt(sizes, direction);
    const next = new Array<number>(outer * at.length * inner);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const line = at.map((_, k) => mustAt(now, (o * size + k) * inner + i));
        through(at, line).forEach((coefficient, k) => (next[(o * at.length + k) * inner + i] = coefficient));
      }
    }
    now = next;
    sizes = sizes.map((old, k) => (k === direction ? at.length : old));
  }
  return now;
}

/** The coefficients of the polynomial through some points, by Newton's divided differences. */
export function through(x: readonly number[], y: readonly number[]): number[] {
  const divided = [...y];
  for (let k = 1; k < x.length; k++) {
    for (let i = x.length - 1; i >= k; i--) {
      const rise = mustAt(divided, i) - mustAt(divided, i - 1);
      divided[i] = rise / (mustAt(x, i) - mustAt(x, i - k));
    }
  }
  let result: number[] = [];
  for (let k = x.length - 1; k >= 0; k--) {
    // result * (t - x_k) + divided_k
    const next = new Array<number>(result.length + 1).fill(0);
    for (const [power, coefficient] of result.entries()) {
      addAt(next, power + 1, coefficient);
      addAt(next, power, -coefficient * mustAt(x, k));
    }
    addAt(next, 0, mustAt(divided, k));
    result = next;
  }
  return result;
}

const addAt = (list: number[], index: number, value: number): void => {
  list[index] = mustAt(list, index) + value;
};
