/** The ops whose value at coordinates is made of their operands at the same coordinates, as kernel IR. */
import type { Node } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import { angle } from "../../kernel/mathematics.js";
import { like, widen, type EachOf } from "./coords.js";
import { random } from "./random.js";

/** Operands, all of one width. */
const operandsOf = <T extends readonly Node[]>(inputs: readonly [...T], emit: (input: Node) => Expr): EachOf<T, Expr> =>
  widen(inputs.map(emit)) as EachOf<T, Expr>;

/**
 * The value of an elementwise node, or null for other ops. `emit` gives an operand at the coordinates of the result,
 * `bind` names an intermediate.
 */
export function elementwise(node: Node, emit: (input: Node) => Expr, bind: (value: Expr) => Expr): Expr | null {
  switch (node.op) {
    case "constant":
      return node.dtype === "u32" ? k.u32(node.attrs.value) : k.f32(node.attrs.value);
    case "neg":
    case "exp":
    case "log":
    case "sqrt":
    case "tanh":
    case "erf":
    case "abs":
    case "floor":
    case "sin":
    case "cos":
    case "not": {
      const [x] = operandsOf(node.inputs, emit);
      return k.unary(node.op, x);
    }
    case "sigmoid": {
      const [x] = operandsOf(node.inputs, emit);
      return sigmoid(x, bind);
    }
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "min":
    case "max":
    case "pow":
    case "lt":
    case "le":
    case "eq":
    case "and":
    case "or": {
      const [a, b] = operandsOf(node.inputs, emit);
      return k.binary(node.op, a, b);
    }
    case "atan2": {
      const [y, x] = operandsOf(node.inputs, emit);
      return angle(y, x, bind);
    }
    case "finite":
      return finite(emit(node.inputs[0]));
    case "select": {
      const [condition, then, otherwise] = operandsOf(node.inputs, emit);
      return k.select(condition, then, otherwise);
    }
    case "cast": {
      const [x] = operandsOf(node.inputs, emit);
      const { to } = node.attrs;
      return x.type.of === to ? x : k.cast(x, { of: to, lanes: x.type.lanes });
    }
    case "threefry": {
      const [k0, k1, c0, c1] = operandsOf(node.inputs, emit);
      return random(k0, k1, c0, c1, bind)[node.attrs.word];
    }
    default:
      return null;
  }
}

/** Whether the exponent's bits are not all ones. */
function finite(x: Expr): Expr {
  const bits = k.bitcast(x, "u32");
  const largest = like(bits, 0x7f800000);
  return k.ne(k.and(bits, largest), largest);
}

/** exp only of non-positive numbers, so that nothing overflows. */
function sigmoid(x: Expr, bind: (value: Expr) => Expr): Expr {
  const one = like(x, 1);
  const power = bind(k.unary("exp", k.unary("neg", k.unary("abs", x))));
  const ratio = bind(k.div(one, k.add(one, power)));
  return k.select(k.lt(x, like(x, 0)), k.mul(power, ratio), ratio);
}
