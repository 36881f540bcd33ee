/**
 * Inputs for the generated tests: values drawn from a case of the op table, reproducibly. Floats keep their distance
 * from the kinks that the case declares, and from each other where it asks for distinct values.
 */
import { type Builder } from "../../graph/builder.js";
import type { Node, Op } from "../../graph/node.js";
import { opTable } from "../../graph/ops.js";
import { sizeOf, type Case, type Sample } from "../../graph/record.js";

export { random } from "../../manifolds/subjects.js";

/** Values of an input, as its sample says. */
export function draw(sample: Sample, next: () => number): number[] {
  const size = sizeOf(sample.shape);
  if (sample.distinct) {
    const order = Array.from({ length: size }, (_, i) => i).sort(() => next() - 0.5);
    return order.map((rank) => sample.low + ((sample.high - sample.low) * (rank + 0.5)) / size);
  }
  return Array.from({ length: size }, () => {
    for (;;) {
      const value = sample.low + (sample.high - sample.low) * next();
      if (sample.dtype !== "f32") return Math.floor(sample.low + (sample.high - sample.low + 1) * next());
      if ((sample.kinks ?? []).every((kink) => Math.abs(value - kink) > 0.05)) return Math.fround(value);
    }
  });
}

/** Every case of every op. */
export const allCases: readonly { readonly op: Op; readonly index: number; readonly item: Case }[] = (
  Object.keys(opTable) as Op[]
).flatMap((op) => (opTable[op].cases as readonly Case[]).map((item, index) => ({ op, index, item })));

/** A case as a node of a graph. */
export interface BuiltCase {
  readonly node: Node;
  /** f32 inputs, to differentiate by. */
  readonly inputs: readonly Node[];
  readonly values: ReadonlyMap<string, number[]>;
}

/** The case as a node over inputs named `PREFIX.i`. A bool input is an f32 input compared with one half. */
export function build(b: Builder, op: Op, item: Case, prefix: string, next: () => number): BuiltCase {
  const values = new Map<string, number[]>();
  const floats: Node[] = [];
  const inputs = item.inputs.map((sample, i) => {
    const name = `${prefix}.${i}`;
    values.set(name, draw(sample, next));
    if (sample.dtype === "u32") return b.input(name, sample.shape, "u32");
    const node = b.input(name, sample.shape, "f32");
    if (sample.dtype === "bool") return b.lt(b.fill(0.5, sample.shape), node);
    floats.push(node);
    return node;
  });
  return { node: b.make(op, inputs, item.attrs, item.declared ?? {}), inputs: floats, values };
}
