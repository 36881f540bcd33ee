/**
 * `dropout` and `noise` as nodes. The numbers are those of Threefry-2x32-20 (`runtime/threefry.ts`) with the key (seed,
 * site) and the counter (step, place): a step of a run draws the same bits on every device and whenever it is computed,
 * so that nothing that was drawn has to be kept for the backward pass. Whether a number is dropped is a comparison of
 * whole words. Normal numbers are those of Box and Muller (1958), of the two words of one draw.
 *
 * A site is the hash of its name, cut to 24 bits and moved to the next that is free, since the word is a constant in
 * memory, which f32 holds. Were it a constant of the code, every layer would have a kernel of its own.
 */
import { siteHash } from "../../../runtime/threefry.js";
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Builder } from "../../graph/builder.js";
import type { Node, Shape } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import type { TypedOf } from "../typed.js";
import { inThisLayer, type PageLowering } from "./state.js";

/** How many different words there are. */
const WORDS = 2 ** 32;
/** How many different sites there are. */
const SITES = 2 ** 24;

/** A value with random numbers drawn for it, in a training step; elsewhere, and where nothing is asked, the value. */
export function randomized(state: PageLowering, e: TypedOf<"random">, value: LabelledTensor): LabelledTensor {
  const amount = e.amount.value();
  if (!state.draws || amount === 0) return value;
  const { b } = state;
  const x = value.node;
  const draw = drawing(b, numberOfSite(state, inThisLayer(state, e.site)), x.shape);
  const node = e.f === "dropout" ? dropped(b, x, amount, draw) : b.add(x, normal(b, x.shape, amount, draw));
  return { ...value, node };
}

/** The number of a site, which no other site has. */
function numberOfSite({ sites }: PageLowering, name: string): number {
  const before = sites.get(name);
  if (before !== undefined) return before;
  const taken = new Set(sites.values());
  let number = siteHash(name) % SITES;
  while (taken.has(number)) number = (number + 1) % SITES;
  sites.set(name, number);
  return number;
}

/** A random word for each place of a shape: u32. */
type Draw = (word: 0 | 1) => Node;

function drawing(b: Builder, site: number, shape: Shape): Draw {
  const over = (scalar: Node): Node => b.broadcast(scalar, shape, []);
  const place = b.reshape(b.iota([sizeOf(shape)], 0), shape);
  const key = b.cast(b.literal([], [site]), "u32");
  const seed = b.input("seed", [], "u32");
  const step = b.input("step", [], "u32");
  return (word) => b.threefry(word, over(seed), over(key), over(step), place);
}

/** Each number is 0 with this probability, and else so much larger that the mean stays. */
function dropped(b: Builder, x: Node, probability: number, draw: Draw): Node {
  // A probability that is nearest to 1 may round to it.
  const below = Math.min(WORDS - 1, Math.round(probability * WORDS));
  const isDropped = b.lt(draw(0), b.fill(below, x.shape, "u32"));
  return b.select(isDropped, b.fill(0, x.shape), b.mul(x, b.fill(1 / (1 - probability), x.shape)));
}

/** Normal numbers of this deviation: sqrt(-2 log u) cos(2 pi v), of u in (0, 1] and v in [0, 1]. */
function normal(b: Builder, shape: Shape, deviation: number, draw: Draw): Node {
  const fill = (value: number): Node => b.fill(value, shape);
  const uniform = (word: 0 | 1): Node => b.mul(b.cast(draw(word), "f32"), fill(1 / WORDS));
  const square = b.mul(b.log(b.max(uniform(0), fill(1 / WORDS))), fill(-2));
  // Some devices' logarithm of 1 is a little above 0.
  const radius = b.sqrt(b.max(square, fill(0)));
  return b.mul(b.mul(radius, b.cos(b.mul(uniform(1), fill(2 * Math.PI)))), fill(deviation));
}
