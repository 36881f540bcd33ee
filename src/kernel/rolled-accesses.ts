/**
 * Words of memory that lie equally far apart, one after another: a loop that moves registers up by one has one load or
 * store where the text would have many, and what is loaded twice is loaded once. A driver that emulates a GPU makes a
 * loop over lanes, with branches, of every load and store of the text, and the time to compile those grows faster than
 * their number; moving registers costs it next to nothing.
 *
 * Loads move up to the first of their group and stores down to the last, within a block, and never past an access that
 * they may meet.
 */
import { mustAt } from "../../runtime/lookup.js";
import * as k from "./build.js";
import type { Expr, Kernel, PoolName, Stmt, Type } from "./ir.js";
import { keyOf, linear } from "./linear.js";
import { turnsOf } from "./loops.js";
import { eachExpr } from "./operands.js";
import {
  drainStores,
  fillRegisters,
  keepStored,
  loadedValue,
  rollLoads,
  rollStores,
  type AccessGroup,
  type RolledLoads,
  type RolledStores,
  type Rolling,
  type Site,
} from "./rolled-registers.js";
import { vectorsOf } from "./vectors.js";

const LANES = 4;
/** Turns of a loop around which a loop of its own is dear. */
const FEW = 32;

/** The body of a kernel with loops in place of many loads and stores. */
export function rollAccesses(kernel: Kernel): readonly Stmt[] {
  const pools = new Map(kernel.buffers.map(({ name, pool }) => [name, pool]));
  return rollBlock({ vectors: vectorsOf(kernel), pools, names: new Map(), rolled: 0 }, kernel.body, false);
}

/** `often`: in a loop of many turns, where a loop of four would take its time. */
function rollBlock(state: Rolling, body: readonly Stmt[], often: boolean): Stmt[] {
  const { loads, stores } = groupsOf(state, body, often);
  return body.flatMap((s): Stmt[] => {
    if (s.kind === "for") {
      state.names.delete(s.name);
      const isOften = often || (turnsOf(s) ?? Number.POSITIVE_INFINITY) > FEW;
      return [{ ...s, body: rollBlock(state, s.body, isOften) }];
    }
    if (s.kind === "if")
      return [{ ...s, then: rollBlock(state, s.then, often), else: rollBlock(state, s.else, often) }];
    const load = loads.get(s);
    if (load && s.kind === "let") {
      const filled = load.group.first === s ? fillRegisters(state, load) : [];
      return [...filled, k.letS(s.name, loadedValue(load, s))];
    }
    const store = stores.get(s);
    if (store && s.kind === "store") {
      const kept = keepStored(store, s);
      return store.group.last === s ? [kept, ...drainStores(state, store)] : [kept];
    }
    return [s];
  });
}

/** What a statement loads, when it is a load or single loads as lanes. */
function loadedBy(state: Rolling, s: Stmt): Site | null {
  if (s.kind !== "let") return null;
  const { value } = s;
  if (value.kind === "load") return siteOf(state, value.from, value.index, value.type, value);
  return value.kind === "lanes" ? gathered(state, value.items) : null;
}

const storedBy = (state: Rolling, s: Stmt): Site | null =>
  s.kind === "store" ? siteOf(state, s.to, s.index, s.value.type, s) : null;

/** The place that a load or a store, `access`, goes to; null when it is none of a buffer. */
function siteOf(state: Rolling, buffer: string, index: Expr, { of, lanes }: Type, access: Expr | Stmt): Site | null {
  const { pools, vectors, names } = state;
  const pool = pools.get(buffer);
  if (pool === undefined) return null;
  const isWhole = lanes === LANES && vectors.pools.has(pool) && vectors.aligned.has(access);
  const sum = linear(index, names);
  const words = lanes === LANES && !isWhole ? [0, 1, 2, 3] : [0];
  return {
    buffer,
    index,
    type: { of, lanes: isWhole ? LANES : 1 },
    group: `${buffer} ${isWhole ? LANES : 1} ${keyOf(sum)}`,
    at: words.map((word) => sum.constant + word),
  };
}

/** Single loads as one site. */
function gathered(state: Rolling, items: readonly Expr[]): Site | null {
  const sites: Site[] = [];
  for (const item of items) {
    if (item.kind !== "load" || item.type.lanes !== 1) return null;
    const site = siteOf(state, item.from, item.index, item.type, item);
    if (!site || site.group !== (sites[0] ?? site).group) return null;
    sites.push(site);
  }
  return { ...mustAt(sites, 0), at: sites.flatMap(({ at }) => at) };
}

type AccessKind = "load" | "store";

/** Groups of a block, while it is walked: those that later statements may still join, and all. */
interface Grouping {
  readonly open: Readonly<Record<AccessKind, Map<string, AccessGroup>>>;
  readonly groups: { readonly kind: AccessKind; readonly group: AccessGroup }[];
}

/** Ends the open groups of whose buffers and keys `isOver` is true: later statements begin new ones. */
function endGroups(grouping: Grouping, kind: AccessKind, isOver: (buffer: string, key: string) => boolean): void {
  for (const [key, group] of grouping.open[kind]) if (isOver(group.buffer, key)) grouping.open[kind].delete(key);
}

function joinGroup(grouping: Grouping, kind: AccessKind, s: Stmt, site: Site): void {
  const open = grouping.open[kind];
  let group = open.get(site.group);
  // Stores to one place are in order.
  if (
    group &&
    kind === "store" &&
    [...group.sites.values()].some(({ at }) => at.some((word) => site.at.includes(word)))
  )
    group = undefined;
  if (!group) {
    group = { buffer: site.buffer, sites: new Map(), first: s, last: s };
    open.set(site.group, group);
    grouping.groups.push({ kind, group });
  }
  group.sites.set(s, site);
  group.last = s;
}

/** The groups of a block that are worth a loop, by each of their statements. */
function groupsOf(
  state: Rolling,
  body: readonly Stmt[],
  often: boolean,
): { readonly loads: ReadonlyMap<Stmt, RolledLoads>; readonly stores: ReadonlyMap<Stmt, RolledStores> } {
  const grouping: Grouping = { open: { load: new Map(), store: new Map() }, groups: [] };
  for (const s of body) groupStmt(state, grouping, s);
  const loads = new Map<Stmt, RolledLoads>();
  const stores = new Map<Stmt, RolledStores>();
  for (const { kind, group } of grouping.groups) {
    const words = [...group.sites.values()].flatMap(({ at }) => at);
    if (words.length < 2 || (often && (kind === "store" || new Set(words).size === words.length))) continue;
    if (kind === "load") {
      const rolled = rollLoads(state, group, often);
      for (const s of group.sites.keys()) loads.set(s, rolled);
    } else {
      const rolled = rollStores(state, group);
      for (const s of group.sites.keys()) stores.set(s, rolled);
    }
  }
  return { loads, stores };
}

function groupStmt(state: Rolling, grouping: Grouping, s: Stmt): void {
  const { pools, names } = state;
  const isIn =
    (pool: PoolName | undefined) =>
    (buffer: string): boolean =>
      pools.get(buffer) === pool;
  const load = loadedBy(state, s);
  const store = storedBy(state, s);
  for (const pool of loadsOf(s, pools)) endGroups(grouping, "store", isIn(pool));
  if (store) {
    endGroups(grouping, "load", isIn(pools.get(store.buffer)));
    endGroups(grouping, "store", (buffer, key) => buffer === store.buffer && key !== store.group);
    joinGroup(grouping, "store", s, store);
  } else if (s.kind === "for" || s.kind === "if" || s.kind === "barrier") {
    for (const pool of storesOf([s], pools)) {
      endGroups(grouping, "load", isIn(pool));
      endGroups(grouping, "store", isIn(pool));
    }
  }
  if (load) joinGroup(grouping, "load", s, load);
  if (s.kind === "let" && s.value.type.of === "index") names.set(s.name, linear(s.value, names));
}

type PoolsOfBuffers = ReadonlyMap<string, PoolName>;

/** The pools that statements store to; all of them where a barrier lets others store. */
function storesOf(body: readonly Stmt[], pools: PoolsOfBuffers): PoolName[] {
  return body.flatMap((s): PoolName[] => {
    switch (s.kind) {
      case "store": {
        const pool = pools.get(s.to);
        return pool ? [pool] : [];
      }
      case "for":
        return storesOf(s.body, pools);
      case "if":
        return storesOf([...s.then, ...s.else], pools);
      case "barrier":
        return [...pools.values()];
      default:
        return [];
    }
  });
}

/** The pools that a statement loads from; all of them where others meet it at a barrier. */
function loadsOf(s: Stmt, pools: PoolsOfBuffers): ReadonlySet<PoolName> {
  if (hasBarrier(s)) return new Set(pools.values());
  const loaded = new Set<PoolName>();
  eachExpr([s], (e) => {
    const pool = e.kind === "load" ? pools.get(e.from) : undefined;
    if (pool) loaded.add(pool);
  });
  return loaded;
}

const hasBarrier = (s: Stmt): boolean =>
  s.kind === "barrier" ||
  (s.kind === "for" && s.body.some(hasBarrier)) ||
  (s.kind === "if" && (s.then.some(hasBarrier) || s.else.some(hasBarrier)));
