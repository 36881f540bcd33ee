/**
 * Whose work a dispatch does (`src/cost/account.ts`): the nodes that its kernels compute, and the tensors that they
 * touch.
 */
import type { KernelProfile } from "../kernel/profile.js";
import { mustAt } from "../../runtime/lookup.js";
import { wordBytes } from "../../runtime/plan.js";
import type { Account, Traffic, Work } from "../cost/account.js";
import { kindOf } from "../cost/kinds.js";
import type { Node, Origin } from "../graph/node.js";
import type { KernelBatch, Due } from "./memory/batch.js";
import type { Bound, Place, Places } from "./emit/kernelize.js";
import { startOf, type Located, type Offsets } from "./memory/places.js";
import { workOf } from "./emit/node-work.js";

/** Bytes that a kernel reads or writes of each of its buffers: once, and twice what it reads before it writes. */
export const footprintOf = ({ kernel, places, touched, made }: Bound): number[] =>
  kernel.buffers.map(({ access }, i) => {
    const place = mustAt(places, i);
    const times = access === "read_write" && !made.has(place) ? 2 : 1;
    return times * bytesOf(place as Located, mustAt(touched, i));
  });

const bytesOf = ({ pool, words }: Located, touched: number | null): number => wordBytes[pool] * (touched ?? words);

/** Copies, and memory that is set to zero before sums: they serve the update of what has its place side by side. */
const HOUSEKEEPING: Origin = { block: "", phase: "update" };

/** What is computed again for the backward pass is its work. */
const originOf = ({ origin, epoch }: Node): Origin =>
  epoch > 0 && origin.phase === "forward" ? { ...origin, phase: "backward" } : origin;

/** What accounts are made of besides the dispatches. */
export interface Accounting {
  readonly profile: KernelProfile;
  readonly places: Places;
  readonly offsets: Offsets;
}

/** Whose work a dispatch of the kernel with that number does, and what it moves. */
export function accountOf(
  { bound, copies, members }: KernelBatch,
  kernel: number,
  { profile, places, offsets }: Accounting,
): Account {
  const work = new Map<string, Work>();
  for (const { region } of members) {
    if (!region) continue;
    for (const { node, flops } of workOf(region.clusters, profile, places.isBase)) {
      if (flops === 0) continue;
      const origin = originOf(node);
      const kind = kindOf(node);
      const key = `${origin.phase} ${origin.block} ${kind}`;
      work.set(key, { origin, kind, flops: flops + (work.get(key)?.flops ?? 0) });
    }
  }
  // Kernels that differ are one kernel's parts, and a tensor that two of them read is its once.
  const bounds = members.every((member) => member.bound.kernel === bound.kernel)
    ? members.map((member) => member.bound)
    : [bound];
  const owners = ownersOf(members, places);
  const traffic = bounds.flatMap((each) =>
    footprintOf(each).map((bytes, i): Traffic => {
      const place = mustAt(each.places, i) as Located;
      return {
        origin: owners.get(place) ?? HOUSEKEEPING,
        pool: place.pool,
        at: startOf(place, offsets),
        bytes,
        size: bytesOf(place, mustAt(each.touched, i)),
      };
    }),
  );
  return { kernel, groups: bound.kernel.groups * copies.length, work: [...work.values()], traffic };
}

function ownersOf(members: readonly Due[], places: Places): Map<Place, Origin> {
  const owners = new Map<Place, Origin>();
  const claim = (node: Node, origin: Origin): void => {
    const place = places.of(node);
    if (place && !owners.has(place)) owners.set(place, origin);
  };
  for (const { region } of members) {
    for (const { roots, reads } of region?.clusters ?? []) {
      roots.forEach((root) => claim(root, originOf(root)));
      for (const node of reads) claim(node, originOf(mustAt(roots, 0)));
    }
  }
  return owners;
}
