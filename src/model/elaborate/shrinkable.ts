/**
 * What a page may shrink, found in its typed model. `shrink layers` is a gate for each layer of that `repeat`, `shrink
 * attention` one for each connection of that block in a `repeat`, and `shrink heads`, `shrink mlp.hidden` is a gate for
 * each unit of an axis. Axes that stand for the same index are one class (`axis-classes.ts`). Where all of a class are
 * inside one instance, its units are that instance's own (in each layer); when they reach the page, they are the page's
 * (the lanes of a stream).
 *
 * An axis can be shrunk when a closed unit can be left out wherever the axis is used: where it is summed over, by a
 * product, `sum`, `mean` or `rms` (the divisor of a mean stays what it was), and where a doubly stochastic matrix mixes
 * it. An axis that is used otherwise is refused, with the place.
 */
import type { Span } from "../../diagnostics/span.js";
import { show, valueOf, type Size } from "../../graph/sizes.js";
import { isConditional } from "../deferred.js";
import { withRepeats, written } from "../paths.js";
import { statementsIn } from "../statements.js";
import type { Gate, Statement } from "../typed.js";
import { classesOf, type AxisClass, type ShrinkablePage } from "./axis-classes.js";
import { fail, unknownName, type Elaboration } from "./scope.js";

/** A target of `shrink` as written: `heads`, `mlp.hidden`, `layers`. */
export interface ShrinkTarget {
  readonly name: string;
  readonly span: Span;
}

/** What can be shrunk. */
const SHRINKABLE = "a `repeat`, a block in one, a dim, or an axis of a block";

/** The gates of a page, each once. A target that finds nothing is an error. */
export function gatesOf(state: Elaboration, page: ShrinkablePage, targets: readonly ShrinkTarget[]): readonly Gate[] {
  const classes = classesOf(page);
  const gates = new Map<string, Gate>();
  for (const target of targets) {
    refuseUnlike(state, page.statements, target);
    const gatesOfTarget = [...layersIn(page.statements, target.name), ...axesCalled(state, page, classes, target)];
    if (!gatesOfTarget.length) unknownTarget(state, page, target);
    for (const gate of gatesOfTarget) if (!gates.has(gate.name)) gates.set(gate.name, gate);
  }
  return [...gates.values()];
}

function unknownTarget(state: Elaboration, page: ShrinkablePage, { name, span }: ShrinkTarget): never {
  const candidates = new Set([
    ...repeatsIn(page.statements),
    ...connectionsIn(page.statements),
    ...page.dims.map((dim) => dim.name),
    ...axesOfBlocks(page),
  ]);
  return unknownName(state, {
    code: "MHC501",
    span,
    message: `there is nothing called \`${name}\` to shrink: ${SHRINKABLE}`,
    name,
    candidates,
  });
}

/**
 * A layer that is priced and closed by itself is like the others, and has parameters of its own: so nothing that stands
 * in an `if`, no layers that have one, and none that share their parameters can be switched off.
 */
function refuseUnlike(state: Elaboration, statements: readonly Statement[], { name, span }: ShrinkTarget): void {
  const refuse = (why: string): never => fail(state, "MHC505", span, `\`${name}\` cannot be shrunk: ${why}`);
  const isCalled = (statement: Statement): boolean =>
    (statement.kind === "apply" && splitLast(statement.path)[1] === name) ||
    (statement.kind === "repeat" && statement.name === name) ||
    statementsIn(statement).some(isCalled);
  for (const statement of statements) {
    const inside = statementsIn(statement);
    if (statement.kind === "if" && inside.some(isCalled)) refuse("it stands in an `if`, and not every layer has it");
    if (statement.kind === "repeat") {
      const isThis = statement.name === name;
      if (isThis && inside.some(({ kind }) => kind === "if"))
        refuse("its layers are not alike: there is an `if` in them");
      if (statement.shared && (isThis || inside.some(isCalled)))
        refuse(`the layers of \`repeat ${statement.name} shared\` have one set of parameters`);
    }
    refuseUnlike(state, inside, { name, span });
  }
}

/** Layers of a `repeat` of this name, and connections in one of a block that is called so. */
export function layersIn(statements: readonly Statement[], name: string, prefix = ""): Gate[] {
  return statements.flatMap((statement): Gate[] => {
    if (statement.kind === "apply")
      return prefix !== "" && statement.path === prefix + name ? [{ kind: "layer", name: statement.path }] : [];
    if (statement.kind !== "repeat") return layersIn(statementsIn(statement), name, prefix);
    const path = `${prefix}${statement.name}.*`;
    return [
      ...(statement.name === name ? [{ kind: "layer", name: path } as const] : []),
      ...layersIn(statement.body, name, `${path}.`),
    ];
  });
}

/** Names of repeats, for suggestions. */
const repeatsIn = (statements: readonly Statement[]): string[] =>
  statements.flatMap((statement) => [
    ...(statement.kind === "repeat" ? [statement.name] : []),
    ...repeatsIn(statementsIn(statement)),
  ]);

/** Names of connections in repeats, for suggestions. */
const connectionsIn = (statements: readonly Statement[]): string[] =>
  statements.flatMap((statement) =>
    statement.kind !== "repeat"
      ? []
      : statement.body.flatMap((part) => (part.kind === "apply" ? splitLast(part.path)[1] : connectionsIn([part]))),
  );

/** `mlp.hidden` and the like, for suggestions. */
const axesOfBlocks = ({ parameters }: ShrinkablePage): string[] =>
  parameters.flatMap(({ name, tensor }) => {
    const block = name.split(".").at(-2);
    return block === undefined || block === "*" ? [] : tensor.axes.map((axis) => `${block}.${axis.name}`);
  });

/** The last part of a path, and what stands before it ("" for nothing). */
function splitLast(path: string): readonly [owner: string, last: string] {
  const dot = path.lastIndexOf(".");
  return [path.slice(0, Math.max(0, dot)), path.slice(dot + 1)];
}

/** The axes that a target names, each class of them as one gate. Reports one of which no unit can be left out. */
function axesCalled(
  state: Elaboration,
  page: ShrinkablePage,
  classes: readonly AxisClass[],
  { name, span }: ShrinkTarget,
): Gate[] {
  const isCalled = callsClass(page, name);
  const labels = new Set<string>();
  return classes.filter(isCalled).flatMap((axisClass): Gate[] => {
    const [axis] = axisClass.axes;
    if (!axis) return [];
    if (axisClass.barred)
      return fail(state, "MHC505", span, `\`${name}\` cannot be shrunk: ${axisClass.barred.why}`, {
        notes: [{ message: "here", span: axisClass.barred.span }],
      });
    if (valueOf(axis.size) === 1)
      return fail(state, "MHC505", span, `\`${name}\` is 1: nothing of it can be left out`, {
        fix: "take it out of `shrink`",
      });
    const gate = gateOf(axisClass, axis.size, splitLast(name)[1], labels);
    const conditional = page.parameters.find(
      ({ tensor, around }) => isConditional(around) && tensor.axes.some((inside) => axisClass.axes.has(inside)),
    );
    if (gate.kind === "axis" && gate.path !== "" && conditional)
      return fail(
        state,
        "MHC505",
        span,
        `\`${name}\` cannot be shrunk: \`${written(conditional.name)}\` has it and stands in an \`if\``,
        { notes: [{ message: "here", span: conditional.tensor.span }] },
      );
    return [gate];
  });
}

/**
 * Whether a name is that of a class: it is a dim of the size of its axes, or it is the name of one of them, of a block
 * in which they stand if it has an owner.
 */
function callsClass(page: ShrinkablePage, name: string): (axisClass: AxisClass) => boolean {
  const [owner, axisName] = splitLast(name);
  const dim = owner === "" ? page.dims.find((candidate) => candidate.name === name) : undefined;
  if (dim) {
    const size = show(dim.size);
    return ({ axes }) => [...axes].some((axis) => show(axis.size) === size);
  }
  return ({ axes, paths }) =>
    [...axes].some((axis) => axis.name === axisName) &&
    (owner === "" || [...paths].some((path) => `.${withRepeats(path)}`.endsWith(`.${owner}`)));
}

/** The gate of a class of axes. `labels`: the names of the gates before it, which are not given twice. */
function gateOf({ axes, paths, squares }: AxisClass, size: Size, axisName: string, labels: Set<string>): Gate {
  const path = commonPath([...paths]);
  const nameOf = (label: string): string => (path === "" ? label : `${path}.${label}`);
  // Two axes of one size in one block go by their own names there.
  const free = [axisName, ...[...axes].map((axis) => axis.name)].find((label) => !labels.has(nameOf(label)));
  const name = nameOf(free ?? `${axisName}${labels.size}`);
  labels.add(name);
  return { kind: "axis", name, path, size, axes, squares };
}

/** The longest path that all begin with. */
function commonPath(paths: readonly string[]): string {
  const parts = paths.map((path) => path.split("."));
  const [first = []] = parts;
  const end = first.findIndex((part, i) => parts.some((other) => other[i] !== part));
  return (end < 0 ? first : first.slice(0, end)).join(".");
}
