/** The members of each skeleton's family that tuning tries, by the kind of device. A choice with other knobs than these is stale. */
import type { Choice, KernelProfile } from "../../codegen/target.js";
import { cpuAttentions, cpuAttentionVjps } from "./attention-cpu.js";
import { gpuAttentions } from "./attention-gpu.js";
import { cpuTiles } from "./matmul-cpu.js";
import { gpuTiles } from "./matmul-gpu.js";
import { tokenTeams } from "./token-gpu.js";
import { tokenTiles } from "./token.js";

export const families: Readonly<Record<KernelProfile["kind"], Readonly<Record<string, readonly Choice[]>>>> = {
  cpu: { matmul: cpuTiles, attention: cpuAttentions, attention_vjp: cpuAttentionVjps, token: tokenTiles },
  gpu: { matmul: gpuTiles, attention: gpuAttentions, attention_vjp: gpuAttentions, token: tokenTeams },
};

/** Whether a stored choice is one that its skeleton could have made: the skeleton is known, and every knob is, with a positive whole number or zero. */
export function isMember(kind: KernelProfile["kind"], key: string, choice: unknown): choice is Choice {
  const family = families[kind][key.split("/")[0]!];
  if (!family || typeof choice !== "object" || choice === null) return false;
  const knobs = new Set(family.flatMap((member) => Object.keys(member)));
  return Object.entries(choice).every(([knob, value]) => knobs.has(knob) && Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 4096);
}
