/**
 * The first operation of a page whose result was not finite, for a step that could not be made. The graph of the loss
 * (or of the gradients, where the loss is finite) is evaluated node by node on the host, with the parameters and an
 * example of the batch that shows it, each result rounded to what a kernel would hold; from the result one goes back to
 * the node whose inputs are all finite. That node knows the expression of the page that it computes, and the range of
 * its inputs tells what to do: a root of a negative number is not the rate's fault.
 *
 * The work is bounded: a page whose evaluation of one example takes more than `MOST` operations is not looked at.
 */
import type { Batch } from "../../runtime/data.js";
import type { Model } from "../../runtime/model.js";
import { mustGet } from "../../runtime/lookup.js";
import { mustTrain } from "../../runtime/plan.js";
import { merged, mustValue, recordOf } from "../../runtime/records.js";
import { check, type CheckOptions } from "../compile/compile.js";
import { positionOf } from "../diagnostics/render.js";
import { buildEntries } from "../step/entries.js";
import { leafName } from "../graph/evaluate.js";
import type { Graph, Node, Origin } from "../graph/node.js";
import { opTable } from "../graph/ops.js";
import { allocate, sizeOf, type OpRecord, type Value } from "../graph/record.js";
import { topological } from "../graph/topology.js";

/** Operations of an evaluation on the host: some ten seconds. */
const MOST = 1e9;
/** Examples of a batch that are tried. */
const TRIED = 64;

/** The least and the largest of some numbers; NaN at both ends where one is. */
export interface ValueRange {
  readonly least: number;
  readonly most: number;
}

/** An operation whose inputs were finite and whose result was not. */
export interface NotFiniteOperation {
  readonly op: string;
  readonly block: string;
  readonly phase: Origin["phase"];
  /** Where the page (or the library) has it; null for what a pass has made. */
  readonly place: {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly text: string;
  } | null;
  /** Of its inputs that are numbers. */
  readonly inputs: readonly ValueRange[];
  readonly why: string;
  readonly fix: string;
}

/** A step that could not be made. */
export interface Question {
  readonly text: string;
  readonly options: CheckOptions;
  readonly model: Model;
  /** The batch of the step. */
  readonly batch: Batch;
  /** What to do where the numbers have grown. */
  readonly calmer: string;
}

/** The first such operation; null when the page is too large to look at, or everything is finite on the host. */
export async function firstNotFinite({
  text,
  options,
  model,
  batch,
  calmer,
}: Question): Promise<NotFiniteOperation | null> {
  const checked = check(text, { ...options, set: merged(options.set, { "train.batch": "1" }) });
  if (!checked.model?.train) return null;
  const { kept } = model.plan;
  const { graphs } = buildEntries(
    { ...checked.model, train: { ...checked.model.train, precision: null } },
    { monitors: false, ...(kept ? { kept } : {}) },
  );
  const shown = await example(model, batch);
  if (!shown) return null;
  const graph = graphs.find(({ name }) => name === shown.entry);
  if (!graph || workOf(graph) > MOST) return null;
  const parameters = model.parameters();
  const values = await Promise.all(
    Object.entries(parameters).map(async ([name, { get }]) => [name, await get()] as const),
  );
  const bindings = new Map<string, ArrayLike<number>>([
    ...values,
    ...Object.entries(shown.batch),
    ["step", [model.step]],
    ["seed", [model.seed]],
  ]);
  // A number that is measured alone breaks nothing; a part of the loss does so through the loss.
  const { outputs: roles } = graph.roles;
  const alone = (id: string): boolean => ["term", "metric"].includes(mustValue(roles, id).kind);
  const traced = trace({ outputs: new Map([...graph.outputs].filter(([id]) => !alone(id))) }, bindings);
  if (!traced) return null;
  const { node, inputs } = traced;
  const { at, block, phase } = node.origin;
  const source = at && checked.sources(at.file);
  const place =
    at && source !== undefined
      ? { file: at.file, ...positionOf(source, at.start), text: source.slice(at.start, at.end).replace(/\s+/g, " ") }
      : null;
  return { op: node.op, block, phase, place, inputs, ...explained(node, inputs, calmer) };
}

/** The operation in a sentence: `sqrt(mean[w](c))` of `layers.0.norm` (page.mhc:31:42): … */
export function inWords({ op, block, phase, place, why }: NotFiniteOperation): string {
  const what = place
    ? `\`${place.text.length > LONGEST ? `${place.text.slice(0, LONGEST - 1)}…` : place.text}\``
    : `the operation ${op}`;
  const whose = block === "" ? "the page" : `\`${block}\``;
  const where = place ? ` (${place.file}:${place.line}:${place.column})` : "";
  return `first not finite: ${phase === "backward" ? "the derivative of " : ""}${what} of ${whose}${where}: ${why}`;
}

const LONGEST = 60;

/** An example that shows it, and the entry that has it. */
async function example(
  model: Model,
  batch: Batch,
): Promise<{ readonly entry: "loss" | "gradients"; readonly batch: Batch } | null> {
  const size = mustTrain(model.plan).batch;
  const rowOf = (values: Batch[string], i: number): Batch[string] =>
    values.slice((i * values.length) / size, ((i + 1) * values.length) / size);
  /** A batch of one example. */
  const single = (i: number): Batch =>
    recordOf(Object.entries(batch).map(([name, values]) => [name, rowOf(values, i)]));
  /** The same example in each place of a batch. */
  const repeated = (i: number): Batch =>
    recordOf(
      Object.entries(batch).map(([name, values]) => {
        const row = rowOf(values, i);
        const rows = values instanceof Uint32Array ? new Uint32Array(values.length) : new Float32Array(values.length);
        for (let at = 0; at < size; at++) rows.set(row, at * row.length);
        return [name, rows];
      }),
    );
  const tried = Math.min(size, TRIED);
  for (let i = 0; i < tried; i++) {
    if (!Number.isFinite((await model.evaluate(repeated(i))).loss)) return { entry: "loss", batch: single(i) };
  }
  for (let i = 0; i < tried; i++) {
    const { gradients } = await model.gradients(repeated(i));
    if (Object.values(gradients).some((gradient) => !gradient.every(Number.isFinite)))
      return { entry: "gradients", batch: single(i) };
  }
  return null;
}

function workOf(graph: Graph): number {
  return topological(graph.outputs.values()).reduce(
    (sum, node) => sum + (opTable[node.op] as OpRecord<typeof node.op>).flops(node as never),
    0,
  );
}

interface Traced {
  readonly node: Node;
  readonly inputs: readonly ValueRange[];
}

/** Evaluates until a result is not finite, and goes back from there to where that began. */
function trace({ outputs }: Pick<Graph, "outputs">, bindings: ReadonlyMap<string, ArrayLike<number>>): Traced | null {
  const order = topological(outputs.values());
  const last = new Map<Node, number>();
  order.forEach((node, i) => node.inputs.forEach((input) => last.set(input, i)));
  const values = new Map<Node, Value>();
  const ranges = new Map<Node, ValueRange>();
  const broken = new Set<Node>();
  const results = new Set(outputs.values());
  for (const [i, node] of order.entries()) {
    const value = rounded(node, valueOf(node, values, bindings));
    values.set(node, value);
    const range = rangeOf(value);
    ranges.set(node, range);
    if (!Number.isFinite(range.least) || !Number.isFinite(range.most)) broken.add(node);
    if (broken.has(node) && results.has(node)) return began(node, broken, ranges);
    for (const input of node.inputs) if (last.get(input) === i) values.delete(input);
  }
  return null;
}

function began(result: Node, broken: ReadonlySet<Node>, ranges: ReadonlyMap<Node, ValueRange>): Traced {
  let node = result;
  for (;;) {
    const before = node.inputs.filter((input) => broken.has(input)).sort((a, b) => a.id - b.id)[0];
    if (!before)
      return {
        node,
        inputs: node.inputs.filter(({ dtype }) => dtype === "f32").map((input) => mustGet(ranges, input)),
      };
    node = before;
  }
}

function valueOf(
  node: Node,
  values: ReadonlyMap<Node, Value>,
  bindings: ReadonlyMap<string, ArrayLike<number>>,
): Value {
  if (node.inputs.length === 0 && "name" in node.attrs) {
    const bound = bindings.get(leafName(node));
    const value = allocate(node.dtype, sizeOf(node.shape));
    if (bound) value.set(bound);
    return value;
  }
  const { evaluate } = opTable[node.op] as OpRecord<typeof node.op>;
  return (evaluate as (node: Node, inputs: readonly Value[]) => Value)(
    node,
    node.inputs.map((input) => mustGet(values, input)),
  );
}

/** What a kernel would hold: a number beyond f32 is infinite there. */
function rounded({ dtype }: Node, value: Value): Value {
  if (dtype === "f32") for (let i = 0; i < value.length; i++) value[i] = Math.fround(value[i]!);
  return value;
}

/** NaN is at both ends. */
function rangeOf(value: Value): ValueRange {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const x of value) {
    if (Number.isNaN(x)) return { least: x, most: x };
    if (x < least) least = x;
    if (x > most) most = x;
  }
  return { least, most };
}

const number = (value: number): string =>
  value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e4)
    ? `${Number(value.toPrecision(3))}`
    : value.toExponential(1);
const words = ({ least, most }: ValueRange): string =>
  least === most ? number(least) : `from ${number(least)} to ${number(most)}`;

/** What went wrong in an operation, by its inputs, and what to do. */
function explained(
  node: Node,
  inputs: readonly ValueRange[],
  calmer: string,
): { readonly why: string; readonly fix: string } {
  const [x, y] = inputs;
  if (node.op === "sqrt" && x && x.least < 0) {
    return {
      why: `the square root of a negative number: its argument is ${words(x)}`,
      fix: "keep what stands under the root from falling below 0: a mean of squares, and a small number added to it",
    };
  }
  if (node.op === "log" && x && x.least <= 0) {
    return {
      why: `the logarithm of a number that is not positive: its argument is ${words(x)}`,
      fix: "keep the argument above 0: add a small number, or take `max(…, 1e-6)`",
    };
  }
  if (node.op === "div" && y && y.least <= 0 && y.most >= 0) {
    const negative = node.inputs[1]?.op === "sqrt" ? " (a root of 0)" : "";
    return {
      why: `a division by zero: the divisor is ${words(y)}${negative}`,
      fix: "keep the divisor from 0: add a small number to it",
    };
  }
  if (node.op === "pow" && x && y && x.least <= 0) {
    return {
      why: `a power of ${words(x)} to the ${words(y)}`,
      fix: "keep what is raised to a power above 0, or take a whole number for the power",
    };
  }
  if (node.op === "exp" && x && x.most > 88) {
    return {
      why: `an exponential that is too large for f32: its argument is ${words(x)}`,
      fix: "keep the argument below 88: `softmax` subtracts the largest by itself",
    };
  }
  const grown = inputs.length ? `its inputs are ${inputs.map(words).join(" and ")}` : "it has no inputs";
  return { why: `the result is too large for f32, or undefined: ${grown}`, fix: calmer };
}
