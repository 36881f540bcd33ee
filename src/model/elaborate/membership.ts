/**
 * Sets on a page: `manifold Mixing = birkhoff` names one, and parameters are put on one, where they are declared
 * (`param up[w, hidden] ~ normal(0.02) each hidden on sphere`) or from outside, in `constrain` (`mlp.up each hidden on
 * sphere`). An axis after `each` counts points; the axes that are left are a point's: all of them are one vector, or
 * two are a matrix, or every entry is a point of its own.
 */
import type { Call, Clause, Expr, Ident, Path, Section } from "../../../grammar/ast.js";
import { diagnostic } from "../../diagnostics/table.js";
import { nearest } from "../../diagnostics/suggest.js";
import type { Span } from "../../diagnostics/span.js";
import { createBuilder } from "../../graph/create-builder.js";
import { evaluate } from "../../graph/evaluate.js";
import { describe, known, resolve, unify, type Polynomial } from "../../graph/sizes.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { fixed, rankOf } from "../../manifolds/set.js";
import { withRepeats, written } from "../paths.js";
import { listed } from "../quantities.js";
import type { Axis, Membership, Parameter, StartValue, Tensor } from "../typed.js";
import { fail, giveUp, lookupBare, unknownName, type Elaboration, type Scope } from "./scope.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import { setOf } from "./set-instances.js";
import { dotted, onlyInTrain } from "./syntax.js";

/** `each hidden on sphere`: the axes that count points, and a manifold of the model by its name or a set as written. */
export interface OnClause {
  readonly each: readonly Ident[];
  readonly on: Path | Call;
}

/** A parameter on a set. */
export function membershipOf(state: Elaboration, tensor: Tensor, { each, on }: OnClause, scope: Scope): Membership {
  const entity = lookupBare(scope, on);
  if (entity?.kind === "poison") return giveUp();
  const manifold = entity?.kind === "manifold" ? entity.manifold : setOf(state, on, scope);
  const counted = each.map((ident) => axisOf(state, tensor, ident));
  const twice = each.find((ident, i) => each.findIndex(({ name }) => name === ident.name) !== i);
  if (twice) fail(state, "MHC205", twice.span, `\`each ${twice.name}\` stands twice`);
  const point = tensor.axes.filter((axis) => !counted.includes(axis));
  checkPoint(state, tensor, manifold, point, on.span);
  return { manifold, each: counted, span: on.span };
}

/** The size of the matrix that a start is tried on. */
const TRIED = 4;
/** How far its diagonal may be from what the start says, or from 1: as far as a set's own start is. */
const NEAR = 0.06;

/**
 * Warns of `~ identity(1) on M` where the matrix that starts is another, since the start is that of the free
 * coordinates, which the map of the set takes to the matrix.
 */
export function warnOfStart(state: Elaboration, { on }: Parameter, { kind, args }: StartValue, written: Expr): void {
  const value = args[0]?.value();
  if (kind !== "identity" || written.kind === "path" || !on || typeof value !== "number") return;
  const { set, options } = on.manifold;
  if (rankOf(set.point) !== 2) return;
  const pieces = set.free([known(TRIED), known(TRIED)], options);
  if ("error" in pieces || pieces.length !== 1) return;
  const diagonal = startingDiagonal(on.manifold, value);
  if (Math.min(Math.abs(diagonal - value), Math.abs(diagonal - 1)) <= NEAR) return;
  const { span } = written;
  const message =
    `on ${set.name} this starts the free coordinates, and a ${TRIED} x ${TRIED} matrix that they make has ` +
    `${diagonal.toPrecision(2)} on its diagonal`;
  state.report(
    diagnostic("MHC308", span, message, {
      fix: "name the set, `manifold M = …`, and write `~ M.start`, which is its own start",
    }),
  );
}

/** What stands on the diagonal of the matrix that free coordinates of `value` on theirs make. */
function startingDiagonal({ set, options }: SetInstance, value: number): number {
  const b = createBuilder();
  const shape = [TRIED, TRIED];
  const free = b.input("free", shape, "f32");
  const start = Float64Array.from({ length: TRIED * TRIED }, (_, i) => (i % (TRIED + 1) === 0 ? value : 0));
  const outputs = new Map([["member", set.map(b, [free], shape, fixed(options))]]);
  const member = evaluate({ name: "start", outputs, updates: new Map() }, new Map([["free", start]])).outputs;
  return mustAt([...mustGet(member, "member")], 0);
}

/** The axis of a tensor that is called so. */
function axisOf(state: Elaboration, { name, axes }: Tensor, ident: Ident): Axis {
  return (
    axes.find((axis) => axis.name === ident.name) ??
    unknownName(state, {
      code: "MHC205",
      span: ident.span,
      message: `\`${name}\` has no axis \`${ident.name}\`; its axes are ${listed(axes)}`,
      name: ident.name,
      candidates: axes.map((axis) => axis.name),
    })
  );
}

/** Checks that a set has members whose axes are these. */
function checkPoint(
  state: Elaboration,
  tensor: Tensor,
  { set, options }: SetInstance,
  point: readonly Axis[],
  span: Span,
): void {
  const rank = rankOf(set.point);
  if (rank > 0 && point.length < rank)
    fail(
      state,
      "MHC303",
      span,
      `a member of ${set.name} is a ${rank === 2 ? "matrix" : "vector"}, and \`${tensor.name}\` has ` +
        `${point.length ? `only ${listed(point)}` : "no axis"} left for it`,
    );
  if (rank !== 2) return;
  const [n, m, ...further] = point;
  if (!n || !m) return;
  if (further.length)
    fail(
      state,
      "MHC303",
      span,
      `a member of ${set.name} is a matrix, and \`${tensor.name}\` has the axes ${listed(point)}`,
      { fix: `say which axes count matrices: \`each ${n.name} on ${set.name}\`` },
    );
  if (set.point === "square" && !unify(n.size, m.size))
    fail(
      state,
      "MHC303",
      span,
      `a matrix on ${set.name} is square, and \`${n.name}\` is ${describe(n.size)} while \`${m.name}\` is ` +
        describe(m.size),
    );
  const sizes = point.map((axis) => resolve(axis.size));
  if (!sizes.every((size): size is Polynomial => size.kind === "polynomial")) return;
  const pieces = set.free(sizes, options);
  if ("error" in pieces) fail(state, "MHC303", span, `${set.name} ${pieces.error}`);
  else if (pieces.length === 0)
    fail(state, "MHC303", span, `${set.name} has one member, so there is nothing to learn`, {
      fix: "compute the value instead of declaring a parameter",
    });
}

/** Whether a path names this parameter: it is the name, with its repeats or without them, or its end. */
export const matches = (name: string, path: string): boolean =>
  [name, written(name), withRepeats(name)].some((full) => full === path || full.endsWith(`.${path}`));

/**
 * The parameters of the page, those that `constrain` names on the sets that it names for them. `attempt` runs the part
 * of one clause, and goes on when that is given up.
 */
export function constrained(
  state: Elaboration,
  section: Section,
  scope: Scope,
  attempt: <T>(part: () => T) => T | null,
): readonly Parameter[] {
  const members = new Map<Parameter, Membership>();
  for (const clause of section.clauses) attempt(() => readClause(state, clause, scope, members));
  return state.parameters.map((parameter) => onSet(parameter, members));
}

/** A parameter as it is, or on the set that was found for it. */
export function onSet(parameter: Parameter, members: ReadonlyMap<Parameter, Membership>): Parameter {
  const on = members.get(parameter);
  return on ? { ...parameter, on } : parameter;
}

function readClause(state: Elaboration, clause: Clause, scope: Scope, members: Map<Parameter, Membership>): void {
  if (clause.kind === "bound") return;
  if (clause.kind !== "on")
    return fail(
      state,
      "MHC501",
      clause.span,
      onlyInTrain(clause) ??
        "a constraint has the form `mlp.up each hidden on sphere`, a claim the form `gain(x) <= 1.6`",
    );
  const path = dotted(clause.path);
  const parameters = state.parameters.filter(({ name }) => matches(name, path));
  if (parameters.length === 0)
    return unknownParameter(state, [...new Set(state.parameters.map(({ name }) => written(name)))], clause.path);
  for (const parameter of parameters) {
    refuseSecondSet(state, parameter, parameter.on ?? members.get(parameter), clause.span);
    const { each, manifold: on } = clause;
    members.set(parameter, membershipOf(state, parameter.tensor, { each, on }, scope));
  }
}

/** A parameter is on one set: one that is on another already (`before`) is refused. */
export function refuseSecondSet(
  state: Elaboration,
  parameter: Parameter,
  before: Membership | undefined,
  span: Span,
): void {
  if (!before) return;
  fail(state, "MHC304", span, `\`${written(parameter.name)}\` is on ${before.manifold.set.name} already`, {
    notes: [{ message: "it is put there here", span: before.span }],
  });
}

/** Reports a parameter that there is not. `names`: those that there are, as a claim writes them. */
export function unknownParameter(state: Elaboration, names: readonly string[], path: Path): never {
  // It may be declared in a part that was given up, whose error has been reported.
  if (state.incomplete) return giveUp();
  const guess = nearest(dotted(path), names);
  return fail(state, "MHC201", path.span, `there is no parameter \`${dotted(path)}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ") || "none"}`,
  });
}
