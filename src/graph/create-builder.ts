/**
 * Makes graph nodes. Hash-consing: what has the same op, attributes, inputs, site and epoch is one node, so common
 * subexpressions are shared as they are built. Shapes and dtypes come from the op table, which also says what is wrong
 * with wrong inputs; a wrong node is a bug of the compiler, so it throws. A few identities that would only make noise
 * (x * 1, x + 0, views that change nothing) are folded here.
 */
import type { Span } from "../diagnostics/span.js";
import type { Binary, Builder, MakeOptions, Unary } from "./builder.js";
import type { Attributes, DType, Node, Op, Origin, Shape } from "./node.js";
import { opTable } from "./ops.js";
import { sameShape, sizeOf, type OpRecord } from "./record.js";

export function createBuilder(): Builder {
  const known = new Map<string, Node>();
  let ids = 0;
  let epoch = 0;
  let origin: Origin = { block: "", phase: "forward" };

  function make<K extends Op>(op: K, inputs: readonly Node[], attrs: Attributes[K], options: MakeOptions = {}): Node {
    const record = opTable[op] as OpRecord<K>;
    const inferred = record.infer(inputs, attrs, options);
    if (typeof inferred === "string") {
      throw new Error(
        `graph: ${op}(${inputs.map((input) => `${input.dtype}[${input.shape.join(",")}]`).join(", ")}): ${inferred}`,
      );
    }
    const site = options.site ?? "";
    const clone = options.epoch ?? (inputs.length ? epoch : 0);
    const id = `${op}|${inputs.map((input) => input.id).join(",")}|${JSON.stringify(attrs)}|${inferred.shape.join(",")}|${inferred.dtype}|${site}|${clone}`;
    const found = known.get(id);
    if (found) return found;
    const node = {
      op,
      attrs,
      inputs,
      shape: inferred.shape,
      dtype: inferred.dtype,
      id: ids++,
      site,
      epoch: clone,
      origin: options.origin ?? origin,
    } as unknown as Node;
    known.set(id, node);
    return node;
  }

  /**
   * What `part` makes belongs to a clone: without this, the expansion of a clone could be one node with that of its
   * original.
   */
  function inEpoch<T>(number: number, part: () => T): T {
    const before = epoch;
    epoch = number;
    try {
      return part();
    } finally {
      epoch = before;
    }
  }

  /** What `part` makes is of that origin. */
  function within<T>(whose: Origin, part: () => T): T {
    const before = origin;
    origin = whose;
    try {
      return part();
    } finally {
      origin = before;
    }
  }

  /** What `part` makes computes an expression of the page, for whom it is now. */
  const at = <T>(span: Span, part: () => T): T => within({ ...origin, at: span }, part);

  const isConstant = (node: Node, value: number): boolean =>
    (node.op === "constant" && node.attrs.value === value) ||
    ((node.op === "broadcast" || node.op === "reshape") && isConstant(node.inputs[0]!, value));

  const unary =
    (op: Op): Unary =>
    (x) =>
      make(op, [x], {});
  const binary =
    (op: Op): Binary =>
    (x, y) =>
      make(op, [x, y], {});

  // -0 + 0 is 0: both zeros have one key and one text, so they must be one value.
  const constant = (value: number, dtype: DType = "f32"): Node => make("constant", [], { value: value + 0 }, { dtype });
  const broadcast = (x: Node, shape: Shape, axes: readonly number[]): Node => {
    if (sameShape(x.shape, shape) && axes.every((axis, i) => axis === i)) return x;
    if (x.op === "broadcast" && x.shape.every((size, i) => size === shape[axes[i]!])) {
      return broadcast(
        x.inputs[0]!,
        shape,
        x.attrs.axes.map((axis) => axes[axis]!),
      );
    }
    return make("broadcast", [x], { axes }, { shape });
  };
  const fill = (value: number, shape: Shape, dtype: DType = "f32"): Node =>
    broadcast(constant(value, dtype), shape, []);
  const reshape = (x: Node, shape: Shape): Node =>
    sameShape(x.shape, shape)
      ? x
      : x.op === "reshape"
        ? reshape(x.inputs[0]!, shape)
        : make("reshape", [x], {}, { shape });
  const mul = (x: Node, y: Node): Node =>
    x.dtype === "f32" && isConstant(x, 1) ? y : y.dtype === "f32" && isConstant(y, 1) ? x : make("mul", [x, y], {});
  const add = (x: Node, y: Node): Node => (isConstant(x, 0) ? y : isConstant(y, 0) ? x : make("add", [x, y], {}));
  const sum = (x: Node, axes: readonly number[]): Node =>
    axes.length === 0 ? x : make("sum", [x], { axes: [...axes].sort((a, b) => a - b) });

  return {
    make,
    inEpoch,
    within,
    at,
    parameter: (name: string, shape: Shape): Node => make("parameter", [], { name }, { shape, dtype: "f32" }),
    state: (name: string, shape: Shape): Node => make("state", [], { name }, { shape, dtype: "f32" }),
    input: (name: string, shape: Shape, dtype: DType): Node => make("input", [], { name }, { shape, dtype }),
    constant,
    literal: (shape: Shape, data: readonly number[]): Node => make("literal", [], { data }, { shape, dtype: "f32" }),
    iota: (shape: Shape, axis: number): Node => make("iota", [], { axis }, { shape }),
    fill,
    neg: unary("neg"),
    exp: unary("exp"),
    log: unary("log"),
    sqrt: unary("sqrt"),
    tanh: unary("tanh"),
    erf: unary("erf"),
    abs: unary("abs"),
    sin: unary("sin"),
    cos: unary("cos"),
    sigmoid: unary("sigmoid"),
    not: unary("not"),
    finite: unary("finite"),
    gelu: unary("gelu"),
    silu: unary("silu"),
    softplus: unary("softplus"),
    softmax: unary("softmax"),
    add,
    mul,
    sub: (x: Node, y: Node): Node => (isConstant(y, 0) ? x : make("sub", [x, y], {})),
    div: (x: Node, y: Node): Node => (isConstant(y, 1) ? x : make("div", [x, y], {})),
    min: binary("min"),
    max: binary("max"),
    pow: binary("pow"),
    lt: binary("lt"),
    le: binary("le"),
    eq: binary("eq"),
    and: binary("and"),
    or: binary("or"),
    crossEntropy: binary("cross_entropy"),
    gather: binary("gather"),
    select: (condition: Node, then: Node, otherwise: Node): Node => make("select", [condition, then, otherwise], {}),
    cast: (x: Node, to: DType): Node => (x.dtype === to ? x : make("cast", [x], { to })),
    threefry: (word: 0 | 1, k0: Node, k1: Node, c0: Node, c1: Node): Node =>
      make("threefry", [k0, k1, c0, c1], { word }),
    broadcast,
    transpose: (x: Node, order: readonly number[]): Node =>
      // Output axis i is input axis order[i].
      broadcast(
        x,
        order.map((axis) => x.shape[axis]!),
        order.map((_, axis) => order.indexOf(axis)),
      ),
    reshape,
    pack: (inputs: readonly Node[]): Node => make("pack", inputs, {}),
    slice: (x: Node, offset: number, shape: Shape): Node =>
      offset === 0 && sameShape(x.shape, shape) ? x : make("slice", [x], { offset }, { shape }),
    sum,
    mean: (x: Node, axes: readonly number[]): Node => {
      const total = sum(x, axes);
      return mul(total, fill(1 / sizeOf(axes.map((axis) => x.shape[axis]!)), total.shape));
    },
    reduceMax: (x: Node, axes: readonly number[]): Node =>
      axes.length === 0 ? x : make("reduce_max", [x], { axes: [...axes].sort((a, b) => a - b) }),
    contract: (spec: string, x: Node, y: Node): Node => make("contract", [x, y], { spec }),
    scatterAdd: (index: Node, values: Node, rows: number): Node => make("scatter_add", [index, values], { rows }),
    attention: (q: Node, k: Node, v: Node, attrs: Attributes["attention"]): Node => make("attention", [q, k, v], attrs),
    sinkhorn: (logits: Node, attrs: Attributes["sinkhorn"]): Node => make("sinkhorn", [logits], attrs),
    sinkhornVjp: (logits: Node, cotangent: Node, attrs: Attributes["sinkhorn_vjp"]): Node =>
      make("sinkhorn_vjp", [logits, cotangent], attrs),
  };
}
