/**
 * What is watched while training: against the same numbers computed plainly, and that a connection's mix is found where
 * there is one.
 */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import { check } from "../../src/compile/compile.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate, leafName } from "../../src/graph/evaluate.js";
import { sizeOf } from "../../src/graph/record.js";
import type { Chain } from "../../src/graph/streams.js";
import { topological } from "../../src/graph/topology.js";
import { monitors } from "../../src/step/monitors.js";
import { random } from "../helpers/cases.js";
import { facts, text } from "../helpers/small.js";
import { entriesOf, loaded } from "../helpers/specs.js";

const [TOKENS, N, C, DEPTH] = [5, 3, 4, 4];
type Matrix = number[][];

const multiply = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
const transpose = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const rowSum = (a: Matrix): number => Math.max(...a.map((row) => row.reduce((sum, value) => sum + Math.abs(value), 0)));
/** The largest singular value, by many steps of the power iteration. */
function spectral(a: Matrix): number {
  const gram = multiply(transpose(a), a);
  let v = gram.map((_, i) => [1 + 0.1 * i]);
  for (let i = 0; i < 2000; i++) {
    v = multiply(gram, v);
    const size = Math.hypot(...v.map(([x]) => x!));
    v = v.map(([x]) => [x! / size]);
  }
  return Math.sqrt(Math.hypot(...multiply(gram, v).map(([x]) => x!)));
}

describe("numbers", () => {
  const next = random(5);
  const layers = Array.from({ length: DEPTH }, () =>
    Array.from({ length: TOKENS }, (): Matrix =>
      Array.from({ length: N }, () => Array.from({ length: N }, () => 1.5 * next() - 0.3)),
    ),
  );
  const stream = Array.from({ length: TOKENS * N * C }, () => next() - 0.5);
  const b = createBuilder();
  const after = b.input("x", [1, N, TOKENS, C], "f32");
  const chain: Chain = layers.map((_, l) => ({
    before: after,
    after,
    blocks: [],
    stream: "x",
    mix:
      l === 1
        ? { kind: "identity" }
        : { kind: "matrix", lane: 0, outer: [1], node: b.input(`mix.${l}`, [1, TOKENS, N, N], "f32") },
  }));
  const graph = {
    name: "monitor",
    outputs: new Map(monitors(b, [chain]).map(({ role, node }) => [role.name, node])),
    updates: new Map(),
  };
  const mixes = layers.filter((_, l) => l !== 1);
  const { outputs } = evaluate(
    graph,
    new Map([["x", stream], ...layers.map((layer, l) => [`mix.${l}`, layer.flat(2)] as const)]),
  );
  const found = (name: string): number => outputs.get(name)![0]!;
  const each = (f: (mix: Matrix) => number): number[] => mixes.flatMap((layer) => layer.map(f));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

  it(
    "gain: the largest row sum of the products to every depth, and the largest column sum of the products from " +
      "every depth",
    () => {
      let [forward, backward] = [0, 0];
      for (let token = 0; token < TOKENS; token++) {
        for (let l = 0; l < mixes.length; l++) {
          forward = Math.max(
            forward,
            rowSum(
              mixes
                .slice(0, l + 1)
                .map((layer) => layer[token]!)
                .reduce((product, mix) => multiply(mix, product)),
            ),
          );
          backward = Math.max(
            backward,
            rowSum(
              transpose(
                mixes
                  .slice(l)
                  .map((layer) => layer[token]!)
                  .reduce((product, mix) => multiply(mix, product)),
              ),
            ),
          );
        }
      }
      expect(found("gain:x:forward")).toBeCloseTo(forward, 10);
      expect(found("gain:x:backward")).toBeCloseTo(backward, 10);
    },
  );

  it("columns, entropy, second and diversity", () => {
    expect(found("columns:x")).toBeCloseTo(
      Math.max(
        ...each((mix) =>
          Math.max(
            ...transpose(mix).map((column) => Math.abs(Math.log(Math.abs(column.reduce((sum, value) => sum + value))))),
          ),
        ),
      ),
      10,
    );
    expect(found("entropy:x")).toBeCloseTo(
      mean(
        each((mix) =>
          mean(
            mix.map((row) => {
              const total = row.reduce((sum, value) => sum + Math.abs(value), 0);
              return -row.reduce(
                (sum, value) => sum + (Math.abs(value) / total) * Math.log(Math.abs(value) / total),
                0,
              );
            }),
          ),
        ),
      ),
      10,
    );
    const second = mean(
      each((mix) =>
        spectral(mix.map((row) => row.map((value) => value - row.reduce((sum, other) => sum + other) / N))),
      ),
    );
    expect(found("second:x") / second).toBeGreaterThanOrEqual(1 - 1e-9);
    expect(found("second:x") / second).toBeLessThanOrEqual(1.0005);
    let [off, all] = [0, 0];
    for (let t = 0; t < TOKENS; t++)
      for (let c = 0; c < C; c++) {
        const lanes = Array.from({ length: N }, (_, n) => stream[(n * TOKENS + t) * C + c]!);
        lanes.forEach((value) => (off += (value - mean(lanes)) ** 2));
        lanes.forEach((value) => (all += value ** 2));
      }
    expect(found("diversity:x")).toBeCloseTo(off / all, 10);
  });
});

const page = (via: string, blocks = ""): string => `model Small {
  dim context = 13, width = 12, layers = 3, lanes = 4
  data corpus = characters("text", window = context)
  ${via.includes("Mixing") ? "manifold Mixing = birkhoff(exact)" : ""}
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers {
    x through mlp(hidden = width) via ${via}
  }
  loss = cross_entropy(unembed(total(x)), corpus.next)
  train { batch = 5, steps = 50, seed = 3, optimizer = adamw(rate = 1e-2) }
}
${blocks}`;

describe("on a page", () => {
  const watched = (own: string): string[] => [
    ...(entriesOf(own, { facts, monitors: true })
      .graphs.find(({ name }) => name === "monitor")
      ?.outputs.keys() ?? []),
  ];

  it.each(["hc", "mhc(Mixing)"])("%s mixes its lanes", (via) => {
    expect(watched(page(via))).toEqual(
      ["gain:x:forward", "gain:x:backward", "columns:x", "entropy:x", "second:x", "diversity:x"].map(
        (name) => `monitor:${name}`,
      ),
    );
  });

  it("a matrix of parameters is a mix too, written after the stream or before", () => {
    const own = (product: string): string =>
      page(
        "fixed",
        `connection fixed(x[n, t, w], f) {
      dim m = n
      param mix[n, m] ~ identity(1)
      y[t, w] = f(total(x))
      return [n, t, w] = y[t, w] + ${product}
    }`,
      );
    expect(watched(own("mix[n, m] * x[m, t, w]")).length).toBe(6);
    expect(watched(own("x[m, t, w] * mix[n, m]")).length).toBe(6);
  });

  it.each([
    ["lanes that are not mixed", "identity", ""],
    [
      "a stream that is squared",
      "odd",
      "connection odd(x[n, t, w], f) {\n y[t, w] = f(total(x))\n return [n, t, w] = x[n, t, w] * x[n, t, w] + " +
        "y[t, w]\n}",
    ],
    [
      "lanes and features that are both mixed",
      "odd",
      "connection odd(x[n, t, w], f) {\n dim m = n, v = w\n param mix[n, m], turn[w, v] ~ identity(1)\n y[t, " +
        "w] = f(total(x))\n return [n, t, w] = mix[n, m] * turn[w, v] * x[m, t, v] + y[t, w]\n}",
    ],
    [
      "a stream within a function",
      "odd",
      "connection odd(x[n, t, w], f) {\n y[t, w] = f(total(x))\n return [n, t, w] = tanh(x[n, t, w]) + y[t, w]\n}",
    ],
  ])("of %s there is nothing to watch", (_, via, blocks) => {
    const own = page(via, blocks);
    expect(check(own, { file: "page.mhc" }).diagnostics).toEqual([]);
    expect(watched(own)).toEqual([]);
  });

  const sum = "mix[n, m] * x[m, t, w] + half[n, t, w] + y[t, w]";
  const odd =
    `connection odd(x[n, t, w], f) {\n dim m = n\n param mix[n, m] ~ identity(1)\n y[t, w] = f(total(x))\n ` +
    `half[n, t, w] = 0.5 * x\n return [n, t, w] = ${sum}\n}`;
  const still =
    "connection still(x[n, t, w], f) {\n dim m = n\n param mix[n, m] ~ identity(2)\n y[t, w] = f(total(x))\n " +
    "return [n, t, w] = mix[n, m] * x[m, t, w] + y[t, w]\n}";
  it("a stream that stands in several parts, and mixes that depend on the token beside ones that do not", () => {
    const own = page("mhc(Mixing)", `${odd}\n${still}`).replace(
      "via mhc(Mixing)",
      "via mhc(Mixing)\n x through mlp(hidden = width) via odd as second\n x through mlp(hidden = width) via " +
        "still as third",
    );
    const graph = entriesOf(own, { facts, monitors: true }).graphs.find(({ name }) => name === "monitor")!;
    const leaves = topological(graph.outputs.values()).filter((node) => node.op === "parameter" || node.op === "input");
    const bindings = new Map(
      leaves.map((node) => {
        const name = leafName(node);
        const identity = (size: number): number[] => Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? size : 0));
        return [
          name,
          name.endsWith("odd.mix")
            ? identity(1)
            : name.endsWith("still.mix")
              ? identity(2)
              : new Array<number>(sizeOf(node.shape)).fill(0),
        ] as const;
      }),
    );
    // Three layers: 1 of a doubly stochastic mix, 1 + 0.5, and 2.
    const { outputs } = evaluate(graph, bindings);
    expect(outputs.get("monitor:gain:x:forward")![0]).toBeCloseTo(27, 6);
    expect(outputs.get("monitor:gain:x:backward")![0]).toBeCloseTo(27, 6);
  });

  it("while it trains, at the steps that were asked for", async () => {
    const model = await loaded(page("mhc(Mixing)"), "wasm", { facts, monitors: true });
    const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
    const steps: number[] = [];
    for await (const { step, monitors: found } of model.train(source, { steps: 12, monitor: 5 })) {
      if (!found) continue;
      steps.push(step);
      expect(found["gain:x:forward"]).toBeCloseTo(1, 4);
      expect(found["gain:x:backward"]).toBeCloseTo(1, 4);
      expect(found["entropy:x"]).toBeGreaterThan(0);
    }
    expect(steps).toEqual([5, 10]);
    await model.close();
  });

  it("is an error where the plan has none", async () => {
    const model = await loaded(page("mhc(Mixing)"), "wasm", { facts });
    const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
    await expect(async () => {
      for await (const _ of model.train(source, { steps: 1, monitor: 1 })) void _;
    }).rejects.toThrow("compiled without monitors");
    await model.close();
  });
});
