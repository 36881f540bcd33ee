/**
 * The members of each skeleton's family that tuning tries, by the kind of device. A choice with other knobs than these
 * is stale.
 */
import type { Choice } from "../kernel/profile.js";
import { cpuAttentions, cpuAttentionVjps } from "./skeletons/attention/cpu.js";
import { gpuAttentions } from "./skeletons/attention/gpu.js";
import { cpuTiles, nativeTiles } from "./skeletons/matmul/cpu-tiles.js";
import { cpuBf16 } from "./skeletons/matmul/cpu-bf16.js";
import { gpuTiles } from "./skeletons/matmul/gpu.js";
import { gpuRows } from "./skeletons/rows.js";
import { regionTeams } from "./skeletons/region/gpu.js";
import { regionTiles } from "./skeletons/region/cpu.js";
import { valueAt } from "../../runtime/records.js";

/** A kind of device, as far as tuning goes: native is a CPU for whose registers a compiler makes the kernels. */
export type FamilyKind = "cpu" | "native" | "gpu";

/** By kind of device and skeleton (the first part of the key of a choice), the members that tuning tries. */
export const families: Readonly<Record<FamilyKind, Readonly<Record<string, readonly Choice[]>>>> = {
  cpu: { matmul: cpuTiles, attention: cpuAttentions, attention_vjp: cpuAttentionVjps, token: regionTiles },
  native: {
    matmul: nativeTiles,
    bf16: cpuBf16,
    attention: cpuAttentions,
    attention_vjp: cpuAttentionVjps,
    token: regionTiles,
  },
  gpu: { matmul: gpuTiles, attention: gpuAttentions, attention_vjp: gpuAttentions, row: gpuRows, token: regionTeams },
};

/**
 * What is better than the defaults on a GPU that a CPU emulates, where workgroup memory has no use and all that is
 * unrolled is slow to compile. Whether short loops are kept (`loops.ts`) changes nothing but that time, and so is no
 * family to tune.
 */
export const emulated: Readonly<Record<string, Choice>> = {
  attention: { shared: 0 },
  attention_vjp: { shared: 0, rows: 2 },
  matmul: { rows: 8, columns: 4, unroll: 1, shared: 0, rolled: 1 },
  row: { shared: 0 },
  token: { threads: 1 },
  loop: { kept: 1 },
};

/**
 * Whether a stored choice is one that its skeleton could have made: the skeleton is known, and every knob is, with a
 * positive whole number or zero.
 */
export function isMember(kind: FamilyKind, key: string, choice: unknown): choice is Choice {
  const [skeleton = ""] = key.split("/");
  const family = valueAt(families[kind], skeleton);
  if (!family || typeof choice !== "object" || choice === null) return false;
  const knobs = new Set(family.flatMap((member) => Object.keys(member)));
  return Object.entries(choice).every(
    ([knob, value]) =>
      knobs.has(knob) && Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 4096,
  );
}
