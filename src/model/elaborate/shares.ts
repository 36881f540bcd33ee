/**
 * `product[layers](norm(mlp.up)) <= 8 shared`: a spectral budget L over several matrices. Each is put on a spectral
 * ball of radius L^s, where the shares s are a softmax over all of them, one parameter, equal at the start: so the
 * product of the norms is at most L whatever is learned, and how much of it a layer may use is learned too. What the
 * ball's tolerance could add in f32 is taken off L first (`budgetOf`).
 */
import type { Section } from "../../../grammar/ast.js";
import { mustGet } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { add, known, resolve, type Polynomial, type Size } from "../../graph/sizes.js";
import { spectralBall } from "../../manifolds/spectral_ball.js";
import { repeatsOf, written } from "../paths.js";
import type { Axis, Membership, Parameter, Quantity } from "../typed.js";
import { quantityOf, refuseConditional, repeatsIn, type ClaimPage } from "./claimed.js";
import { matches, onSet, refuseSecondSet } from "./membership.js";
import { constantStart, scalarOf } from "./numbers.js";
import { fail, floatTensor } from "./scope.js";
import { defaultsOf } from "./set-instances.js";
import type { BoundClause } from "./syntax.js";

/** A matrix of a budget, or one a layer of a `repeat`. */
interface Sharer {
  readonly parameter: Parameter;
  readonly rows: readonly Axis[];
  /** The `repeat` in whose layers it is; null for a matrix of the page. */
  readonly repeat: string | null;
}

/** What the budgets of a page have made so far. */
interface Budgets {
  /** Parameters on their balls. */
  readonly members: Map<Parameter, Membership>;
  /** The parameters that are learned for the shares, one a budget. */
  readonly shares: Parameter[];
}

/**
 * Puts parameters on the balls of the budgets that `constrain` shares. Returns all parameters, those that are learned
 * for the shares with them. `attempt` runs the part of one clause, and goes on when that is given up.
 */
export function shared(
  page: ClaimPage,
  section: Section,
  attempt: <T>(part: () => T) => T | null,
): readonly Parameter[] {
  const budgets: Budgets = { members: new Map(), shares: [] };
  for (const clause of section.clauses)
    if (clause.kind === "bound" && clause.shared) attempt(() => share(page, clause, budgets));
  return [...page.parameters.map((parameter) => onSet(parameter, budgets.members)), ...budgets.shares];
}

/** Puts the matrices of one budget on their balls: all of them or, when one is refused, none. */
function share(page: ClaimPage, clause: BoundClause, { members, shares }: Budgets): void {
  const { state, scope } = page;
  const { span } = clause;
  const budget = scalarOf(state, clause.right, scope).value();
  if (!(budget > 0))
    fail(state, "MHC502", clause.right.span, `a claim bounds by a number above 0, and this is ${budget}`);
  const quantity = quantityOf(page, clause.left);
  refuseConditional(state, quantity, clause.left.span);
  const sharers = sharersOf(page, quantity, null, clause.left.span);
  const [first] = sharers;
  if (!first) return;
  const firstName = written(first.parameter.name);
  if (sharers.length === 1 && first.repeat === null)
    fail(state, "MHC305", span, `\`${firstName}\` has nobody to share with`, {
      fix: `put it on a ball of its own: \`${firstName} on spectral_ball(radius = ${budget})\``,
    });
  const name = `${firstName}.shares`;
  const repeats = repeatsIn(page.statements);
  const sizes = sharers.map(({ repeat }) => (repeat === null ? known(1) : layersIn(repeats, repeat)));
  const count = sizes.reduce(add, known(0));
  const places = sharers.map(({ parameter, rows }, i): readonly [Parameter, Membership] => {
    if (sharers.findIndex((other) => other.parameter === parameter) < i)
      fail(state, "MHC304", span, `\`${written(parameter.name)}\` stands twice in this budget`, {
        fix: "take one out: a matrix has one share",
      });
    refuseSecondSet(state, parameter, parameter.on ?? members.get(parameter), span);
    const offset = sizes.slice(0, i).reduce(add, known(0));
    const adapt = [{ kind: "shared", what: "radius", name, budget, first: offset, count }] as const;
    const manifold = { set: spectralBall, options: defaultsOf(spectralBall), adapt };
    return [parameter, { manifold, each: [], rows, span }];
  });
  if ([...page.parameters, ...shares].some((parameter) => matches(parameter.name, name)))
    fail(state, "MHC202", span, `the shares would be called \`${name}\`, and there is a parameter of that name`);
  for (const [parameter, membership] of places) members.set(parameter, membership);
  const tensor = floatTensor("parameter", { name: "shares", span }, [{ name: "share", size: count }]);
  shares.push({ tensor, name, start: constantStart(0), on: null, doc: null });
}

/** The number of layers of a `repeat`: a count of the page, which is a polynomial. */
const layersIn = (repeats: ReadonlyMap<string, Size>, repeat: string): Polynomial =>
  resolve(mustGet(repeats, repeat)) as Polynomial;

/** The matrices whose norms a budget is about; `over`: the `repeat` that the product is over here. */
function sharersOf(page: ClaimPage, quantity: Quantity, over: string | null, span: Span): readonly Sharer[] {
  const { state } = page;
  switch (quantity.kind) {
    case "product":
      return quantity.factors.flatMap((factor) => sharersOf(page, factor, over, span));
    case "over":
      if (over !== null)
        fail(
          state,
          "MHC210",
          span,
          `a budget is shared over the layers of one \`repeat\`, and this is over \`${quantity.repeat}\` and ` +
            `\`${over}\``,
        );
      return sharersOf(page, quantity.quantity, quantity.repeat, span);
    case "norm":
      return [sharerOf(page, quantity, over, span)];
    case "gain":
    case "number":
      return fail(state, "MHC210", span, "only norms of parameters can share a budget", {
        fix: "share it between norms: `product[layers](norm(mlp.up) * norm(mlp.down)) <= 8 shared`",
      });
    default:
      return quantity satisfies never;
  }
}

/** A norm of a budget: of a matrix that is in each of the layers that the product is over, or in none. */
function sharerOf(
  { state }: ClaimPage,
  { parameter, rows }: Extract<Quantity, { readonly kind: "norm" }>,
  over: string | null,
  span: Span,
): Sharer {
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
  return { parameter, rows, repeat: over };
}
