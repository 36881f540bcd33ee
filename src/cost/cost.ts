/**
 * What a training step costs: operations and bytes from the plan's accounts, and on a device profile time and energy.
 *
 *     time   = sum over dispatches of (sum over classes of F / rate) and (sum over levels of B / bandwidth),
 *              and what a dispatch and a step take by themselves
 *     energy = sum over dispatches of e_flop F + sum over levels of e_byte B  (Horowitz 2014)
 *
 * A thread computes and waits for memory in turn, so the two add up; a GPU does one while it does the other, so that
 * the larger counts (a roofline; Williams, Waterman and Patterson 2009). F are the op table's operations, B what a
 * kernel touches, each tensor once. A tensor comes from the nearest level that holds all tensors that were touched
 * since it was itself, as in a cache that keeps what was used most recently (Mattson et al. 1970); steps follow each
 * other, so the first touch of a step counts from the last of the one before.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Origin, Phase } from "../graph/node.js";
import type { Account } from "./account.js";
import { classOf, KINDS, type Kind } from "./kinds.js";
import type { DeviceProfile } from "./profile.js";

/** A share of a step: floating-point operations, bytes moved, milliseconds, joules. */
export interface Share {
  readonly flops: number;
  readonly bytes: number;
  readonly ms: number;
  readonly joules: number;
}

/** What a step costs, and for whom. */
export interface Costs {
  readonly total: Share;
  /** These, and blocks and kinds, are without the overhead. */
  readonly phases: Readonly<Record<Phase, Share>>;
  /** By the block's path, the numbers of layers as stars; "" for what belongs to the page itself. */
  readonly blocks: ReadonlyMap<string, Share>;
  /** The same by phase. */
  readonly blockPhases: ReadonlyMap<string, Readonly<Record<Phase, Share>>>;
  readonly kinds: ReadonlyMap<Kind, Share>;
  /** Bytes by level of memory, in the order of the profile's. */
  readonly levels: readonly { readonly name: string; readonly bytes: number }[];
  /**
   * What a step and its dispatches take by themselves, in milliseconds; and of the dispatches, each shared by the
   * blocks that it works for, by their paths.
   */
  readonly overheadMs: number;
  readonly dispatchMs: ReadonlyMap<string, number>;
  /** The part of the step's time that waits for memory. */
  readonly memoryMs: number;
}

interface Sum {
  flops: number;
  bytes: number;
  ms: number;
  joules: number;
}

const nothing = (): Sum => ({ flops: 0, bytes: 0, ms: 0, joules: 0 });

function add(sum: Sum, { flops = 0, bytes = 0, ms = 0, joules = 0 }: Partial<Share>): void {
  sum.flops += flops;
  sum.bytes += bytes;
  sum.ms += ms;
  sum.joules += joules;
}

/** A block's path with the numbers of layers as stars: `layers.2.mlp` is `layers.*.mlp`. */
export const pathOf = (block: string): string => block.replace(/\.\d+(?=\.|$)/g, ".*");

/** The sums of a step while its dispatches are counted. */
interface CostTally {
  readonly profile: DeviceProfile;
  readonly total: Sum;
  readonly phases: Readonly<Record<Phase, Sum>>;
  readonly blocks: Map<string, Sum>;
  readonly blockPhases: Map<string, Readonly<Record<Phase, Sum>>>;
  readonly kinds: ReadonlyMap<Kind, Sum>;
  /** Bytes by level, in the order of the profile's. */
  readonly levels: readonly { readonly name: string; bytes: number }[];
  readonly dispatchMs: Map<string, number>;
  memoryMs: number;
}

const perPhase = (): Readonly<Record<Phase, Sum>> => ({ forward: nothing(), backward: nothing(), update: nothing() });

/** What the dispatches of a step cost on a machine. */
export function costsOf(accounts: readonly Account[], profile: DeviceProfile): Costs {
  const tally: CostTally = {
    profile,
    total: nothing(),
    phases: perPhase(),
    blocks: new Map(),
    blockPhases: new Map(),
    kinds: new Map(KINDS.map((kind) => [kind, nothing()])),
    levels: profile.levels.map(({ name }) => ({ name, bytes: 0 })),
    dispatchMs: new Map(),
    memoryMs: 0,
  };
  const nearest = nearestLevels(accounts, profile);
  for (const [i, account] of accounts.entries()) count(tally, account, mustAt(nearest, i));
  const overheadMs = (profile.step_us + accounts.length * profile.dispatch_us) / 1e3;
  add(tally.total, { ms: overheadMs });
  const { total, phases, blocks, blockPhases, kinds, levels, dispatchMs, memoryMs } = tally;
  return { total, overheadMs, dispatchMs, phases, blocks, blockPhases, kinds, levels, memoryMs };
}

/** Counts a share for whom it is. */
function put(
  { total, phases, blocks, blockPhases, kinds }: CostTally,
  origin: Origin,
  kind: Kind,
  share: Partial<Share>,
): void {
  const path = pathOf(origin.block);
  const block = blocks.get(path) ?? nothing();
  blocks.set(path, block);
  const blockPhase = blockPhases.get(path) ?? perPhase();
  blockPhases.set(path, blockPhase);
  for (const sum of [total, phases[origin.phase], block, blockPhase[origin.phase], mustGet(kinds, kind)])
    add(sum, share);
}

/** Counts a dispatch; `nearest` is the level that each of its tensors comes from. */
function count(tally: CostTally, account: Account, nearest: readonly number[]): void {
  const { profile, dispatchMs } = tally;
  const paths = new Set([...account.work, ...account.traffic].map(({ origin }) => pathOf(origin.block)));
  for (const path of paths) dispatchMs.set(path, (dispatchMs.get(path) ?? 0) + profile.dispatch_us / 1e3 / paths.size);
  const busy = busyOf(account.groups, profile.threads);
  const work = account.work.map((part) => ({
    ...part,
    ms: part.flops / profile.gflops[classOf[part.kind]] / 1e6 / busy,
  }));
  const traffic = account.traffic.map(({ origin, bytes }, j) => {
    const at = mustAt(nearest, j);
    const level = mustAt(profile.levels, at);
    mustAt(tally.levels, at).bytes += bytes;
    return { origin, bytes, ms: bytes / level.gbytes / 1e6, joules: bytes * level.pj_per_byte * 1e-12 };
  });
  const computing = work.reduce((sum, { ms }) => sum + ms, 0);
  const moving = traffic.reduce((sum, { ms }) => sum + ms, 0);
  const isBound = moving > computing;
  const addsUp = profile.threads > 0;
  if (addsUp || isBound) tally.memoryMs += moving;
  // Bytes serve what the kernel mostly does.
  const none = { kind: "copies" as Kind, ms: 0 };
  const { kind: mostly } = work.reduce((most, part) => (part.ms > most.ms ? part : most), none);
  for (const { origin, kind, flops, ms } of work)
    put(tally, origin, kind, { flops, ms: addsUp || !isBound ? ms : 0, joules: flops * profile.pj_per_flop * 1e-12 });
  for (const { origin, bytes, ms, joules } of traffic)
    put(tally, origin, mostly, { bytes, ms: addsUp || isBound ? ms : 0, joules });
}

/** The share of the threads that works while groups are handed out. */
function busyOf(groups: number, threads: number): number {
  if (threads === 0 || groups === 0) return 1;
  return groups / (Math.ceil(groups / threads) * threads);
}

/** What was touched, in order. */
interface CacheTouch {
  readonly size: number;
  /** Whether the tensor was not touched again. */
  isLast: boolean;
}

/** The level that each tensor of each dispatch comes from, by its number. */
function nearestLevels(accounts: readonly Account[], { levels }: DeviceProfile): number[][] {
  const touches: CacheTouch[] = [];
  const lastTouch = new Map<string, { readonly touch: CacheTouch; readonly position: number }>();
  const largest = levels.reduce((most, { bytes }) => Math.max(most, bytes ?? 0), 0);
  /** Bytes of all tensors that were touched since, counted once each; more than any level holds is not told apart. */
  const since = (position: number): number => {
    let bytes = 0;
    for (let i = touches.length - 1; i > position && bytes <= largest; i--) {
      const { size, isLast } = touches[i]!;
      if (isLast) bytes += size;
    }
    return bytes;
  };
  const pass = (): number[][] =>
    accounts.map(({ traffic }) =>
      traffic.map(({ pool, at, size }) => {
        const key = `${pool} ${at}`;
        const before = lastTouch.get(key);
        const bytes = (before ? since(before.position) : Number.POSITIVE_INFINITY) + size;
        if (before) before.touch.isLast = false;
        const touch = { size, isLast: true };
        lastTouch.set(key, { touch, position: touches.length });
        touches.push(touch);
        const level = levels.findIndex((candidate) => candidate.bytes !== null && bytes <= candidate.bytes);
        return level < 0 ? levels.length - 1 : level;
      }),
    );
  // The step before.
  pass();
  return pass();
}
