/**
 * Hyperbolic points near the border, where the metric grows without bound: in f32 on a compiled device as in f64, as
 * far as f32 knows where they are.
 */
import { describe, expect, it } from "vitest";
import type { Builder } from "../../src/graph/builder.js";
import { sets, type Manifold } from "../../src/manifolds/registry.js";
import { fixed } from "../../src/manifolds/set.js";
import { random } from "../helpers/cases.js";
import { runGraph } from "../helpers/graphs.js";
import { graphOf, run, worst } from "./members.js";

const POINTS = 32;
const WIDTH = 3;
const set = sets["hyperbolic"] as Manifold;

/** Rounding 1 - |x|^2 to f32, relative to its least value. */
const KNOWN = 0.05;

describe.each([1, 0.25])("curvature %f", (curvature) => {
  const setting = fixed({ curvature });
  const next = random(71);
  const vector = (length: number): number[] => {
    const v = Array.from({ length: WIDTH }, () => 2 * next() - 1);
    return v.map((value) => Math.fround((value * length) / Math.hypot(...v)));
  };
  const border = (1 - 1.01e-5) / Math.sqrt(curvature);
  const x = Array.from({ length: POINTS }, () => vector(border)).flat();
  // Half of the others are neighbours, half anywhere near the border.
  const y = Array.from({ length: POINTS }, (_, i) => {
    const moved =
      i % 2
        ? vector(border)
        : x.slice(i * WIDTH, (i + 1) * WIDTH).map((value) => value * (1 - 2e-5) + 2e-5 * (next() - 0.5));
    const size = Math.hypot(...moved);
    return moved.map((value) => Math.fround(size > border ? (value * border) / size : value));
  }).flat();
  const v = Array.from({ length: POINTS }, () => vector(1)).flat();
  const values = new Map([
    ["x", x],
    ["y", y],
    ["v", v],
  ]);
  const at = (b: Builder, name: string) => b.input(name, [POINTS, WIDTH], "f32");

  it("transport keeps lengths, and is that of f64", async () => {
    const graph = graphOf((b) => {
      const carried = set.transport(b, at(b, "x"), at(b, "y"), at(b, "v"), setting);
      return {
        carried,
        before: set.inner(b, at(b, "x"), at(b, "v"), at(b, "v"), setting),
        after: set.inner(b, at(b, "y"), carried, carried, setting),
      };
    });
    const exact = run(graph, values);
    const found = await runGraph("wasm", graph, values);
    for (let i = 0; i < POINTS; i++) {
      expect(exact["after"]![i]! / exact["before"]![i]!).toBeCloseTo(1, 9);
      expect(Math.abs(found.get("after")![i]! / found.get("before")![i]! - 1)).toBeLessThanOrEqual(KNOWN);
      const [own, right] = [found.get("carried")!, exact["carried"]!].map((all) =>
        Array.from(all).slice(i * WIDTH, (i + 1) * WIDTH),
      );
      expect(Math.hypot(...own!.map((value, j) => value - right![j]!)) / Math.hypot(...right!)).toBeLessThanOrEqual(
        KNOWN,
      );
    }
  });

  it("retraction is inside for steps of any length, and distances are those of f64", async () => {
    const graph = graphOf((b) => {
      const moved = (scale: number) =>
        set.violation(
          b,
          set.retract(b, at(b, "x"), b.mul(at(b, "v"), b.fill(scale, [POINTS, WIDTH])), setting),
          setting,
        );
      return {
        small: moved(1e-6),
        one: moved(1),
        large: moved(1e6),
        distance: set.distance!(b, at(b, "x"), at(b, "y"), setting),
        back: set.retract(b, at(b, "x"), b.neg(b.mul(at(b, "x"), b.fill(1e-4, [POINTS, WIDTH]))), setting),
      };
    });
    const exact = run(graph, values);
    const found = await runGraph("wasm", graph, values);
    for (const name of ["small", "one", "large"])
      expect(worst(found.get(name)!)).toBeLessThanOrEqual(set.tolerance({}) as number);
    for (let i = 0; i < POINTS; i++)
      expect(Math.abs(found.get("distance")![i]! - exact["distance"]![i]!)).toBeLessThanOrEqual(
        KNOWN * (1 + exact["distance"]![i]!),
      );
    found.get("back")!.forEach((value, i) => expect(Math.abs(value - exact["back"]![i]!)).toBeLessThanOrEqual(KNOWN));
  });
});
