/**
 * Words of memory that lie equally far apart, one after another: a loop that moves registers up by one has one load or
 * store where the text would have many, and what is loaded twice is loaded once. A driver that emulates a GPU makes a
 * loop over lanes, with branches, of every load and store of the text, and the time to compile those grows faster than
 * their number; moving registers costs it next to nothing.
 *
 * Loads move up to the first of their group and stores down to the last, within a block, and never past an access that
 * they may meet.
 */
import * as k from "./build.js";
import type { Expr, Kernel, PoolName, Stmt, Type } from "./ir.js";
import { keyOf, linear, type LinearNames } from "./linear.js";
import { turnsOf } from "./loops.js";
import { vectorsOf } from "./vectors.js";

const LANES = 4;
/** Turns of a loop around which a loop of its own is dear. */
const FEW = 32;

/** Words, or whole vectors, of a buffer that one statement accesses. */
interface Site {
  readonly buffer: string;
  /** What sites of a group have in common. */
  readonly group: string;
  readonly index: Expr;
  /** Of one element. */
  readonly type: Type;
  /** Where its elements lie, beyond what the group has in common. */
  readonly at: readonly number[];
}

interface Group {
  readonly sites: Map<Stmt, Site>;
  readonly first: Stmt;
  last: Stmt;
}

export function rollAccesses(kernel: Kernel): readonly Stmt[] {
  const vectors = vectorsOf(kernel);
  const pools = new Map(kernel.buffers.map(({ name, pool }) => [name, pool]));
  const names: LinearNames = new Map();
  let rolled = 0;

  const site = (
    buffer: string,
    index: Expr,
    { of, lanes }: Type,
    at: Expr | Stmt,
    words: readonly number[] = [0],
  ): Site | null => {
    const pool = pools.get(buffer);
    if (pool === undefined) return null;
    const whole = lanes === LANES && vectors.pools.has(pool) && vectors.aligned.has(at);
    const place = linear(index, names);
    return {
      buffer,
      index,
      type: { of, lanes: whole ? LANES : 1 },
      group: `${buffer} ${whole ? LANES : 1} ${keyOf(place)}`,
      at: (lanes === LANES && !whole ? [0, 1, 2, 3] : words).map((word) => place.constant + word),
    };
  };
  const loaded = (s: Stmt): Site | null => {
    if (s.kind !== "let") return null;
    const { value } = s;
    if (value.kind === "load") return site(value.from, value.index, value.type, value);
    return value.kind === "lanes" ? gathered(value.items) : null;
  };
  /** Single loads as one site. */
  const gathered = (items: readonly Expr[]): Site | null => {
    const sites = items.map((item) =>
      item.kind === "load" && item.type.lanes === 1 ? site(item.from, item.index, item.type, item) : null,
    );
    const [first] = sites;
    return first && sites.every((other) => other?.group === first.group)
      ? { ...first, at: sites.flatMap((other) => other!.at) }
      : null;
  };
  const stored = (s: Stmt): Site | null => (s.kind === "store" ? site(s.to, s.index, s.value.type, s) : null);

  /** `often`: in a loop of many turns, where a loop of four would take its time. */
  const roll = (body: readonly Stmt[], often: boolean): Stmt[] => {
    const { loads, stores } = groupsOf(body, often);
    return body.flatMap((s): Stmt[] => {
      if (s.kind === "for") {
        names.delete(s.name);
        return [{ ...s, body: roll(s.body, often || (turnsOf(s) ?? Number.POSITIVE_INFINITY) > FEW) }];
      }
      if (s.kind === "if") return [{ ...s, then: roll(s.then, often), else: roll(s.else, often) }];
      const load = loads.get(s);
      if (load)
        return [
          ...(load.group.first === s ? load.fill() : []),
          k.letS((s as Extract<Stmt, { kind: "let" }>).name, load.valueOf(s)),
        ];
      const store = stores.get(s);
      return store ? [...store.keep(s), ...(store.group.last === s ? store.drain() : [])] : [s];
    });
  };

  /** The groups of a block that are worth a loop. */
  function groupsOf(body: readonly Stmt[], often: boolean) {
    const open = { load: new Map<string, Group>(), store: new Map<string, Group>() };
    const groups: { readonly kind: "load" | "store"; readonly group: Group }[] = [];
    const end = (kind: "load" | "store", isOver: (buffer: string, key: string) => boolean): void => {
      for (const [key, group] of open[kind])
        if (isOver([...group.sites.values()][0]!.buffer, key)) open[kind].delete(key);
    };
    const inPool =
      (pool: PoolName | undefined) =>
      (buffer: string): boolean =>
        pools.get(buffer) === pool;
    const join = (kind: "load" | "store", s: Stmt, own: Site): void => {
      let group = open[kind].get(own.group);
      // Stores to one place are in order.
      if (
        group &&
        kind === "store" &&
        [...group.sites.values()].some(({ at }) => at.some((word) => own.at.includes(word)))
      )
        group = undefined;
      if (!group) {
        group = { sites: new Map(), first: s, last: s };
        open[kind].set(own.group, group);
        groups.push({ kind, group });
      }
      group.sites.set(s, own);
      group.last = s;
    };
    for (const s of body) {
      const load = loaded(s);
      const store = stored(s);
      for (const pool of loadsOf([s], pools)) end("store", inPool(pool));
      if (store) {
        end("load", inPool(pools.get(store.buffer)));
        end("store", (buffer, key) => buffer === store.buffer && key !== store.group);
        join("store", s, store);
      } else if (s.kind === "for" || s.kind === "if" || s.kind === "barrier") {
        for (const pool of storesOf([s], pools))
          (["load", "store"] as const).forEach((kind) => end(kind, inPool(pool)));
      }
      if (load) join("load", s, load);
      if (s.kind === "let" && s.value.type.of === "index") names.set(s.name, linear(s.value, names));
    }
    const loads = new Map<Stmt, ReturnType<typeof loading>>();
    const stores = new Map<Stmt, ReturnType<typeof storing>>();
    for (const { kind, group } of groups) {
      const words = [...group.sites.values()].flatMap(({ at }) => at);
      if (words.length < 2 || (often && (kind === "store" || new Set(words).size === words.length))) continue;
      if (kind === "load") {
        const made = loading(group, often);
        for (const s of group.sites.keys()) loads.set(s, made);
      } else {
        const made = storing(group);
        for (const s of group.sites.keys()) stores.set(s, made);
      }
    }
    return { loads, stores };
  }

  const turns = (count: number, body: (turn: Expr) => readonly Stmt[]): Stmt => {
    const name = `turn${rolled++}`;
    return k.forS(name, k.idx(0), k.idx(count), 1, body(k.ref(name, k.INDEX)));
  };

  function loading(group: Group, often: boolean) {
    const site = group.sites.get(group.first)!;
    const { type } = site;
    const zero = type.of === "u32" ? k.u32(0) : k.f32(0);
    const runs = runsOf(
      [...group.sites.values()].flatMap(({ at }) => at),
      often,
    ).map((run) => {
      const count = type.lanes === LANES ? run.length : Math.ceil(run.length / LANES);
      const name = `rolled${rolled++}`;
      return {
        run,
        registers: Array.from({ length: count }, (_, i) =>
          k.ref(`${name}r${i}`, run.length === 1 ? type : { ...type, lanes: LANES }),
        ),
      };
    });
    const wordAt = (word: number): { readonly register: Expr; readonly lane: number } => {
      const { run, registers } = runs.find((one) => one.run.includes(word))!;
      const slot = run.indexOf(word);
      if (type.lanes === LANES || run.length === 1) return { register: registers[slot]!, lane: -1 };
      const moved = slot + LANES * registers.length - run.length;
      return { register: registers[moved >> 2]!, lane: moved & 3 };
    };
    const valueAt = (word: number): Expr => {
      const { register, lane } = wordAt(word);
      return lane < 0 ? register : k.extract(register, lane as 0 | 1 | 2 | 3);
    };
    return {
      group,
      fill: (): Stmt[] =>
        runs.flatMap(({ run, registers }) => {
          const load = (turn: Expr): Expr => k.load(site.buffer, placeOf(site, run, turn), type);
          if (run.length === 1) return [k.letS(k.nameOf(registers[0]!), load(k.idx(0)))];
          return [
            ...registers.map((own) => k.varS(k.nameOf(own), k.splat(zero))),
            turns(run.length, (turn) => {
              const name = `word${rolled++}`;
              const next = k.ref(name, type);
              return [
                k.letS(name, load(turn)),
                ...registers.map((own, i) => {
                  const after = registers[i + 1] ?? (type.lanes === LANES ? next : k.splat(next));
                  return k.assign(k.nameOf(own), type.lanes === LANES ? after : k.shuffle(own, after, [1, 2, 3, 4]));
                }),
              ];
            }),
          ];
        }),
      valueOf(s: Stmt): Expr {
        const { at } = group.sites.get(s)!;
        if (at.length === 1) return valueAt(at[0]!);
        const words = at.map(wordAt);
        const [first] = words;
        const inOrder = words.every(({ register, lane }, i) => register === first!.register && lane === i);
        return inOrder ? first!.register : k.lanes(at.map(valueAt) as [Expr, Expr, Expr, Expr]);
      },
    };
  }

  function storing(group: Group) {
    const last = group.sites.get(group.last)!;
    const name = `stored${rolled++}`;
    const values = new Map<number, Expr>();
    return {
      group,
      keep(s: Stmt): Stmt[] {
        const { value } = s as Extract<Stmt, { kind: "store" }>;
        const { at } = group.sites.get(s)!;
        const own = k.ref(`${name}v${values.size}`, value.type);
        at.forEach((word, i) => values.set(word, at.length === 1 ? own : k.extract(own, i as 0 | 1 | 2 | 3)));
        return [k.letS(k.nameOf(own), value)];
      },
      drain: (): Stmt[] =>
        runsOf([...values.keys()]).flatMap((run) => {
          const store = (turn: Expr, value: Expr): Stmt => k.store(last.buffer, placeOf(last, run, turn), value);
          if (run.length === 1) return [store(k.idx(0), values.get(run[0]!)!)];
          const four = last.type.lanes === LANES;
          const count = four ? run.length : Math.ceil(run.length / LANES);
          const registers = Array.from({ length: count }, (_, i) =>
            k.ref(`${name}r${run[0]!}_${i}`, { ...last.type, lanes: LANES }),
          );
          const word = (i: number): Expr => values.get(run[Math.min(i, run.length - 1)]!)!;
          const lanesAt = (i: number): Expr => k.lanes([word(i), word(i + 1), word(i + 2), word(i + 3)]);
          return [
            ...registers.map((own, i) => k.varS(k.nameOf(own), four ? word(i) : lanesAt(LANES * i))),
            turns(run.length, (turn) => [
              store(turn, four ? registers[0]! : k.extract(registers[0]!, 0)),
              ...registers.map((own, i) =>
                k.assign(
                  k.nameOf(own),
                  four ? (registers[i + 1] ?? own) : k.shuffle(own, registers[i + 1] ?? own, [1, 2, 3, 4]),
                ),
              ),
            ]),
          ];
        }),
    };
  }

  return roll(kernel.body, false);
}

/** The place of an element of a run, by the index of a site of its group. */
function placeOf(site: Site, run: readonly number[], turn: Expr): Expr {
  const offset = run[0]! - site.at[0]!;
  const start = offset < 0 ? k.sub(site.index, k.idx(-offset)) : k.add(site.index, k.idx(offset));
  return run.length === 1 ? start : k.add(start, k.mul(turn, k.idx(run[1]! - run[0]!)));
}

/** Distinct places in runs that are equally far apart, or each on its own. */
function runsOf(words: readonly number[], alone = false): number[][] {
  const runs: number[][] = [];
  for (const word of [...new Set(words)].sort((a, b) => a - b)) {
    const run = runs[runs.length - 1];
    const [last, before] = [run?.[run.length - 1] ?? 0, run?.[run.length - 2]];
    if (!alone && run && (before === undefined || word - last === last - before)) run.push(word);
    else runs.push([word]);
  }
  return runs;
}

type Pools = ReadonlyMap<string, PoolName>;

/** The pools that statements store to; all of them where a barrier lets others store. */
function storesOf(body: readonly Stmt[], pools: Pools): PoolName[] {
  return body.flatMap((s): PoolName[] => {
    switch (s.kind) {
      case "store":
        return pools.has(s.to) ? [pools.get(s.to)!] : [];
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

/** The pools that statements load from. */
function loadsOf(body: readonly Stmt[], pools: Pools): Set<PoolName> {
  const found = new Set<PoolName>();
  const visit = (e: Expr): void => {
    if (e.kind === "load") {
      if (pools.has(e.from)) found.add(pools.get(e.from)!);
      visit(e.index);
    } else if (e.kind === "lanes") e.items.forEach(visit);
    else if (e.kind === "select") [e.condition, e.then, e.else].forEach(visit);
    else if (e.kind === "fma") [e.a, e.b, e.c].forEach(visit);
    else if ("b" in e) [e.a, e.b].forEach(visit);
    else if ("a" in e) visit(e.a);
  };
  const walk = (list: readonly Stmt[]): void =>
    list.forEach((s) => {
      switch (s.kind) {
        case "let":
        case "var":
        case "assign":
          return visit(s.value);
        case "store":
          visit(s.index);
          return visit(s.value);
        case "for":
          visit(s.from);
          visit(s.to);
          return walk(s.body);
        case "if":
          visit(s.condition);
          walk(s.then);
          return walk(s.else);
        case "barrier":
          return [...pools.values()].forEach((pool) => found.add(pool));
        default:
          return;
      }
    });
  walk(body);
  return found;
}
