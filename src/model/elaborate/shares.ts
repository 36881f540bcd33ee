/**
 * `product[layers](norm(mlp.up)) <= 8 shared`: a spectral budget L over several matrices. Each is put on a spectral
 * ball of radius L^s, where the shares s are a softmax over all of them, one parameter, equal at the start: so the
 * product of the norms is at most L whatever is learned, and how much of it a layer may use is learned too. What the
 * ball's tolerance could add in f32 is taken off L first (`budgetOf`).
 */
import type { Clause, Section } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { add, known, resolve, type Polynomial } from "../../graph/sizes.js";
import { spectralBall } from "../../manifolds/spectral_ball.js";
import { matches, quantityOf, repeatsIn, type Facts } from "./claims.js";
import { scalarOf } from "./numbers.js";
import { repeatsOf, written } from "../paths.js";
import { fail } from "./scope.js";
import type { Axis, Membership, Parameter, Quantity } from "../typed.js";
import { recordOf } from "../../../runtime/records.js";

type Bound = Extract<Clause, { readonly kind: "bound" }>;

/** A matrix of a budget, or one a layer of a `repeat`. */
interface Sharer {
  readonly parameter: Parameter;
  readonly rows: readonly Axis[];
  readonly repeat: string | null;
}

/**
 * Puts parameters on the balls of the budgets that `constrain` shares: all parameters, those that are learned for the
 * shares with them.
 */
export function shared(facts: Facts, section: Section, attempt: <T>(part: () => T) => T | null): readonly Parameter[] {
  const members = new Map<Parameter, Membership>();
  const made: Parameter[] = [];
  for (const clause of section.clauses)
    if (clause.kind === "bound" && clause.shared) attempt(() => share(facts, clause, members, made));
  return [
    ...facts.parameters.map((parameter) =>
      members.has(parameter) ? { ...parameter, on: members.get(parameter)! } : parameter,
    ),
    ...made,
  ];
}

function share(facts: Facts, clause: Bound, members: Map<Parameter, Membership>, made: Parameter[]): void {
  const { state, scope } = facts;
  const budget = scalarOf(state, clause.right, scope).value();
  if (!(budget > 0))
    fail(state, "MHC502", clause.right.span, `a claim bounds by a number above 0, and this is ${budget}`);
  const sharers = sharersOf(facts, quantityOf(facts, clause.left), null, clause.left.span);
  if (sharers.length === 1 && sharers[0]!.repeat === null) {
    fail(state, "MHC305", clause.span, `\`${written(sharers[0]!.parameter.name)}\` has nobody to share with`, {
      fix:
        `put it on a ball of its own: \`${written(sharers[0]!.parameter.name)} on spectral_ball(radius = ` +
        `${budget})\``,
    });
  }
  const name = `${written(sharers[0]!.parameter.name)}.shares`;
  const sizes = sharers.map(({ repeat }): Polynomial =>
    repeat === null ? known(1) : (resolve(repeatsIn(facts.statements).get(repeat)!) as Polynomial),
  );
  const count = sizes.reduce(add, known(0));
  // Before any is put anywhere: a budget holds all of its matrices or none.
  const places = sharers.map(({ parameter, rows }, i): [Parameter, Membership] => {
    const before = parameter.on ?? members.get(parameter);
    if (sharers.findIndex((other) => other.parameter === parameter) < i)
      fail(state, "MHC304", clause.span, `\`${written(parameter.name)}\` stands twice in this budget`, {
        fix: "take one out: a matrix has one share",
      });
    if (before)
      fail(state, "MHC304", clause.span, `\`${written(parameter.name)}\` is on ${before.manifold.set.name} already`, {
        notes: [{ message: "it is put there here", span: before.span }],
      });
    const adapt = [
      { kind: "shared", what: "radius", name, budget, first: sizes.slice(0, i).reduce(add, known(0)), count } as const,
    ];
    const options = recordOf(
      Object.entries(spectralBall.options).map(([option, { default: value }]) => [option, value]),
    );
    return [parameter, { manifold: { set: spectralBall, options, adapt }, each: [], rows, span: clause.span }];
  });
  if ([...facts.parameters, ...made].some((parameter) => matches(parameter.name, name)))
    fail(state, "MHC202", clause.span, `the shares would be called \`${name}\`, and there is a parameter of that name`);
  for (const [parameter, membership] of places) members.set(parameter, membership);
  made.push({
    tensor: {
      name: "shares",
      kind: "parameter",
      axes: [{ name: "share", size: count }],
      dtype: "f32",
      range: null,
      span: clause.span,
    },
    name,
    start: { kind: "constant", args: [{ text: "0", value: () => 0 }] },
    on: null,
    doc: null,
  });
}

/** The matrices whose norms a budget is about; `over`: the `repeat` that the product is over here. */
function sharersOf(facts: Facts, quantity: Quantity, over: string | null, span: Span): readonly Sharer[] {
  const { state } = facts;
  const fix = "share it between norms: `product[layers](norm(mlp.up) * norm(mlp.down)) <= 8 shared`";
  switch (quantity.kind) {
    case "product":
      return quantity.factors.flatMap((factor) => sharersOf(facts, factor, over, span));
    case "over":
      if (over !== null)
        fail(
          state,
          "MHC210",
          span,
          `a budget is shared over the layers of one \`repeat\`, and this is over \`${quantity.repeat}\` and ` +
            `\`${over}\``,
        );
      return sharersOf(facts, quantity.quantity, quantity.repeat, span);
    case "norm": {
      const { parameter, rows } = quantity;
      const name = `\`${written(parameter.name)}\``;
      const repeats = repeatsOf(parameter.name);
      const missing = repeats.find((repeat) => repeat !== over);
      if (missing !== undefined)
        fail(
          state,
          "MHC210",
          span,
          `${name} is in every layer of \`repeat ${missing}\`, and this budget is not over them`,
          { fix: `write \`product[${missing}](…)\`` },
        );
      if (over !== null && repeats.length === 0)
        fail(
          state,
          "MHC210",
          span,
          `${name} is in no layer of \`repeat ${over}\`: its norm would count once for every layer`,
          { fix: "write it beside the product" },
        );
      return [{ parameter, rows, repeat: over }];
    }
    case "gain":
    case "number":
      return fail(state, "MHC210", span, "only norms of parameters can share a budget", { fix });
    default:
      return quantity satisfies never;
  }
}
