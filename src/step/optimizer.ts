/**
 * The update as graph: gradients are clipped by their global norm, the rate is an expression of the input "step" (0 at
 * the first step), moments are states. AdamW is decoupled weight decay (Loshchilov and Hutter, ICLR 2019) with epsilon
 * outside the root, as PyTorch places it; clipping divides by norm + 1e-6, as PyTorch does. Decay applies where the
 * parameter says so.
 *
 * All parameters are updated as one vector, and so are their moments (`packs.ts`); those of a group are a vector of
 * their own, by an optimizer with numbers of its own. Under Muon the matrices are a vector apart, and the others are
 * left to AdamW; between the momentum and the step stand products of what is the same matrix in every layer, all at
 * once (`muon.ts`). Parameters that move on a manifold are updated one by one (`riemannian.ts`).
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Moment } from "../../runtime/roles.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { scheduled, stepOf, type Schedule } from "../graph/schedules.js";
import type { Sides } from "../model/lower/matrices.js";
import { scaled } from "../manifolds/algebra.js";
import { batchesOf, direction, inBatches, matrixOf, type Matrix } from "./muon.js";
import {
  become,
  inOrder,
  momentOf,
  momentsIn,
  namesIn,
  packOf,
  type NewValues,
  type PackMember,
  type ParameterPack,
  type TrainedParameter,
} from "./packs.js";
import { move, type AdamNumbers, type Moved, type OnManifold } from "./riemannian.js";
import { stateOfRole, type UnplacedState } from "./roles.js";
import type { LossScale } from "./scaling.js";

/** AdamW with a schedule of its rate. */
interface AdamWSpec {
  readonly kind: "adamw";
  readonly rate: Schedule;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly decay: number;
}

/** Gradient descent, with a momentum that may be 0. */
interface SgdSpec {
  readonly kind: "sgd";
  readonly rate: Schedule;
  readonly momentum: number;
  readonly decay: number;
}

/** Muon; betas and epsilon are those of AdamW, for what is no matrix. */
interface MuonSpec {
  readonly kind: "muon";
  readonly rate: Schedule;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly decay: number;
}

/** An optimizer as the graph needs it: `decay` is the factor of the rate by which weights shrink in a step. */
export type OptimizerSpec = AdamWSpec | SgdSpec | MuonSpec;

/** What an update is made of. */
export interface UpdateRequest {
  readonly trained: readonly TrainedParameter[];
  /** Gradients of the loss by these, in their order and shapes; multiplied by the loss scale, where there is one. */
  readonly gradients: readonly Node[];
  /** How those in no group are updated. */
  readonly spec: OptimizerSpec;
  /** How those in groups are, by the group's number. */
  readonly groups?: readonly OptimizerSpec[];
  /** The largest norm of all gradients together; null for no limit. */
  readonly clip: number | null;
  readonly scaling?: LossScale | null;
  /** The loss, a scalar: a step whose loss is not finite is not made. */
  readonly loss?: Node | null;
}

/** What a step does to parameters and states. */
export interface ParameterUpdate {
  /** Parameter or state -> its new value. */
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly UnplacedState[];
  /**
   * Names of parameters and states in the order in which the update works on them: so laid out, its vectors are the
   * memory as it lies.
   */
  readonly order: readonly string[];
  /** Norm of all gradients, unscaled, before clipping; null when nobody needs it. */
  readonly norm: Node | null;
  /** Whether the step is made at all: not where the loss or the norm is not finite. Null when nothing asks. */
  readonly good: Node | null;
}

type MatrixMember = PackMember & { readonly matrix: Sides };
type MovingMember = PackMember & { readonly manifold: OnManifold };

/** Parameters that are updated by one optimizer: those of a group, or those in none. */
interface Family {
  readonly spec: OptimizerSpec;
  readonly members: readonly PackMember[];
  /** By AdamW or gradient descent. */
  readonly plain: ParameterPack | null;
  /** By Muon. */
  readonly matrices: ParameterPack<MatrixMember> | null;
  /** Along their manifolds. */
  readonly moving: readonly MovingMember[];
}

/** The numbers of a step that all families share, all scalars, and the new values that have been made so far. */
interface StepState extends NewValues {
  /** What gradients are multiplied by: clipping, and the loss scale's inverse. */
  readonly factor: Node;
  readonly norm: Node | null;
}

/** Those of one family. */
interface UpdateState extends StepState {
  readonly spec: OptimizerSpec;
  readonly rate: Node;
  /** Null for gradient descent. */
  readonly adam: AdamNumbers | null;
}

/** The new values of all parameters that training moves, and of the optimizer's states. */
export function applyOptimizer(b: Builder, request: UpdateRequest): ParameterUpdate {
  const { spec, groups = [], scaling } = request;
  const members = request.trained.map((parameter, i) => ({ ...parameter, gradient: mustAt(request.gradients, i) }));
  const families = [spec, ...groups].map((one, i) =>
    familyOf(
      b,
      members.filter(({ group }) => (group ?? -1) === i - 1),
      one,
    ),
  );
  const states = updateStates(b, request, families);
  const { updates, norm, good } = mustAt(states, 0);
  const moves = families.flatMap((family, i) => updateFamily(mustAt(states, i), family));
  for (const move of moves) for (const [leaf, value] of move.updates) updates.set(leaf, value);
  if (scaling && good) for (const [leaf, value] of scaling.after(good)) updates.set(leaf, value);
  const others = [...moves.flatMap((move) => move.states), ...(scaling?.states ?? [])];
  const moments = families.flatMap((family) =>
    family.members.flatMap((member) =>
      momentsOf(member, family.spec).map((moment) => stateOfRole(momentOf(member.name, moment), member.node.shape)),
    ),
  );
  return { updates, norm, good, states: [...moments, ...others], order: orderOf(families, others) };
}

/** Updates what lies in packs, and returns what the others do. */
function updateFamily(state: UpdateState, { spec, plain, matrices, moving }: Family): readonly Moved[] {
  if (plain) updatePlain(state, plain);
  if (matrices && spec.kind === "muon") updateMatrices(state, matrices, spec);
  return moving.map((member) => moveMember(state, member));
}

const isMoving = (member: PackMember): member is MovingMember => !!member.manifold;

/** Whether Muon moves a parameter. */
const isByMuon = (member: PackMember, { kind }: OptimizerSpec): member is MatrixMember =>
  kind === "muon" && !member.manifold && !!member.matrix;

/** The moments of a parameter that is no matrix of Muon. */
function plainMoments(spec: OptimizerSpec): readonly Moment[] {
  if (spec.kind !== "sgd") return ["m", "v"];
  return spec.momentum === 0 ? [] : ["momentum"];
}

/** The moments that lie in vectors. Those of a parameter that moves on a manifold do not (`riemannian.ts`). */
function momentsOf(member: PackMember, spec: OptimizerSpec): readonly Moment[] {
  if (isMoving(member)) return [];
  return isByMuon(member, spec) ? ["momentum"] : plainMoments(spec);
}

function familyOf(b: Builder, members: readonly PackMember[], spec: OptimizerSpec): Family {
  const plain = members.filter((member) => !isMoving(member) && !isByMuon(member, spec));
  const byMuon = members.filter((member) => isByMuon(member, spec));
  return {
    spec,
    members,
    plain: packOf(b, inOrder(plain), plainMoments(spec)),
    matrices: packOf(
      b,
      inBatches(byMuon.map(asMatrix)).map((i) => mustAt(byMuon, i)),
      ["momentum"],
    ),
    moving: members.filter(isMoving),
  };
}

const asMatrix = ({ node, matrix }: MatrixMember): Matrix => matrixOf({ shape: node.shape, sides: matrix });

/** The numbers of a step, before any parameter is updated: family by family, and what has been made is one for all. */
function updateStates(b: Builder, request: UpdateRequest, families: readonly Family[]): readonly UpdateState[] {
  const { clip, scaling = null, loss = null } = request;
  const unscaled = scaling ? b.div(b.constant(1), scaling.scale) : b.constant(1);
  const squares = squaresOf(b, families);
  const norm =
    clip === null && !scaling ? null : b.mul(b.sqrt(squares.reduce((sum, square) => b.add(sum, square))), unscaled);
  // What a number that is not finite came from can be looked at afterwards only if the step has not spread it over
  // every parameter.
  const good = scaling && norm ? b.finite(norm) : loss ? b.finite(norm ? b.add(loss, norm) : loss) : null;
  const step = stepOf(b);
  const rates = families.map(({ spec }) => scheduled(b, spec.rate, step));
  const clipped =
    clip === null || !norm
      ? b.constant(1)
      : b.min(b.constant(1), b.div(b.constant(clip), b.add(norm, b.constant(1e-6))));
  const factor = b.mul(clipped, unscaled);
  // Moments know of the steps that changed them.
  const age = scaling ? b.sub(step, scaling.skipped) : step;
  const shared: StepState = { b, factor, norm, good, updates: new Map() };
  return families.map(({ spec }, i) => ({
    ...shared,
    spec,
    rate: mustAt(rates, i),
    adam: adamNumbers(b, spec, age),
  }));
}

/** The sums of squares of all gradients, as they come: scalars, at least one. */
function squaresOf(b: Builder, families: readonly Family[]): readonly Node[] {
  const squares = families
    .flatMap(({ plain, matrices, moving }) => [
      plain?.gradients,
      matrices?.gradients,
      ...moving.map(({ gradient }) => gradient),
    ])
    .filter((gradient) => gradient !== undefined)
    .map((gradient) =>
      b.sum(
        b.mul(gradient, gradient),
        gradient.shape.map((_, axis) => axis),
      ),
    );
  return squares.length ? squares : [b.constant(0)];
}

/** Adam's numbers after `age` steps. */
function adamNumbers(b: Builder, spec: OptimizerSpec, age: Node): AdamNumbers | null {
  if (spec.kind === "sgd") return null;
  const { betas, epsilon } = spec;
  return { betas, epsilon, corrections: [correction(b, betas[0], age), correction(b, betas[1], age)] };
}

/** Every value times one scalar. */
const times = (b: Builder, x: Node, scalar: Node): Node => b.mul(x, b.broadcast(scalar, x.shape, []));

function updatePlain(state: UpdateState, pack: ParameterPack): void {
  const { b, spec, factor, adam } = state;
  const gradients = times(b, pack.gradients, factor);
  if (adam) updateByAdam(state, pack, adam, gradients);
  else if (spec.kind === "sgd") updateByDescent(state, pack, spec.momentum, gradients);
}

function updateByDescent(state: UpdateState, pack: ParameterPack, momentum: number, gradients: Node): void {
  const { b, rate } = state;
  const before = pack.moments.get("momentum");
  const direction = before ? b.add(scaled(b, before.before, momentum), gradients) : gradients;
  if (before) become(state, pack, before, direction);
  become(state, pack, pack.values, b.sub(decayed(state, pack), times(b, direction, rate)));
}

function updateByAdam(state: UpdateState, pack: ParameterPack, adam: AdamNumbers, gradients: Node): void {
  const { b, rate } = state;
  const {
    betas: [beta1, beta2],
    corrections: [correction1, correction2],
    epsilon,
  } = adam;
  const [first, second] = [momentsIn(pack, "m"), momentsIn(pack, "v")];
  const m = b.add(scaled(b, first.before, beta1), scaled(b, gradients, 1 - beta1));
  const v = b.add(scaled(b, second.before, beta2), scaled(b, b.mul(gradients, gradients), 1 - beta2));
  // Numbers that all entries share are divided once: rate / (1 - beta1^t), and the second moment's correction as a
  // factor.
  const root = b.sqrt(times(b, v, b.div(b.constant(1), correction2)));
  const denominator = b.add(root, b.fill(epsilon, pack.gradients.shape));
  const step = b.div(times(b, m, b.div(rate, correction1)), denominator);
  become(state, pack, first, m);
  become(state, pack, second, v);
  become(state, pack, pack.values, b.sub(decayed(state, pack), step));
}

function updateMatrices(state: UpdateState, pack: ParameterPack<MatrixMember>, { momentum, nesterov }: MuonSpec): void {
  const { b, rate, factor } = state;
  const gradients = times(b, pack.gradients, factor);
  const before = momentsIn(pack, "momentum");
  // The step uses the momentum as it is stored, so that nothing but this kernel reads the momentum before.
  const after = become(state, pack, before, b.add(scaled(b, before.before, momentum), gradients));
  const ahead = nesterov ? b.add(gradients, scaled(b, after, momentum)) : after;
  const directions = batchesOf(pack.members.map(asMatrix)).map((batch) => {
    const momenta = b.slice(ahead, mustAt(pack.offsets, batch.first), [batch.count, ...batch.shape]);
    return direction(b, momenta, batch);
  });
  become(state, pack, pack.values, b.sub(decayed(state, pack), times(b, b.pack(directions), rate)));
}

function moveMember({ b, spec, factor, rate, good, adam }: UpdateState, member: MovingMember): Moved {
  const moments = adam
    ? ({ kind: "adam", ...adam } as const)
    : ({ kind: "momentum", momentum: spec.kind === "sgd" ? spec.momentum : 0 } as const);
  return move(b, member.manifold, member.gradient, { factor, rate, good, moments });
}

/** The values of a pack after weight decay, which is for the members that come first. */
function decayed({ b, spec, rate }: UpdateState, { members, offsets, values }: ParameterPack): Node {
  const { before } = values;
  const first = members.findIndex(({ decay }) => !decay);
  if (spec.decay === 0 || first === 0) return before;
  const keep = b.broadcast(b.sub(b.constant(1), b.mul(rate, b.constant(spec.decay))), before.shape, []);
  if (first < 0) return b.mul(before, keep);
  const isBefore = b.lt(b.iota(before.shape, 0), b.fill(mustAt(offsets, first), before.shape, "u32"));
  return b.mul(before, b.select(isBefore, keep, b.fill(1, before.shape)));
}

/** Names of parameters and states in the order of memory. */
const orderOf = (families: readonly Family[], others: readonly UnplacedState[]): readonly string[] => [
  ...families.flatMap(({ spec, plain, matrices, moving }) => [
    ...namesIn(plain),
    ...plainMoments(spec).flatMap((moment) => namesIn(plain, moment)),
    ...namesIn(matrices),
    ...namesIn(matrices, "momentum"),
    ...moving.map(({ manifold }) => manifold.name),
  ]),
  ...others.map(({ name }) => name),
];

/**
 * 1 - beta^(step + 1), a scalar for the scalar `step`. For small exponents the series keeps what the subtraction would
 * lose in f32.
 */
export function correction(b: Builder, beta: number, step: Node): Node {
  const x = b.mul(b.add(step, b.constant(1)), b.constant(-Math.log(beta)));
  // -expm1(-x) = x (1 - x/2 + x^2/6 - x^3/24 + …); at x = 0.1 the ninth term is below 1e-13.
  const terms = [1, -1 / 2, 1 / 6, -1 / 24, 1 / 120, -1 / 720, 1 / 5040, -1 / 40320, 1 / 362880];
  const series = terms.reduceRight<Node>(
    (sum, coefficient) => b.add(b.mul(sum, x), b.constant(coefficient)),
    b.constant(0),
  );
  return b.select(b.lt(x, b.constant(0.1)), b.mul(x, series), b.sub(b.constant(1), b.exp(b.neg(x))));
}
