/** What a model on a device can do, and what its steps tell: the types of `model.ts`. */
import type { Batch, Source } from "./data.js";
import type { Device, DeviceName } from "./device.js";
import type { GenerateOptions } from "./generate.js";
import type { Plan } from "./plan.js";
import type { Recompile } from "./choose.js";

/** How a plan is put on a device. */
export interface LoadOptions {
  /** "auto" takes a hardware GPU, else native code where there is a C compiler, else WebAssembly. */
  readonly device?: DeviceName | "auto" | Device | undefined;
  /** Of initial values and batches; the spec's when not given. */
  readonly seed?: number | undefined;
  /** Threads of the native and the wasm device, 1 to 64; all cores, at most 16 and 8, when not given. */
  readonly threads?: number | undefined;
}

/** What a training step tells. */
export interface StepMetrics {
  /** 1 after the first step. */
  readonly step: number;
  /** Mean over the batch, in nats a token or an example, before the step's update. */
  readonly loss: number;
  /** The named parts of the loss, by name, as the loss: sums over all uses of a block, each a mean over the batch. */
  readonly terms: Readonly<Record<string, number>>;
  /** The metrics of the page, by name, as the loss: means over the batch. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Milliseconds of the step, with putting its batch together and waiting for the device. */
  readonly ms: number;
  /** Tokens, or examples where the data is no text, a second. */
  readonly tokensPerSecond: number;
  /** Distance from each manifold: the largest violation over all its uses in this batch. */
  readonly constraints: Readonly<Record<string, number>>;
  /**
   * What adapts, by name, before the step's update: options of manifolds (`adapt relax in 0 .. 1`: `Mixing.relax`),
   * ranks (`M.rank`), weights of mixtures (`M.weights.circulant`), shares of budgets (`layers.0.mlp.up.share`).
   */
  readonly adapted: Readonly<Record<string, number>>;
  /**
   * At every `monitor`th step, of the model after it: `gain:x:forward` and `gain:x:backward`, the largest that the
   * mixes of a stream's connections can grow what passes through them; `columns:x`, `entropy:x`, `second:x`, what they
   * are like; `diversity:x`, how much the lanes differ. Null at other steps.
   */
  readonly monitors: Readonly<Record<string, number>> | null;
  /** At the same steps, the monitored claims of the page, with what was measured; null at others. */
  readonly claims: readonly ClaimMetrics[] | null;
  /**
   * While gates may close: what a step is expected to cost when they have, as shares of the dense model's cost,
   * modelled.
   */
  readonly costs: Readonly<Record<string, number>>;
  /** After the step at which gates were decided: what the model has become. Null at other steps. */
  readonly shrunk: ShrunkMetrics | null;
}

/** A model after its gates were decided. */
export interface ShrunkMetrics {
  /** Shares of the dense model's cost, modelled. */
  readonly share: Readonly<Record<string, number>>;
  /** Numbers in all parameters. */
  readonly parameters: number;
  /** Whether the step was compiled anew for the units that stay. If not, closed units go on being computed. */
  readonly compiled: boolean;
  /**
   * Milliseconds from the decision to the new plan, while steps went on, and those that the step waited for it and for
   * the change: they are part of its time.
   */
  readonly compileMs: number;
  readonly swapMs: number;
}

/** What some examples come to: means over them. */
export interface Evaluation {
  readonly loss: number;
  /** The named parts of the loss, by name. */
  readonly terms: Readonly<Record<string, number>>;
  /** The metrics of the page, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** How many examples there were. */
  readonly examples: number;
}

/** What one batch comes to. */
export interface BatchEvaluation extends Omit<Evaluation, "examples"> {
  /** The largest distance from each manifold. */
  readonly constraints: Readonly<Record<string, number>>;
}

/** A monitored claim, as it was measured. */
export interface ClaimMetrics {
  /** `gain(x) <= 1.6` */
  readonly text: string;
  readonly value: number;
  readonly holds: boolean;
}

/** Options of a call that may take long. */
export interface CallOptions {
  /** Ends the call: it is rejected with the signal's reason, before its turn or after the batch under way. */
  readonly signal?: AbortSignal | undefined;
}

/** How a model is trained. */
export interface TrainOptions {
  /** How many steps more: a whole number, or Infinity. The rest of the page's steps when not given. */
  readonly steps?: number | undefined;
  /** Steps between two measurements of gains and claims; 50 when not given, 0 for never. */
  readonly monitor?: number | undefined;
  /** Ends training: the step under way is finished and yielded, and the iterator then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Compiles the step of the smaller model; without it a model that shrinks stays as large as it is, with its
   * closed units masked. It must not call the model, whose turn it may be waited for in.
   */
  readonly recompile?: Recompile | undefined;
}

/** A parameter of a model on a device. */
export interface ParameterAccess {
  readonly shape: readonly number[];
  /** Names of the axes, as the page writes them. */
  readonly axes: readonly string[];
  /** A copy of the values, row-major. */
  readonly get: () => Promise<Float32Array>;
  /**
   * Writes values, row-major: at once when no call is under way, else in its turn; the promise resolves when they are
   * there. Throws DataError, at once and with nothing written, for another length, what is no number, or a finite
   * number beyond f32. NaN and infinities are written, so that a broken model can be looked at: training, `holdout`,
   * `generate` and `save` then name the parameter.
   */
  readonly set: (values: ArrayLike<number>) => Promise<void>;
}

/** What came of restoring a checkpoint. */
export interface Restored {
  /** Its tensors that the model has no place for: moments of parameters that the page has frozen since. */
  readonly leftOut: readonly string[];
}

/**
 * A model on a device. Its calls may overlap: each takes a turn, in the order of the calls. `train` takes a turn a
 * step, so that others come between two steps; every other call takes one as a whole and so sees one model, that at
 * its turn. What it was given is checked before anything is written, and copied: arrays may be used again as soon as
 * the call has returned its promise.
 */
export interface Model {
  /** Another one after the model has shrunk. */
  readonly plan: Plan;
  readonly device: Device;
  /** Steps trained so far. */
  readonly step: number;
  /** Of initial values and batches. */
  readonly seed: number;
  /**
   * Trains `steps` more steps on a source, or on text (of pairs, when that is its data); yields after each. Every
   * `monitor` steps (50, where the plan has monitors; 0: never) gains and monitored claims are measured too. Calls that
   * come between two steps change nothing of the steps, but for `load` and a parameter's `set`, which the next step
   * begins from. Two iterators make the model's steps alternately. One that is left (by `break`, or never asked again)
   * holds nothing up. A step whose loss, or whose gradients' norm where the page clips, is not finite changes nothing
   * and is a NumericError that names it and the tensors that are not finite; so are parameters that are not finite
   * after the page's last step. Of a page that shrinks, gates are decided at `plan.shrinking.until`; `recompile` then
   * makes the smaller step, in the background if it can, and training goes on with that.
   */
  train(data: Source | string, options?: TrainOptions): AsyncIterableIterator<StepMetrics>;
  /**
   * Mean loss over all held-out examples; of pairs with none held out, over all of them. Training waits for it.
   * DataError when nothing is held out, NumericError when the loss is not finite.
   */
  holdout(data: Source | string, options?: CallOptions): Promise<number>;
  /**
   * The same with the named parts of the loss and the metrics of the page: means over all examples that are held out. A
   * metric may be a number that is not finite. Errors as `holdout`.
   */
  measure(data: Source | string, options?: CallOptions): Promise<Evaluation>;
  /**
   * Mean loss of one batch in nats, with its named parts and the metrics, and the largest distance from each manifold;
   * nothing changes. DataError for a batch that is not the page's, NumericError for one that is not finite.
   */
  evaluate(batch: Batch): Promise<BatchEvaluation>;
  /**
   * Loss and gradients of one batch, by parameter and in its shape; nothing changes. A parameter that is frozen has no
   * gradient. Errors as `evaluate`.
   */
  gradients(
    batch: Batch,
  ): Promise<{ readonly loss: number; readonly gradients: Readonly<Record<string, Float32Array>> }>;
  /** Outputs [batch, …axes] of a spec with inputs, by name; inputs are [batch, …axes]. Errors as `evaluate`. */
  forward(inputs: Batch): Promise<Readonly<Record<string, Float32Array>>>;
  /**
   * Cotangents of inputs and gradients of parameters, each in the shape of what it is of, for cotangents [batch, …axes]
   * of the outputs, by name. Errors as `evaluate`.
   */
  vjp(
    inputs: Batch,
    cotangents: Batch,
  ): Promise<{
    readonly inputs: Readonly<Record<string, Float32Array>>;
    readonly parameters: Readonly<Record<string, Float32Array>>;
  }>;
  /**
   * Continues a text, by one model: training waits for it. DataError for a character that the vocabulary does not have
   * and for options out of range; NumericError, with the parameters that are not finite, when what comes next cannot
   * be drawn.
   */
  generate(prompt: string, options?: GenerateOptions): Promise<string>;
  /** Every parameter by its name: `layers.0.mlp.up`. */
  parameters(): Readonly<Record<string, ParameterAccess>>;
  /** All parameters and optimizer state, as a safetensors file. */
  checkpoint(): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Writes `checkpoint()` to a file, atomically (Node only). With a number that is not finite nothing is written: a
   * NumericError.
   */
  save(path: string): Promise<void>;
  /**
   * Restores a checkpoint, from a file (Node only) or from its bytes. A state of the optimizer that it does not have
   * begins as at step 0; moments of parameters that the page has frozen since are left out, and named. DataError, with
   * the model as it was, for what is no checkpoint, lacks a parameter, has another tensor that the model does not, or a
   * number that is not finite.
   */
  load(from: string | Uint8Array): Promise<Restored>;
  /** Gives the device's memory back when the calls before it are done. Calls after it are refused: DeviceError. */
  close(): Promise<void>;
}
