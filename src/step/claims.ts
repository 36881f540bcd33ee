/**
 * Claims as graph: what a claim bounds, measured. Of the layers of a `repeat` it is the largest, unless the claim is
 * about their product.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { spectralBound } from "../manifolds/algebra.js";
import { layersOf } from "../model/quantities.js";
import type { Claim, Quantity } from "../model/typed.js";
import { most } from "./monitors.js";
import { output, type Output } from "./roles.js";

/**
 * Gram iterations: the bound is then above the norm by a factor of at most rank^(2^-13), which is half a thousandth;
 * and rank^(2^-19), for what is held against a proof.
 */
const SHARP = 12;
export const SHARPER = 18;

/** What claims are measured of. */
export interface Measured {
  /** Gains by stream, of both directions. */
  readonly gains: ReadonlyMap<string, readonly Node[]>;
  /** Values of parameters by name: `layers.2.mlp.up`. */
  readonly weights: ReadonlyMap<string, Node>;
  /** Layers by the name of the `repeat`. */
  readonly repeats: ReadonlyMap<string, number>;
  /** Gram iterations of a norm. */
  readonly turns?: number;
}

/** What a claim bounds, as measured. */
export type Claimed = Output<{ readonly kind: "claim"; readonly name: string }>;

/** A scalar for each claim. Of a model that has shrunk so far that nothing is left to measure, 0. */
export function claimed(b: Builder, claims: readonly Claim[], measured: Measured): readonly Claimed[] {
  return claims.map(({ text, quantity }) =>
    output({ kind: "claim", name: text } as const, worst(b, quantity, measured, new Map()) ?? b.constant(0)),
  );
}

/** The largest over the layers that the quantity is one of each of; null where all of these are gone. */
function worst(b: Builder, quantity: Quantity, measured: Measured, layers: ReadonlyMap<string, number>): Node | null {
  const free = layersOf(quantity).find((repeat) => !layers.has(repeat));
  if (free === undefined) return measure(b, quantity, measured, layers);
  const found = Array.from({ length: measured.repeats.get(free)! }, (_, i) =>
    worst(b, quantity, measured, new Map([...layers, [free, i]])),
  ).filter((value) => value !== null);
  return found.length ? most(b, found) : null;
}

/** Null for what is of a layer that is gone. */
function measure(b: Builder, quantity: Quantity, measured: Measured, layers: ReadonlyMap<string, number>): Node | null {
  switch (quantity.kind) {
    case "number":
      return b.constant(quantity.value);
    case "gain":
      // Without any mix there is nothing to grow.
      return most(b, measured.gains.get(quantity.stream.name) ?? [b.constant(1)]);
    case "product":
      return quantity.factors
        .map((factor) => measure(b, factor, measured, layers))
        .reduce((x, y) => (x && y ? b.mul(x, y) : null));
    case "over": {
      const own = Array.from({ length: measured.repeats.get(quantity.repeat)! }, (_, i) =>
        worst(b, quantity.quantity, measured, new Map([...layers, [quantity.repeat, i]])),
      );
      // What is gone passes its stream on.
      return own.filter((value) => value !== null).reduce((x, y) => b.mul(x, y), b.constant(1));
    }
    case "norm": {
      const { parameter, rows } = quantity;
      const { axes } = parameter.tensor;
      const name = parameter.name.replace(/([^.]+)\.\*/g, (_, repeat: string) => `${repeat}.${layers.get(repeat)!}`);
      const node = measured.weights.get(name);
      if (!node) return null;
      const order = [
        ...rows.map((axis) => axes.indexOf(axis)),
        ...axes.flatMap((axis, i) => (rows.includes(axis) ? [] : [i])),
      ];
      const moved = b.transpose(node, order);
      const height = moved.shape.slice(0, rows.length).reduce((size, n) => size * n, 1);
      return spectralBound(
        b,
        b.reshape(moved, [height, moved.shape.slice(rows.length).reduce((size, n) => size * n, 1)]),
        measured.turns ?? SHARP,
      );
    }
    default:
      return quantity satisfies never;
  }
}
