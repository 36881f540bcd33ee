/**
 * Claims as graph: what a claim bounds, measured. Of the layers of a `repeat` it is the largest, unless the claim is
 * about their product.
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
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
/** Gram iterations of a norm that is held against a proof. */
export const SHARPER = 18;

/** What claims are measured of. */
export interface ClaimInputs {
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
export function claimed(b: Builder, claims: readonly Claim[], measured: ClaimInputs): readonly Claimed[] {
  return claims.map(({ text, quantity }) =>
    output({ kind: "claim", name: text } as const, worst(b, quantity, measured, new Map()) ?? b.constant(0)),
  );
}

/** The layers that a quantity is measured in, by the name of the `repeat`. */
type Layers = ReadonlyMap<string, number>;

/** The largest over the layers that the quantity is one of each of; null where all of these are gone. */
function worst(b: Builder, quantity: Quantity, measured: ClaimInputs, layers: Layers): Node | null {
  const repeat = layersOf(quantity).find((name) => !layers.has(name));
  if (repeat === undefined) return measure(b, quantity, measured, layers);
  const present = inEachLayer(b, quantity, measured, { repeat, layers });
  return present.length ? most(b, present) : null;
}

/** What a quantity is in those layers of a repeat that are still there. */
function inEachLayer(
  b: Builder,
  quantity: Quantity,
  measured: ClaimInputs,
  { repeat, layers }: { readonly repeat: string; readonly layers: Layers },
): readonly Node[] {
  const values = Array.from({ length: mustGet(measured.repeats, repeat) }, (_, layer) =>
    worst(b, quantity, measured, new Map([...layers, [repeat, layer]])),
  );
  return values.filter((value) => value !== null);
}

/** A quantity in these layers, a scalar; null where it is of a layer that is gone. */
function measure(b: Builder, quantity: Quantity, measured: ClaimInputs, layers: Layers): Node | null {
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
      // A layer that is gone passes its stream on: a factor of 1.
      const present = inEachLayer(b, quantity.quantity, measured, { repeat: quantity.repeat, layers });
      return present.reduce((x, y) => b.mul(x, y), b.constant(1));
    }
    case "norm":
      return norm(b, quantity, measured, layers);
    default:
      return quantity satisfies never;
  }
}

/** A bound of the largest singular value of a parameter as a matrix; null where its layer is gone. */
function norm(
  b: Builder,
  { parameter, rows }: Extract<Quantity, { readonly kind: "norm" }>,
  { weights, turns = SHARP }: ClaimInputs,
  layers: Layers,
): Node | null {
  const { axes } = parameter.tensor;
  const name = parameter.name.replace(/([^.]+)\.\*/g, (_, repeat: string) => `${repeat}.${mustGet(layers, repeat)}`);
  const node = weights.get(name);
  if (!node) return null;
  const columns = axes.flatMap((axis, i) => (rows.includes(axis) ? [] : [i]));
  const moved = b.transpose(node, [...rows.map((axis) => axes.indexOf(axis)), ...columns]);
  const height = sizeOf(moved.shape.slice(0, rows.length));
  const width = sizeOf(moved.shape.slice(rows.length));
  return spectralBound(b, b.reshape(moved, [height, width]), turns);
}
