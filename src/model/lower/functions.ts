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
    default:
      return f satisfies never;
  }
}

/** Two operands of one shape. In conditions, whole numbers compare as floats: they are exact below 2^24. */
export function compared(b: Builder, f: Exclude<BinaryFunction, "^">, x: Node, y: Node): Node {
  const float = (node: Node): Node => (node.dtype === "u32" ? b.cast(node, "f32") : node);
  switch (f) {
    case "+":
      return b.add(float(x), float(y));
    case "-":
      return b.sub(float(x), float(y));
    case "min":
      return b.min(x, y);
    case "max":
      return b.max(x, y);
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
