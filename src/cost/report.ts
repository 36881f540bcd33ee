/**
 * `cost`: what a training step of a compiled spec takes, on a device profile. FLOPs and bytes are counted from the
 * plan, time and energy are modelled.
 */
import { bytesOfPools, parametersOf, tokensOf, wordBytes, type DevicePlan, type Plan } from "../../runtime/plan.js";
import { described } from "../../runtime/sources.js";
import { leastShare } from "../../runtime/prices.js";
import type { Phase } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
import type { Accounted } from "./account.js";
import { costsOf, pathOf, type Costs, type Share } from "./cost.js";
import { percent, size } from "./figures.js";
import type { DeviceProfile } from "./profile.js";

/** A token's share of a step; milliseconds are of the whole step. */
export interface TokenShare {
  readonly flops_per_token: number;
  readonly bytes_per_token: number;
  readonly joules_per_token: number;
  readonly time_ms: number;
}

/** A block's share of a step. */
export interface BlockCost extends TokenShare {
  /** "layers.*.mlp"; "" for what belongs to the page itself. */
  readonly block: string;
  readonly parameters: number;
  /** The parts of `time_ms`. */
  readonly ms_by_phase: Readonly<Record<Phase, number>>;
}

/** What `mhc cost` prints; its JSON has these keys. */
export interface CostReport extends TokenShare {
  readonly name: string;
  /** The device profile's. */
  readonly device: string;
  readonly title: string;
  /** Whether the profile was measured on a machine, or is of publications; time and energy are modelled either way. */
  readonly measured: string | null;
  /** "train", or "vjp" where a spec has no loss: forward and backward. */
  readonly entry: string;
  readonly tokens: number;
  /** What is called a token: of text, or an example where the data is none. */
  readonly unit: "token" | "example";
  readonly parameters: number;
  /** The bytes of all pools. */
  readonly memory_bytes: number;
  readonly dispatches: number;
  /**
   * What a step and its dispatches take before they do anything: a row of its own, "overhead", by phase, kind and
   * block.
   */
  readonly overhead_ms: number;
  /** The part of the time that waits for memory. */
  readonly memory_ms: number;
  readonly by_phase: readonly (TokenShare & { readonly phase: string })[];
  /** The costliest first. */
  readonly by_block: readonly BlockCost[];
  readonly by_kind: readonly (TokenShare & { readonly kind: string })[];
  readonly by_level: readonly { readonly level: string; readonly bytes_per_token: number }[];
  /**
   * What memory is for; adds up to memory_bytes. Streams are activations between connections, where most of them are
   * alive.
   */
  readonly memory: readonly { readonly kind: string; readonly bytes: number }[];
  /** What dominates, and what to change. */
  readonly advice: readonly string[];
}

/** What a step and its dispatches take by themselves, in every table. */
export const OVERHEAD = "overhead";

/** What `compile` gives of a spec without errors. */
export interface Costed {
  readonly plan: Plan | null;
  /** What the dispatches of an entry of a device do, and for whom; null with the plan. */
  readonly accounts: ((device: string, entry: string) => Accounted) | null;
}

const NONE: Share = { flops: 0, bytes: 0, ms: 0, joules: 0 };
const IDLE: BlockCost["ms_by_phase"] = { forward: 0, backward: 0, update: 0 };

/** The report of a spec that was compiled for the profile's device; throws an Error when it was not. */
export function cost(compiled: Costed, profile: DeviceProfile): CostReport {
  const { plan, accounts: accountsOf } = compiled;
  const device = plan?.devices[profile.device];
  if (!plan || !accountsOf || !device) throw new Error(`cost: the spec is not compiled for ${profile.device}`);
  const entry = "train" in device.entries ? "train" : "vjp";
  const { accounts, peak } = accountsOf(profile.device, entry);
  const costs = costsOf(accounts, profile);
  const tokens = plan.train ? tokensOf(plan) : 1;
  const perToken = ({ flops, bytes, joules, ms }: Share): TokenShare => ({
    flops_per_token: flops / tokens,
    bytes_per_token: bytes / tokens,
    joules_per_token: joules / tokens,
    time_ms: ms,
  });
  const overhead = perToken({ ...NONE, ms: costs.overheadMs });
  const report: CostReport = {
    name: plan.name,
    device: profile.name,
    title: profile.title,
    measured: profile.measured,
    entry,
    tokens,
    unit: plan.train && plan.data.some((info) => described(info).text) ? "token" : "example",
    parameters: parametersOf(plan),
    ...perToken(costs.total),
    memory_bytes: bytesOfPools(device.pools),
    dispatches: accounts.length,
    overhead_ms: costs.overheadMs,
    memory_ms: costs.memoryMs,
    by_phase: [
      ...(["forward", "backward", "update"] as const).map((phase) => ({ phase, ...perToken(costs.phases[phase]) })),
      { phase: OVERHEAD, ...overhead },
    ],
    by_block: [
      ...blockCosts(plan, costs, perToken),
      { block: OVERHEAD, parameters: 0, ...overhead, ms_by_phase: IDLE },
    ].toSorted((a, b) => b.time_ms - a.time_ms || b.flops_per_token - a.flops_per_token),
    by_kind: [
      ...[...costs.kinds]
        .filter(([, { flops, bytes }]) => flops + bytes > 0)
        .map(([kind, share]) => ({ kind, ...perToken(share) })),
      { kind: OVERHEAD, ...overhead },
    ],
    by_level: costs.levels.map(({ name, bytes }) => ({ level: name, bytes_per_token: bytes / tokens })),
    memory: memoryOf(plan, device, peak),
    advice: [],
  };
  return { ...report, advice: [...adviceOn(report, profile), ...shrinkingOn(plan)] };
}

/** Every block that computes something or has parameters, in no order of cost. */
function blockCosts(plan: Plan, costs: Costs, perToken: (share: Share) => TokenShare): BlockCost[] {
  const parameters = new Map<string, number>();
  for (const { name, shape } of plan.parameters) {
    const block = pathOf(name.slice(0, Math.max(0, name.lastIndexOf("."))));
    parameters.set(block, (parameters.get(block) ?? 0) + sizeOf(shape));
  }
  const blocks = new Set([...costs.blocks.keys(), ...parameters.keys()]);
  return Array.from(blocks, (block) => {
    const phases = costs.blockPhases.get(block);
    return {
      block,
      parameters: parameters.get(block) ?? 0,
      ...perToken(costs.blocks.get(block) ?? NONE),
      ms_by_phase: phases
        ? { forward: phases.forward.ms, backward: phases.backward.ms, update: phases.update.ms }
        : IDLE,
    };
  });
}

/** What may still be switched off, and what has been. */
function shrinkingOn({ shrinking, cost: info, settled }: Plan): string[] {
  if (settled && info)
    return [
      `of the dense model's cost these are left, on the profile ${info.profile}: ${Object.entries(info.share)
        .map(([measure, share]) => `${measure} ${percent(share)}`)
        .join(", ")}`,
    ];
  if (!shrinking) return [];
  const measures = shrinking.budgets.length ? shrinking.budgets : [{ measure: "energy", share: 1 }];
  const asked = measures.map(
    ({ measure, share }) =>
      `${share < 1 ? `at most ${percent(share)} of its ${measure}` : `of its ${measure} what the weights leave`} ` +
      `(the least that can be had is ${percent(leastShare(shrinking, measure))})`,
  );
  return [`this is the model before anything is switched off; from step ${shrinking.until} on ${asked.join(" and ")}`];
}

function memoryOf(
  plan: Plan,
  { pools }: DevicePlan,
  peak: { readonly work: number; readonly streams: number },
): CostReport["memory"] {
  const parameters = 4 * parametersOf(plan);
  const states = 4 * plan.states.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const work = wordBytes.work * pools.work + wordBytes.half * pools.half;
  return [
    { kind: "parameters", bytes: parameters },
    { kind: "optimizer", bytes: states },
    { kind: "streams", bytes: Math.min(peak.streams, work) },
    { kind: "other activations and gradients", bytes: work - Math.min(peak.streams, work) },
    { kind: "tokens and results", bytes: wordBytes.ints * pools.ints + wordBytes.out * pools.out },
    { kind: "constants and padding", bytes: wordBytes.state * pools.state - parameters - states },
  ];
}

function adviceOn(report: CostReport, { memory_bytes: room, threads }: DeviceProfile): string[] {
  const said: string[] = [];
  const share = (ms: number): number => ms / report.time_ms;
  const most = report.by_block.find(({ block }) => block !== "" && block !== OVERHEAD);
  if (most && share(most.time_ms) >= 0.25)
    said.push(`${most.block} takes ${percent(share(most.time_ms))} of a step: its sizes matter most`);
  const connections = report.by_block
    .filter(({ block }) => /(^|\.)(mhc|hc)(\.|$)/.test(block))
    .reduce((sum, { time_ms }) => sum + time_ms, 0);
  if (share(connections) >= 0.15)
    said.push(
      `connections between streams take ${percent(share(connections))}: fewer lanes, or a larger width beside ` +
        "the same lanes, lower that",
    );
  if (share(report.overhead_ms) >= 0.15)
    said.push(
      `the step and its ${report.dispatches} dispatches take ${percent(share(report.overhead_ms))} before ` +
        `they compute anything${report.entry === "train" ? ": a larger batch makes each do more" : ""}`,
    );
  if (share(report.memory_ms) >= 0.3)
    said.push(
      `${percent(share(report.memory_ms))} of a step waits for memory: larger sizes beside the same batch ` +
        `compute more with what they move${threads === 0 ? ", and `precision = f16` halves it" : ""}`,
    );
  if (room !== null && report.memory_bytes > room)
    said.push(
      `a step needs ${size(report.memory_bytes)} of ${size(room)}: a smaller batch, or \`memory <= …\` in the ` +
        "train section, which computes activations again",
    );
  const streams = report.memory.find(({ kind }) => kind === "streams");
  if (streams && streams.bytes >= 0.4 * report.memory_bytes)
    said.push(
      `streams are ${percent(streams.bytes / report.memory_bytes)} of the memory: \`recompute = auto\` keeps ` +
        "few of them",
    );
  return said;
}
