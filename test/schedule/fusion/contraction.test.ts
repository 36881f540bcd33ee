/**
 * Random two-operand contractions on every device against the evaluator: any order of letters, axes of size 1 anywhere,
 * operands behind transposes and repeats, with and without an epilogue. One graph holds many of them, so that a device
 * compiles few plans.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Builder } from "../../../src/graph/builder.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { nativeWidths, openSubject, type Subject } from "../../helpers/devices.js";
import { runOn } from "../../helpers/graphs.js";

type Role = "batch" | "rows" | "columns" | "summed";

interface Contraction {
  readonly letters: readonly { readonly role: Role; readonly size: number }[];
  /** Orders of the letters in the two operands and the result. */
  readonly orders: readonly (readonly number[])[];
  /**
   * Whether each operand lies in memory in the order of its letters, in the opposite order, or is repeated along its
   * first letter.
   */
  readonly views: readonly ("plain" | "transposed" | "repeated")[];
  readonly epilogue: "none" | "map" | "broadcast";
}

const letter = fc.record({
  role: fc.constantFrom<Role>("batch", "rows", "columns", "summed"),
  size: fc.constantFrom(1, 1, 2, 3, 4, 5, 8, 9, 12),
});
const view = fc.constantFrom("plain", "plain", "transposed", "repeated");
const contraction: fc.Arbitrary<Contraction> = fc
  .array(letter, { minLength: 1, maxLength: 6 })
  .filter((letters) => letters.reduce((product, { size }) => product * size, 1) <= 20_000)
  .chain((letters) =>
    fc.record({
      letters: fc.constant(letters),
      orders: fc.tuple(
        ...["a", "b", "out"].map(() => fc.shuffledSubarray([...letters.keys()], { minLength: letters.length })),
      ),
      views: fc.tuple(view, view),
      epilogue: fc.constantFrom("none", "map", "broadcast"),
    }),
  );

const NAMES = "abcdefghij";

/**
 * A share of the sum of absolute values; f32 has 6e-8, and a sum of n terms in sequence loses about sqrt(n) of that.
 */
const TOLERANCE = 1e-6;

function specOf({ letters, orders }: Contraction): { terms: [string, string, string]; size: (name: string) => number } {
  const within = (order: readonly number[], roles: readonly Role[]): string =>
    order
      .filter((i) => roles.includes(letters[i]!.role))
      .map((i) => NAMES[i]!)
      .join("");
  return {
    terms: [
      within(orders[0]!, ["batch", "rows", "summed"]),
      within(orders[1]!, ["batch", "columns", "summed"]),
      within(orders[2]!, ["batch", "rows", "columns"]),
    ],
    size: (name) => letters[NAMES.indexOf(name)]!.size,
  };
}

/** The contraction, and the same of the absolute values: what the rounding errors of its sums are proportional to. */
function build(
  b: Builder,
  item: Contraction,
  input: (shape: readonly number[]) => Node,
): { value: Node; magnitude: Node } {
  const { terms, size } = specOf(item);
  const [x, y] = [0, 1].map((i) => {
    const shape = [...terms[i]!].map(size);
    const back = [...shape.keys()].reverse();
    if (item.views[i] === "transposed") return b.transpose(input(back.map((axis) => shape[axis]!)), back);
    if (item.views[i] === "repeated" && shape.length > 0)
      return b.broadcast(input(shape.slice(1)), shape, [...shape.keys()].slice(1));
    return input(shape);
  }) as [Node, Node];
  const spec = `${terms[0]},${terms[1]}->${terms[2]}`;
  const product = b.contract(spec, x, y);
  const magnitude = b.contract(spec, b.abs(x), b.abs(y));
  if (item.epilogue === "none") return { value: product, magnitude };
  // Neither epilogue makes an error larger.
  const squashed = b.div(product, b.sqrt(b.add(b.fill(1, product.shape), b.mul(product, product))));
  // A read of another tensor at some of the result's coordinates.
  if (item.epilogue === "map" || product.shape.length === 0) return { value: squashed, magnitude };
  return { value: b.mul(squashed, b.broadcast(input(product.shape.slice(0, 1)), product.shape, [0])), magnitude };
}

it.each<readonly [Subject, number]>([
  ["javascript", 600],
  ["wasm", 600],
  ["webgpu", 120],
  ...nativeWidths.map((width) => [width, 60] as const),
])(
  "random contractions agree on %s",
  async (name, count) => {
    const device = await openSubject(name, { threads: 2 });
    const items = fc.sample(contraction, { numRuns: count, seed: 7 });
    const wrong: string[] = [];
    for (let from = 0; from < items.length; from += 60) {
      const b = createBuilder();
      const values = new Map<string, number[]>();
      const input = (shape: readonly number[]): Node => {
        const key = `x${values.size}`;
        values.set(
          key,
          Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) =>
            Math.fround(Math.cos(7 * i + values.size)),
          ),
        );
        return b.input(key, shape, "f32");
      };
      const batch = items.slice(from, from + 60);
      const built = batch.map((item) => build(b, item, input));
      const graphOf = (part: "value" | "magnitude"): Graph => ({
        name: part,
        outputs: new Map(built.map((item, i) => [`${i}`, item[part]])),
        updates: new Map(),
      });
      const expected = evaluate(graphOf("value"), values).outputs;
      const scales = evaluate(graphOf("magnitude"), values).outputs;
      const found = await runOn(device, graphOf("value"), values);
      batch.forEach((item, i) => {
        const want = expected.get(`${i}`)!;
        const got = found.get(`${i}`)!;
        const scale = Math.max(...Array.from(scales.get(`${i}`)!));
        const off = Math.max(...Array.from(want, (value: number, at: number) => Math.abs(got[at]! - value) / scale));
        if (!(off < TOLERANCE))
          wrong.push(`${off.toExponential(1)}: ${specOf(item).terms.join(" ")} ${JSON.stringify(item)}`);
      });
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    await device.close();
  },
  120_000,
);
