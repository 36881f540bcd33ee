/** The `train` section of the typed model: how a page is trained, and which of its parameters otherwise. */
import type { Span } from "../diagnostics/span.js";
import type { Changing, Unchanging } from "../graph/schedules.js";

/** A rate over the steps; one that changes ends with the run. */
export type RateSettings = Unchanging | Changing;

/**
 * `riemannian` ones (`radam`, `rsgd`) move parameters that are on a manifold along it; the others move their free
 * coordinates.
 */
export type OptimizerSettings = { readonly riemannian: boolean } & (
  | {
      readonly kind: "adamw";
      readonly rate: RateSettings;
      readonly betas: readonly [number, number];
      readonly epsilon: number;
      readonly decay: number;
    }
  | { readonly kind: "sgd"; readonly rate: RateSettings; readonly momentum: number; readonly decay: number }
  /** Matrices by Muon, what is none by AdamW with these betas and this epsilon. */
  | {
      readonly kind: "muon";
      readonly rate: RateSettings;
      readonly momentum: number;
      readonly nesterov: boolean;
      readonly betas: readonly [number, number];
      readonly epsilon: number;
      readonly decay: number;
    }
);

/**
 * Which activations are computed twice rather than kept: none, segments of the paper's length, or segments of so many
 * connections.
 */
export type RecomputeSettings =
  | { readonly kind: "off" }
  | { readonly kind: "auto" }
  | { readonly kind: "every"; readonly count: number };

/** `group "*.mix.*" { rate = 10% }`: parameters with settings of their own. */
export interface ParameterGroup {
  /** That of the page with what the group says, or another. */
  readonly optimizer: OptimizerSettings;
  /** Whether the decay is for all of them; else it is for those that decay on this page. */
  readonly decaysAll: boolean;
  /** Names of parameters, with the numbers of layers. */
  readonly members: ReadonlySet<string>;
  readonly span: Span;
}

/** The `train` section. */
export interface TrainSettings {
  readonly batch: number;
  readonly steps: number;
  readonly seed: number;
  readonly clip: number | null;
  readonly optimizer: OptimizerSettings;
  /** No parameter is in two of them. */
  readonly groups: readonly ParameterGroup[];
  /** What `freeze` leaves as it starts: names of parameters, with the numbers of layers. */
  readonly frozen: ReadonlySet<string>;
  /** Null when the page does not say: then nothing is recomputed, unless `memory` asks for it. */
  readonly recompute: RecomputeSettings | null;
  /** The most bytes that a device may take, and where the page says so. */
  readonly memory: { readonly bytes: number; readonly span: Span } | null;
  /** What the page asks for beside f32, and where. */
  readonly precision: AskedPrecision | null;
}

/**
 * A precision other than f32: `f16` is that of activations in memory, `bf16` that of the operands of products, `auto`
 * is f16 where the device profile that a page is compiled for has it.
 */
export interface AskedPrecision {
  readonly word: "f16" | "bf16" | "auto";
  readonly span: Span;
}
