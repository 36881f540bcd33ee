/**
 * Registers that a loop fills or empties: the words of a group of loads come into vectors that move up by one word a
 * turn, and those of a group of stores leave them so. Which accesses make a group is decided in `rolled-accesses.ts`.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import * as k from "./build.js";
import type { Expr, PoolName, Stmt, Type } from "./ir.js";
import type { LinearNames } from "./linear.js";
import type { Vectors } from "./vectors.js";

const LANES = 4;

/** The state of rolling one kernel. */
export interface Rolling {
  readonly vectors: Vectors;
  /** The pool of every buffer. */
  readonly pools: ReadonlyMap<string, PoolName>;
  /** Index values that are sums, by name. */
  readonly names: LinearNames;
  /** How many names were made up so far. */
  rolled: number;
}

/** Words, or whole vectors, of a buffer that one statement accesses. */
export interface Site {
  readonly buffer: string;
  /** The buffer and the varying part of the index, which sites of a group have in common. */
  readonly group: string;
  readonly index: Expr;
  /** The type of one element. */
  readonly type: Type;
  /** Where its elements lie, beyond what the group has in common. */
  readonly at: readonly number[];
}

/** Statements of a block that access places which differ by constants. */
export interface AccessGroup {
  readonly buffer: string;
  readonly sites: Map<Stmt, Site>;
  readonly first: Stmt;
  last: Stmt;
}

/** Places that are equally far apart, and the registers that hold their words: one for each where they are vectors. */
interface LoadedRun {
  readonly run: PlaceRun;
  readonly registers: readonly Expr[];
}

type PlaceRun = readonly [number, ...number[]];

/** A group of loads as loops. */
export interface RolledLoads {
  readonly group: AccessGroup;
  /** The first site, whose index all places are counted from. */
  readonly site: Site;
  readonly runs: readonly LoadedRun[];
}

/** A group of stores as loops. */
export interface RolledStores {
  readonly group: AccessGroup;
  readonly name: string;
  /** What is stored at each place, filled by `keepStored`. */
  readonly values: Map<number, Expr>;
}

/** A loop of so many turns. */
function turns(state: Rolling, count: number, body: (turn: Expr) => readonly Stmt[]): Stmt {
  const name = `turn${state.rolled++}`;
  return k.forS(name, k.idx(0), k.idx(count), 1, body(k.ref(name, k.INDEX)));
}

/** `often`: every place on its own, without a loop. */
export function rollLoads(state: Rolling, group: AccessGroup, often: boolean): RolledLoads {
  const site = mustGet(group.sites, group.first);
  const { type } = site;
  const places = [...group.sites.values()].flatMap(({ at }) => at);
  const runs = runsOf(places, often).map((run): LoadedRun => {
    const count = type.lanes === LANES ? run.length : Math.ceil(run.length / LANES);
    const name = `rolled${state.rolled++}`;
    const registerType: Type = run.length === 1 ? type : { ...type, lanes: LANES };
    return { run, registers: Array.from({ length: count }, (_, i) => k.ref(`${name}r${i}`, registerType)) };
  });
  return { group, site, runs };
}

/** The loops that load all words of a group. */
export const fillRegisters = (state: Rolling, loads: RolledLoads): Stmt[] =>
  loads.runs.flatMap((loaded) => fillRun(state, loads.site, loaded));

function fillRun(state: Rolling, site: Site, { run, registers }: LoadedRun): Stmt[] {
  const { type } = site;
  const load = (turn: Expr): Expr => k.load(site.buffer, placeOf(site, run, turn), type);
  if (run.length === 1) return [k.letS(k.nameOf(mustAt(registers, 0)), load(k.idx(0)))];
  const zero = type.of === "u32" ? k.u32(0) : k.f32(0);
  const loop = turns(state, run.length, (turn) => {
    const name = `word${state.rolled++}`;
    const word = k.ref(name, type);
    return [k.letS(name, load(turn)), ...registers.map((_, i) => movedUp(registers, i, type, word))];
  });
  return [...registers.map((register) => k.varS(k.nameOf(register), k.splat(zero, LANES))), loop];
}

/** Register i takes the words of the next, the last one a new word. */
function movedUp(registers: readonly Expr[], i: number, type: Type, word: Expr): Stmt {
  const register = mustAt(registers, i);
  const after = registers[i + 1] ?? (type.lanes === LANES ? word : k.splat(word, LANES));
  return k.assign(k.nameOf(register), type.lanes === LANES ? after : k.shuffle(register, after, [1, 2, 3, 4]));
}

/** Where a word lies after the loop: a register, and a lane of it where it is a vector of words. */
interface HeldWord {
  readonly register: Expr;
  readonly lane: number | null;
}

function heldAt({ site, runs }: RolledLoads, place: number): HeldWord {
  const loaded = runs.find(({ run }) => run.includes(place));
  if (!loaded) throw new Error(`bug: no run loads the word at ${place}`);
  const { run, registers } = loaded;
  const slot = run.indexOf(place);
  if (site.type.lanes === LANES || run.length === 1) return { register: mustAt(registers, slot), lane: null };
  const moved = slot + LANES * registers.length - run.length;
  return { register: mustAt(registers, moved >> 2), lane: moved & 3 };
}

const valueOf = ({ register, lane }: HeldWord): Expr => (lane === null ? register : k.extract(register, lane));

/** What a statement of the group loads, from the registers. */
export function loadedValue(loads: RolledLoads, s: Stmt): Expr {
  const words = mustGet(loads.group.sites, s).at.map((place) => heldAt(loads, place));
  const first = mustAt(words, 0);
  if (words.length === 1) return valueOf(first);
  const areInOrder = words.every(({ register, lane }, i) => register === first.register && lane === i);
  return areInOrder ? first.register : k.lanes(words.map(valueOf));
}

/** A group of stores, whose values are kept until its last. */
export const rollStores = (state: Rolling, group: AccessGroup): RolledStores => ({
  group,
  name: `stored${state.rolled++}`,
  values: new Map(),
});

/** Keeps the value of a store. */
export function keepStored(stores: RolledStores, s: Extract<Stmt, { readonly kind: "store" }>): Stmt {
  const { values, name } = stores;
  const { at } = mustGet(stores.group.sites, s);
  const value = k.ref(`${name}v${values.size}`, s.value.type);
  for (const [i, place] of at.entries()) values.set(place, at.length === 1 ? value : k.extract(value, i));
  return k.letS(k.nameOf(value), s.value);
}

/** The loops that store all values of a group. */
export function drainStores(state: Rolling, stores: RolledStores): Stmt[] {
  const site = mustGet(stores.group.sites, stores.group.last);
  return runsOf([...stores.values.keys()]).flatMap((run) => drainRun(state, stores, site, run));
}

function drainRun(state: Rolling, { name, values }: RolledStores, site: Site, run: PlaceRun): Stmt[] {
  const store = (turn: Expr, value: Expr): Stmt => k.store(site.buffer, placeOf(site, run, turn), value);
  const word = (i: number): Expr => mustGet(values, mustAt(run, Math.min(i, run.length - 1)));
  if (run.length === 1) return [store(k.idx(0), word(0))];
  const areVectors = site.type.lanes === LANES;
  const count = areVectors ? run.length : Math.ceil(run.length / LANES);
  const type: Type = { ...site.type, lanes: LANES };
  const registers = Array.from({ length: count }, (_, i) => k.ref(`${name}r${run[0]}_${i}`, type));
  const first = mustAt(registers, 0);
  const lanesAt = (i: number): Expr => k.lanes([word(i), word(i + 1), word(i + 2), word(i + 3)]);
  const loop = turns(state, run.length, (turn) => [
    store(turn, areVectors ? first : k.extract(first, 0)),
    ...registers.map((register, i) => {
      const after = registers[i + 1] ?? register;
      return k.assign(k.nameOf(register), areVectors ? after : k.shuffle(register, after, [1, 2, 3, 4]));
    }),
  ]);
  const start = (i: number): Expr => (areVectors ? word(i) : lanesAt(LANES * i));
  return [...registers.map((register, i) => k.varS(k.nameOf(register), start(i))), loop];
}

/** The place of an element of a run, by the index of a site of its group. */
function placeOf(site: Site, run: PlaceRun, turn: Expr): Expr {
  const [from, next] = run;
  const offset = from - mustAt(site.at, 0);
  const start = offset < 0 ? k.sub(site.index, k.idx(-offset)) : k.add(site.index, k.idx(offset));
  return next === undefined ? start : k.add(start, k.mul(turn, k.idx(next - from)));
}

/** Distinct places in runs that are equally far apart, or each on its own. */
function runsOf(places: readonly number[], alone = false): PlaceRun[] {
  const runs: [number, ...number[]][] = [];
  for (const place of [...new Set(places)].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    const last = run?.at(-1) ?? 0;
    const before = run?.at(-2);
    if (!alone && run && (before === undefined || place - last === last - before)) run.push(place);
    else runs.push([place]);
  }
  return runs;
}
