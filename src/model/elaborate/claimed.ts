/**
 * What a claim is about: `gain(x)` of a stream, `norm(mlp.up)` of a parameter, products of these, and
 * `product[layers](…)` over the layers of a `repeat`. Streams and parameters are found by their names, which must be
 * those of one thing.
 */
import type { Call, Expr, Ident, Path } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import type { Size } from "../../graph/sizes.js";
import { isConditional } from "../deferred.js";
import { withRepeats, written } from "../paths.js";
import { layersOf, listed, normsIn } from "../quantities.js";
import { statementsIn } from "../statements.js";
import type { Axis, Parameter, Quantity, Statement, Tensor } from "../typed.js";
import { matches, unknownParameter } from "./membership.js";
import { scalarOf } from "./numbers.js";
import { fail, giveUp, lookup, namesIn, unknownName, type Elaboration, type Scope } from "./scope.js";
import { dotted } from "./syntax.js";

/** What claims are read against: the page as it has been read. */
export interface ClaimPage {
  readonly state: Elaboration;
  readonly scope: Scope;
  readonly parameters: readonly Parameter[];
  readonly statements: readonly Statement[];
  /** Whether what is called so may be switched off with its layer (`shrink`). */
  readonly mayGo: (name: string) => boolean;
}

/** The quantities that a claim can be about. */
const QUANTITIES = ["gain", "norm", "product"];

/** The quantity that a claim writes on its left. */
export function quantityOf(page: ClaimPage, e: Expr): Quantity {
  const { state, scope } = page;
  switch (e.kind) {
    case "group":
      return quantityOf(page, e.inner);
    case "number":
      return { kind: "number", value: scalarOf(state, e, scope).value() };
    case "binary":
      if (e.op === "*") return { kind: "product", factors: [quantityOf(page, e.left), quantityOf(page, e.right)] };
      break;
    case "call": {
      const name = dotted(e.callee);
      if (name === "gain") return gainOf(page, e);
      if (name === "norm") return normOf(page, e);
      if (name === "product") return overLayers(page, e);
      return unknownName(state, {
        code: "MHC201",
        span: e.callee.span,
        message: `\`${name}\` is nothing that a claim can be about; there are gain, norm and product`,
        name,
        candidates: QUANTITIES,
      });
    }
    default:
  }
  return fail(
    state,
    "MHC210",
    e.span,
    "a claim is about `gain(stream)`, `norm(parameter)`, products of these, and `product[layers](…)`",
  );
}

/** The one argument of a quantity, which is a name. `what`: the name that it takes. */
function onlyName({ state }: ClaimPage, e: Call, what: string): Path {
  const args = e.lists.flat();
  const [arg] = args;
  return args.length === 1 && arg?.value.kind === "path" && !arg.name
    ? arg.value
    : fail(state, "MHC207", e.span, `\`${dotted(e.callee)}\` takes ${what}`);
}

/** The stream that is called so; null when it is something else, or nothing. */
function streamNamed(scope: Scope, name: string): Tensor | null {
  const entity = lookup(scope, name);
  return entity?.kind === "tensor" && entity.tensor.kind === "stream" ? entity.tensor : null;
}

function gainOf(page: ClaimPage, e: Call): Quantity {
  const { state, scope } = page;
  const path = onlyName(page, e, "the name of a stream");
  const name = dotted(path);
  const stream = streamNamed(scope, name);
  if (stream) return { kind: "gain", stream };
  if (lookup(scope, name)?.kind === "poison") return giveUp();
  return unknownName(state, {
    code: "MHC201",
    span: path.span,
    message: `there is no stream \`${name}\``,
    name,
    candidates: namesIn(scope).filter((candidate) => streamNamed(scope, candidate) !== null),
  });
}

function normOf(page: ClaimPage, e: Call): Quantity {
  const { state } = page;
  const path = onlyName(page, e, "the name of a parameter");
  const parameter = parameterNamed(page, path);
  const name = written(parameter.name);
  const { axes } = parameter.tensor;
  if (!e.axes && axes.length !== 2)
    fail(state, "MHC206", e.span, `\`${name}\` has the axes ${listed(axes)}, and a norm is that of a matrix`, {
      fix: `say which axes are its rows: \`norm[${axes[0]?.name ?? "…"}](${dotted(path)})\``,
    });
  const rows = e.axes ? e.axes.map((ident) => rowNamed(state, name, axes, ident)) : axes.slice(0, 1);
  if (rows.length === axes.length)
    fail(state, "MHC206", e.span, `all axes of \`${name}\` are rows: leave one for the columns`);
  return { kind: "norm", parameter, rows };
}

/** The axis of a parameter that is called so. `parameter`: what the claim calls the parameter. */
const rowNamed = (state: Elaboration, parameter: string, axes: readonly Axis[], { name, span }: Ident): Axis =>
  axes.find((axis) => axis.name === name) ??
  unknownName(state, {
    code: "MHC205",
    span,
    message: `\`${parameter}\` has no axis \`${name}\`; its axes are ${listed(axes)}`,
    name,
    candidates: axes.map((axis) => axis.name),
  });

/** `product[layers](norm(mlp.up))`. */
function overLayers(page: ClaimPage, e: Call): Quantity {
  const { state } = page;
  const [repeat, ...furtherAxes] = e.axes ?? [];
  const [arg, ...furtherArgs] = e.lists.flat();
  if (!repeat || furtherAxes.length || !arg || furtherArgs.length)
    return fail(
      state,
      "MHC207",
      e.span,
      "`product` names the layers that it is over, and takes one quantity: `product[layers](norm(mlp.up))`",
    );
  const { name, span } = repeat;
  const repeats = repeatsIn(page.statements);
  if (!repeats.has(name))
    return unknownName(state, {
      code: "MHC201",
      span,
      message: `there is no \`repeat ${name}\``,
      name,
      candidates: repeats.keys(),
    });
  const quantity = quantityOf(page, arg.value);
  refuseConditional(state, quantity, arg.value.span);
  if (!layersOf(quantity).includes(name))
    fail(state, "MHC210", arg.value.span, `nothing here is of a layer of \`repeat ${name}\``);
  return { kind: "over", repeat: name, quantity };
}

/** A product over layers is of what every layer has. */
export function refuseConditional(state: Elaboration, quantity: Quantity, span: Span): void {
  const conditional = normsIn(quantity).find(({ around }) => isConditional(around));
  if (!conditional) return;
  fail(state, "MHC305", span, `\`${written(conditional.name)}\` stands in an \`if\`, and not every layer has it`, {
    notes: [{ message: "it is declared here", span: conditional.tensor.span }],
    fix: "claim its norm by itself, which is that of the layers that have it",
  });
}

/** The one parameter that a path names, in whole or by its end. */
function parameterNamed({ state, parameters }: ClaimPage, path: Path): Parameter {
  const [parameter, ...further] = parameters.filter(({ name }) => matches(name, dotted(path)));
  const names = (list: readonly Parameter[]): readonly string[] => list.map(({ name }) => written(name));
  if (!parameter) return unknownParameter(state, names(parameters), path);
  if (!further.length) return parameter;
  const short = names([parameter, ...further]);
  const isClear = new Set(short).size === short.length;
  const told = isClear ? short : [parameter, ...further].map(({ name }) => withRepeats(name));
  const candidates = told.map((name) => `\`${name}\``);
  return fail(state, "MHC201", path.span, `\`${dotted(path)}\` may be ${candidates.join(" or ")}`, {
    fix: "write more of its name",
  });
}

/** The repeats of a page, by name, with their sizes. */
export function repeatsIn(statements: readonly Statement[]): Map<string, Size> {
  return new Map(
    statements.flatMap((statement) => [
      ...(statement.kind === "repeat" ? [[statement.name, statement.count] as const] : []),
      ...repeatsIn(statementsIn(statement)),
    ]),
  );
}
