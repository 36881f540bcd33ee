/**
 * What a manifold promises beyond every set, as laws: tangent vectors are tangent, the gradient is that of the metric,
 * retraction and transport stay on the set and in its tangent spaces, and distances are those of a metric.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
import { fixed, type Manifold, type Setting } from "./set.js";
import {
  allowed,
  ambient,
  coordinates,
  difference,
  graphOf,
  largestOf,
  MANY,
  mapped,
  run,
  vectors,
  worst,
  type Results,
  type SetSubject,
} from "./subjects.js";

/** A promise of a set in one setting. */
export interface Law {
  readonly title: string;
  /** Where it does not hold, in words. */
  readonly failures: () => readonly string[];
}

/** A failure where a number is larger than it may be, or is none. */
export const most = (what: string, value: number, bound: number): string[] =>
  value <= bound ? [] : [`${what}: ${value.toPrecision(3)}, and at most ${bound.toPrecision(3)} is allowed`];

/** Members x and y, and tangent vectors u and v at x. */
interface Scene {
  readonly x: Node;
  readonly y: Node;
  readonly u: Node;
  readonly v: Node;
}

/** A manifold in one setting. */
interface SmoothSubject {
  readonly subject: SetSubject;
  readonly set: Manifold;
  readonly setting: Setting;
}

/** The laws of a manifold in one setting. */
export function smooth(subject: SetSubject, set: Manifold): Law[] {
  const manifold: SmoothSubject = { subject, set, setting: fixed(subject.options) };
  const { distance } = set;
  return [
    tangentsAreTangent(manifold),
    gradientIsTangent(manifold),
    retractionStays(manifold),
    transportStays(manifold),
    ...(distance ? [distancesAreMetric(manifold, distance)] : []),
  ];
}

/** Results of a graph of a scene. */
function onScene<K extends string>(
  { subject, set, setting }: SmoothSubject,
  make: (b: Builder, scene: Scene) => Readonly<Record<K, Node>>,
): Results<K> {
  const graph = graphOf((b) => {
    const { x } = mapped(b, subject);
    const tangent = (name: string): Node => set.tangent(b, x, ambient(b, name, subject), setting);
    return make(b, { x, y: mapped(b, subject, "other.").x, u: tangent("u"), v: tangent("v") });
  });
  const other = [...coordinates(subject, 29, false)].map(([name, values]) => [`other.${name}`, values] as const);
  return run(
    graph,
    new Map([
      ...coordinates(subject, 23, false),
      ...other,
      ["u", vectors(subject, 31)],
      ["v", vectors(subject, 37)],
      ["g", vectors(subject, 41)],
    ]),
  );
}

/** Failures of each point. */
const atPoints = (failures: (point: number) => readonly string[]): string[] =>
  Array.from({ length: MANY }, (_, i) => i).flatMap(failures);

const tangentsAreTangent = (manifold: SmoothSubject): Law => ({
  title: "tangents are tangent: the set is left to second order only, and projecting again changes nothing",
  failures: () => {
    const { set, setting } = manifold;
    const { along, again, far, near } = onScene(manifold, (b, { x, v }) => {
      const offSet = (t: number): Node => set.violation(b, b.add(x, b.mul(v, b.fill(t, v.shape))), setting);
      return { along: v, again: set.tangent(b, x, v, setting), far: offSet(1e-2), near: offSet(1e-3) };
    });
    return [
      ...most("`tangent` of a tangent vector moves it by", difference(along, again), 1e-9),
      ...atPoints((i) =>
        most("a thousandth along a tangent vector is off the set by", mustAt(near, i), 0.02 * mustAt(far, i) + 1e-12),
      ),
    ];
  },
});

const gradientIsTangent = (manifold: SmoothSubject): Law => ({
  title: "the gradient is tangent, and its inner product with a tangent vector is the derivative along it",
  failures: () => {
    const { subject, set, setting } = manifold;
    const { gradient, tangent, inner, along } = onScene(manifold, (b, { x, u }) => {
      const g = ambient(b, "g", subject);
      const up = set.gradient(b, x, g, setting);
      const axes = subject.point.map((_, axis) => axis + 1);
      return {
        gradient: up,
        tangent: set.tangent(b, x, up, setting),
        inner: set.inner(b, x, up, u, setting),
        along: axes.length ? b.sum(b.mul(g, u), axes) : b.mul(g, u),
      };
    });
    return [
      ...most("`tangent` moves the gradient by", difference(gradient, tangent), 1e-8 * largestOf(gradient)),
      ...most("the inner product is off the derivative by", difference(inner, along), 1e-8 * largestOf(along)),
    ];
  },
});

const retractionStays = (manifold: SmoothSubject): Law => ({
  title: "the retraction starts at the point, along the vector, and stays on the set",
  failures: () => {
    const { subject, set, setting } = manifold;
    const { still, violation, far, near } = onScene(manifold, (b, { x, v }) => {
      const error = (t: number): Node => {
        const step = b.mul(v, b.fill(t, v.shape));
        return b.sub(set.retract(b, x, step, setting), b.add(x, step));
      };
      return {
        still: b.sub(set.retract(b, x, b.fill(0, v.shape), setting), x),
        violation: set.violation(b, set.retract(b, x, v, setting), setting),
        far: error(1e-2),
        near: error(1e-3),
      };
    });
    const size = sizeOf(subject.point);
    const norm = (values: ArrayLike<number>, i: number): number =>
      Math.hypot(...Array.from(values).slice(i * size, (i + 1) * size));
    // A second-order error falls a hundredfold when the step falls tenfold.
    return [
      ...most("the retraction of nothing moves by", worst(still), 1e-9),
      ...most("the retraction is off the set by", worst(violation), allowed(subject)),
      ...atPoints((i) =>
        most("the retraction of a thousandth is off the straight line by", norm(near, i), 0.02 * norm(far, i) + 1e-12),
      ),
    ];
  },
});

const transportStays = (manifold: SmoothSubject): Law => ({
  title: "transport stays tangent, and carries a vector nowhere by itself",
  failures: () => {
    const { set, setting } = manifold;
    const { along, carried, tangent, still } = onScene(manifold, (b, { x, y, v }) => {
      const there = set.transport(b, x, y, v, setting);
      return {
        along: v,
        carried: there,
        tangent: set.tangent(b, y, there, setting),
        still: set.transport(b, x, x, v, setting),
      };
    });
    return [
      ...most("`tangent` moves what was carried by", difference(carried, tangent), 1e-8 * largestOf(carried)),
      ...most("transport to the same point moves by", difference(along, still), 1e-8 * largestOf(along)),
    ];
  },
});

const distancesAreMetric = (manifold: SmoothSubject, distance: NonNullable<Manifold["distance"]>): Law => ({
  title: "distances are a metric, and agree with the retraction for small steps",
  failures: () => {
    const { set, setting } = manifold;
    const { same, xy, yx, yz, xz, step, length } = onScene(manifold, (b, { x, y, v }) => {
      const z = set.retract(b, x, v, setting);
      const small = b.mul(v, b.fill(1e-4, v.shape));
      const between = (from: Node, to: Node): Node => distance(b, from, to, setting);
      return {
        same: between(x, x),
        xy: between(x, y),
        yx: between(y, x),
        yz: between(y, z),
        xz: between(x, z),
        step: between(x, set.retract(b, x, small, setting)),
        length: b.sqrt(set.inner(b, x, small, small, setting)),
      };
    });
    return [
      ...most("a point is from itself by", worst(same), 1e-7),
      ...most("there and back differ by", difference(xy, yx), 1e-9),
      ...atPoints((i) => {
        const [direct, first, second] = [mustAt(xz, i), mustAt(xy, i), mustAt(yz, i)];
        const short = mustAt(length, i);
        return [
          ...most("a distance is less than nothing by", Math.max(0, -first), 0),
          ...most("the third side of a triangle is longer by", Math.max(0, direct - first - second), 1e-9),
          ...most(
            "a small step's distance is off its length by",
            Math.abs(mustAt(step, i) - short),
            1e-6 + 1e-2 * short,
          ),
        ];
      }),
    ];
  },
});
