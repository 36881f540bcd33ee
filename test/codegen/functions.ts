/**
 * The elementary functions, the ranges they are tested on and the errors allowed there; shared by the suites of all
 * targets.
 */
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, Lanes, Stmt, UnaryOp } from "../../src/kernel/ir.js";
import { angle } from "../../src/kernel/mathematics.js";

/**
 * Kernels that read `count` numbers of the pool `work` and write a function of each to `out`: one kernel for each
 * number of lanes.
 */
export const kernelsOf = (f: (x: Expr) => Expr, widths: readonly Lanes[], count: number): readonly Kernel[] =>
  widths.map((lanes) => {
    const at = k.mul(k.ref("group", k.INDEX), k.idx(lanes));
    return {
      name: `of_${lanes}`,
      groups: count / lanes,
      workgroup: 1,
      buffers: [
        { name: "x", pool: "work", access: "read" },
        { name: "y", pool: "out", access: "write" },
      ],
      body: [k.store("y", at, f(k.load("x", at, { of: "f32", lanes })))],
    };
  });

/** The same of the angle of each number, as a height, over one width. */
export const angleKernels = (width: number, widths: readonly Lanes[], count: number): readonly Kernel[] =>
  kernelsOf((x) => x, widths, count).map((kernel, i) => {
    const lanes = widths[i]!;
    const at = k.mul(k.ref("group", k.INDEX), k.idx(lanes));
    const body: Stmt[] = [];
    const bind = (value: Expr): Expr => {
      const name = `v${body.length}`;
      body.push(k.letS(name, value));
      return k.ref(name, value.type);
    };
    const value = angle(bind(k.load("x", at, { of: "f32", lanes })), k.splat(k.f32(width), lanes), bind);
    return { ...kernel, body: [...body, k.store("y", at, value)] };
  });

/** erf by the trapezoidal rule on its integral, which shares nothing with the code under test; error below 1e-10. */
export function erf64(x: number): number {
  const end = Math.min(6, Math.abs(x));
  const steps = 4000;
  const h = end / steps;
  let sum = (1 + Math.exp(-end * end)) / 2;
  for (let i = 1; i < steps; i++) sum += Math.exp(-((i * h) ** 2));
  // Two end corrections of Euler and Maclaurin: the derivative of exp(-t^2) at the ends.
  const value = h * sum + (h * h * 2 * end * Math.exp(-end * end)) / 12;
  return (Math.sign(x) * 2 * value) / Math.sqrt(Math.PI);
}

export interface Range {
  readonly op: UnaryOp;
  readonly from: number;
  readonly to: number;
  readonly scale: "linear" | "log";
  readonly most: number;
  readonly unit: "ulp" | "absolute";
  readonly exact: (x: number) => number;
}

const range = (
  op: UnaryOp,
  from: number,
  to: number,
  scale: Range["scale"],
  most: number,
  unit: Range["unit"],
  exact: Range["exact"],
): Range => ({
  op,
  from,
  to,
  scale,
  most,
  unit,
  exact,
});

export const ranges: readonly Range[] = [
  range("exp", -87.3, 88.72, "linear", 2, "ulp", Math.exp),
  range("exp", -1, 1, "linear", 2, "ulp", Math.exp),
  range("exp", 1e-30, 1e-3, "log", 1, "ulp", Math.exp),
  range("log", 1.2e-38, 3.4e38, "log", 2, "ulp", Math.log),
  range("log", 0.5, 2, "linear", 2, "ulp", Math.log),
  range("tanh", -12, 12, "linear", 2, "ulp", Math.tanh),
  range("tanh", 1e-30, 1, "log", 2, "ulp", Math.tanh),
  range("erf", -6, 6, "linear", 2e-7, "absolute", erf64),
  range("erf", 1e-6, 1, "log", 2e-7, "absolute", erf64),
  range("sin", -10, 10, "linear", 2e-7, "absolute", Math.sin),
  range("sin", -8192, 8192, "linear", 1e-6, "absolute", Math.sin),
  range("cos", -10, 10, "linear", 2e-7, "absolute", Math.cos),
  range("cos", -8192, 8192, "linear", 1e-6, "absolute", Math.cos),
];
