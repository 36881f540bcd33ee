/** Words that lie equally far apart are accessed by a loop, and others stay: kernels before and after, as text. */
import { expect, it } from "vitest";
import { parseKernel } from "../../src/kernel/parse.js";
import { rollAccesses } from "../../src/kernel/rolled-accesses.js";
import { printKernel } from "../../src/kernel/text.js";
import { verifyKernel } from "../../src/kernel/verify.js";

const rolled = (body: string): string => {
  const kernel = parseKernel(`kernel rolls(b0: read work, b1: write out) groups 2 workgroup 64 {\n${body}\n}`);
  const after = { ...kernel, body: rollAccesses(kernel) };
  expect(verifyKernel(after)).toEqual([]);
  return printKernel(after);
};

it("words equally far apart are loaded, and stored, by a loop", () => {
  expect(
    rolled(`
    let at: index = (local * 8)
    let a: f32x4 = lanes(b0[at], b0[(at + 8)], b0[(at + 16)], b0[(at + 24)])
    b1[((local * 4) + 1)].x4 = a
  `),
  ).toMatchInlineSnapshot(`
    "kernel rolls(b0: read work, b1: write out) groups 2 workgroup 64 {
      let at: index = (local * 8)
      var rolled0r0: f32x4 = splat(0.0)
      for turn2 = 0 to 4 step 1 {
        let word3: f32 = b0[(at + (turn2 * 8))]
        rolled0r0 = shuffle(rolled0r0, splat(word3), 1, 2, 3, 4)
      }
      let a: f32x4 = rolled0r0
      let stored1v0: f32x4 = a
      var stored1r1_0: f32x4 = lanes(stored1v0.0, stored1v0.1, stored1v0.2, stored1v0.3)
      for turn4 = 0 to 4 step 1 {
        b1[(((local * 4) + turn4) + 1)] = stored1r1_0.0
        stored1r1_0 = shuffle(stored1r1_0, stored1r1_0, 1, 2, 3, 4)
      }
    }"
  `);
});

it("in a loop of many turns nothing is a loop, and what is loaded twice is loaded once", () => {
  expect(
    rolled(`
    for i = 0 to 128 step 1 {
      let a: f32x4 = lanes(b0[i], b0[(i + 128)], b0[(i + 256)], b0[(i + 384)])
      let b: f32 = b0[(i + 128)]
      b1[i] = (a.0 + b)
    }
  `),
  ).toMatchInlineSnapshot(`
    "kernel rolls(b0: read work, b1: write out) groups 2 workgroup 64 {
      for i = 0 to 128 step 1 {
        let rolled0r0: f32 = b0[i]
        let rolled1r0: f32 = b0[(i + 128)]
        let rolled2r0: f32 = b0[(i + 256)]
        let rolled3r0: f32 = b0[(i + 384)]
        let a: f32x4 = lanes(rolled0r0, rolled1r0, rolled2r0, rolled3r0)
        let b: f32 = rolled1r0
        b1[i] = (a.0 + b)
      }
    }"
  `);
});

it("no load moves past a store that it may meet", () => {
  const text = (between: string): string =>
    rolled(`let a: f32 = b0[local]\n${between}\nlet b: f32 = b0[(local + 1)]\nb1[local] = (a + b)`);
  expect(text("let x: f32 = (a * a)")).toContain("for ");
  const kernel = parseKernel(
    "kernel meet(b0: read_write work) groups 1 workgroup 1 {\nlet a: f32 = b0[0]\nb0[1] = a\nlet b: f32 = " +
      "b0[1]\nb0[2] = b\n}",
  );
  expect(rollAccesses(kernel)).toEqual(kernel.body);
});
