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
import type { Origin, Phase } from "../graph/node.js";
import type { Account } from "./account.js";
import { classOf, KINDS, type Kind } from "./kinds.js";
import type { DeviceProfile } from "./profile.js";

/** A share of a step. */
export interface Share {
  readonly flops: number;
  readonly bytes: number;
  readonly ms: number;
  readonly joules: number;
}

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
  /** Of the step's time, what waits for memory. */
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

export const pathOf = (block: string): string => block.replace(/\.\d+(?=\.|$)/g, ".*");

export function costsOf(accounts: readonly Account[], profile: DeviceProfile): Costs {
  const total = nothing();
  const perPhase = (): Record<Phase, Sum> => ({ forward: nothing(), backward: nothing(), update: nothing() });
  const phases = perPhase();
  const blocks = new Map<string, Sum>();
  const blockPhases = new Map<string, Record<Phase, Sum>>();
  const kinds = new Map<Kind, Sum>(KINDS.map((kind) => [kind, nothing()]));
  const put = (origin: Origin, kind: Kind, share: Partial<Share>): void => {
    const path = pathOf(origin.block);
    const block = blocks.get(path) ?? nothing();
    blocks.set(path, block);
    const own = blockPhases.get(path) ?? perPhase();
    blockPhases.set(path, own);
    for (const sum of [total, phases[origin.phase], block, own[origin.phase], kinds.get(kind)!]) add(sum, share);
  };
  const levels = profile.levels.map(({ name }) => ({ name, bytes: 0 }));
  const nearest = nearestLevels(accounts, profile);
  let memoryMs = 0;
  const dispatchMs = new Map<string, number>();

  accounts.forEach((account, i) => {
    const busy = busyOf(account.groups, profile.threads);
    const paths = new Set([...account.work, ...account.traffic].map(({ origin }) => pathOf(origin.block)));
    for (const path of paths)
      dispatchMs.set(path, (dispatchMs.get(path) ?? 0) + profile.dispatch_us / 1e3 / paths.size);
    const work = account.work.map(({ origin, kind, flops }) => ({
      origin,
      kind,
      flops,
      ms: flops / profile.gflops[classOf[kind]] / 1e6 / busy,
    }));
    const traffic = account.traffic.map(({ origin, bytes }, j) => {
      const at = nearest[i]![j]!;
      const level = profile.levels[at]!;
      levels[at]!.bytes += bytes;
      return { origin, bytes, ms: bytes / level.gbytes / 1e6, joules: bytes * level.pj_per_byte * 1e-12 };
    });
    const computing = work.reduce((sum, { ms }) => sum + ms, 0);
    const moving = traffic.reduce((sum, { ms }) => sum + ms, 0);
    const bound = moving > computing;
    const both = profile.threads > 0;
    if (both || bound) memoryMs += moving;
    // Bytes serve what the kernel mostly does.
    const { kind: mostly } = work.reduce((most, one) => (one.ms > most.ms ? one : most), {
      kind: "copies" as Kind,
      ms: 0,
    });
    for (const { origin, kind, flops, ms } of work)
      put(origin, kind, { flops, ms: both || !bound ? ms : 0, joules: flops * profile.pj_per_flop * 1e-12 });
    for (const { origin, bytes, ms, joules } of traffic)
      put(origin, mostly, { bytes, ms: both || bound ? ms : 0, joules });
  });
  const overheadMs = (profile.step_us + accounts.length * profile.dispatch_us) / 1e3;
  add(total, { ms: overheadMs });
  return { total, overheadMs, dispatchMs, phases, blocks, blockPhases, kinds, levels, memoryMs };
}

/** Of the threads, the share that works while groups are handed out. */
function busyOf(groups: number, threads: number): number {
  if (threads === 0 || groups === 0) return 1;
  return groups / (Math.ceil(groups / threads) * threads);
}

/** The level that each tensor of each dispatch comes from, by its number. */
function nearestLevels(accounts: readonly Account[], { levels }: DeviceProfile): number[][] {
  interface Touch {
    readonly size: number;
    /** Whether the tensor was not touched again. */
    last: boolean;
  }
  const touches: Touch[] = [];
  const found = new Map<string, number>();
  const largest = levels.reduce((most, { bytes }) => Math.max(most, bytes ?? 0), 0);
  /** Bytes of all tensors that were touched since, counted once each; more than any level holds is not told apart. */
  const since = (position: number | undefined): number => {
    if (position === undefined) return Number.POSITIVE_INFINITY;
    let bytes = 0;
    for (let i = touches.length - 1; i > position && bytes <= largest; i--)
      if (touches[i]!.last) bytes += touches[i]!.size;
    return bytes;
  };
  const pass = (): number[][] =>
    accounts.map(({ traffic }) =>
      traffic.map(({ pool, at, size }) => {
        const key = `${pool} ${at}`;
        const before = found.get(key);
        const bytes = since(before) + size;
        if (before !== undefined) touches[before]!.last = false;
        found.set(key, touches.length);
        touches.push({ size, last: true });
        const level = levels.findIndex((one) => one.bytes !== null && bytes <= one.bytes);
        return level < 0 ? levels.length - 1 : level;
      }),
    );
  // The step before.
  pass();
  return pass();
}
