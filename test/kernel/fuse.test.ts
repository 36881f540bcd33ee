/** Products that one sum reads are computed in it, and others stay: kernels before and after, as text. */
import { expect, it } from "vitest";
import { fuse } from "../../src/kernel/fuse.js";
import { parseKernel } from "../../src/kernel/parse.js";
import { printKernel } from "../../src/kernel/text.js";
import { verifyKernel } from "../../src/kernel/verify.js";

const fused = (body: string): string => {
  const kernel = parseKernel(`kernel sums(b0: read work, b1: write out) groups 2 workgroup 1 {\n${body}\n}`);
  const after = { ...kernel, body: fuse(kernel.body) };
  expect(verifyKernel(after)).toEqual([]);
  return printKernel(after)
    .split("\n")
    .slice(1, -1)
    .map((line) => line.slice(2))
    .join("\n");
};

it("a product that is read once, by a sum, is computed there", () => {
  expect(
    fused(`
    let a: f32x4 = b0[0].x4
    let b: f32x4 = b0[4].x4
    let once: f32x4 = (a * b)
    let twice: f32x4 = (a * a)
    b1[0].x4 = (once + b)
    b1[4].x4 = (twice + b)
    b1[8].x4 = (((a * splat(2.0)) + twice) + (b * b))
  `),
  ).toMatchInlineSnapshot(`
    "let a: f32x4 = b0[0].x4
    let b: f32x4 = b0[4].x4
    let twice: f32x4 = (a * a)
    b1[0].x4 = fma(a, b, b)
    b1[4].x4 = (twice + b)
    b1[8].x4 = fma(b, b, fma(a, splat(2.0), twice))"
  `);
});

it("a sum that a loop carries stays, and so does a product of a variable, of another block, or of single words", () => {
  const text = `var sum: f32x4 = splat(0.0)
let outside: f32x4 = (b0[0].x4 * b0[4].x4)
for i = 0 to 8 step 4 {
  let x: f32x4 = b0[i].x4
  let product: f32x4 = (x * x)
  sum = (sum + product)
  let early: f32x4 = (sum * x)
  sum = (sum * splat(0.5))
  b1[i].x4 = (early + x)
  b1[(i + 8)].x4 = (outside + x)
  let word: f32 = b0[i]
  let square: f32 = (word * word)
  b1[(i + 16)] = (square + 1.0)
}
b1[0].x4 = sum`;
  expect(fused(text)).toBe(text);
});
