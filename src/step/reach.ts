/**
 * Numbers, as graph, that tell a set that is broken from a page that has overflowed before it. A map is right only for
 * free coordinates within the reach of its set, and no map makes a point of values that are no numbers. A largest value
 * may hide these, since on a GPU max(NaN, x) may be x. So for every set:
 *
 * - `free:NAME`: the largest free coordinate of all uses, in absolute value; one that is not finite counts as `BEYOND`.
 * - `lost:NAME`: 1 if some entry of a point is not finite, else 0.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { largestOf } from "../graph/combine.js";
import type { SetUse } from "../model/lower/parameters.js";
import { output, type Output } from "./roles.js";

/** Larger than any coordinate that a map can take. */
export const BEYOND = 2 ** 127;

/** Scalars of every set. */
export function reach(b: Builder, uses: ReadonlyMap<string, readonly SetUse[]>): readonly Output[] {
  const or = (x: Node, bad: number, good: Node): Node => b.select(b.finite(x), good, b.fill(bad, x.shape));
  return [...uses].flatMap(([name, all]): Output[] => {
    const free = all.flatMap((use) => use.free.map((x) => or(x, BEYOND, b.abs(x))));
    return [
      ...(free.length ? [output({ kind: "free", name }, largestOf(b, free))] : []),
      output(
        { kind: "lost", name },
        largestOf(
          b,
          all.map(({ points }) => or(points, 1, b.fill(0, points.shape))),
        ),
      ),
    ];
  });
}
