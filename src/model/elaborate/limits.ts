/**
 * What is too large to be made, said before it is tried: layers that are unrolled by the ten thousand, and tensors with
 * more elements than an index of 32 bits counts. What a device has no room for is another matter, told by `memory`
 * (`src/compile/fit.ts`) or by the device.
 */
import type { Span } from "../../diagnostics/span.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { describe, show, valueOf } from "../../graph/sizes.js";
import { written } from "../paths.js";
import { statementsIn, type RepeatStatement } from "../statements.js";
import { axesOf, type Axis, type Statement, type TypedModel } from "../typed.js";
import { walk } from "../walk.js";

/** Statements that a page comes to when its repeats are unrolled. Each is some dozens of nodes. */
export const MOST_UNROLLED = 4_096;
/** Elements of a tensor: what an index of 32 bits counts. */
export const MOST_ELEMENTS = 2 ** 32;

/** The first thing that is too large; null when all can be made. Sizes that are not known yet are not judged. */
export function tooLarge(model: TypedModel): Diagnostic | null {
  return emptyAxis(model) ?? tooManyLayers(model) ?? largeParameter(model) ?? largeValue(model);
}

/** An axis of no places: a `dim` may be 0 only as a number of layers. */
function emptyAxis(model: TypedModel): Diagnostic | null {
  const isEmpty = ({ size }: Axis): boolean => valueOf(size) === 0;
  const empty = (axis: Axis, span: Span): Diagnostic => {
    const text = show(axis.size);
    const dim = model.dims.find(({ name, size }) => valueOf(size) === 0 && text === name);
    if (dim)
      return diagnostic("MHC215", dim.place, `\`${dim.name}\` is 0, and a dim that is an axis is at least 1`, {
        notes: [{ message: "it is an axis here", span }],
      });
    return diagnostic(
      "MHC215",
      span,
      `the axis \`${axis.name}\` is ${describe(axis.size)} here, and has one place at least`,
      {
        fix: "only a number of layers may be 0",
      },
    );
  };
  for (const { axes, span } of [...model.inputs, ...model.parameters.map(({ tensor }) => tensor)]) {
    const axis = axes.find(isEmpty);
    if (axis) return empty(axis, span);
  }
  let found: Diagnostic | null = null;
  walk(model, (e) => {
    const axis = found ? undefined : (e.kind === "position" ? [e.axis] : axesOf(e)).find(isEmpty);
    if (axis) found = empty(axis, e.span);
  });
  return found;
}

function tooManyLayers({ statements }: TypedModel): Diagnostic | null {
  const unrolled = countOf(statements);
  if (unrolled <= MOST_UNROLLED) return null;
  const [most] = repeatsIn(statements).sort((a, b) => (valueOf(b.count) ?? 0) - (valueOf(a.count) ?? 0));
  // A page that writes so many statements out, without a `repeat`, is made as it is written.
  if (!most) return null;
  return diagnostic(
    "MHC224",
    most.span,
    `layers are unrolled, and \`repeat ${most.name}\` makes ${unrolled.toLocaleString("en")} statements ` +
      `of this page (${describe(most.count)})`,
    { fix: `at most ${MOST_UNROLLED.toLocaleString("en")} are made: take fewer layers` },
  );
}

function largeParameter({ parameters }: TypedModel): Diagnostic | null {
  const large = parameters.find(({ tensor }) => elements(tensor.axes) > MOST_ELEMENTS);
  if (!large) return null;
  const { span, axes } = large.tensor;
  return diagnostic(
    "MHC224",
    span,
    `\`${written(large.name)}\` has ${counted(axes)} elements, and a tensor has at most 2^32`,
    { fix: `make ${largest(axes)} smaller` },
  );
}

function largeValue(model: TypedModel): Diagnostic | null {
  const batch = model.train?.batch ?? 1;
  let large: Diagnostic | null = null;
  walk(model, (e) => {
    if (large || e.kind === "position" || e.kind === "size") return;
    const axes = axesOf(e);
    if (!axes.length || elements(axes) * batch <= MOST_ELEMENTS) return;
    const steps = batch === 1 ? "" : `, for a batch of ${batch.toLocaleString("en")}`;
    const smaller = elements(axes) > batch ? largest(axes) : "the batch";
    large = diagnostic("MHC224", e.span, `this has ${counted(axes)} elements${steps}, and a tensor has at most 2^32`, {
      fix: `make ${smaller} smaller`,
    });
  });
  return large;
}

const elements = (axes: readonly Axis[]): number => axes.reduce((size, axis) => size * (valueOf(axis.size) ?? 1), 1);
const counted = (axes: readonly Axis[]): string => axes.map(({ size }) => describe(size)).join(" x ");
/** The largest of axes, as messages call it. */
function largest(axes: readonly Axis[]): string {
  const [axis] = [...axes].sort((a, b) => (valueOf(b.size) ?? 0) - (valueOf(a.size) ?? 0));
  return axis ? `\`${show(axis.size)}\`` : "it";
}

const repeatsIn = (statements: readonly Statement[]): RepeatStatement[] =>
  statements.flatMap((statement) => [
    ...(statement.kind === "repeat" ? [statement] : []),
    ...repeatsIn(statementsIn(statement)),
  ]);

/** Statements once repeats are unrolled; of an `if`, those of the longer branch. */
const countOf = (statements: readonly Statement[]): number =>
  statements.reduce((sum, statement) => sum + countIn(statement), 0);

function countIn(statement: Statement): number {
  if (statement.kind === "repeat") return (valueOf(statement.count) ?? 1) * countOf(statement.body);
  return statement.kind === "if" ? Math.max(countOf(statement.then), countOf(statement.otherwise)) : 1;
}
