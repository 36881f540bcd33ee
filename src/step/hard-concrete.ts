/**
 * Gates that close while training: the hard concrete distribution of Louizos, Welling and Kingma (Learning sparse
 * neural networks through L0 regularization, ICLR 2018, section 2.2). A gate has a logit a, and in training is drawn
 * anew at every step:
 *
 *     s = sigmoid((log u - log(1 - u) + a) / beta),  u uniform in (0, 1)
 *     z = min(1, max(0, s (zeta - gamma) + gamma))
 *
 * so that it is 0 and 1 with some probability each. Otherwise z is taken without noise, from s = sigmoid(a). What a
 * step costs is a polynomial in the numbers of units (`src/compile/prices.ts`); its expectation takes
 * P(z > 0) = sigmoid(a - beta log(-gamma / zeta)) for each unit. With weights w and multipliers y,
 *
 *     L = L_task + sum of w C / C_dense + sum of max(0, y + rho (C / C_dense - budget))^2 / (2 rho)
 *     y <- max(0, y + eta (C / C_dense - budget))
 *
 * which is the Lagrangian of the budgets with its augmentation (Hestenes 1969; Powell 1969; for inequalities
 * Rockafellar 1973): without that a multiplier goes on rising while the logits, which take their time, are on their
 * way, and the cost falls far below the budget. The budget falls from the whole to what the page asks for within the
 * steps in which gates close. All gates are one vector, in slots as of a pack, so that drawing and updating are one
 * kernel each; by its own Adam, since a logit's way is tens of units and a weight's a thousandth. A gate that is closed
 * for good, or left open, has a logit that neither noise nor gradient reaches (`PINNED` in the runtime's plan): there
 * is no other mask. Random counters are the units' numbers in the dense model, so that what is drawn stays when the
 * model is cut.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { SLOT } from "../graph/packing.js";
import { stepOf } from "../graph/schedules.js";
import { sizeOf } from "../graph/record.js";
import { mustGet } from "../../runtime/lookup.js";
import { GAMMA, PINNED, ZETA, type SlotInfo } from "../../runtime/plan.js";
import type { Measure } from "../model/typed.js";
import { correction } from "./optimizer.js";
import { stateNode, stateOfRole, type UnplacedState } from "./roles.js";

/** The temperature of the noise. */
export const BETA = 2 / 3;
/**
 * Where logits start: open without noise, and with it 29 times of 30, so that little is disturbed before anything is
 * asked for.
 */
export const START = 5;
/** Between here and there a logit moves; P(z > 0) is below two thousandths at one end. */
const FARTHEST = 8;
/** Adam's rate and betas for logits. */
const RATE = 0.1;
const BETAS = [0.9, 0.99] as const;
const EPSILON = 1e-8;
/** How fast a multiplier rises: a tenth above the budget adds as much as a tenth of this to it, every step. */
const RISE = 0.5;
/** rho: a tenth above or below the budget adds two to the multiplier, or takes them, for as long as it is so. */
const DAMPING = 20;
/** The key of the draws, beside the run's seed. */
const KEY = 0x67617465;

/** The polynomial of the cost: terms are products of the slots' shares of open units, by their positions. */
export interface PricePolynomial {
  readonly slots: readonly string[];
  readonly terms: readonly (readonly number[])[];
  /** Of each measure, the share of the dense cost that a term is with all units open. */
  readonly coefficients: Readonly<Record<Measure, readonly number[]>>;
}

/** What the costs of a step are worth, in shares of the dense model's. */
export interface Objective {
  readonly weights: readonly { readonly measure: Measure; readonly weight: number }[];
  readonly budgets: readonly { readonly measure: Measure; readonly share: number }[];
  /** The step at which the budget is what the page asks for. */
  readonly until: number;
}

/** Gates that may close, and what they are paid for. */
export interface Shrinking {
  readonly slots: readonly SlotInfo[];
  /** The size of the vector of the gates. */
  readonly words: number;
  readonly prices: PricePolynomial;
  readonly objective: Objective;
}

/** Gates as nodes of one graph. */
export interface Gates {
  /** Of each slot, [units]; of a layer a scalar. */
  readonly values: ReadonlyMap<string, Node>;
  /** The vector of the gates as drawn, and its derivative by the logits: [words]. */
  readonly drawn: Node;
  readonly slope: Node;
}

const logitsOf = (b: Builder, words: number): Node => stateNode(b, { kind: "gates" }, [words]);

/** The gates of all slots. `noisy`: drawn for this step. */
export function gateValues(b: Builder, slots: readonly SlotInfo[], words: number, noisy: boolean): Gates {
  const logits = logitsOf(b, words);
  const fill = (value: number): Node => b.fill(value, [words]);
  const tempered = noisy ? b.mul(b.add(logits, noise(b, words)), fill(1 / BETA)) : logits;
  const s = b.sigmoid(tempered);
  const stretched = b.add(b.mul(s, fill(ZETA - GAMMA)), fill(GAMMA));
  const drawn = b.min(fill(1), b.max(fill(0), stretched));
  const between = b.and(b.lt(fill(0), stretched), b.lt(stretched, fill(1)));
  const slope = b.select(
    between,
    b.mul(b.mul(s, b.sub(fill(1), s)), fill((ZETA - GAMMA) / (noisy ? BETA : 1))),
    fill(0),
  );
  return {
    values: new Map(
      slots.map(({ name, kind, kept, offset }) => [
        name,
        b.slice(drawn, offset, kind === "layer" ? [] : [kept.length]),
      ]),
    ),
    drawn,
    slope,
  };
}

/** log u - log(1 - u) for a unit of its own at every step. */
function noise(b: Builder, words: number): Node {
  const over = (scalar: Node): Node => b.broadcast(scalar, [words], []);
  const counter = b.cast(stateNode(b, { kind: "gateUnits" }, [words]), "u32");
  const word = b.threefry(
    0,
    over(b.input("seed", [], "u32")),
    b.fill(KEY, [words], "u32"),
    over(b.input("step", [], "u32")),
    counter,
  );
  const scaled = b.mul(b.cast(word, "f32"), b.fill(2 ** -32, [words]));
  const u = b.min(b.fill(1 - 2 ** -20, [words]), b.max(b.fill(2 ** -20, [words]), scaled));
  return b.sub(b.log(u), b.log(b.sub(b.fill(1, [words]), u)));
}

/** P(z > 0): [words]. */
export function openProbability(b: Builder, words: number): Node {
  return b.sigmoid(b.add(logitsOf(b, words), b.fill(-BETA * Math.log(-GAMMA / ZETA), [words])));
}

/** The expected cost as a share of the dense one, by measure: scalars. `open`: the probabilities, [words]. */
export function expectedCosts(
  b: Builder,
  open: Node,
  slots: readonly SlotInfo[],
  prices: PricePolynomial,
  measures: readonly Measure[],
): Map<Measure, Node> {
  const shares = openShares(b, open, slots, prices);
  const terms = Array.from({ length: fours(prices.terms.length) }, (_, i) => prices.terms[i] ?? []);
  const most = Math.max(1, ...terms.map((term) => term.length));
  const factors = Array.from({ length: most }, (_, i) => {
    const places = terms.map((term) => term[i] ?? prices.slots.length);
    return b.gather(shares, whole(b, places));
  });
  const products = factors.reduce((x, y) => b.mul(x, y));
  return new Map(
    measures.map((measure) => {
      const coefficients = terms.map((_, i) => prices.coefficients[measure][i] ?? 0);
      return [measure, b.sum(b.mul(products, b.literal([terms.length], coefficients)), [0])];
    }),
  );
}

/**
 * The expected share of open units of each slot, in the order of the prices. One place more is 1: a factor for terms
 * with fewer factors than others. Rows are filled up to whole vectors, with nothing.
 */
function openShares(b: Builder, open: Node, slots: readonly SlotInfo[], prices: PricePolynomial): Node {
  const blocks = sizeOf(open.shape) / SLOT;
  const constant = prices.slots.length;
  const rows = fours(constant + 1);
  const owner = new Array<number>(blocks).fill(constant);
  const share = new Array<number>(rows).fill(0);
  for (const { name, kept, offset, size } of slots) {
    const at = prices.slots.indexOf(name);
    for (let block = 0; block < Math.ceil(kept.length / SLOT); block++) owner[offset / SLOT + block] = at;
    share[at] = 1 / size;
  }
  const inBlocks = b.sum(b.reshape(open, [blocks, SLOT]), [1]);
  const sums = b.scatterAdd(whole(b, owner), inBlocks, rows);
  const padding = share.map((_, i) => (i === constant ? 1 : 0));
  return b.add(b.mul(sums, b.literal([rows], share)), b.literal([rows], padding));
}

/** As many as there are, up to a multiple of four. */
const fours = (count: number): number => Math.ceil(count / 4) * 4;

/** Whole numbers as a vector of u32. */
const whole = (b: Builder, numbers: readonly number[]): Node => b.cast(b.literal([numbers.length], numbers), "u32");

/** What training descends beside the loss, and what the multipliers of budgets are. */
export interface Priced {
  readonly objective: Node;
  readonly costs: ReadonlyMap<Measure, Node>;
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly UnplacedState[];
}

/**
 * What training descends for the costs (scalars, by measure), and the multipliers that follow. `good`: whether the step
 * is made at all; null when nobody asks.
 */
export function priced(
  b: Builder,
  costs: ReadonlyMap<Measure, Node>,
  { weights, budgets, until }: Objective,
  good: Node | null,
): Priced {
  const progress = b.min(b.constant(1), b.mul(stepOf(b), b.constant(1 / Math.max(1, until))));
  const updates = new Map<Node, Node>();
  const parts = weights.map(({ measure, weight }) => b.mul(mustGet(costs, measure), b.constant(weight)));
  for (const { measure, share } of budgets) {
    const multiplier = stateNode(b, { kind: "multiplier", measure }, []);
    const over = b.sub(mustGet(costs, measure), b.sub(b.constant(1), b.mul(progress, b.constant(1 - share))));
    // The derivative is max(0, y + rho (C - budget)) times that of the cost.
    const pull = b.max(b.constant(0), b.add(multiplier, b.mul(over, b.constant(DAMPING))));
    parts.push(b.mul(b.mul(pull, pull), b.constant(1 / (2 * DAMPING))));
    const risen = b.max(b.constant(0), b.add(multiplier, b.mul(over, b.constant(RISE))));
    updates.set(multiplier, good ? b.select(good, risen, multiplier) : risen);
  }
  return {
    objective: parts.reduce((x, y) => b.add(x, y)),
    costs,
    updates,
    states: budgets.map(({ measure }) => stateOfRole({ kind: "multiplier", measure }, [])),
  };
}

/** Adam on the logits, for their gradient [words]; pinned ones stay. `good`: as of `priced`. */
export function updateGates(
  b: Builder,
  gradient: Node,
  step: Node,
  good: Node | null,
): Omit<Priced, "objective" | "costs"> {
  const words = sizeOf(gradient.shape);
  const fill = (value: number): Node => b.fill(value, [words]);
  const scale = (x: Node, value: number): Node => b.mul(x, fill(value));
  const logits = logitsOf(b, words);
  const m = stateNode(b, { kind: "gateMoment", moment: "m" }, [words]);
  const v = stateNode(b, { kind: "gateMoment", moment: "v" }, [words]);
  const [beta1, beta2] = BETAS;
  const m1 = b.add(scale(m, beta1), scale(gradient, 1 - beta1));
  const v1 = b.add(scale(v, beta2), scale(b.mul(gradient, gradient), 1 - beta2));
  const corrected = (x: Node, beta: number): Node => b.div(x, b.broadcast(correction(b, beta, step), [words], []));
  const moved = b.div(scale(corrected(m1, beta1), RATE), b.add(b.sqrt(corrected(v1, beta2)), fill(EPSILON)));
  const free = b.max(fill(-FARTHEST), b.min(fill(FARTHEST), b.sub(logits, moved)));
  const after = b.select(b.lt(b.abs(logits), fill(PINNED / 2)), free, logits);
  const kept = (before: Node, value: Node): Node =>
    good ? b.select(b.broadcast(good, value.shape, []), value, before) : value;
  return {
    updates: new Map([
      [logits, kept(logits, after)],
      [m, kept(m, m1)],
      [v, kept(v, v1)],
    ]),
    states: [
      stateOfRole({ kind: "gates" }, [words], START),
      stateOfRole({ kind: "gateMoment", moment: "m" }, [words]),
      stateOfRole({ kind: "gateMoment", moment: "v" }, [words]),
      stateOfRole({ kind: "gateUnits" }, [words]),
    ],
  };
}
