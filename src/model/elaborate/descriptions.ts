/**
 * What the functions and settings of the language do, a line each: for the reference, whose tables are made of them. A
 * record has every name of its registry, or it does not compile.
 */
import type { BinaryFunction, RandomFunction, Reducer, UnaryFunction } from "../typed.js";
import type { OF_AXES, ONE_HOT } from "./builtins.js";
import type { TRAIN_SETTINGS } from "./setting-table.js";

/** How a function is written, and what it gives. */
export interface WordDescription {
  /** A use of it in a page with the tensors x[t, w] and s[t], the axis k and the data corpus. */
  readonly form: string;
  readonly does: string;
}

const of = (form: string, does: string): WordDescription => ({ form, does });

/** Functions of one number. */
export const unaryFunctions: Readonly<Record<Exclude<UnaryFunction, "neg" | "indicator">, WordDescription>> = {
  exp: of("exp(x)", "e to the power of x"),
  log: of("log(x)", "the natural logarithm"),
  sqrt: of("sqrt(x)", "the square root"),
  sigmoid: of("sigmoid(x)", "1 / (1 + exp(-x))"),
  tanh: of("tanh(x)", "the hyperbolic tangent"),
  gelu: of("gelu(x)", "x times the normal distribution function of x, by erf and not the approximation with tanh"),
  silu: of("silu(x)", "x * sigmoid(x)"),
  relu: of("relu(x)", "max(x, 0)"),
  softplus: of("softplus(x)", "log(1 + exp(x)), exact for any x"),
  erf: of("erf(x)", "the error function"),
  abs: of("abs(x)", "the absolute value"),
  sin: of("sin(x)", "the sine of an angle in radians"),
  cos: of("cos(x)", "the cosine of an angle in radians"),
  logit: of("logit(x)", "log(x / (1 - x)), the inverse of `sigmoid`"),
  sign: of("sign(x)", "-1, 0 or 1; no gradient"),
  floor: of("floor(x)", "the largest whole number that is not above x; no gradient"),
  round: of("round(x)", "the nearest whole number, halves to the even one; no gradient"),
  stop: of("stop(x)", "x, through which no gradient goes"),
};

/** Functions of two numbers. */
export const binaryFunctions: Readonly<
  Record<Extract<BinaryFunction, "min" | "max" | "mod" | "atan2">, WordDescription>
> = {
  min: of("min(x, 0)", "the smaller one"),
  max: of("max(x, 0)", "the larger one"),
  mod: of("mod(x, 2)", "what is left of a division, with the sign of the divisor; also written `x % 2`"),
  atan2: of("atan2(x, 1)", "the angle of the point with the heights x and 1: `atan2(y, x)`"),
};

/** Functions along axes. */
export const reducers: Readonly<Record<Reducer, WordDescription>> = {
  sum: of("sum[w](x)", "the sum"),
  mean: of("mean[w](x)", "the mean"),
  max: of("max[w](x)", "the largest"),
  min: of("min[w](x)", "the smallest"),
  prod: of("prod[w](x)", "the product"),
  rms: of("rms[w](x)", "the root of the mean square"),
  argmax: of("argmax[w](x)", "the place of the largest, along one axis; no gradient"),
  softmax: of("softmax[w](x)", "exp(x) over its sum: the axis stays"),
  log_softmax: of("log_softmax[w](x)", "the logarithm of that, exact for any x: the axis stays"),
  cumsum: of("cumsum[t](x)", "the sum up to each place, along one axis: the axis stays"),
};

/** All other functions. */
export const otherFunctions: Readonly<
  Record<(typeof OF_AXES)[number] | typeof ONE_HOT | RandomFunction | "cross_entropy", WordDescription>
> = {
  size: of("x / size(w)", "how many places an axis has"),
  index: of("x * index(t)", "the position along an axis, from 0"),
  one_hot: of("one_hot[v](corpus.token)", "1 at the place of a whole number and 0 elsewhere, along a new axis"),
  dropout: of("dropout(x, 0.1)", "0 with this probability, else larger by as much, while training; x elsewhere"),
  noise: of("noise(x, 0.1)", "x and normal noise of this deviation, while training; x elsewhere"),
  cross_entropy: of(
    "cross_entropy(unembed(h), corpus.next)",
    "minus the logarithm of the probability of a class by its logits, as a mean over the axes of the target, but " +
      "for those that the left side names",
  ),
};

/** Settings of `train`. */
export const trainSettings: Readonly<Record<(typeof TRAIN_SETTINGS)[number], WordDescription>> = {
  batch: of("batch = 12", "examples a step"),
  steps: of("steps = 2000", "steps of the run"),
  seed: of("seed = 1337", "what starts, batches and noise are drawn by; 1337 when the page does not say"),
  optimizer: of("optimizer = adamw(rate = 1e-3)", "how parameters are updated"),
  clip: of("clip = 1.0", "the largest norm of all gradients together"),
  precision: of("precision = bf16", "`f32`, `bf16`, `f16` or `auto`: see docs/precision.md"),
  recompute: of(
    "recompute = auto",
    "`off`, `auto` or `every 6`: activations that are computed twice, see docs/memory.md",
  ),
};

/** Settings of optimizers; docs/optimizers.md says which has which. */
export const optimizerSettings: Readonly<Record<string, WordDescription>> = {
  rate: of("rate = 1e-3", "the learning rate: a number or a schedule"),
  betas: of("betas = (0.9, 0.99)", "how fast the two moments of Adam forget"),
  epsilon: of("epsilon = 1e-8", "what is added to the divisor of Adam"),
  decay: of("decay = 0.1", "decoupled weight decay, of parameters of two axes or more that are on no set"),
  momentum: of("momentum = 0.9", "how fast the moment of `sgd` and `muon` forgets"),
  nesterov: of("nesterov = false", "whether `muon` looks ahead"),
};

/** Optimizers. */
export const optimizers: Readonly<Record<string, WordDescription>> = {
  adamw: of("adamw(rate = 1e-3)", "Adam with decoupled decay"),
  sgd: of("sgd(rate = 0.1, momentum = 0.9)", "stochastic descent, with momentum if asked"),
  muon: of("muon(rate = 4e-3)", "matrices by orthogonalized momentum, the rest by AdamW"),
  radam: of("radam(rate = 1e-3)", "Adam along manifolds"),
  rsgd: of("rsgd(rate = 0.1)", "stochastic descent along manifolds"),
};

/** Schedules. */
export const schedules: Readonly<Record<string, WordDescription>> = {
  cosine: of("cosine(1e-3, 1e-4, warmup = 100)", "falls along half a wave of the cosine"),
  linear: of("linear(1e-3, 1e-4)", "falls in a straight line"),
  wsd: of("wsd(1e-3, 0, decay = 30%)", "stays, and falls in the last part of the run"),
  pieces: of("pieces((0%, 0), (5%, 1e-3), (100%, 1e-4))", "straight lines from point to point"),
};
