/** A file of blocks alone: it is checked without a use, and is no page. */
import { describe, expect, it } from "vitest";
import { check, compile } from "../../src/compile/compile.js";
import { standardLibrary } from "../../specs/std.js";

const messages = (text: string): readonly string[] =>
  check(text, { file: "blocks.mhc" }).diagnostics.map(({ message }) => message);

describe("a file of blocks alone", () => {
  it.each(standardLibrary.map(({ name, text }) => [name, text] as const))("%s is right", (name, text) => {
    const checked = check(text, { file: name });
    expect(checked.diagnostics).toEqual([]);
    expect(checked.model).toBeNull();
    expect(checked.blocks).toBe(text.match(/^(?:block|connection) /gm)!.length);
  });

  it.each([
    ["whole numbers", "block find(t[n], table[v, w]) { return [n, w] = table[t[n], w] }"],
    ["classes", "block lost(y[t, v], target[t]) { return [] = cross_entropy(y, target) }"],
    ["a set of vectors", "block near(M: manifold)(u[n, d], v[n, d]) { return [n] = M.distance[d](u, v) }"],
    [
      "sizes that are equal",
      "block turn(y[w]) { param q[w, v] ~ identity(1) on orthogonal\n return [v] = q[w, v] * y[w] }",
    ],
    [
      "a number within the limits of a set",
      "block f(r: number)(y[w]) { param m[w, v] ~ ones on spectral_ball(radius = r)\n return [v] = m[w, v] * y[w] }",
    ],
    [
      "a number or a size",
      "block scaled(by, size)(y[w]) { param m[w, size] ~ ones\n return [size] = by * m[w, size] * y[w] }",
    ],
    ["a block", "connection twice(f: block)(x[t], g) { y[t] = f(g(x))\n return [t] = x[t] + y[t] }"],
    [
      "either branch",
      "block chosen(k)(y[w]) { if k == 1 { h[w] = 2 * y[w] } else { dim v = w\n h[v] = y[v] }\n return [w] = h[w] }",
    ],
  ])("may be right with %s", (_, text) => {
    expect(messages(text)).toEqual([]);
  });

  it.each([
    ["block f(y[t, w]) { return [t, w] = z[t, w] }", "`z` is not defined here"],
    ["block f(y[t, w]) { return [t, w] = y[t, v] }", "there is no axis `v` here"],
    ["block f(y[t, w]) { return [t, w] = y[t] }", "`y` has 2 axes, [t, w], and 1 is named here"],
    ["block f(y[t, w]) { h[t] = g(y)\n return [t, w] = y }", "there is no block or function `g`"],
    ["block f(y[t, w]) { h[t, w] = attention(2, 3)(y)\n return [t, w] = h }", "a block is expected here"],
    ["connection f(x[t], g) { y[t] = h(x)\n return [t] = y }", "there is no block or function `h`"],
    ["block f(k)(y[w]) { if k == 1 { h[w] = y[w] } else { h[w] = z[w] }\n return [w] = h }", "`z` is not defined here"],
    ["block f(y[w]) { return [w] = y[w] }\nblock f(y[w]) { return [w] = 2 * y[w] }", "`f` is defined twice"],
  ])("%s is wrong", (text, message) => {
    const found = messages(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toBe(message);
  });

  it("is not compiled", async () => {
    const { plan, diagnostics } = await compile("block f(y[w]) { return [w] = y[w] }", {
      file: "blocks.mhc",
      devices: ["javascript"],
    });
    expect(plan).toBeNull();
    expect(diagnostics.map(({ code, message }) => [code, message])).toEqual([
      ["MHC216", "there is no model in this file"],
    ]);
  });
});
