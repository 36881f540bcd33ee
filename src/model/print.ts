/** The typed model as text: `mhc compile --emit model`. Sums are explicit, sizes symbolic, `repeat` kept. */
import type { Changing, RunPart } from "../graph/schedules.js";
import { describe } from "../graph/sizes.js";
import type { SetInstance } from "../manifolds/registry.js";
import type { Adaptation } from "../manifolds/set.js";
import type { RepeatStatement } from "./statements.js";
import type {
  Axis,
  DataSource,
  LossTerm,
  Parameter,
  AxisPlace,
  Statement,
  Typed,
  TypedModel,
  TypedOf,
} from "./typed.js";
import { partsOf } from "./walk.js";

const axes = (list: readonly Axis[]): string => (list.length ? `[${list.map((axis) => axis.name).join(", ")}]` : "");
const sized = (list: readonly Axis[]): string =>
  `[${list.map((axis) => `${axis.name}: ${describe(axis.size)}`).join(", ")}]`;

/** A set with its options; the name of a mixture has its parts in it already. */
function printSet({ set, options, adapt }: SetInstance): string {
  const pairs = Object.entries(options).map(([key, value]) => `${key} = ${value}`);
  const adapted = adapt
    .filter(({ kind }) => kind !== "mixed")
    .map((adaptation) => ` adapt ${printAdaptation(adaptation)}`);
  return `${set.name}${set.name.endsWith(")") ? "" : `(${pairs.join(", ")})`}${adapted.join("")}`;
}

function printAdaptation(adaptation: Adaptation): string {
  switch (adaptation.kind) {
    case "learned":
      return `${adaptation.what} in ${adaptation.from} .. ${adaptation.to}`;
    case "mixed":
      return adaptation.what;
    case "shared":
      return `${adaptation.what} = ${adaptation.budget} ^ share in ${adaptation.name}`;
    case "rank":
      return `rank in ${adaptation.from} .. ${adaptation.to} weight ${adaptation.weight}`;
    case "scheduled":
      return `${adaptation.what} = ${printSchedule(adaptation.schedule)}`;
    default:
      return adaptation satisfies never;
  }
}

/** A schedule as a page would say it. */
function printSchedule(schedule: Changing): string {
  const part = (at: RunPart): string => (at.kind === "share" ? `${100 * at.share}%` : `${at.steps}`);
  if (schedule.kind === "pieces")
    return `pieces(${schedule.points.map(({ at, value }) => `(${part(at)}, ${value})`).join(", ")})`;
  const { kind, from, to, warmup } = schedule;
  const warm = warmup ? `, warmup = ${warmup}` : "";
  const fall = schedule.kind === "wsd" ? `, decay = ${part(schedule.decay)}, shape = ${schedule.shape}` : "";
  return `${kind}(${from}, ${to}${warm}${fall})`;
}

/** All of a model, an item a line. */
export function printModel(model: TypedModel): string {
  const lines = [
    `model ${model.name} {`,
    ...model.dims.map(({ name, size }) => `  dim ${describe(size) === name ? name : describe(size)}`),
    ...model.numbers.map(({ name, scalar }) => `  number ${name} = ${scalar.text}`),
    ...model.data.map((source) => `  ${printSource(source)}`),
    ...model.manifolds.map(({ name, manifold }) => `  manifold ${name} = ${printSet(manifold)}`),
    ...model.inputs.map((input) => `  input ${input.name}${sized(input.axes)}`),
    ...model.parameters.map((parameter) => `  ${printParameter(parameter)}`),
    ...model.statements.flatMap((statement) => printStatement(statement, "  ")),
    ...model.outputs.map((output) => `  output ${output.name}${axes(output.axes)} = ${printTyped(output.value)}`),
    ...model.terms.map((term) => `  loss ${term.name} = ${printTerm(term)}`),
    ...(model.loss ? [`  loss = ${printTyped(model.loss)}`] : []),
    ...model.metrics.map(({ name, value }) => `  metric ${name} = ${printTyped(value)}`),
    "}",
  ];
  return lines.join("\n");
}

const printTerm = (term: LossTerm): string =>
  term.kind === "sum" ? "the sum over its blocks" : printTyped(term.value);

function printSource({ name, kind, stated, sizes, settings }: DataSource): string {
  const options = [
    ...[...stated].map(([option, size]) => `${option}: ${describe(size)}`),
    ...Object.entries(settings).map(([option, value]) => `${option}: ${JSON.stringify(value)}`),
  ];
  // A size that only the data tells has its own name.
  const given = [...sizes].map(([size, value]) => {
    const [own, text] = [`${name}.${size}`, describe(value)];
    return text.startsWith(own) ? text : `${own} = ${text}`;
  });
  return `data ${name}: ${kind}(${options.join(", ")}), ${given.join(", ")}`;
}

function printParameter({ name, tensor, start, on, frozen }: Parameter): string {
  const args = start.args.map((arg) => arg.text);
  const each = on ? on.each.map((axis) => ` each ${axis.name}`) : [];
  const set = on ? `${each.join("")} on ${printSet(on.manifold)}` : "";
  return `param ${name}${sized(tensor.axes)} ~ ${start.kind}(${args.join(", ")})${set}${frozen ? " frozen" : ""}`;
}

function printStatement(statement: Statement, indent: string): string[] {
  switch (statement.kind) {
    case "let":
      return [
        ...inside(statement.value, indent),
        `${indent}${statement.tensor.name}${axes(statement.tensor.axes)} = ${printTyped(statement.value)}`,
      ];
    case "apply":
    case "update":
      return [
        ...inside(statement.value, indent),
        `${indent}${statement.stream.name}${axes(statement.stream.axes)} <- ${printTyped(statement.value)}`,
      ];
    case "repeat":
      return [
        `${indent}repeat ${describe(statement.count)}${printedLayers(statement)} {`,
        ...statement.body.flatMap((part) => printStatement(part, `${indent}  `)),
        `${indent}}`,
      ];
    case "if":
      return [
        `${indent}if ${statement.condition.text} {`,
        ...statement.then.flatMap((part) => printStatement(part, `${indent}  `)),
        ...(statement.otherwise.length ? [`${indent}} else {`] : []),
        ...statement.otherwise.flatMap((part) => printStatement(part, `${indent}  `)),
        `${indent}}`,
      ];
    default:
      return statement satisfies never;
  }
}

const printedLayers = ({ as, shared }: RepeatStatement): string =>
  `${as === null ? "" : ` as ${as}`}${shared ? " shared" : ""}`;

/** The bodies of the instances that an expression calls, innermost first. */
function inside(e: Typed, indent: string): string[] {
  return callsIn(e).flatMap(({ instance, args }) => [
    ...args.flatMap((arg) => inside(arg, indent)),
    `${indent}instance ${instance.path}: ` +
      `${instance.block}(${instance.formals.map((formal) => `${formal.name}${sized(formal.axes)}`).join(", ")}) {`,
    ...instance.body.flatMap(({ tensor, value }) => [
      ...inside(value, `${indent}  `),
      `${indent}  ${instance.losses.includes(tensor) ? "loss " : ""}${tensor.name}${axes(tensor.axes)} = ` +
        printTyped(value),
    ]),
    ...inside(instance.result, `${indent}  `),
    `${indent}  return ${axes(instance.axes)} = ${printTyped(instance.result)}`,
    `${indent}}`,
  ]);
}

/** The calls of an expression, but not those in the arguments of a call. */
const callsIn = (e: Typed): readonly TypedOf<"call">[] => (e.kind === "call" ? [e] : partsOf(e).flatMap(callsIn));

const printCondition = (e: Typed | null): string => (e ? ` where ${printTyped(e)}` : "");

const printPlaced = (e: Typed): string => (e.kind === "tensor" ? e.tensor.name : printTyped(e));

/** `2 * i + a - 1` */
function printPlace({ offset, terms }: AxisPlace): string {
  const parts = terms.map(({ axis, step }) => (step.text === "1" ? axis.name : `${step.text} * ${axis.name}`));
  const whole = [...parts, ...(offset.text === "0" && parts.length ? [] : [offset.text])];
  return whole
    .map((part, i) => (i === 0 ? part : part.startsWith("-") ? ` - ${part.slice(1)}` : ` + ${part}`))
    .join("");
}

/** An expression, in one line. */
export function printTyped(e: Typed): string {
  switch (e.kind) {
    case "number":
      return `${e.value}`;
    case "scalar":
      return e.scalar.text;
    case "size":
      return describe(e.size);
    case "position":
      return `index(${e.axis.name})`;
    case "tensor":
      return `${e.tensor.name}${axes(e.axes)}`;
    case "shifted":
      return `${printPlaced(e.a)}[${e.at.map(printPlace).join(", ")}]`;
    case "choice":
      return `(${printTyped(e.a)}${printCondition(e.condition)} else ${printTyped(e.otherwise)})`;
    case "gather":
      return `${e.table.name}[${[printTyped(e.index), ...e.axes.map((axis) => axis.name)].join(", ")}]`;
    case "unary":
      return `${e.f}(${printTyped(e.a)})`;
    case "random":
      return `${e.f}(${printTyped(e.a)}, ${e.amount.text})`;
    case "binary":
      return `(${printTyped(e.a)} ${e.f} ${printTyped(e.b)})`;
    case "product": {
      const text = e.factors
        .map(
          (factor, i) =>
            `${i === 0 ? (factor.inverse ? "1 / " : "") : factor.inverse ? " / " : " * "}${printTyped(factor.e)}`,
        )
        .join("");
      return e.summed.length ? `sum${axes(e.summed)}(${text})` : `(${text})`;
    }
    case "reduce":
      return `${e.f}${axes(e.axes)}(${printTyped(e.a)})`;
    case "distance":
      return `${e.name}.distance${axes(e.point)}(${printTyped(e.a)}, ${printTyped(e.b)})`;
    case "where":
      return `${printTyped(e.a)} where ${printTyped(e.condition)}`;
    case "call":
      return `${e.instance.path}(${e.args.map(printTyped).join(", ")})${axes(e.axes)}`;
    case "map":
      return `${e.name}(${e.a ? printTyped(e.a) : ""})${axes(e.axes)}`;
    case "cross_entropy":
      return `cross_entropy(${printTyped(e.logits)}, ${printTyped(e.target)})`;
    case "relabel":
      return `${printTyped(e.a)} as ${axes(e.axes)}`;
    default:
      return e satisfies never;
  }
}
