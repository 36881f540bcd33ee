/** The functions of the language by name, and what the rooms of a model must know of them alike. */

/** Functions of one operand, place by place. */
export type UnaryFunction =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "sigmoid"
  | "tanh"
  | "gelu"
  | "silu"
  | "relu"
  | "softplus"
  | "erf"
  | "abs"
  | "sin"
  | "cos"
  | "logit"
  | "sign"
  | "floor"
  /** To the nearest whole number; halves go to the even one. */
  | "round"
  /** The same value, through which no gradient goes. */
  | "stop"
  /** 1 where a condition holds, else 0: what `one_hot` is made of. */
  | "indicator";
/** What works along axes: most make one value of those along them, and `KEEPING` lists those that make as many. */
export type Reducer = "sum" | "max" | "min" | "mean" | "rms" | "prod" | "argmax" | "softmax" | "log_softmax" | "cumsum";
/** Reducers whose result has the axes that they work along. */
export const KEEPING: ReadonlySet<Reducer> = new Set<Reducer>(["softmax", "log_softmax", "cumsum"]);
/** Functions through which no gradient goes: their derivative is 0, or they are a condition, or it is asked for. */
export const FLAT: ReadonlySet<UnaryFunction> = new Set<UnaryFunction>(["sign", "floor", "round", "stop", "indicator"]);
/** Functions of two operands, place by place. A product is an expression of its own, of any number of factors. */
export type BinaryFunction =
  | "+"
  | "-"
  | "^"
  | "min"
  | "max"
  | "mod"
  | "atan2"
  | "<"
  | "<="
  | "=="
  | "!="
  | "and"
  | "or";
/** What draws random numbers at every training step, and is the value itself everywhere else. */
export type RandomFunction = "dropout" | "noise";
