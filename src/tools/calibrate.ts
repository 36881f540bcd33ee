/**
 * Measures a device profile on the machine at hand (`mhc devices --calibrate`). Rates are what whole kernels reach, not
 * what a data sheet says.
 */
import { mustAt } from "../../runtime/lookup.js";
import { isBuiltIn, registry, type BuiltInDevice } from "../../runtime/registry.js";
import { costsOf } from "../cost/cost.js";
import { WORK, type DeviceProfile, type WorkClass } from "../cost/profile.js";
import { likestTo } from "../cost/profiles.js";
import type { Choices } from "../compile/compile.js";
import type { Node } from "../graph/node.js";
import type { OpenedDevice } from "./opened.js";
import { timeLoads, type Load, type Timed } from "./ceilings.js";
import { recordOf } from "../../runtime/records.js";

/** Sizes by device: what runs for some milliseconds there. */
interface LoadSizes {
  /** Rows and width of a product like those of a network. */
  readonly rows: number;
  readonly width: number;
  /** Words of a tensor that a core's own cache holds, and of one that none does. */
  readonly near: number;
  readonly far: number;
  /** Bytes that the near level is taken to hold. */
  readonly nearBytes: number;
}

const SIZES: Readonly<Record<BuiltInDevice, LoadSizes>> = {
  native: { rows: 1024, width: 256, near: 1 << 16, far: 1 << 23, nearBytes: 1 << 20 },
  wasm: { rows: 1024, width: 256, near: 1 << 16, far: 1 << 23, nearBytes: 1 << 20 },
  webgpu: { rows: 1024, width: 256, near: 1 << 18, far: 1 << 23, nearBytes: 4 << 20 },
  javascript: { rows: 128, width: 64, near: 1 << 14, far: 1 << 20, nearBytes: 1 << 20 },
};
const DISPATCHES = 200;
const TERMS = 24;
const CONTEXT = 64;
const LANES = 4;
const HEADS = 4;
/** Columns of a connection's gates with four lanes. */
const GATES = 24;
const DEPTH = 32;

const input = (b: Parameters<Load>[0], name: string, shape: readonly number[]): Node => b.input(name, shape, "f32");

/**
 * What a connection of four lanes does: gates, forward, by the input and by the weights; mixing streams, and what their
 * gradients and the mix's are.
 */
const narrowLoad =
  (sizes: LoadSizes): Load =>
  (b) => {
    const { rows, width } = sizes;
    const [x, n, h] = [
      input(b, "x", [rows, 4 * width]),
      input(b, "n", [4 * width, GATES]),
      input(b, "h", [rows, GATES]),
    ];
    const [mix, streams, back] = [
      input(b, "mix", [rows, LANES, LANES]),
      input(b, "streams", [rows, LANES, width]),
      input(b, "back", [rows, LANES, width]),
    ];
    return [
      b.contract("ik,kj->ij", x, n),
      b.contract("ij,kj->ik", h, n),
      b.contract("ik,ij->kj", x, h),
      b.contract("tnm,tmw->tnw", mix, streams),
      b.contract("tnm,tnw->tmw", mix, back),
      b.contract("tnw,tmw->tnm", back, streams),
    ];
  };

/** The projection of mixes, and its derivative. */
const mixingLoad =
  (sizes: LoadSizes): Load =>
  (b) => {
    const { rows } = sizes;
    const [logits, cotangent] = [input(b, "logits", [rows, LANES, LANES]), input(b, "cotangent", [rows, LANES, LANES])];
    const attrs = { iterations: 20, convention: "paper", epsilon: 1e-6 } as const;
    return [b.sinkhorn(logits, attrs), b.sinkhornVjp(logits, cotangent, attrs)];
  };

/** Attention, and its derivatives by queries, keys and values. */
const attentionLoad =
  (sizes: LoadSizes): Load =>
  (b) => {
    const { rows } = sizes;
    const [q, k, v, g] = ["q", "k", "v", "g"].map((name) =>
      input(b, name, [Math.max(1, rows / CONTEXT), CONTEXT, HEADS, DEPTH]),
    ) as [Node, Node, Node, Node];
    const attrs = { scale: DEPTH ** -0.5, causal: true };
    const y = b.attention(q, k, v, attrs);
    const lse = b.make("attention_lse", [q, k], attrs);
    return [
      y,
      ...(["query", "key", "value"] as const).map((wrt) =>
        b.make("attention_vjp", [q, k, v, y, lse, g], { ...attrs, wrt }),
      ),
    ];
  };

/** A norm and its derivative by the input, which are sums over rows and arithmetic on them: all in the cache. */
const plainLoad =
  (sizes: LoadSizes): Load =>
  (b) => {
    const { near, width } = sizes;
    const few = near / width / 2;
    const [x, g, gain] = [input(b, "x", [few, width]), input(b, "g", [few, width]), input(b, "gain", [width])];
    const across = (y: Node): Node => b.broadcast(y, [few, width], [0]);
    const along = (y: Node): Node => b.broadcast(y, [few, width], [1]);
    const centred = b.sub(x, across(b.mean(x, [1])));
    const scale = b.sqrt(b.add(b.mean(b.mul(centred, centred), [1]), b.fill(1e-5, [few])));
    const y = b.mul(along(gain), b.div(centred, across(scale)));
    const weighted = b.mul(g, along(gain));
    const shared = b.mean(b.mul(weighted, centred), [1]);
    const back = b.sub(
      b.div(weighted, across(scale)),
      b.add(
        across(b.div(b.mean(weighted, [1]), scale)),
        b.mul(centred, across(b.div(shared, b.mul(scale, b.mul(scale, scale))))),
      ),
    );
    return [y, back];
  };

/** Loads by what they measure: classes of work, levels of memory, and what a dispatch and a step take by themselves. */
function loadsOf(sizes: LoadSizes): Readonly<Record<WorkClass | "near" | "far" | "dispatch" | "step", Load>> {
  const { rows, width, near, far } = sizes;
  const wide = 4 * width;
  /** A few numbers, that go through all dispatches one after the other. */
  const small =
    (count: number): Load =>
    (b) => {
      let y: Node = input(b, "x", [4, 4]);
      for (let i = 0; i < count; i++) y = b.contract("ik,kj->ij", y, input(b, "w", [4, 4]));
      return [y];
    };
  return {
    // Forward, by the input, by the weights: a network does a third of each.
    product: (b) => [
      b.contract("ik,kj->ij", input(b, "x", [rows, width]), input(b, "w", [width, wide])),
      b.contract("ij,kj->ik", input(b, "g", [rows, wide]), input(b, "w", [width, wide])),
      b.contract("ik,ij->kj", input(b, "x", [rows, width]), input(b, "g", [rows, wide])),
    ],
    narrow: narrowLoad(sizes),
    mixing: mixingLoad(sizes),
    attention: attentionLoad(sizes),
    elementary: (b) => [b.tanh(b.exp(b.erf(b.neg(input(b, "x", [near])))))],
    plain: plainLoad(sizes),
    near: (b) => {
      const x = input(b, "x", [near]);
      let y: Node = x;
      // Sums over rows, which wait for each other: nothing of them is one kernel with the next.
      for (let i = 0; i < TERMS; i++) y = b.add(x, b.broadcast(b.sum(b.mul(x, y), [0]), [near], []));
      return [y];
    },
    far: (b) => [b.add(input(b, "x", [far]), input(b, "y", [far]))],
    dispatch: small(DISPATCHES),
    step: small(1),
  };
}

/** What is said of a device beside what is measured. */
export interface CalibrateOptions {
  /** What the device is in, and when it is measured. */
  readonly host: string;
  readonly memoryBytes: number | null;
  /** What one binding may hold; null where there are none. */
  readonly bindingBytes: number | null;
  /** Whether there is memory of 16-bit floats. */
  readonly half: boolean;
  /** Of kernels, as steps on this device get them. */
  readonly choices: Choices;
}

/** A profile that was measured. */
export interface Calibrated {
  readonly profile: DeviceProfile;
  /** The load whose rounds differ most, when they differ by more than a quiet machine's. */
  readonly restless: { readonly load: string; readonly percent: number } | null;
}

/** By how much rounds differ on a machine with something else to do. */
const RESTLESS = 0.3;

/** Measures the profile of a device: some seconds. */
export async function calibrate(
  device: OpenedDevice,
  { host, memoryBytes, bindingBytes, half, choices }: CalibrateOptions,
): Promise<Calibrated> {
  const { name: measured } = device;
  if (!isBuiltIn(measured)) throw new Error(`bug: ${measured} is to be calibrated, and is no device of mhc`);
  const sizes = SIZES[measured];
  const timed = await timeLoads(device, choices, loadsOf(sizes));
  const { dispatch, step, near, far } = timed;
  const dispatchMs = Math.max((dispatch.ms - step.ms) / (dispatch.dispatches - step.dispatches), 1e-5);
  const stepMs = Math.max(step.ms - step.dispatches * dispatchMs, 1e-5);
  const net = ({ ms, dispatches }: Timed): number => Math.max(ms - stepMs - dispatches * dispatchMs, ms / 10);
  // Energy cannot be measured here.
  const { levels, pj_per_flop, sources, name } = likestTo(registry[measured].kind);
  const gbytes = (load: Timed): number => round(load.bytes / net(load) / 1e6);
  const profile: DeviceProfile = {
    format: 1,
    name: measured,
    title: device.adapter,
    device: measured,
    threads: registry[measured].kind === "gpu" ? 0 : device.threads,
    gflops: recordOf(WORK.map((work) => [work, Number.POSITIVE_INFINITY])),
    levels: [
      { name: "cache", bytes: sizes.nearBytes, gbytes: gbytes(near), pj_per_byte: mustAt(levels, 0).pj_per_byte },
      { name: "memory", bytes: null, gbytes: gbytes(far), pj_per_byte: mustAt(levels, levels.length - 1).pj_per_byte },
    ],
    dispatch_us: round(1e3 * dispatchMs),
    step_us: round(1e3 * stepMs),
    pj_per_flop,
    memory_bytes: memoryBytes,
    ...(bindingBytes === null ? {} : { binding_bytes: bindingBytes }),
    ...(half ? { half } : {}),
    ...(Object.keys(choices).length ? { kernels: choices } : {}),
    measured: host,
    sources: [
      `energy, and the size of the cache, are not measured: energy is that of the profile ${name}`,
      ...sources.filter((source) => /power|energy/.test(source)),
    ],
  };
  // Threads wait for memory beside what they compute: that is no time of the arithmetic's.
  const waiting = ({ accounts }: Timed): number => (profile.threads > 0 ? costsOf(accounts, profile).memoryMs : 0);
  const gflops = recordOf(
    WORK.map((work) => [
      work,
      round(timed[work].flops / Math.max(net(timed[work]) - waiting(timed[work]), net(timed[work]) / 4) / 1e6),
    ]),
  ) as Record<WorkClass, number>;
  // A message to a thread takes now ten microseconds and now twenty, on any machine.
  const [worst] = Object.entries<Timed>(timed)
    .filter(([, { ms }]) => ms >= 1)
    .toSorted(([, a], [, b]) => b.spread - a.spread);
  return {
    profile: { ...profile, gflops },
    restless:
      worst && worst[1].spread > RESTLESS ? { load: worst[0], percent: Math.round(100 * worst[1].spread) } : null,
  };
}

/** Three digits: more would say what is not known. */
const round = (value: number): number => Number(value.toPrecision(3));
