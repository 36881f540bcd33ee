/**
 * Claims: `gain(x) <= 1.6` of a stream, `norm(mlp.up) <= 2` of a parameter, `product[layers](norm(mlp.up) *
 * norm(mlp.down)) <= 16` of all layers. What is claimed of the large follows from what its parts are on, by a few
 * rules: a member of a set has the bounds that the set states; k blocks of norm r make a matrix of norm at most r
 * sqrt(k); row sums, column sums and norms of a product are at most the products of those of its factors. The checker
 * either proves a claim and says how, or refuses it with the reasons, or leaves it to be `monitored`.
 */
import type { Call, Clause, Expr, Path } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, valueOf, type Size } from "../../graph/sizes.js";
import { nearest } from "../../diagnostics/suggest.js";
import { rankOf } from "../../manifolds/set.js";
import { boundOf } from "../proofs/bounds.js";
import { exactly, proveGain, unmeasuredGain } from "../proofs/gain.js";
import { scalarOf } from "./numbers.js";
import { layersOf, listed, normsIn, show } from "../quantities.js";
import { written } from "../paths.js";
import { Abandoned, fail, lookup, namesIn, unknownName, type Elaboration, type Scope } from "./scope.js";
import type { Axis, Claim, Parameter, Quantity, Statement } from "../typed.js";

type Bound = Extract<Clause, { readonly kind: "bound" }>;

/** What claims are read against: the page as it has been read. */
export interface Facts {
  readonly state: Elaboration;
  readonly scope: Scope;
  readonly parameters: readonly Parameter[];
  readonly statements: readonly Statement[];
  /** Whether what is called so may be switched off with its layer (`shrink`). */
  readonly mayGo: (name: string) => boolean;
}

/** A bound with the steps to it, or the reason why there is none. */
type Proof =
  | { readonly at: number; readonly steps: readonly string[] }
  | { readonly none: string; readonly span: Span | null; readonly steps: readonly string[] };

const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

/** Whether a path names this parameter: it is the name, or its end. */
export const matches = (name: string, path: string): boolean =>
  [name, written(name)].some((own) => own === path || own.endsWith(`.${path}`));

export function claimOf(facts: Facts, clause: Bound): Claim {
  const { state, scope } = facts;
  const quantity = quantityOf(facts, clause.left);
  const bound = scalarOf(state, clause.right, scope).value();
  if (!(bound > 0))
    fail(state, "MHC502", clause.right.span, `a claim bounds by a number above 0, and this is ${bound}`);
  const text = `${show(quantity)} <= ${bound}`;
  const found = clause.shared ? proveShared(facts, quantity, bound) : prove(facts, quantity);
  const proved = "at" in found && found.at <= bound;
  const odd = unmeasured(facts, quantity);
  if (!proved && !clause.monitored) refuse(state, clause, text, found, odd === null);
  if (clause.monitored && odd)
    fail(state, "MHC305", clause.span, `\`${text}\` cannot be measured: ${odd.reason}`, {
      notes: [{ message: "here", span: odd.span }],
    });
  return { text, quantity, bound, monitored: clause.monitored, proof: proved ? found.steps : null };
}

function refuse(state: Elaboration, clause: Bound, text: string, found: Proof, isMeasured: boolean): never {
  const reason = "at" in found ? `no more than ${exactly(found.at)} can be proved` : found.none;
  const elsewise = isMeasured
    ? "write `monitored` after it: then it is measured while training"
    : "take it out: `mhc verify` measures the gain all the same";
  return fail(state, "MHC305", clause.span, `\`${text}\` does not follow`, {
    notes: [
      ...found.steps.map((message) => ({ message, span: null })),
      { message: `so: ${reason}`, span: "at" in found ? null : found.span },
    ],
    fix: [...("at" in found ? [`claim \`<= ${Math.ceil(found.at * 1000) / 1000}\``] : []), elsewise].join(", or "),
  });
}

/** What a claim is about. */
export function quantityOf(facts: Facts, e: Expr): Quantity {
  const { state, scope } = facts;
  switch (e.kind) {
    case "group":
      return quantityOf(facts, e.inner);
    case "number":
      return { kind: "number", value: scalarOf(state, e, scope).value() };
    case "binary":
      if (e.op === "*") return { kind: "product", factors: [quantityOf(facts, e.left), quantityOf(facts, e.right)] };
      break;
    case "call": {
      const name = dotted(e.callee);
      if (name === "gain") return gainOf(facts, e);
      if (name === "norm") return normOf(facts, e);
      if (name === "product") return overOf(facts, e);
      return unknownName(
        state,
        "MHC201",
        e.callee.span,
        `\`${name}\` is nothing that a claim can be about; there are gain, norm and product`,
        name,
        ["gain", "norm", "product"],
      );
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

/** The one argument of a quantity, which is a name. */
function named({ state }: Facts, e: Call, what: string): Path {
  const args = e.lists.flat();
  const [arg] = args;
  if (args.length !== 1 || arg!.name || arg!.value.kind !== "path")
    return fail(state, "MHC207", e.span, `\`${dotted(e.callee)}\` takes ${what}`);
  return arg!.value;
}

function gainOf(facts: Facts, e: Call): Quantity {
  const path = named(facts, e, "the name of a stream");
  const entity = lookup(facts.scope, dotted(path));
  if (entity?.kind === "tensor" && entity.tensor.kind === "stream") return { kind: "gain", stream: entity.tensor };
  // What is wrong with it has been said.
  if (entity?.kind === "poison") throw new Abandoned();
  const streams = namesIn(facts.scope).filter((name) => {
    const found = lookup(facts.scope, name);
    return found?.kind === "tensor" && found.tensor.kind === "stream";
  });
  return unknownName(facts.state, "MHC201", path.span, `there is no stream \`${dotted(path)}\``, dotted(path), streams);
}

function normOf(facts: Facts, e: Call): Quantity {
  const { state } = facts;
  const path = named(facts, e, "the name of a parameter");
  const parameter = parameterNamed(facts, path);
  const { axes } = parameter.tensor;
  if (!e.axes && axes.length !== 2)
    fail(
      state,
      "MHC206",
      e.span,
      `\`${written(parameter.name)}\` has the axes ${listed(axes)}, and a norm is that of a matrix`,
      { fix: `say which axes are its rows: \`norm[${axes[0]?.name ?? "…"}](${dotted(path)})\`` },
    );
  const rows = e.axes?.map(
    (ident) =>
      axes.find(({ name }) => name === ident.name) ??
      unknownName(
        state,
        "MHC205",
        ident.span,
        `\`${written(parameter.name)}\` has no axis \`${ident.name}\`; its axes are ${listed(axes)}`,
        ident.name,
        axes.map(({ name }) => name),
      ),
  ) ?? [axes[0]!];
  if (rows.length === axes.length)
    fail(state, "MHC206", e.span, `all axes of \`${written(parameter.name)}\` are rows: leave one for the columns`);
  return { kind: "norm", parameter, rows };
}

function overOf(facts: Facts, e: Call): Quantity {
  const { state } = facts;
  const args = e.lists.flat();
  if (e.axes?.length !== 1 || args.length !== 1)
    return fail(
      state,
      "MHC207",
      e.span,
      "`product` names the layers that it is over, and takes one quantity: `product[layers](norm(mlp.up))`",
    );
  const repeat = e.axes[0]!;
  const repeats = repeatsIn(facts.statements);
  if (!repeats.has(repeat.name))
    return unknownName(
      state,
      "MHC201",
      repeat.span,
      `there is no \`repeat ${repeat.name}\``,
      repeat.name,
      repeats.keys(),
    );
  const quantity = quantityOf(facts, args[0]!.value);
  if (!layersOf(quantity).includes(repeat.name))
    fail(state, "MHC210", args[0]!.value.span, `nothing here is of a layer of \`repeat ${repeat.name}\``);
  return { kind: "over", repeat: repeat.name, quantity };
}

function parameterNamed({ state, parameters }: Facts, path: Path): Parameter {
  const found = parameters.filter(({ name }) => matches(name, dotted(path)));
  if (found.length > 1)
    return fail(
      state,
      "MHC201",
      path.span,
      `\`${dotted(path)}\` may be ${found.map(({ name }) => `\`${written(name)}\``).join(" or ")}`,
      { fix: "write more of its name" },
    );
  if (found[0]) return found[0];
  if (state.incomplete) throw new Abandoned();
  const names = parameters.map(({ name }) => written(name));
  const guess = nearest(dotted(path), names);
  return fail(state, "MHC201", path.span, `there is no parameter \`${dotted(path)}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ") || "none"}`,
  });
}

function prove(facts: Facts, quantity: Quantity): Proof {
  switch (quantity.kind) {
    case "number":
      return { at: quantity.value, steps: [] };
    case "gain":
      return proveGain(facts, quantity.stream);
    case "norm":
      return proveNorm(quantity);
    case "product": {
      const proofs = quantity.factors.map((factor) => prove(facts, factor));
      const steps = proofs.flatMap((proof) => proof.steps);
      const missing = proofs.find((proof): proof is Extract<Proof, { readonly none: string }> => "none" in proof);
      if (missing) return { ...missing, steps };
      const at = proofs.reduce((product, proof) => product * (proof as { readonly at: number }).at, 1);
      return { at, steps: [...steps, `${show(quantity)} is at most the product of these, ${exactly(at)}`] };
    }
    case "over": {
      const inner = prove(facts, quantity.quantity);
      if ("none" in inner) return inner;
      const size = repeatsIn(facts.statements).get(quantity.repeat)!;
      const count = valueOf(size);
      if (count === null)
        return { none: `the number of layers, ${describe(size)}, is not known yet`, span: null, steps: inner.steps };
      // A layer that has been switched off passes its stream on: a factor of 1.
      const go = inner.at < 1 && normsIn(quantity.quantity).some(({ name }) => facts.mayGo(name));
      const each = go ? 1 : inner.at;
      const at = each ** count;
      const gone = go ? [`a layer may be switched off, and is a factor of 1 then`] : [];
      return {
        at,
        steps: [
          ...inner.steps,
          ...gone,
          `over ${count} layers the product is at most ${exactly(each)}^${count} = ${exactly(at)}`,
        ],
      };
    }
    default:
      return quantity satisfies never;
  }
}

/** Why something has no value to be measured while training: a connection that does not mix. */
function unmeasured(facts: Facts, quantity: Quantity): { readonly reason: string; readonly span: Span } | null {
  switch (quantity.kind) {
    case "gain":
      return unmeasuredGain(facts, quantity.stream);
    case "product":
      return quantity.factors.map((factor) => unmeasured(facts, factor)).find((odd) => odd !== null) ?? null;
    case "over":
      return unmeasured(facts, quantity.quantity);
    case "norm":
    case "number":
      return null;
    default:
      return quantity satisfies never;
  }
}

function proveNorm(quantity: Extract<Quantity, { readonly kind: "norm" }>): Proof {
  const { parameter, rows } = quantity;
  const name = `\`${written(parameter.name)}\``;
  const missing = (none: string): Proof => ({ none, span: parameter.tensor.span, steps: [] });
  if (!parameter.on) return missing(`${name} is free`);
  const { on } = parameter;
  const { manifold, each } = on;
  const { set } = manifold;
  const rank = rankOf(set.point);
  const rest = parameter.tensor.axes.filter((axis) => !each.includes(axis));
  const sides = on.rows ? [on.rows, rest.filter((axis) => !on.rows!.includes(axis))] : null;
  if (sides && !sides.some((side) => side.length === rows.length && side.every((axis) => rows.includes(axis))))
    return missing(
      `the matrix that \`${set.name}\` bounds has the rows ${listed(sides[0]!)}, and this one ${listed(rows)}`,
    );
  if (rank === 2 && !sides && rows.includes(rest[0]!) === rows.includes(rest[1]!))
    return missing(
      `the matrix that \`${set.name}\` bounds has the axes ${listed(rest)}, and this one puts both on one side`,
    );
  const sizes = (axes: readonly Axis[]): readonly (number | null)[] => axes.map(({ size }) => valueOf(size));
  const point = sizes(rest);
  const counted = sizes(each);
  if ([...point, ...counted].some((size) => size === null)) return missing(`the sizes of ${name} are not known yet`);
  const area = (axes: readonly Axis[]): number => (sizes(axes) as number[]).reduce((size, n) => size * n, 1);
  const shape =
    rank === 0
      ? [area(rows), area(parameter.tensor.axes.filter((axis) => !rows.includes(axis)))]
      : rank === 1
        ? [area(rest)]
        : sides
          ? sides.map(area)
          : (point as number[]);
  const own = boundOf(manifold, "norm", shape);
  if (typeof own !== "number") return missing(`${name} is on \`${set.name}\`, which ${own.none}`);
  const steps = [
    `${each.length && rank > 0 ? `each ${each.map((axis) => axis.name).join(", ")} of ` : ""}${name} is on ` +
      `\`${set.name}\`: its norm is at most ${exactly(own)}`,
  ];
  const blocks = rank === 0 ? 1 : area(each);
  if (blocks === 1) return { at: own, steps };
  const at = own * Math.sqrt(blocks);
  return {
    at,
    steps: [
      ...steps,
      `${blocks} blocks of that norm make a matrix of norm at most ${exactly(own)} * sqrt(${blocks}) = ${exactly(at)}`,
    ],
  };
}

/** By construction: the radii of the balls are powers of the budget whose exponents sum to 1. */
function proveShared({ statements, mayGo }: Facts, quantity: Quantity, budget: number): Proof {
  const sharers = normsIn(quantity);
  const goes = budget < 1 ? sharers.find(({ name }) => mayGo(name)) : undefined;
  if (goes)
    return {
      none:
        `\`${written(goes.name)}\` may be switched off with its layer, and the shares of the others are less ` +
        "than the whole: their norms may come to more than a budget below 1",
      span: goes.tensor.span,
      steps: [],
    };
  // What is wrong with the budget has been said, and nothing was put anywhere.
  const shares = sharers.map(({ on }) => on?.manifold.adapt.find((one) => one.kind === "shared"));
  if (shares.length === 0 || shares.some((one) => !one)) throw new Abandoned();
  const count = valueOf(shares[0]!.count);
  const sizeIn = (repeat: string): string => {
    const size = repeatsIn(statements).get(repeat)!;
    return `${valueOf(size) ?? describe(size)}`;
  };
  const names = sharers.map(({ name }) => `\`${written(name)}\``).join(" and ");
  const layers = [
    ...new Set(
      layersOf({
        kind: "product",
        factors: sharers.map((parameter): Quantity => ({ kind: "norm", parameter, rows: [] })),
      }),
    ),
  ].map((repeat) => `${sizeIn(repeat)} layers of \`${repeat}\``);
  return {
    at: budget,
    steps: [
      `${names}${layers.length ? `, in the ${layers.join(" and ")},` : ""} ` +
        `${sharers.length > 1 || layers.length ? "are" : "is"} on \`spectral_ball\`s of radius ` +
        `${exactly(budget)}^s, with the shares s a softmax${count === null ? "" : ` over ${count} matrices`} ` +
        `(\`${shares[0]!.name}\`)`,
      `shares sum to 1, so ${show(quantity)} is at most ${exactly(budget)} (what the tolerance of the balls ` +
        "could add is taken off the radii)",
    ],
  };
}

/** The repeats of a page, by name, with their sizes. */
export function repeatsIn(statements: readonly Statement[]): Map<string, Size> {
  return new Map(
    statements.flatMap((statement) =>
      statement.kind === "repeat" ? [[statement.name, statement.count] as const, ...repeatsIn(statement.body)] : [],
    ),
  );
}
