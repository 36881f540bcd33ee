/**
 * Recurrences: one kernel for all places of an axis, with what goes from place to place on the chip. On a CPU a group
 * takes a few positions of the independent axes together, so that a row of a weight that is loaded serves all of them,
 * and lanes run along the last axis. On a GPU a workgroup takes one position, its invocations share the elements of a
 * stage, and they meet after each.
 */
import { mustAt } from "../../../../runtime/lookup.js";
import type { Node, NodeWith } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import { sizeOf } from "../../../graph/record.js";
import { constant, keyOf, outermost, still, type Coord } from "../../emit/coords.js";
import type { ReductionAt, Reducing } from "../../emit/emit.js";
import { kernelize, type Bound, type OwnGraph, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { behindReshapes, isView, rowMajor } from "../../fusion/views.js";
import { anchorOf } from "../anchor.js";
import { lanes } from "../rows.js";
import {
  innerSizes,
  isSum,
  layOut,
  wordsOf,
  type AxisRole,
  type RecurrenceLayout,
  type RecurringTensor,
} from "./layout.js";

/** Positions of the independent axes that a group of a CPU takes together at most: their sums share registers. */
const MOST_ROWS = 4;
/** Words that a workgroup has for what stays on the chip: 16 KiB. */
const CHIP_WORDS = 4096;

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** A kernel while it is made. */
interface RecurrenceKernel {
  readonly layout: RecurrenceLayout;
  /** The results in memory, by the number of their tensor; null for one that nothing reads. */
  readonly results: readonly (NodeWith<"recurrence"> | null)[];
  /** Rows of a group, by the keys of their coordinates: filled when these are bound. */
  readonly rows: Map<string, number>;
  readonly rowCount: number;
  /** The coordinate of a place among those that are kept, once the emitter is there. */
  slotOf: (along: Coord, slots: number) => Coord;
  /** The value that is made now, which is not read but computed. */
  making: Node | null;
  /** The arrays of what is kept on the chip, and the kernel's own buffers of what has no room there. */
  readonly arrays: Map<Node, string>;
  /** Tensors that are read back from memory, since the chip has no room for them. */
  readonly inMemory: ReadonlySet<Node>;
  /** Values that are in memory of the kernel's own, since the chip has no room for them. */
  readonly inScratch: ReadonlySet<Node>;
}

/** The kernel of a cluster whose members are the results of a recurrence. */
export function recurrenceKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = anchorOf(cluster, "recurrence");
  const layout = layOut(node);
  const isGpu = profile.kind === "gpu";
  const kernel = kernelOf(cluster, layout, isGpu);
  const request = { name: "recurrence", clusters: [cluster], profile, places, own: ownGraph(kernel, node, places) };
  const workgroup = isGpu ? profile.workgroup : 1;
  return kernelize({ ...request, lanes: isGpu ? 1 : profile.lanes, workgroup }, (bench) =>
    isGpu ? onGpu(bench, kernel) : onCpu(bench, kernel),
  );
}

function kernelOf(cluster: Cluster, layout: RecurrenceLayout, isGpu: boolean): RecurrenceKernel {
  const members = [...cluster.members] as NodeWith<"recurrence">[];
  const stored = new Set<Node>(cluster.roots);
  const results = layout.states.map(
    (_, i) => members.find((member) => member.attrs.result === i && stored.has(member)) ?? null,
  );
  const rowCount = isGpu ? 1 : rowsFor(layout);
  const moved = isGpu ? withoutRoom(layout) : new Set<Node>();
  const isResult = ({ leaf }: RecurringTensor, i: number): boolean => moved.has(leaf) && mustAt(results, i) !== null;
  const inMemory = new Set(layout.states.filter(isResult).map(({ leaf }) => leaf));
  const arrays = new Map<Node, string>();
  for (const { leaf, value } of layout.states) {
    if (moved.has(leaf)) continue;
    const name = `state${arrays.size}`;
    arrays.set(leaf, name);
    arrays.set(value, name);
  }
  for (const stage of layout.stages)
    if (!moved.has(stage) && !layout.states.some(({ value }) => value === stage))
      arrays.set(stage, `stage${arrays.size}`);
  const slotOf = (along: Coord): Coord => along;
  const inScratch = new Set([...moved].filter((node) => !inMemory.has(node)));
  return { layout, results, rows: new Map(), rowCount, slotOf, making: null, arrays, inMemory, inScratch };
}

/** As many rows as share sums, of which whole groups can be made. */
function rowsFor({ groupSizes, stages }: RecurrenceLayout): number {
  const positions = sizeOf(groupSizes);
  const sums = stages.some((stage) => sumsIn(stage, stages).length > 0);
  let rows = sums ? Math.min(MOST_ROWS, positions) : 1;
  while (positions % rows !== 0) rows--;
  return rows;
}

/**
 * What does not fit on the chip of a GPU: the largest of the tensors that recur, by their leaves, and when the chip is
 * too small for the others alone the largest of those.
 */
function withoutRoom(layout: RecurrenceLayout): Set<Node> {
  const { states, stages } = layout;
  const others = stages
    .filter((stage) => !states.some(({ value }) => value === stage))
    .map((node) => ({ node, words: wordsOf(layout, node) }));
  const tensors = states.map(({ leaf, value, slots }) => ({ node: leaf, words: slots * wordsOf(layout, value) }));
  const ascending = (values: typeof others): typeof others => values.sort((a, b) => a.words - b.words);
  let room = CHIP_WORDS;
  const moved = new Set<Node>();
  for (const { node, words } of [...ascending(others), ...ascending(tensors)]) {
    if (words <= room) room -= words;
    else moved.add(node);
  }
  return moved;
}

/** Where nodes of the body are read: operands in memory, stages and tensors on the chip. */
function ownGraph(kernel: RecurrenceKernel, node: NodeWith<"recurrence">, places: Places): OwnGraph {
  const { layout, arrays, results, inMemory } = kernel;
  const stateOf = (of: Node): number => layout.states.findIndex(({ leaf, value }) => leaf === of || value === of);
  return {
    bufferOf: (of, read) => {
      if (of === kernel.making) return null;
      const array = arrays.get(of);
      if (array !== undefined) return array;
      const operand = layout.operands.indexOf(of);
      if (operand >= 0) return read(behindReshapes(mustAt(node.inputs, operand), places.isBase));
      const state = stateOf(of);
      const result = state >= 0 && inMemory.has(mustAt(layout.states, state).leaf) ? results[state] : null;
      return result ? read(result) : null;
    },
    placed: (of, coords) => (arrays.has(of) ? placeOnChip(kernel, of, coords) : null),
  };
}

/**
 * Where an element of what is on the chip lies: row by row, place by place, then as the value lies in memory. In the
 * kernel's own memory each group has its rows.
 */
function placeOnChip(
  { layout, rows, rowCount, slotOf, inScratch }: RecurrenceKernel,
  node: Node,
  coords: readonly Coord[],
): { readonly coords: readonly Coord[]; readonly strides: readonly number[] } {
  const roles = layout.rolesOf(node);
  const state = layout.states.find(({ leaf, value }) => leaf === node || value === node);
  const words = wordsOf(layout, node);
  const inner = coords.filter((_, axis) => mustAt(roles, axis).kind === "inner");
  const isScratch = inScratch.has(state?.leaf ?? node);
  const row = isScratch ? outermost(group) : constant(rowCount === 1 ? 0 : (rows.get(rowKey(roles, coords)) ?? fail()));
  const along = coords[roles.findIndex(({ kind }) => kind === "along")];
  const strides = rowMajor(innerSizes(layout, node));
  const slots = state?.slots ?? 1;
  if (!along || slots === 1) return { coords: [row, ...inner], strides: [words, ...strides] };
  return { coords: [row, slotOf(along, slots), ...inner], strides: [slots * words, words, ...strides] };
}

const fail = (): never => {
  throw new Error("bug: a recurrence reads a row that its group does not have");
};

const rowName = (parts: readonly { readonly number: number; readonly coord: Coord }[]): string =>
  parts
    .map(({ number, coord }) => `${number}:${keyOf(still(coord))}`)
    .sort()
    .join();

/** The name of a row by the coordinates of a value in it. */
const rowKey = (roles: readonly AxisRole[], coords: readonly Coord[]): string =>
  rowName(
    roles.flatMap((role, axis) =>
      role.kind === "group" ? [{ number: role.number, coord: mustAt(coords, axis) }] : [],
    ),
  );

/** Sums that a stage computes in place, at its own coordinates. */
function sumsIn(stage: Node, stages: readonly Node[]): Reducing[] {
  const found = new Set<Reducing>();
  const visit = (node: Node): void => {
    if (node !== stage && stages.includes(node)) return;
    if (isSum(node)) {
      if (node.shape.length === stage.shape.length) found.add(node as Reducing);
      return;
    }
    if (!isView(node) && node.op !== "gather") node.inputs.forEach(visit);
  };
  visit(stage);
  return [...found];
}

/** Where a value is made: the rows, the place, and a position along the inner axes. */
interface Making {
  readonly rows: readonly (readonly Coord[])[];
  readonly along: Coord;
  readonly inner: readonly Coord[];
}

function onCpu(bench: Workbench, kernel: RecurrenceKernel): number {
  const { layout, rowCount } = kernel;
  const { emitter: e } = bench;
  for (const [name, words] of arraysOf(kernel)) e.push(k.arrayS(name, "f32", words));
  walk(bench, kernel, (stage, rows, along) =>
    lanes(bench, innerSizes(layout, stage), (inner) => make(bench, kernel, stage, { rows, along, inner })),
  );
  return sizeOf(layout.groupSizes) / rowCount;
}

function onGpu(bench: Workbench, kernel: RecurrenceKernel): number {
  const { layout, arrays, inMemory, inScratch } = kernel;
  const { emitter: e, profile } = bench;
  for (const [name, words] of arraysOf(kernel)) e.shared(name, words);
  const groups = sizeOf(layout.groupSizes);
  for (const node of inScratch) {
    const state = layout.states.find(({ leaf }) => leaf === node);
    const buffer = bench.scratch(groups * (state?.slots ?? 1) * wordsOf(layout, state?.value ?? node));
    for (const stored of state ? [state.leaf, state.value] : [node]) arrays.set(stored, buffer);
  }
  walk(bench, kernel, (stage, rows, along) => {
    const sizes = innerSizes(layout, stage);
    e.loop(local, k.idx(sizeOf(sizes)), profile.workgroup, (flat) =>
      make(bench, kernel, stage, { rows, along, inner: e.split(flat, sizes) }),
    );
    e.push(k.barrier(inMemory.size > 0 || inScratch.size > 0));
  });
  return groups;
}

/** The arrays on the chip with their words. */
function arraysOf({ layout, arrays, rowCount }: RecurrenceKernel): Map<string, number> {
  const words = new Map<string, number>();
  for (const [node, name] of arrays) {
    const slots = layout.states.find(({ leaf, value }) => leaf === node || value === node)?.slots ?? 1;
    words.set(name, rowCount * slots * wordsOf(layout, node));
  }
  return words;
}

/** Walks the axis, and at each place all stages. */
function walk(
  { emitter: e }: Workbench,
  kernel: RecurrenceKernel,
  at: (stage: Node, rows: readonly (readonly Coord[])[], along: Coord) => void,
): void {
  const { layout, rowCount } = kernel;
  kernel.slotOf = (along, slots) => {
    const id = `slot|${keyOf(still(along))}|${slots}`;
    const slot = e.remember(along.depth, id, () => e.bind(k.rem(along.at, k.idx(slots)), along.depth, "i"));
    return { ...still(along), at: slot };
  };
  const rows = Array.from({ length: rowCount }, (_, row) => {
    const flat = e.coord(k.add(k.mul(group, k.idx(rowCount)), k.idx(row)));
    const coords = e.split(flat, layout.groupSizes);
    kernel.rows.set(rowName(coords.map((coord, number) => ({ number, coord }))), row);
    return coords;
  });
  e.loop(k.idx(0), k.idx(layout.places), 1, (turn) => {
    const along = layout.reversed ? e.coord(k.sub(k.idx(layout.places - 1), turn.at)) : turn;
    for (const stage of layout.stages) at(stage, rows, along);
  });
}

/** Makes a value at one position, for all rows. */
function make(bench: Workbench, kernel: RecurrenceKernel, stage: Node, { rows, along, inner }: Making): void {
  const { layout, arrays, results } = kernel;
  const { emitter: e } = bench;
  const roles = layout.rolesOf(stage);
  const coords = rows.map((row) => {
    let next = 0;
    return roles.map((role): Coord => {
      if (role.kind === "group") return mustAt(row, role.number);
      return role.kind === "along" ? along : mustAt(inner, next++);
    });
  });
  kernel.making = stage;
  e.together(sumsIn(stage, layout.stages).flatMap((node) => coords.map((at): ReductionAt => ({ node, coords: at }))));
  const values = coords.map((at): Expr => e.emit(stage, at));
  kernel.making = null;
  const array = arrays.get(stage);
  for (const [row, at] of coords.entries()) {
    const value = mustAt(values, row);
    if (array !== undefined) e.store(array, stage, at, value);
    for (const [i, { value: state }] of layout.states.entries()) {
      const result = results[i];
      if (state === stage && result) e.store(bench.write(result), result, at, value);
    }
  }
}
