/**
 * The update of parameters that are points of a manifold: descent along it (Bonnabel 2013) with momentum, and Adam
 * (Bécigneul and Ganea, Riemannian adaptive optimization methods, ICLR 2019, section 4.1). The gradient is made
 * Riemannian, the first moment is a tangent vector and is carried along to the new point, the second is one number a
 * point: the mean of the gradient's squared length there. The new point is a retraction of the old, so no step leaves
 * the manifold by more than rounding. There is no decay: it would pull towards a zero that is not on the manifold.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { over, scaled } from "../manifolds/algebra.js";
import { rankOf, type Manifold, type Setting } from "../manifolds/set.js";
import type { Moment } from "../../runtime/roles.js";
import { stateNode, stateOfRole, type UnplacedState } from "./roles.js";

/** A tensor seen as points of a manifold. */
export interface OnManifold {
  readonly name: string;
  readonly node: Node;
  readonly manifold: Manifold;
  readonly setting: Setting;
  /** [...many, …point] */
  readonly shape: readonly number[];
  readonly of: (b: Builder, tensor: Node) => Node;
  readonly tensor: (b: Builder, points: Node) => Node;
}

/** The numbers of a step, which all parameters share: scalars. */
export interface StepNumbers {
  /** What gradients are multiplied by: clipping, and the loss scale's inverse. */
  readonly factor: Node;
  readonly rate: Node;
  /** Whether this step's gradients are finite; null when that is not asked. */
  readonly good: Node | null;
  readonly moments:
    | { readonly kind: "momentum"; readonly momentum: number }
    | ({ readonly kind: "adam" } & AdamNumbers);
}

/** Adam's constants, and what it divides its two moments by at this step: scalars. */
export interface AdamNumbers {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly corrections: readonly [Node, Node];
}

/** What a step along a manifold does to a parameter and its moments. */
export interface Moved {
  readonly updates: ReadonlyMap<Node, Node>;
  readonly states: readonly UnplacedState[];
}

/** New values of one parameter and its moments, for its Euclidean gradient. */
export function move(
  b: Builder,
  parameter: OnManifold,
  gradient: Node,
  { factor, rate, good, moments }: StepNumbers,
): Moved {
  const { name, node, manifold, setting, shape } = parameter;
  const updates = new Map<Node, Node>();
  const states: UnplacedState[] = [];
  const become = (leaf: Node, value: Node): void => {
    updates.set(leaf, good ? b.select(b.broadcast(good, leaf.shape, []), value, leaf) : value);
  };
  const state = (moment: Moment, size: readonly number[]): Node => {
    const role = { kind: "moment", moment, parameter: name } as const;
    states.push(stateOfRole(role, size));
    return stateNode(b, role, size);
  };
  const times = (x: Node, scalar: Node): Node => b.mul(x, b.broadcast(scalar, x.shape, []));

  const x = parameter.of(b, node);
  const g = manifold.gradient(b, x, times(parameter.of(b, gradient), factor), setting);
  const arrive = (step: Node): Node => {
    const y = manifold.retract(b, x, step, setting);
    become(node, parameter.tensor(b, y));
    return y;
  };
  if (moments.kind === "momentum") {
    if (moments.momentum === 0) {
      arrive(b.neg(times(g, rate)));
      return { updates, states };
    }
    const leaf = state("momentum", node.shape);
    const direction = b.add(scaled(b, parameter.of(b, leaf), moments.momentum), g);
    const y = arrive(b.neg(times(direction, rate)));
    become(leaf, parameter.tensor(b, manifold.transport(b, x, y, direction, setting)));
    return { updates, states };
  }
  const [beta1, beta2] = moments.betas;
  const [correction1, correction2] = moments.corrections;
  const first = state("m", node.shape);
  const second = state("v", shape.slice(0, shape.length - rankOf(manifold.point)));
  const m = b.add(scaled(b, parameter.of(b, first), beta1), scaled(b, g, 1 - beta1));
  const v = b.add(scaled(b, second, beta2), scaled(b, manifold.inner(b, x, g, g, setting), 1 - beta2));
  const length = b.add(b.sqrt(b.div(v, b.broadcast(correction2, v.shape, []))), b.fill(moments.epsilon, v.shape));
  const y = arrive(b.neg(b.div(times(m, b.div(rate, correction1)), over(b, length, shape))));
  become(first, parameter.tensor(b, manifold.transport(b, x, y, m, setting)));
  become(second, v);
  return { updates, states };
}
