/**
 * Loss scaling: cotangents in half precision would vanish below 6e-8 and overflow above 65,504, so the derivative
 * starts from a scale instead of 1, and gradients, which are f32, are divided by it (Micikevicius et al., ICLR 2018).
 * The scale is state, found while training: a step whose gradients are not finite changes nothing but the scale, which
 * is halved; after many good steps in a row it is doubled. Scales are powers of two, so that scaling is exact. All of
 * it is graph: the host neither knows nor waits.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { stateNode, stateOfRole, type UnplacedState } from "./roles.js";

/** The scale of the loss, as nodes: scalars. */
export interface LossScale {
  /** What the derivative starts from. */
  readonly scale: Node;
  /** Steps so far that changed nothing. */
  readonly skipped: Node;
  readonly states: readonly UnplacedState[];
  /** The new values of the states, by whether this step's gradients are finite. */
  readonly after: (good: Node) => ReadonlyMap<Node, Node>;
}

const START = 2 ** 15;
/** Beyond this a scale gains nothing: the smallest number of half precision is 2^-24. */
const MOST = 2 ** 24;
/** Good steps in a row after which the scale is doubled. */
const PATIENCE = 2000;

/** The scale of the loss in `b`, which begins at `start`. */
export function lossScale(b: Builder, start = START): LossScale {
  const scale = stateNode(b, { kind: "lossScale" }, []);
  const streak = stateNode(b, { kind: "goodSteps" }, []);
  const skipped = stateNode(b, { kind: "skippedSteps" }, []);
  const [zero, one, two] = [0, 1, 2].map((value) => b.constant(value)) as [Node, Node, Node];
  return {
    scale,
    skipped,
    states: [
      stateOfRole({ kind: "lossScale" }, [], start),
      stateOfRole({ kind: "goodSteps" }, []),
      stateOfRole({ kind: "skippedSteps" }, []),
    ],
    after(good) {
      const longer = b.add(streak, one);
      const enough = b.le(b.constant(PATIENCE), longer);
      const larger = b.select(enough, b.min(b.mul(scale, two), b.constant(MOST)), scale);
      return new Map([
        [scale, b.select(good, larger, b.mul(scale, b.constant(0.5)))],
        [streak, b.select(good, b.select(enough, zero, longer), zero)],
        [skipped, b.select(good, skipped, b.add(skipped, one))],
      ]);
    },
  };
}
