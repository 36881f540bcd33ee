/** The functions of the language as graph: what each name in an expression means on nodes. */
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import type { BinaryFunction, UnaryFunction } from "../typed.js";

/** A function of one operand, in its shape. */
export function activation(b: Builder, f: UnaryFunction, x: Node): Node {
  switch (f) {
    case "neg":
      return b.neg(x);
    case "exp":
      return b.exp(x);
    case "log":
      return b.log(x);
    case "sqrt":
      return b.sqrt(x);
    case "sigmoid":
      return b.sigmoid(x);
    case "tanh":
      return b.tanh(x);
    case "gelu":
      return b.gelu(x);
    case "silu":
      return b.silu(x);
    case "relu":
      return b.max(x, b.fill(0, x.shape));
    case "softplus":
      return b.softplus(x);
    case "erf":
      return b.erf(x);
    case "abs":
      return b.abs(x);
    case "sin":
      return b.sin(x);
    case "cos":
      return b.cos(x);
    case "logit":
      return b.sub(b.log(x), b.log(b.sub(b.fill(1, x.shape), x)));
    case "sign":
      return signOf(b, x);
    case "floor":
      return b.floor(x);
    case "round":
      return rounded(b, x);
    case "stop":
      return b.stop(x);
    case "indicator":
      return b.cast(x, "f32");
    default:
      return f satisfies never;
  }
}

/** 1 above 0 and -1 below it; 0 and what is no number are themselves. */
function signOf(b: Builder, x: Node): Node {
  const zero = b.fill(0, x.shape);
  const below = b.select(b.lt(x, zero), b.fill(-1, x.shape), b.stop(x));
  return b.select(b.lt(zero, x), b.fill(1, x.shape), below);
}

/** The nearest whole number; of two that are equally near the even one. Every step is exact in f32. */
function rounded(b: Builder, x: Node): Node {
  const half = b.fill(0.5, x.shape);
  const low = b.floor(x);
  const rest = b.sub(x, low);
  const isOdd = b.sub(low, b.mul(b.floor(b.mul(low, half)), b.fill(2, x.shape)));
  const nearest = b.select(b.eq(rest, half), b.add(low, isOdd), low);
  return b.stop(b.select(b.lt(half, rest), b.add(low, b.fill(1, x.shape)), nearest));
}

/** x - y floor(x / y), which has the sign of y. */
const remainder = (b: Builder, x: Node, y: Node): Node => b.sub(x, b.mul(y, b.floor(b.div(x, y))));

/** The same values as numbers: whole numbers by value, which is exact below 2^24. */
export const asFloats = (b: Builder, x: Node): Node => (x.dtype === "u32" ? b.cast(x, "f32") : x);

/** Two operands of one shape. In conditions, whole numbers compare as floats: they are exact below 2^24. */
export function compared(b: Builder, f: Exclude<BinaryFunction, "^">, x: Node, y: Node): Node {
  const float = (node: Node): Node => asFloats(b, node);
  switch (f) {
    case "+":
      return b.add(float(x), float(y));
    case "-":
      return b.sub(float(x), float(y));
    case "min":
      return b.min(float(x), float(y));
    case "max":
      return b.max(float(x), float(y));
    case "mod":
      return remainder(b, float(x), float(y));
    case "atan2":
      return b.atan2(float(x), float(y));
    case "<":
      return b.lt(float(x), float(y));
    case "<=":
      return b.le(float(x), float(y));
    case "==":
      return b.eq(float(x), float(y));
    case "!=":
      return b.not(b.eq(float(x), float(y)));
    case "and":
      return b.and(x, y);
    case "or":
      return b.or(x, y);
    default:
      return f satisfies never;
  }
}

/** x^y; of small whole numbers a product, which is defined for negative x and has the plainest derivative. */
export function power(b: Builder, x: Node, y: Node): Node {
  const exponent = y.op === "broadcast" ? y.inputs[0] : y;
  const value = exponent?.op === "constant" ? exponent.attrs.value : null;
  if (value !== null && Number.isInteger(value) && value >= 1 && value <= 4)
    return Array.from({ length: value - 1 }).reduce<Node>((product) => b.mul(product, x), x);
  return b.pow(x, y);
}
