/** Vectors of 8 lanes as two of 4: the same words as before, whatever is done with them. */
import fc from "fast-check";
import { expect, it } from "vitest";
import * as k from "../../src/kernel/build.js";
import { halved } from "../../src/kernel/halves.js";
import type { Expr, Kernel, Stmt } from "../../src/kernel/ir.js";
import { eachExpr } from "../../src/kernel/operands.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import { count } from "../helpers/interpreter.js";
import { vector } from "./kernels.js";

const V = { of: "f32", lanes: 8 } as const;
const group = k.ref("group", k.INDEX);

const kernelOf = (body: readonly Stmt[]): Kernel => ({
  name: "wide",
  groups: 3,
  workgroup: 1,
  buffers: [
    { name: "input", pool: "work", access: "read" },
    { name: "result", pool: "out", access: "write" },
  ],
  body,
});

/** Two vectors, what is made of them, and a word of it. */
const made = (make: (x: Expr, y: Expr) => Expr): Kernel => {
  const at = k.mul(group, k.idx(32));
  return kernelOf([
    k.letS("x", k.load("input", at, V)),
    k.varS("y", k.load("input", k.add(at, k.idx(9)), V)),
    k.forS("i", k.idx(0), k.idx(2), 1, [k.assign("y", k.add(k.ref("y", V), k.splat(k.f32(0.5), 8)))]),
    k.letS("z", make(k.ref("x", V), k.ref("y", V))),
    k.store("result", at, k.ref("z", V)),
    k.store("result", k.add(at, k.idx(8)), k.extract(k.ref("z", V), 6)),
  ]);
};

function isTheSame(kernel: Kernel): void {
  const narrow = halved(kernel);
  expect(verifyKernel(narrow)).toEqual([]);
  eachExpr(narrow.body, ({ type }) => expect(type.lanes).toBeLessThanOrEqual(4));
  const input = (_: string, at: number): number => Math.fround(Math.sin(at * 12.9898) * 5);
  const [before, after] = [kernel, narrow].map((one) => count(one, input).values.get("result")!);
  expect(after).toEqual(before);
  expect(before!.size).toBeGreaterThan(0);
}

it("a kernel of narrow vectors is itself", () => {
  const kernel = vector(3);
  expect(halved(kernel)).toBe(kernel);
});

it("conditions, lanes, casts and single lanes", () => isTheSame(vector(3, 8)));

it.each<[string, (x: Expr, y: Expr) => Expr]>([
  ["arithmetic", (x, y) => k.fma(x, y, k.sub(k.neg(x), k.mul(y, k.splat(k.f32(3), 8))))],
  ["functions", (x, y) => k.add(k.exp(x), k.tanh(y))],
  ["a choice", (x, y) => k.select(k.lt(x, y), x, k.cast(k.cast(k.abs(y), k.U32), k.F32))],
  ["bits", (x) => k.bitcast(k.and(k.bitcast(x, "u32"), k.splat(k.u32(0x7fffffff), 8)), "f32")],
  ["shifts", (x) => k.cast(k.shr(k.bitcast(x, "u32"), k.splat(k.u32(9), 8)), k.F32)],
])("%s", (_, make) => isTheSame(made(make)));

it("any shuffle", () =>
  fc.assert(
    fc.property(fc.array(fc.nat(15), { minLength: 8, maxLength: 8 }), (order) =>
      isTheSame(made((x, y) => k.shuffle(x, y, order))),
    ),
    { numRuns: 50 },
  ));
