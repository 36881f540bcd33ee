/**
 * The forward pass of a page, as the entries start from it: lowered, and through the passes that come before
 * differentiation.
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Kept } from "../../runtime/plan.js";
import type { Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Node, Origin } from "../graph/node.js";
import { lower, mapLowered, type Lowered } from "../model/lower/lower.js";
import type { TypedModel } from "../model/typed.js";
import { fuseAttention } from "../passes/attention.js";
import { gateValues, type Gates, type Shrinking } from "./hard-concrete.js";
import { output, type Output } from "./roles.js";

/** A page that entries are made of. */
export interface EntryPage {
  readonly model: TypedModel;
  /** Examples in a batch: 1 of a page that is not trained. */
  readonly batch: number;
  /** Whether activations are kept in half precision. */
  readonly half: boolean;
  /** What shrinking has left of the model. */
  readonly kept: Kept;
  /** Gates that may still close; null when none may. */
  readonly shrinking: Shrinking | null;
  /** Whether attention is one op where it is found. */
  readonly attention: boolean;
}

/** A page with a loss, as nodes. */
export type LoweredLoss = Lowered & { readonly loss: Node; readonly losses: Node };

/** What belongs to no block of the page. */
const PAGE: Origin = { block: "", phase: "forward" };

/** The gates of a page in `b`, drawn for a step or taken without noise; null when none may close. */
export const gatesOf = ({ shrinking }: EntryPage, b: Builder, isNoisy: boolean): Gates | null =>
  shrinking && b.within(PAGE, () => gateValues(b, shrinking.slots, shrinking.words, isNoisy));

/**
 * The forward pass in `b`. `isNoisy`: as a step computes it, where gates that may close are drawn, and so are the
 * random numbers of the page.
 */
export function forwardPass(
  page: EntryPage,
  b: Builder,
  { batch, isNoisy }: { readonly batch: number; readonly isNoisy: boolean },
): Lowered {
  const { model, kept } = page;
  const inner = createBuilder();
  const values = gatesOf(page, inner, isNoisy)?.values ?? null;
  return withAttention(lower(model, inner, { batch, gating: { kept, values }, draws: isNoisy }), b, page.attention);
}

/** The forward pass as gains are measured in it, without noise, and its builder. */
export function forwardForGains(page: EntryPage): { readonly b: Builder; readonly lowered: Lowered } {
  const { model, batch, kept } = page;
  const b = createBuilder();
  const values = gatesOf(page, b, false)?.values ?? null;
  return { b, lowered: lower(model, b, { batch, gating: { kept, values }, gains: true }) };
}

/**
 * The forward pass after the passes that come before differentiation, in a builder of its own: nodes are numbered in
 * the order in which the page needs them, and differentiation, which goes by numbers, finds the gradient of a gain
 * where the gain was used.
 */
function withAttention(lowered: Lowered, b: Builder, isOn: boolean): Lowered {
  const needed = new Set<Node>();
  mapLowered(lowered, (node) => {
    needed.add(node);
    return node;
  });
  const outputs = new Map([...needed].map((node, i) => [`${i}`, node]));
  const { moved } = fuseAttention({ name: "forward", outputs, updates: new Map() }, b, isOn);
  return mapLowered(lowered, (node) => mustGet(moved, node));
}

/** A page that is trained as such. Throws when it has no loss. */
export function withLoss(lowered: Lowered): LoweredLoss {
  const { loss, losses } = lowered;
  if (!loss || !losses) throw new Error("bug: a page that is trained has no loss");
  return { ...lowered, loss, losses };
}

/** The named parts of the loss and the metrics; `of` makes what is read of their values for each example, [batch]. */
export const measuredOutputs = ({ terms, metrics }: Lowered, of: (each: Node) => Node): readonly Output[] => [
  ...[...terms].map(([name, each]) => output({ kind: "term", name }, of(each))),
  ...[...metrics].map(([name, each]) => output({ kind: "metric", name }, of(each))),
];

/** How far from its set each parameter and each map is, and where the options of sets are that adapt. */
export const constraintOutputs = ({ constraints, adapted }: Lowered): readonly Output[] => [
  ...[...constraints].map(([name, node]) => output({ kind: "constraint", name }, node)),
  ...[...adapted].map(([name, node]) => output({ kind: "adapted", name }, node)),
];
