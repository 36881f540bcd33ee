/**
 * Claims: `gain(x) <= 1.6` of a stream, `norm(mlp.up) <= 2` of a parameter, `product[layers](norm(mlp.up) *
 * norm(mlp.down)) <= 16` of all layers. What is claimed of the large follows from what its parts are on, by a few
 * rules: a member of a set has the bounds that the set states; k blocks of norm r make a matrix of norm at most r
 * sqrt(k); row sums, column sums and norms of a product are at most the products of those of its factors. The checker
 * either proves a claim and says how, or refuses it with the reasons, or leaves it to be `monitored`.
 */
import { mustGet } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, valueOf } from "../../graph/sizes.js";
import { rankOf } from "../../manifolds/set.js";
import { repeatsOf, written } from "../paths.js";
import { boundOf } from "../proofs/bounds.js";
import { exactly, proveGain, unmeasuredGain } from "../proofs/gain.js";
import { listed, normsIn, show } from "../quantities.js";
import type { Axis, Claim, Membership, Parameter, Quantity } from "../typed.js";
import { quantityOf, repeatsIn, type ClaimPage } from "./claimed.js";
import { scalarOf } from "./numbers.js";
import { fail, giveUp, type Elaboration } from "./scope.js";
import type { BoundClause } from "./syntax.js";

/** A bound that is proved, with the steps to it. */
interface ProvedBound {
  readonly at: number;
  readonly steps: readonly string[];
}

/** The reason why no bound is proved, where it is, and the steps that were made. */
interface UnprovedBound {
  readonly none: string;
  readonly span: Span | null;
  readonly steps: readonly string[];
}

type Proof = ProvedBound | UnprovedBound;

/** A claim of the page, proved or `monitored`. Reports one that is neither, and gives it up. */
export function claimOf(page: ClaimPage, clause: BoundClause): Claim {
  const { state, scope } = page;
  const quantity = quantityOf(page, clause.left);
  const bound = scalarOf(state, clause.right, scope).value();
  if (!(bound > 0))
    fail(state, "MHC502", clause.right.span, `a claim bounds by a number above 0, and this is ${bound}`);
  const text = `${show(quantity)} <= ${bound}`;
  const proof = clause.shared ? proveShared(page, quantity, bound) : prove(page, quantity);
  const holds = "at" in proof && proof.at <= bound;
  const unmeasured = unmeasuredIn(page, quantity);
  if (!holds && !clause.monitored) refuse(state, clause, text, proof, unmeasured === null);
  if (clause.monitored && unmeasured)
    fail(state, "MHC305", clause.span, `\`${text}\` cannot be measured: ${unmeasured.reason}`, {
      notes: [{ message: "here", span: unmeasured.span }],
    });
  return { text, quantity, bound, monitored: clause.monitored, proof: holds ? proof.steps : null };
}

/** Reports a claim that does not follow. */
function refuse(state: Elaboration, clause: BoundClause, text: string, proof: Proof, isMeasured: boolean): never {
  const reason = "at" in proof ? `no more than ${exactly(proof.at)} can be proved` : proof.none;
  const elsewise = isMeasured
    ? "write `monitored` after it: then it is measured while training"
    : "take it out: `mhc verify` measures the gain all the same";
  return fail(state, "MHC305", clause.span, `\`${text}\` does not follow`, {
    notes: [
      ...proof.steps.map((message) => ({ message, span: null })),
      { message: `so: ${reason}`, span: "at" in proof ? null : proof.span },
    ],
    fix: [...("at" in proof ? [`claim \`<= ${Math.ceil(proof.at * 1000) / 1000}\``] : []), elsewise].join(", or "),
  });
}

function prove(page: ClaimPage, quantity: Quantity): Proof {
  switch (quantity.kind) {
    case "number":
      return { at: quantity.value, steps: [] };
    case "gain":
      return proveGain(page, quantity.stream);
    case "norm":
      return proveNorm(quantity);
    case "product":
      return proveProduct(page, quantity);
    case "over":
      return proveOver(page, quantity);
    default:
      return quantity satisfies never;
  }
}

/** A product is at most the product of the bounds of its factors. */
function proveProduct(page: ClaimPage, quantity: Extract<Quantity, { readonly kind: "product" }>): Proof {
  const proofs = quantity.factors.map((factor) => prove(page, factor));
  const steps = proofs.flatMap((proof) => proof.steps);
  let at = 1;
  for (const proof of proofs) {
    if ("none" in proof) return { ...proof, steps };
    at *= proof.at;
  }
  return { at, steps: [...steps, `${show(quantity)} is at most the product of these, ${exactly(at)}`] };
}

/** A product over layers is at most the bound of one layer to the power of their number. */
function proveOver(page: ClaimPage, { repeat, quantity }: Extract<Quantity, { readonly kind: "over" }>): Proof {
  const layer = prove(page, quantity);
  if ("none" in layer) return layer;
  const size = mustGet(repeatsIn(page.statements), repeat);
  const count = valueOf(size);
  if (count === null)
    return { none: `the number of layers, ${describe(size)}, is not known yet`, span: null, steps: layer.steps };
  // A layer that has been switched off passes its stream on, so it is a factor of 1.
  const mayGo = layer.at < 1 && normsIn(quantity).some(({ name }) => page.mayGo(name));
  const base = mayGo ? 1 : layer.at;
  const at = base ** count;
  const gone = mayGo ? ["a layer may be switched off, and is a factor of 1 then"] : [];
  const steps = [
    ...layer.steps,
    ...gone,
    `over ${count} layers the product is at most ${exactly(base)}^${count} = ${exactly(at)}`,
  ];
  return { at, steps };
}

/** Why something has no value to be measured while training: a connection that does not mix. */
function unmeasuredIn(page: ClaimPage, quantity: Quantity): { readonly reason: string; readonly span: Span } | null {
  switch (quantity.kind) {
    case "gain":
      return unmeasuredGain(page, quantity.stream);
    case "product":
      return quantity.factors.map((factor) => unmeasuredIn(page, factor)).find((reason) => reason !== null) ?? null;
    case "over":
      return unmeasuredIn(page, quantity.quantity);
    case "norm":
    case "number":
      return null;
    default:
      return quantity satisfies never;
  }
}

/** The norm of a parameter that is on a set which bounds it. */
function proveNorm({ parameter, rows }: Extract<Quantity, { readonly kind: "norm" }>): Proof {
  const name = `\`${written(parameter.name)}\``;
  const unproved = (none: string): UnprovedBound => ({ none, span: parameter.tensor.span, steps: [] });
  const { on } = parameter;
  if (!on) return unproved(`${name} is free`);
  const { manifold, each } = on;
  const rank = rankOf(manifold.set.point);
  const point = parameter.tensor.axes.filter((axis) => !each.includes(axis));
  const mismatch = rowsMismatch(on, point, rows);
  if (mismatch) return unproved(mismatch);
  const shape = boundedShape(parameter, on, point, rows);
  const blocks = rank === 0 ? 1 : areaOf(each);
  if (!shape || blocks === null) return unproved(`the sizes of ${name} are not known yet`);
  const bound = boundOf(manifold, "norm", shape);
  if (typeof bound !== "number") return unproved(`${name} is on \`${manifold.set.name}\`, which ${bound.none}`);
  const counted = each.length && rank > 0 ? `each ${each.map((axis) => axis.name).join(", ")} of ` : "";
  const step = `${counted}${name} is on \`${manifold.set.name}\`: its norm is at most ${exactly(bound)}`;
  if (blocks === 1) return { at: bound, steps: [step] };
  const at = bound * Math.sqrt(blocks);
  const product = `${exactly(bound)} * sqrt(${blocks}) = ${exactly(at)}`;
  return { at, steps: [step, `${blocks} blocks of that norm make a matrix of norm at most ${product}`] };
}

/** The rows and the columns of the matrix that a member is, where `shared` has put it; null where its set says. */
const sidesOf = ({ rows }: Membership, point: readonly Axis[]): readonly (readonly Axis[])[] | null =>
  rows ? [rows, point.filter((axis) => !rows.includes(axis))] : null;

/** Why the matrix that a set bounds is not the one with these rows; null where it is. */
function rowsMismatch(on: Membership, point: readonly Axis[], rows: readonly Axis[]): string | null {
  const { set } = on.manifold;
  const sides = sidesOf(on, point);
  if (sides) {
    const isSide = sides.some((side) => side.length === rows.length && side.every((axis) => rows.includes(axis)));
    const bounded = listed(sides[0] ?? []);
    return isSide
      ? null
      : `the matrix that \`${set.name}\` bounds has the rows ${bounded}, and this one ${listed(rows)}`;
  }
  const [n, m] = point;
  if (rankOf(set.point) !== 2 || !n || !m || rows.includes(n) !== rows.includes(m)) return null;
  return `the matrix that \`${set.name}\` bounds has the axes ${listed(point)}, and this one puts both on one side`;
}

/** The shape of what a set bounds, as its record takes it; null while sizes are not known. */
function boundedShape(
  { tensor }: Parameter,
  on: Membership,
  point: readonly Axis[],
  rows: readonly Axis[],
): readonly number[] | null {
  const columns = tensor.axes.filter((axis) => !rows.includes(axis));
  const rank = rankOf(on.manifold.set.point);
  const sides =
    rank === 0 ? [rows, columns] : rank === 1 ? [point] : (sidesOf(on, point) ?? point.map((axis) => [axis]));
  const shape = sides.map(areaOf);
  return shape.every((size): size is number => size !== null) ? shape : null;
}

/** The product of the sizes of axes; null while one is not known. */
const areaOf = (axes: readonly Axis[]): number | null =>
  axes.reduce<number | null>((area, { size }) => {
    const value = valueOf(size);
    return area === null || value === null ? null : area * value;
  }, 1);

/** By construction: the radii of the balls are powers of the budget whose exponents sum to 1. */
function proveShared({ statements, mayGo }: ClaimPage, quantity: Quantity, budget: number): Proof {
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
  const shares = sharers.map(({ on }) => on?.manifold.adapt.find((adaptation) => adaptation.kind === "shared"));
  const [share] = shares;
  // The matrices of a budget that was wrong are on no balls, and what is wrong with it has been reported.
  if (!share || shares.includes(undefined)) return giveUp();
  const count = valueOf(share.count);
  const over = count === null ? "" : ` over ${count} matrices`;
  const names = sharers.map(({ name }) => `\`${written(name)}\``).join(" and ");
  const repeats = repeatsIn(statements);
  const layers = [...new Set(sharers.flatMap(({ name }) => repeatsOf(name)))].map((repeat) => {
    const size = mustGet(repeats, repeat);
    return `${valueOf(size) ?? describe(size)} layers of \`${repeat}\``;
  });
  const where = layers.length ? `, in the ${layers.join(" and ")},` : "";
  const are = sharers.length > 1 || layers.length ? "are" : "is";
  return {
    at: budget,
    steps: [
      `${names}${where} ${are} on \`spectral_ball\`s of radius ${exactly(budget)}^s, with the shares s a softmax` +
        `${over} (\`${share.name}\`)`,
      `shares sum to 1, so ${show(quantity)} is at most ${exactly(budget)} (what the tolerance of the balls ` +
        "could add is taken off the radii)",
    ],
  };
}
