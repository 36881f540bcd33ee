/**
 * The contract between the compiler and the runtime: everything that a device needs to run a compiled model, as plain
 * JSON. A plan has what is common to all devices (parameters, data, training settings) and, for each device it was
 * compiled for, the code and the dispatch tables. The runtime decides nothing: it makes the pools, walks the tables and
 * moves batches.
 *
 * Pools are flat arrays of 32-bit words: `state` (f32: parameters, optimizer state, constants; lives as long as the
 * session), `work` (f32: everything within one run), `ints` (u32: step, seed, tokens, integer temporaries), `out` (f32:
 * results that the host reads). A fifth, `half`, has words of 16 bits: f16, activations where the page asks for half
 * precision; the host never looks into it. Offsets and sizes are in words; ranges start at multiples of 64 words.
 */
import type { PlanRoles } from "./roles.js";
import { described, type DataInfo } from "./sources.js";

export type {
  CharactersInfo,
  CsvColumn,
  CsvInfo,
  DataInfo,
  ExamplesInfo,
  ImagesInfo,
  LinesInfo,
  PairsInfo,
  SequencesInfo,
  TokensInfo,
} from "./sources.js";

/** A pool that the host may read and write. */
export type HostPool = "state" | "work" | "ints" | "out";
/** A pool of a device's memory. */
export type PoolName = HostPool | "half";

/** Bytes of a word of each pool. */
export const wordBytes: Readonly<Record<PoolName, number>> = { state: 4, work: 4, ints: 4, out: 4, half: 2 };

/** The bytes that pools of so many words take. */
export const bytesOfPools = (pools: Readonly<Record<PoolName, number>>): number =>
  (Object.keys(wordBytes) as PoolName[]).reduce((sum, pool) => sum + wordBytes[pool] * pools[pool], 0);

/** A tensor in a pool: row-major, dense. */
export interface TensorRef {
  readonly pool: HostPool;
  /** In words. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: "f32" | "u32";
}

/** One run of a kernel, and the buffers that it runs on. */
export interface Dispatch {
  /** Index into the device's kernels. */
  readonly kernel: number;
  /**
   * Word offset of each buffer of that kernel, in its pool. A kernel may run on several sets of buffers at once, at
   * most `COPIES`: they stand one behind the other.
   */
  readonly offsets: readonly number[];
}

/** Most copies of a kernel in one dispatch. */
export const COPIES = 16;

/** On how many sets of buffers a dispatch runs its kernel. */
export const copiesOf = ({ offsets }: Dispatch, { buffers }: Pick<KernelInfo, "buffers">): number =>
  Math.max(1, offsets.length / buffers.length || 0);

/** What a device can be asked to run: dispatches in order, with what is written before and read after. */
export interface Entry {
  readonly dispatches: readonly Dispatch[];
  /** What the host writes before a run: "step", "seed", "corpus.token", "cotangent:y", … */
  readonly inputs: Readonly<Record<string, TensorRef>>;
  /** What the host may read after it: "loss", "losses", "constraint:Mixing", "logits", "gradient:layers.0.mlp.up", … */
  readonly outputs: Readonly<Record<string, TensorRef>>;
}

/** A kernel, but for its code. */
export interface KernelInfo {
  /** What it does and on which shapes, for people. */
  readonly name: string;
  /** See src/kernel/ir.ts: groups are split over threads on a CPU; on a GPU one is a workgroup. */
  readonly groups: number;
  readonly workgroup: number;
  /**
   * Floating-point operations of one copy, by the op table; and its footprint: every tensor that it touches, once read
   * and once written.
   */
  readonly flops: number;
  readonly bytes: number;
  /** `skeleton/shape`, when a choice of that name would change the kernel. */
  readonly tuned: string | null;
  readonly buffers: readonly { readonly pool: PoolName; readonly access: "read" | "write" | "read_write" }[];
  /** Invocations that follow each other and must lie in one subgroup; 0 when the kernel does not exchange values. */
  readonly cluster: number;
}

/** Where a WGSL kernel finds its pools, and the offsets of its dispatch. */
export const poolBindings: Readonly<Record<PoolName, number>> = { state: 0, work: 1, ints: 2, out: 3, half: 5 };
/** The binding of the offsets of a dispatch. */
export const OFFSETS_BINDING = 4;
/** Workgroups along the first axis of a dispatch, a limit of every adapter; those beyond go on the second. */
export const GROUPS_IN_X = 65535;

/** The code of all kernels for one device. */
export type DeviceCode =
  /**
   * Module i is kernel i, entry point "main". Group 0: a storage buffer for each used pool (`poolBindings`), and at
   * `OFFSETS_BINDING` the dispatch's offsets, a uniform array<vec4<u32>, COPIES * ceil(buffers / 4)> with a dynamic
   * offset, where every copy begins a vec4. Groups: (min(groups, GROUPS_IN_X), ceil(groups / GROUPS_IN_X), copies)
   * workgroups.
   */
  | { readonly kind: "wgsl"; readonly modules: readonly string[] }
  /**
   * `text` for people; `binary` base64; imports env.memory (first import; byte `sharedFlag` of the binary is its limits
   * flag: 3 shared, 1 not); exports k0, k1, … and `run` (see codegen/wasm). `relaxed` is the same with fused
   * multiply-add, for engines that validate relaxed SIMD.
   */
  | {
      readonly kind: "wasm";
      readonly text: string;
      readonly binary: string;
      readonly relaxed: string;
      readonly sharedFlag: number;
      readonly scratchBytes: number;
    }
  /**
   * Kernel i is the function `k{i}` of C (codegen/c), to be compiled behind `prelude` and those of `functions` that it
   * names, which stand in an order in which each knows those before it.
   */
  | {
      readonly kind: "c";
      readonly prelude: string;
      readonly functions: Readonly<Record<string, string>>;
      readonly kernels: readonly { readonly text: string; readonly functions: readonly string[] }[];
      /** Private memory that a thread needs. */
      readonly scratchBytes: number;
    }
  /** A function body: (pools) => array of kernel functions (offsets, begin, end). */
  | { readonly kind: "javascript"; readonly text: string }
  /** A user's own target: what its device makes of the text is its own affair. */
  | { readonly kind: "other"; readonly text: string };

/** What one device needs. */
export interface DevicePlan {
  readonly kernels: readonly KernelInfo[];
  readonly code: DeviceCode;
  readonly entries: Readonly<Record<string, Entry>>;
  /** Size of each pool in words. */
  readonly pools: Readonly<Record<PoolName, number>>;
  /** Constant tensors that the host writes once at load. */
  readonly constants: readonly { readonly at: TensorRef; readonly data: readonly number[] }[];
}

/** How a parameter starts; values are made on the host in f64 and rounded (runtime/initialize.ts). */
export type Start =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "normal"; readonly deviation: number }
  | { readonly kind: "uniform"; readonly from: number; readonly to: number }
  /** value * identity: over the last two axes when they are equal, else over the last one read as an n x n matrix. */
  | { readonly kind: "identity"; readonly value: number }
  /** value at the first place of the last axis, 0 elsewhere. */
  | { readonly kind: "first"; readonly value: number }
  /** center + spread * (2 i / (n - 1) - 1) over the last axis; center alone when n = 1. */
  | { readonly kind: "ramp"; readonly center: number; readonly spread: number };

/** A parameter: what it is called, how it starts, and where it lies. */
export interface ParameterInfo {
  /** `layers.0.mlp.up` */
  readonly name: string;
  /** As the text writes the axes. */
  readonly shape: readonly number[];
  readonly axes: readonly string[];
  readonly start: Start;
  readonly doc: string | null;
  /** In the pool `state`, in words; the same on every device. */
  readonly offset: number;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /**
   * There when what is stored is a point of a manifold itself, which the entry `start` puts there and the optimizer
   * moves along it.
   */
  readonly point?: true;
  /**
   * There when the page says that training leaves it as it starts, so that it has no gradient and no moments: the names
   * of the states that would be its moments, which a checkpoint of a run before may have.
   */
  readonly frozen?: readonly string[];
  /**
   * Which of its axes go with the units of a slot (`ShrinkInfo`), or with pairs of them; null for one that does not.
   * There when some do.
   */
  readonly cuts?: readonly (Cut | null)[];
}

/** How an axis of a tensor is cut: with the units of a slot, or with the pairs of them. */
export interface Cut {
  readonly slot: string;
  readonly pairs: boolean;
}

/**
 * Units of the dense model that stay, by slot; all of them where a slot is not named. Of a layer: [0], or [] when the
 * layer is gone.
 */
export type Kept = Readonly<Record<string, readonly number[]>>;

/**
 * A gate's logit beyond half of this has been decided: neither noise nor gradient reaches it. Positive ones are open.
 */
export const PINNED = 50;

/**
 * The ends of the interval that a gate's sigmoid is stretched to before it is cut to 0 .. 1 (hard concrete:
 * `src/step/hard-concrete.ts`).
 */
export const GAMMA = -0.1;
/** See `GAMMA`. */
export const ZETA = 1.1;

/** Units that can be switched off, one after the other in the vector of gates (the state `gates`). */
export interface SlotInfo {
  /** `layers.2.mlp.hidden`, `layers.2.mlp`, `lanes` */
  readonly name: string;
  readonly kind: "layer" | "axis";
  /** How many units the dense model has, and the numbers of those that stay. */
  readonly size: number;
  readonly kept: readonly number[];
  /** The innermost layer or connection that it is inside of, by its slot; it goes with that. */
  readonly layer: string | null;
  readonly offset: number;
}

/** What can be switched off while training, and what that saves. */
export interface ShrinkInfo {
  readonly slots: readonly SlotInfo[];
  /**
   * What a step costs, as a share of the dense model's, by measure: sums of coefficients times the shares of open units
   * of a term's slots, by their positions among `names`.
   */
  readonly prices: {
    readonly names: readonly string[];
    readonly terms: readonly (readonly number[])[];
    readonly coefficients: Readonly<Record<string, readonly number[]>>;
  };
  readonly budgets: readonly { readonly measure: string; readonly share: number }[];
  /**
   * After this step it is decided what is kept, and compiled in the background; after the other the model is that. Both
   * are fixed, so that a run does not depend on how long compiling takes.
   */
  readonly decided: number;
  readonly until: number;
  /** By the logits of gates (the state `gates`), or by how large the parameters of a unit are. */
  readonly by: "gates" | "magnitude";
}

/**
 * What a page with a `cost` section costs: joules, bytes, FLOPs and milliseconds of a step, modelled on a device
 * profile.
 */
export interface CostInfo {
  readonly profile: string;
  readonly dense: Readonly<Record<string, number>>;
  /** Of this plan, as shares of the dense model's. */
  readonly share: Readonly<Record<string, number>>;
}

/** Optimizer moments and the like. */
export interface StateInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  /** What all its values are at the start; 0 when it does not say. */
  readonly start?: number;
  /** As of a parameter. */
  readonly cuts?: ParameterInfo["cuts"];
}

/** A number that the page names and that is measured: a part of the loss, or a metric. */
export interface MeasuredInfo {
  readonly name: string;
  readonly doc: string | null;
}

/** How the page says that it is trained. */
export interface TrainInfo {
  /** Examples a step. */
  readonly batch: number;
  readonly steps: number;
  /** Of initial values and batches, where nobody says otherwise. */
  readonly seed: number;
}

/** A compiled model. */
export interface Plan {
  readonly format: 1;
  /** The model's name as the spec writes it: `MobyDick`. */
  readonly name: string;
  readonly doc: string | null;
  /** Dims of the model, resolved. */
  readonly dims: Readonly<Record<string, number>>;
  readonly dimDocs: Readonly<Record<string, string>>;
  readonly data: readonly DataInfo[];
  /** The spec's text and settings, so that a run can be repeated. */
  readonly spec: string;
  readonly parameters: readonly ParameterInfo[];
  readonly states: readonly StateInfo[];
  /** null when the spec has no loss. */
  readonly train: TrainInfo | null;
  /** The named parts of the loss, and the metrics; absent where the page has none. */
  readonly terms?: readonly MeasuredInfo[];
  readonly metrics?: readonly MeasuredInfo[];
  /** For specs with input/output: their shapes without the batch axis; null otherwise. */
  readonly inputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly axes: readonly string[] }>>;
  readonly outputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly axes: readonly string[] }>>;
  /** Constraint names ("Mixing") and their tolerances, which are promised for free coordinates within +-reach. */
  readonly constraints: readonly {
    readonly name: string;
    readonly manifold: string;
    readonly tolerance: number | null;
    readonly reach: number;
  }[];
  /** What the page claims: `gain(x) <= 1.6`. Proved, with the steps, or monitored, or both. */
  readonly claims: readonly {
    readonly text: string;
    readonly bound: number;
    readonly monitored: boolean;
    readonly proof: readonly string[] | null;
  }[];
  /**
   * There when the page has a `cost` section that asks for something: what is left of the dense model (units by slot,
   * all of those that are not named), what the step costs, and what may still be switched off.
   */
  readonly kept?: Kept;
  readonly cost?: CostInfo;
  readonly shrinking?: ShrinkInfo;
  /** There when nothing more may be switched off: the plan of a model that has shrunk. */
  readonly settled?: true;
  /** What the ids of entries and the names of states stand for. */
  readonly roles: PlanRoles;
  /** By name of the device: "native", "wasm", "webgpu", "javascript", or that of a user's own. */
  readonly devices: Readonly<Record<string, DevicePlan>>;
}

/** Numbers in all parameters. */
export const parametersOf = ({ parameters }: Pick<Plan, "parameters">): number =>
  parameters.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

/** How a plan is trained. Throws an Error when its page has no loss. */
export function mustTrain({ name, train }: Pick<Plan, "name" | "train">): TrainInfo {
  if (train) return train;
  throw new Error(`bug: ${name} is to be trained, and has no loss`);
}

/** Tokens that a training step sees; examples, when the data is not text. */
export function tokensOf(plan: Pick<Plan, "name" | "data" | "train">): number {
  return mustTrain(plan).batch * tokensOfExample(plan);
}

/** Tokens of an example: the window of a text, 1 when the data is no text. */
export const tokensOfExample = ({ data }: Pick<Plan, "data">): number =>
  data.map((info) => described(info)).find(({ text }) => text)?.text?.window ?? 1;

/*
 * Entries, by convention (ids; `roles` says what each of them is):
 *   train      inputs step, seed, batch tensors         outputs loss, constraint:NAME, term:NAME, metric:NAME
 *                                                       updates parameters and state
 *   loss       batch tensors                            outputs losses, term:NAME, metric:NAME, each [batch] (mean of
 *                                                       each example), constraint:NAME
 *   start      -                                        updates parameters that are points of a manifold: run once,
 *                                                       after they were drawn
 *   monitor    batch tensors                            outputs monitor:NAME, claim:TEXT; to be verified: free:NAME,
 *                                                       lost:NAME (src/step/reach.ts)
 *   gradients  batch tensors                            outputs loss, gradient:NAME
 *   forward    generation: tokens [1, context]          outputs logits [1, context, vocab]      (specs with data)
 *              or inputs by name                        outputs by name                         (specs with
 *                                                       input/output)
 *   vjp        inputs by name, cotangent:OUTPUT         outputs cotangent:INPUT, gradient:NAME
 * Where an option of a manifold is scheduled, every entry but `start` may have the input step: steps done so far.
 * A batch tensor is named as in the spec: "corpus.token" [batch, window], "corpus.next" [batch, window].
 */

/**
 * Whether an input of an entry is a scalar of the run, `step` or `seed`, and not the page's own input of that name,
 * which is of floats.
 */
export const isOfTheRun = (name: string, { dtype }: Pick<TensorRef, "dtype">): boolean =>
  dtype === "u32" && (name === "step" || name === "seed");
