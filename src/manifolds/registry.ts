/**
 * The registry of sets: one record each, in a file of its own. The language, the monitors, the documentation and the
 * generated tests read only this: a set that is added here is tested.
 */
import { birkhoff } from "./birkhoff.js";
import { box } from "./box.js";
import { circulant } from "./circulant.js";
import { euclidean } from "./euclidean.js";
import { hyperbolic } from "./hyperbolic.js";
import { identity } from "./identity.js";
import { lowRank } from "./low_rank.js";
import { nonnegative } from "./nonnegative.js";
import { orthogonal } from "./orthogonal.js";
import type { ConstraintSet } from "./set.js";
import { simplex } from "./simplex.js";
import { spd } from "./spd.js";
import { spectralBall } from "./spectral_ball.js";
import { sphere } from "./sphere.js";
import { stiefel } from "./stiefel.js";
import { stochastic } from "./stochastic.js";

export type {
  ConstraintSet,
  ConvexSet,
  Manifold,
  OptionKind,
  Options,
  OptionValue,
  SetInstance,
  Variety,
} from "./set.js";

/** Every set that a page may name, by that name. */
export const sets: Readonly<Record<string, ConstraintSet>> = {
  birkhoff,
  box,
  circulant,
  euclidean,
  hyperbolic,
  identity,
  low_rank: lowRank,
  nonnegative,
  orthogonal,
  simplex,
  spd,
  spectral_ball: spectralBall,
  sphere,
  stiefel,
  stochastic,
};
