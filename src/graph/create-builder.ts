/**
 * Makes graph nodes. Hash-consing: what has the same op, attributes, inputs, site and epoch is one node, so common
 * subexpressions are shared as they are built. Shapes and dtypes come from the op table, which also says what is wrong
 * with wrong inputs; a wrong node is a bug of the compiler, so it throws. A few identities that would only make noise
 * (x * 1, x + 0, views that change nothing) are folded here.
 */
import { mustAt } from "../../runtime/lookup.js";
import { cutsOf, plainAxes } from "./affine.js";
import type { BinaryMaker, Builder, MakeOptions, UnaryMaker } from "./builder.js";
import type { Attributes, DType, Node, Op, Origin, Shape } from "./node.js";
import { opTable } from "./ops.js";
import { sameShape, sizeOf, type OpRecord } from "./record.js";

/** What a builder knows between two calls. */
interface Workshop {
  /** Every node made, by its key. */
  readonly nodes: Map<string, Node>;
  /** The epoch and the origin of what is made now. */
  epoch: number;
  origin: Origin;
}

type Make = Builder["make"];

/** A builder of an empty graph. Nodes of two builders must not meet in one graph: their ids are their own. */
export function createBuilder(): Builder {
  const workshop: Workshop = { nodes: new Map(), epoch: 0, origin: { block: "", phase: "forward" } };
  const make: Make = (op, inputs, attrs, options = {}) => makeNode(workshop, op, inputs, attrs, options);
  const within: Builder["within"] = (whose, part) => withOrigin(workshop, whose, part);
  return {
    make,
    inEpoch: (number, part) => withEpoch(workshop, number, part),
    within,
    at: (span, part) => within({ ...workshop.origin, at: span }, part),
    ...leaves(make),
    ...functions(make),
    ...arithmetic(make),
    ...layout(make),
    ...reductions(make),
    ...composites(make),
  };
}

function makeNode<K extends Op>(
  workshop: Workshop,
  op: K,
  inputs: readonly Node[],
  attrs: Attributes[K],
  options: MakeOptions,
): Node {
  const record = opTable[op] as OpRecord<K>;
  const inferred = record.infer(inputs, attrs, options);
  if (typeof inferred === "string") {
    const operands = inputs.map((input) => `${input.dtype}[${input.shape.join(",")}]`).join(", ");
    throw new Error(`graph: ${op}(${operands}): ${inferred}`);
  }
  const { shape, dtype } = inferred;
  const site = options.site ?? "";
  const epoch = options.epoch ?? (inputs.length ? workshop.epoch : 0);
  const ids = inputs.map((input) => input.id).join(",");
  const key = `${op}|${ids}|${JSON.stringify(attrs)}|${shape.join(",")}|${dtype}|${site}|${epoch}`;
  const same = workshop.nodes.get(key);
  if (same) return same;
  const origin = options.origin ?? workshop.origin;
  // The table's `infer` has checked what the type says of inputs and attributes.
  const node = { op, attrs, inputs, shape, dtype, id: workshop.nodes.size, site, epoch, origin } as unknown as Node;
  workshop.nodes.set(key, node);
  return node;
}

function withEpoch<T>(workshop: Workshop, epoch: number, part: () => T): T {
  const before = workshop.epoch;
  workshop.epoch = epoch;
  try {
    return part();
  } finally {
    workshop.epoch = before;
  }
}

function withOrigin<T>(workshop: Workshop, origin: Origin, part: () => T): T {
  const before = workshop.origin;
  workshop.origin = origin;
  try {
    return part();
  } finally {
    workshop.origin = before;
  }
}

/** Whether a node is that number everywhere, as far as its making shows it. */
const isConstant = (node: Node, value: number): boolean =>
  (node.op === "constant" && node.attrs.value === value) ||
  ((node.op === "broadcast" || node.op === "reshape") && isConstant(node.inputs[0], value));

// -0 + 0 is 0: both zeros have one key and one text, so they must be one value.
const constant = (make: Make, value: number, dtype: DType = "f32"): Node =>
  make("constant", [], { value: value + 0 }, { dtype });

const fill = (make: Make, value: number, shape: Shape, dtype: DType = "f32"): Node =>
  broadcast(make, constant(make, value, dtype), shape, []);

function broadcast(make: Make, x: Node, shape: Shape, axes: readonly number[]): Node {
  if (sameShape(x.shape, shape) && axes.every((axis, i) => axis === i)) return x;
  if (x.op === "broadcast" && x.shape.every((size, i) => size === shape[mustAt(axes, i)])) {
    const composed = x.attrs.axes.map((axis) => mustAt(axes, axis));
    return broadcast(make, x.inputs[0], shape, composed);
  }
  return make("broadcast", [x], { axes }, { shape });
}

function reshape(make: Make, x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  return x.op === "reshape" ? reshape(make, x.inputs[0], shape) : make("reshape", [x], {}, { shape });
}

const ascending = (axes: readonly number[]): number[] => [...axes].sort((a, b) => a - b);

function mul(make: Make, x: Node, y: Node): Node {
  if (x.dtype === "f32" && isConstant(x, 1)) return y;
  return y.dtype === "f32" && isConstant(y, 1) ? x : make("mul", [x, y], {});
}

function add(make: Make, x: Node, y: Node): Node {
  if (isConstant(x, 0)) return y;
  return isConstant(y, 0) ? x : make("add", [x, y], {});
}

const sum = (make: Make, x: Node, axes: readonly number[]): Node =>
  axes.length === 0 ? x : make("sum", [x], { axes: ascending(axes) });

const leaves = (make: Make) =>
  ({
    parameter: (name, shape) => make("parameter", [], { name }, { shape, dtype: "f32" }),
    state: (name, shape) => make("state", [], { name }, { shape, dtype: "f32" }),
    input: (name, shape, dtype) => make("input", [], { name }, { shape, dtype }),
    constant: (value, dtype) => constant(make, value, dtype),
    literal: (shape, data) => make("literal", [], { data }, { shape, dtype: "f32" }),
    iota: (shape, axis) => make("iota", [], { axis }, { shape }),
    fill: (value, shape, dtype) => fill(make, value, shape, dtype),
  }) satisfies Partial<Builder>;

/** Ops of one operand, which infer all from it. */
function functions(make: Make) {
  const unary =
    (op: Op): UnaryMaker =>
    (x) =>
      make(op, [x], {});
  return {
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
    floor: unary("floor"),
    stop: unary("stop"),
    not: unary("not"),
    finite: unary("finite"),
    gelu: unary("gelu"),
    silu: unary("silu"),
    softplus: unary("softplus"),
    softmax: unary("softmax"),
  } satisfies Partial<Builder>;
}

/** Ops of two operands and more, place by place. */
function arithmetic(make: Make) {
  const binary =
    (op: Op): BinaryMaker =>
    (x, y) =>
      make(op, [x, y], {});
  return {
    add: (x, y) => add(make, x, y),
    mul: (x, y) => mul(make, x, y),
    sub: (x, y) => (isConstant(y, 0) ? x : make("sub", [x, y], {})),
    div: (x, y) => (isConstant(y, 1) ? x : make("div", [x, y], {})),
    min: binary("min"),
    max: binary("max"),
    pow: binary("pow"),
    atan2: binary("atan2"),
    lt: binary("lt"),
    le: binary("le"),
    eq: binary("eq"),
    and: binary("and"),
    or: binary("or"),
    select: (condition, then, otherwise) => make("select", [condition, then, otherwise], {}),
    cast: (x, to) => (x.dtype === to ? x : make("cast", [x], { to })),
    threefry: (word, k0, k1, c0, c1) => make("threefry", [k0, k1, c0, c1], { word }),
  } satisfies Partial<Builder>;
}

const layout = (make: Make) =>
  ({
    broadcast: (x, shape, axes) => broadcast(make, x, shape, axes),
    transpose: (x, order) => {
      // Output axis i is input axis order[i].
      const shape = order.map((axis) => mustAt(x.shape, axis));
      const axes = order.map((_, axis) => order.indexOf(axis));
      return broadcast(make, x, shape, axes);
    },
    reshape: (x, shape) => reshape(make, x, shape),
    pack: (inputs) => make("pack", inputs, {}),
    slice: (x, offset, shape) =>
      offset === 0 && sameShape(x.shape, shape) ? x : make("slice", [x], { offset }, { shape }),
    affine: (x, shape, at) => {
      const plain = plainAxes(x.shape, shape, at);
      if (plain) return broadcast(make, x, shape, plain);
      const cuts = cutsOf(x.shape, shape, at);
      if (cuts) return broadcast(make, reshape(make, x, cuts.shape), shape, cuts.axes);
      return make("affine", [x], { at }, { shape });
    },
  }) satisfies Partial<Builder>;

const reductions = (make: Make) =>
  ({
    sum: (x, axes) => sum(make, x, axes),
    mean: (x, axes) => {
      const total = sum(make, x, axes);
      const count = sizeOf(axes.map((axis) => mustAt(x.shape, axis)));
      return mul(make, total, fill(make, 1 / count, total.shape));
    },
    reduceMax: (x, axes) => (axes.length === 0 ? x : make("reduce_max", [x], { axes: ascending(axes) })),
    reduceProd: (x, axes) => (axes.length === 0 ? x : make("reduce_prod", [x], { axes: ascending(axes) })),
    contract: (spec, x, y) => make("contract", [x, y], { spec }),
    gather: (table, index) => make("gather", [table, index], {}),
    scatterAdd: (index, values, rows) => make("scatter_add", [index, values], { rows }),
  }) satisfies Partial<Builder>;

const composites = (make: Make) =>
  ({
    crossEntropy: (logits, classes) => make("cross_entropy", [logits, classes], {}),
    attention: (q, k, v, attrs) => make("attention", [q, k, v], attrs),
    sinkhorn: (logits, attrs) => make("sinkhorn", [logits], attrs),
    sinkhornVjp: (logits, cotangent, attrs) => make("sinkhorn_vjp", [logits, cotangent], attrs),
  }) satisfies Partial<Builder>;
