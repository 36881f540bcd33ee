/**
 * Kernels that do not wait for each other run as one dispatch, since a dispatch costs a barrier of all threads (or 20
 * us of a driver). Equal kernels become copies of one, whatever their depth in the network: the projections of a
 * layer's queries, keys and values, or the sums over tokens of all its connections. Small kernels that differ become
 * members of a new one, whose groups are theirs, one after the other; those whose invocations share memory do not,
 * since that is declared for a whole kernel.
 *
 * Both by the same rule: a kernel goes into the latest batch that takes it and comes after all that it needs, none from
 * before its epoch. Light kernels wait until they are needed, so that those of one kind, made layer by layer, meet:
 * gradients of a connection's scalars, which nobody reads before the update.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import { COPIES } from "../../../runtime/plan.js";
import type { Graph } from "../../graph/node.js";
import { namesOf } from "../../graph/text.js";
import * as k from "../../kernel/build.js";
import type { Buffer, Kernel, Stmt } from "../../kernel/ir.js";
import { rename } from "../../kernel/rename.js";
import type { Bound, Place } from "../emit/kernelize.js";
import type { Located } from "./places.js";
import type { Region } from "../fusion/regions.js";

/** Floating-point operations up to which a kernel is small. */
const SMALL = 1 << 22;
/** Members of a batch: with more, every depth would have texts of its own. */
const MOST = 3;
/**
 * Share of the largest tensor up to which all that a kernel touches is light: what it reads has to stay while it waits.
 */
const LIGHT = 1 / 8;
/** Largest tensors that all that waits may add up to. */
const HELD = 1;

/** Words of a space; places overlap when their words in one space do. */
export interface PlaceSpan {
  readonly space: unknown;
  readonly from: number;
  readonly to: number;
}

interface Touch extends PlaceSpan {
  readonly writes: boolean;
}

/**
 * A kernel, and the epoch of what it computes: what is made again late (src/passes/recompute.ts) must not be made with
 * what it was first.
 */
export interface Due {
  readonly bound: Bound;
  readonly epoch: number;
  /** What the kernel was made of; null for copies and what sets memory to zero. */
  readonly region: Region | null;
}

/** One dispatch: a kernel, and the places of each of its copies. */
export interface KernelBatch {
  readonly bound: Bound;
  readonly copies: readonly (readonly Place[])[];
  readonly members: readonly Due[];
}

/** The dispatches of an entry, in an order in which they can run: what waits for nothing runs together. */
export function batch(dues: readonly Due[], spanOf: (place: Place) => PlaceSpan): KernelBatch[] {
  const touches = (due: Due): Touch[] => touchesOf(due, spanOf);
  const copies = gather(
    late(dues, touches),
    touches,
    ({ epoch }) => epoch,
    (members, { bound }) => members.length < COPIES && mustAt(members, 0).bound.kernel === bound.kernel,
  );
  const joined = gather(
    copies,
    (members) => members.flatMap(touches),
    (members) => mustAt(members, 0).epoch,
    (groups, members) => {
      const [first, newcomer] = [onlyOf(mustAt(groups, 0)), onlyOf(members)];
      return (
        groups.length < MOST &&
        first !== null &&
        newcomer !== null &&
        first.kernel.workgroup === newcomer.kernel.workgroup &&
        isSmall(first) &&
        isSmall(newcomer)
      );
    },
  );
  return joined.map((groups): KernelBatch => {
    const members = mustAt(groups, 0);
    const bounds = groups.map((copiesOfOne) => mustAt(copiesOfOne, 0).bound);
    const bound = groups.length === 1 ? mustAt(bounds, 0) : together(bounds);
    return {
      bound,
      copies: groups.length === 1 ? members.map(({ bound: { places } }) => places) : [bound.places],
      members: groups.flat(),
    };
  });
}

/** Batches as text: of each what runs, and how often, by the names that the graph's text gives the nodes. */
export function printBatches(graph: Graph, batches: readonly KernelBatch[]): string {
  const name = namesOf(graph);
  const stored = ({ bound, region }: Due): string =>
    region ? region.clusters.flatMap(({ roots }) => roots.map(name)).join(" ") : bound.kernel.name;
  const lines = batches.map(
    ({ bound, copies, members }, i) =>
      `  dispatch ${i}: ${bound.kernel.name}${copies.length > 1 ? ` x ${copies.length}` : ""}, makes ` +
      members.map(stored).join("; "),
  );
  return [`dispatches of ${graph.name} {`, ...lines, "}"].join("\n");
}

/** The kernel of members that are one; null when it is to run several times. */
const onlyOf = (members: readonly Due[]): Bound | null => (members.length === 1 ? mustAt(members, 0).bound : null);

const isSmall = ({ kernel, flops }: Bound): boolean =>
  flops <= SMALL && kernel.body.every(({ kind }) => kind !== "shared" && kind !== "barrier");

const wordsOf = (touches: readonly Touch[]): number => touches.reduce((words, { from, to }) => words + to - from, 0);

/** Pairs of kernels, in their order, of which one writes words that the other touches. */
export function conflicts(dues: readonly Due[], spanOf: (place: Place) => PlaceSpan): (readonly [Due, Due])[] {
  const record = createRecord();
  return dues.flatMap((due, i) => {
    const touches = touchesOf(due, spanOf);
    const before = record.before(touches);
    record.add(touches, i);
    return Array.from(before, (earlier) => [mustAt(dues, earlier), due] as const);
  });
}

const touchesOf = ({ bound: { kernel, places } }: Due, spanOf: (place: Place) => PlaceSpan): Touch[] =>
  kernel.buffers.map(({ access }, i) => ({ ...spanOf(mustAt(places, i)), writes: access !== "read" }));

/** The same kernels, the light ones right before the first that has to come after them. */
function late(dues: readonly Due[], touches: (due: Due) => readonly Touch[]): Due[] {
  const touched = dues.map(touches);
  const largest = touched.flat().reduce((most, { from, to }) => Math.max(most, to - from), 0);
  const record = createRecord();
  const needs = touched.map((list, i) => {
    const before = record.before(list);
    record.add(list, i);
    return before;
  });
  const order: number[] = [];
  const waiting = new Set<number>();
  let held = 0;
  const release = (i: number): void => {
    if (!waiting.delete(i)) return;
    held -= wordsOf(mustAt(touched, i));
    mustAt(needs, i).forEach(release);
    order.push(i);
  };
  touched.forEach((list, i) => {
    const words = wordsOf(list);
    if (words <= LIGHT * largest) {
      waiting.add(i);
      held += words;
      if (held > HELD * largest) waiting.forEach(release);
      return;
    }
    mustAt(needs, i).forEach(release);
    order.push(i);
  });
  waiting.forEach(release);
  return order.map((i) => mustAt(dues, i));
}

/** Who touched what: answers which of the earlier ones have to run before a newcomer. */
function createRecord() {
  interface Seen extends PlaceSpan {
    readonly by: number;
  }
  const all = new Map<unknown, Seen[]>();
  /** Whoever only reads waits for writers alone, which are few. */
  const written = new Map<unknown, Seen[]>();
  return {
    before(touches: readonly Touch[]): ReadonlySet<number> {
      const found = new Set<number>();
      for (const { space, from, to, writes } of touches) {
        for (const other of (writes ? all : written).get(space) ?? [])
          if (other.from < to && from < other.to) found.add(other.by);
      }
      return found;
    },
    add(touches: readonly Touch[], by: number): void {
      for (const { space, from, to, writes } of touches) {
        for (const lists of writes ? [all, written] : [all]) {
          const list = lists.get(space);
          if (list) list.push({ space, from, to, by });
          else lists.set(space, [{ space, from, to, by }]);
        }
      }
    },
  };
}

/**
 * Puts items into groups that can run in turn: each into the latest that takes it and comes after all that it needs, or
 * into one of its own.
 */
function gather<T>(
  items: readonly T[],
  touches: (item: T) => readonly Touch[],
  epochOf: (item: T) => number,
  takes: (members: readonly T[], item: T) => boolean,
): T[][] {
  const groups: T[][] = [];
  const began = new Map<number, number>([[0, 0]]);
  const record = createRecord();
  for (const item of items) {
    const own = touches(item);
    const epoch = epochOf(item);
    if (!began.has(epoch)) began.set(epoch, groups.length);
    const earliest = Math.max(mustGet(began, epoch), ...[...record.before(own)].map((group) => group + 1));
    let at = groups.length - 1;
    while (at >= earliest && !takes(mustAt(groups, at), item)) at--;
    if (at >= earliest) mustAt(groups, at).push(item);
    else {
      at = groups.length;
      groups.push([item]);
    }
    record.add(own, at);
  }
  return groups;
}

/** One kernel whose groups are those of all members. */
function together(members: readonly Bound[]): Bound {
  const places = [...new Set(members.flatMap((member) => member.places))];
  const buffers = places.map((place, i): Buffer => {
    const uses = members.flatMap((member) => member.kernel.buffers.filter((_, b) => member.places[b] === place));
    const reads = uses.some(({ access }) => access !== "write");
    const writes = uses.some(({ access }) => access !== "read");
    return { name: `b${i}`, pool: place.pool, access: reads && writes ? "read_write" : writes ? "write" : "read" };
  });
  const group = k.ref("group", k.INDEX);
  let start = 0;
  const branches = members.map(({ kernel, places: own }, i) => {
    const names = new Map(kernel.buffers.map(({ name }, b) => [name, `b${places.indexOf(mustAt(own, b))}`]));
    const member = `member${i}`;
    const body: Stmt[] = [
      k.letS(member, k.sub(group, k.idx(start))),
      ...rename(kernel.body, new Map([...names, ["group", member]])),
    ];
    start += kernel.groups;
    return { end: start, body };
  });
  const body = branches.reduceRight<readonly Stmt[]>(
    (rest, { end, body: own }) => (rest.length ? [k.ifS(k.lt(group, k.idx(end)), own, rest)] : own),
    [],
  );
  const { workgroup } = mustAt(members, 0).kernel;
  const name = [...new Set(members.map((member) => member.kernel.name))].join("+");
  const kernel: Kernel = { name, groups: start, workgroup, buffers, body };
  return {
    kernel,
    places,
    tuned: null,
    touched: places.map((place) => slicesTogether(place, members)),
    flops: members.reduce((sum, { flops }) => sum + flops, 0),
    made: new Set(members.flatMap(({ made }) => [...made])),
    scratch: new Map(members.flatMap(({ scratch }) => [...scratch])),
  };
}

/** Words that members read of a place as slices: together no more than there are. */
function slicesTogether(place: Place, members: readonly Bound[]): number | null {
  const own = members.flatMap(({ places, touched }) =>
    places.flatMap((one, i) => (one === place ? [touched[i] ?? null] : [])),
  );
  if (own.includes(null)) return null;
  return Math.min(
    (place as Located).words,
    own.reduce<number>((sum, words) => sum + (words ?? 0), 0),
  );
}
