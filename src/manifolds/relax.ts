/**
 * Relaxed towards the identity: (1 - g) I + g S for members S of a convex set that the identity is in, with g the
 * option `relax`. All are members, the identity at g = 0. Sets that hold the identity have the option and end their map
 * with this.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { eye } from "./algebra.js";
import { quantity, type OptionKind, type Setting } from "./set.js";

/** Members [..., n, n] moved towards the identity by the option `relax`; themselves where it is 1. */
export function relaxed(b: Builder, member: Node, setting: Setting): Node {
  if (setting.adapted["relax"] === undefined && setting.options["relax"] === 1) return member;
  const share = b.broadcast(quantity(b, setting, "relax"), member.shape, []);
  const identity = eye(b, member.shape);
  return b.add(identity, b.mul(share, b.sub(member, identity)));
}

/** The option `relax`: the share of the member, 0 for the identity. */
export const relax = { kind: "real", default: 1, from: 0, to: 1 } as const satisfies OptionKind;
