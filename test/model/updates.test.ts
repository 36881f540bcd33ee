/**
 * A stream's new value as written: `x = x + mlp(64)(x)` is the residual connection by another name. So the two are the
 * same numbers, to the last gradient, whether they are computed once or twice; and nothing is proved or measured of
 * what an update does to the lanes.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { buildEntries } from "../../src/step/entries.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph } from "../../src/graph/node.js";
import { printModel } from "../../src/model/print.js";
import { recompute } from "../../src/passes/recompute.js";
import { nodesOf } from "../../src/graph/topology.js";
import { random } from "../helpers/cases.js";

const vocabulary = [..."abcdef"];
const facts = { corpus: { vocabulary } };

const page = (body: string, more = "", axes = "context, width"): string => `model Updates {
  dim context = 3, width = 4, layers = 3, lanes = 2
  data corpus = characters("text.txt", window = context)
  manifold Mixing = birkhoff(exact)
  stream x[${axes}] = ${axes.startsWith("lanes") ? "copies(embed(corpus.token))" : "embed(corpus.token)"}
  ${body}
  loss = cross_entropy(unembed(${axes.startsWith("lanes") ? "total(x)" : "x"}), corpus.next)
  ${more}
  train { batch = 2, steps = 10, optimizer = adamw(rate = 1e-2) }
}
`;

const written = page("repeat layers { x = x + mlp(8)(x) }");
const through = page("repeat layers { x through mlp(8) }");

const entriesOf = (text: string, withoutLayer?: number): ReturnType<typeof buildEntries> => {
  const { model, diagnostics } = check(text, { file: "updates.mhc", facts });
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  return buildEntries(model!, {
    monitors: true,
    ...(withoutLayer === undefined ? {} : { kept: { [`layers.${withoutLayer}`]: [] } }),
  });
};
const gradientsOf = ({ graphs }: ReturnType<typeof buildEntries>): Graph =>
  graphs.find(({ name }) => name === "gradients")!;

function drawn(shape: readonly number[], seed: number): number[] {
  const next = random(seed);
  return Array.from({ length: shape.reduce((size, n) => size * n, 1) }, () => next() - 0.5);
}

/** What a graph of gradients computes from numbers that depend on names alone. */
function valuesOf(graph: Graph): Map<string, number[]> {
  const values = new Map<string, readonly number[]>();
  for (const node of nodesOf(graph)) {
    if (node.op === "parameter") values.set(node.attrs.name, drawn(node.shape, node.attrs.name.length));
    if (node.op === "input")
      values.set(
        node.attrs.name,
        Array.from({ length: 6 }, (_, i) => (i * 5 + node.attrs.name.length) % 6),
      );
  }
  return new Map([...evaluate(graph, values).outputs].map(([name, value]) => [name, [...value]]));
}

describe("an update of a stream", () => {
  it("is the residual connection, in its loss and every gradient", () => {
    const plain = gradientsOf(entriesOf(through));
    const update = gradientsOf(entriesOf(written));
    expect([...update.outputs.keys()]).toContain("gradient:layers.2.mlp.up");
    expect(valuesOf(update)).toEqual(valuesOf(plain));
  });

  it("is a statement of the model, and prints as one", () => {
    const { model } = check(written, { file: "updates.mhc" });
    expect(printModel(model!)).toContain(
      "x[context, width] <- (x[context, width] + layers.*.mlp(x[t, w])[context, width])",
    );
  });

  it("is computed again as a connection is: the same numbers, and its block once", () => {
    const entries = entriesOf(written);
    const graph = gradientsOf(entries);
    const again = recompute(graph, entries.forwards.get("gradients")!, () => 1);
    expect(valuesOf(again)).toEqual(valuesOf(graph));
    const count = (of: Graph, op: string): number => nodesOf(of).filter((node) => node.op === op).length;
    expect(nodesOf(again).length).toBeGreaterThan(nodesOf(graph).length);
    expect(count(again, "contract")).toBe(count(graph, "contract"));
  });

  it("passes its stream by in a layer that is gone", () => {
    const shrinking = "cost {\n    flops <= 50%\n    shrink layers\n  }";
    const left = entriesOf(page("repeat layers { x = x + mlp(8)(x) }", shrinking), 1);
    expect(left.lowered.parameters.some(({ name }) => name.startsWith("layers.1."))).toBe(false);
    expect(left.lowered.parameters.some(({ name }) => name.startsWith("layers.2."))).toBe(true);
  });

  it("may be of a stream that began without a batch", () => {
    const values = valuesOf(
      gradientsOf(entriesOf(page("stream y[context, width] = 0\n  repeat layers { y = y + x }\n  x = x + y"))),
    );
    expect(values.get("loss")!.every(Number.isFinite)).toBe(true);
  });

  it("is read as what a connection does to its stream is, for proofs and to be measured", () => {
    const mixed = (update: string): string =>
      `repeat layers {\n    x through mlp(8) via mhc(Mixing)\n    ${update}\n  }`;
    const found = (update: string, claim: string): string => {
      const own = page(mixed(update), `constrain { ${claim} }`, "lanes, context, width");
      const { diagnostics, model } = check(own, { file: "updates.mhc", facts });
      return JSON.stringify([
        diagnostics.map(({ code, message, notes }) => [code, message, notes]),
        model?.claims.map(({ proof }) => proof),
      ]);
    };
    expect(found("x = 3 * x", "gain(x) <= 1.5")).toContain("no more than 27.00081 can be proved");
    expect(found("x = 3 * x", "gain(x) <= 27.1")).toContain(
      "`x = …` makes its stream of 1 part, whose rows and columns sum to at most 3: 3 together, 3 times",
    );
    for (const monitored of ["", " monitored"]) {
      expect(found("x = x + tanh(x)", `gain(x) <= 27.1${monitored}`)).toContain(
        "`x = …` does something else with its stream than mixing it: `tanh` is taken of the stream",
      );
    }
  });
});
