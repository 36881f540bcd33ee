/**
 * `mhc-lang/manifolds`, the door for a set of one's own: the types of its record, the algebra that maps are written in,
 * what a scalar option is when it adapts, sizes, and the laws that a set must keep. The compiler takes such a set from
 * a page's `use "./my-set.js"`.
 *
 * @module mhc-lang/manifolds
 */
export {
  apart,
  areaSine,
  arctangent,
  atLeast,
  atMost,
  columnsOf,
  dot,
  eye,
  indicator,
  inverse,
  inversePositive,
  largest,
  norm,
  orthonormal,
  over,
  polar,
  product,
  productTransposed,
  rowsOf,
  scaled,
  skew,
  spectralBound,
  symmetric,
  total,
  transposed,
  transposedProduct,
} from "./algebra.js";
export { fixed, onlyPiece, quantity, rowsAndColumns } from "./set.js";
export type {
  Bounded,
  Closure,
  ConstraintSet,
  ConvexSet,
  Manifold,
  OptionKind,
  Options,
  OptionValue,
  Parts,
  Piece,
  PointKind as Point,
  SetCase as Case,
  SetRecord,
  Setting,
  Variety,
} from "./set.js";
export { relax, relaxed } from "./relax.js";
export { checkSet } from "./laws.js";
export type { BinaryMaker, Builder, MakeOptions, UnaryMaker } from "../graph/builder.js";
export type {
  AffineIndex,
  Attributes,
  DType,
  ElementwisePair,
  Leaf,
  Node,
  NodeOf,
  Op,
  Operands,
  Origin,
  PairOp,
  Shape,
  TripleOp,
} from "../graph/node.js";
export type { Polynomial, Term } from "../graph/sizes.js";
/** Sizes of free coordinates: `sizes.known(3)`, `sizes.multiply(n, n)`. */
export * as sizes from "../graph/sizes.js";
