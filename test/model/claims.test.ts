/**
 * Claims: programs, right and wrong, each with the checker's reasons in full (`UPDATE_CLAIMS=1` writes them anew, to be
 * read before they are committed), and for those that it proves, a search for a counterexample on compiled kernels.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { textSource } from "../../runtime/data.js";
import type { Device } from "../../runtime/device.js";
import { openDevice, load } from "../../runtime/index.js";
import type { TensorRef } from "../../runtime/plan.js";
import { loadTarget } from "../../codegen/registry.js";
import { check, compile } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import { claimed } from "../../src/step/claims.js";
import { monitors } from "../../src/step/monitors.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { schedule } from "../helpers/schedule.js";
import { lower } from "../../src/model/lower/lower.js";
import { random } from "../helpers/cases.js";
import { programs, type Program } from "./programs.js";
import { facts, text } from "../helpers/small.js";

const recorded = new URL("../fixtures/claims.txt", import.meta.url);

/** A bound that would be proved is watched in its place. */
const watched = (line: string): string =>
  line.includes("<=") && !line.includes("monitored") ? `${line} monitored` : line;

const page = (
  { constrain, mixing = "birkhoff(exact)", via = "mhc(Mixing)", blocks = "" }: Program,
  monitored = false,
): string => `model Claims {
  dim context = 8, width = 16, heads = 2, layers = 3, lanes = 4
  data corpus = characters("text", window = context)
  manifold Mixing = ${mixing}
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers {
    x through attention(heads) via ${via}
    x through mlp(hidden = 2 * width) via ${via}
  }
  loss = cross_entropy(unembed(total(x)), corpus.next)
  constrain {
    ${(monitored ? constrain.map(watched) : constrain).join("\n    ")}
  }
  train { batch = 25, steps = 10, optimizer = sgd(rate = 0.1) }
}
${blocks}`;

function verdict(program: Program): string {
  const { model, diagnostics, sources } = check(page(program), { file: "claims.mhc" });
  const claims = (model?.claims ?? []).map(({ text: claim, proof, monitored }) => {
    const how = proof ? `proved${monitored ? ", and monitored" : ""}` : "monitored";
    return `${claim}: ${how}\n${(proof ?? []).map((step) => `  ${step}\n`).join("")}`;
  });
  return `${diagnostics.map((found) => `${render(found, sources)}\n`).join("\n")}${claims.join("")}`;
}

describe("the checker", () => {
  it("has forty programs at least, of every verdict", () => {
    expect(programs.length).toBeGreaterThanOrEqual(40);
    const verdicts = programs.map(verdict);
    for (const word of [": proved", ": monitored", "does not follow", "MHC2"])
      expect(verdicts.filter((own) => own.includes(word)).length).toBeGreaterThan(3);
  });

  it("says why, in full", () => {
    const all = programs
      .map((program) => {
        const others = Object.entries(program)
          .filter(([key]) => key !== "constrain")
          .map(([key, value]) => `${key} = ${(value as string).replace(/\s+/g, " ")}`);
        return `# ${[program.constrain.join("; "), ...others].join(", ")}\n\n${verdict(program)}`;
      })
      .join("\n");
    if (process.env["UPDATE_CLAIMS"]) writeFileSync(recorded, all);
    expect(all).toBe(readFileSync(recorded, "utf8"));
  });
});

/** In a moment, and at length. */
const [FEW, MANY] = [500, 10_000];
/** Free coordinates are drawn within +- one of these: from the size of a start to far beyond it. */
const SPREADS = [0.05, 1, 5, 20];

const proved = programs.filter((program) => verdict(program).includes(": proved"));

/** What a program claims, as a graph of parameters and tokens: every one of them is an input. */
function quantities(program: Program): {
  readonly graph: Graph;
  readonly bounds: ReadonlyMap<string, number>;
  readonly tokens: number;
  readonly layers: number;
} {
  const { model } = check(page(program, true), { file: "claims.mhc", facts });
  const builder = createBuilder();
  const b = {
    ...builder,
    parameter: (name: string, shape: readonly number[]): Node => builder.input(name, shape, "f32"),
  };
  const { chains, weights, repeats } = lower(model!, b, { batch: model!.train!.batch });
  const gains = new Map(
    [["x", monitors(b, chains).flatMap(({ role, node }) => (role.measure === "gain" ? [node] : []))] as const].filter(
      ([, nodes]) => nodes.length,
    ),
  );
  const outputs = new Map(
    claimed(b, model!.claims, { gains, weights, repeats }).map(({ role, node }) => [role.name, node] as const),
  );
  const bounds = new Map(model!.claims.map(({ text: claim, bound }) => [claim, bound]));
  return {
    graph: { name: "claims", outputs, updates: new Map() },
    bounds,
    tokens: model!.train!.batch * 8,
    layers: repeats.get("layers")!,
  };
}

const hasNoCounterexample = (tries: number): void => {
  it.each(
    proved.map(
      (program) =>
        [[program.constrain.join("; "), program.mixing, program.via].filter(Boolean).join(", "), program] as const,
    ),
  )(
    "%s",
    async (_, program) => {
      const { graph, bounds, tokens, layers } = quantities(program);
      const device = await openDevice("wasm", { threads: 1 });
      const { run, reads } = await prepare(device, graph);
      await fc.assert(
        fc.asyncProperty(fc.integer(), fc.constantFrom(...SPREADS), async (seed, spread) => {
          const next = random(seed);
          const found = await run(({ dtype }) =>
            dtype === "u32" ? Math.floor(next() * facts.corpus.vocabulary.length) : spread * (2 * next() - 1),
          );
          for (const [claim, bound] of bounds) expect(found.get(claim), claim).toBeLessThanOrEqual(bound);
        }),
        {
          // A run tries the mixes of every token, or the parameters of every layer.
          numRuns: Math.ceil(tries / (reads ? tokens : layers)),
        },
      );
      await device.close();
    },
    120_000,
  );
};
const NONE = "what is proved has no counterexample";
describe(`${NONE} in ${FEW} tries`, () => hasNoCounterexample(FEW));
describe(`${NONE} in ${MANY.toLocaleString("en")} tries`, { tags: "slow" }, () => hasNoCounterexample(MANY));

/** Puts a graph of scalars on a device; each run draws its inputs anew. */
async function prepare(
  device: Device,
  graph: Graph,
): Promise<{
  readonly run: (draw: (ref: TensorRef) => number) => Promise<Map<string, number>>;
  /** Whether it reads the data at all. */
  readonly reads: boolean;
}> {
  const printer = await loadTarget("wasm");
  const { kernels, infos, entries, pools, constants } = schedule([graph], printer.profile, new Map(), 0);
  const session = await device.load({ kernels: infos, code: await printer.print(kernels), entries, pools, constants });
  const { inputs, outputs } = entries[graph.name]!;
  const names = Object.keys(outputs);
  const run = async (draw: (ref: TensorRef) => number): Promise<Map<string, number>> => {
    for (const ref of Object.values(inputs)) {
      const values = Array.from({ length: ref.shape.reduce((size, n) => size * n, 1) }, () => draw(ref));
      session.write(ref, ref.dtype === "u32" ? Uint32Array.from(values) : Float32Array.from(values));
    }
    const read = await session.run(
      graph.name,
      names.map((name) => outputs[name]!),
    );
    return new Map(names.map((name, i) => [name, read[i]![0]!]));
  };
  return { run, reads: Object.values(inputs).some(({ dtype }) => dtype === "u32") };
}

it("a broken claim is told while training", async () => {
  const program: Program = { constrain: ["gain(x) <= 1.0001 monitored", "norm(mlp.up) <= 100 monitored"], via: "hc" };
  const { plan } = await compile(page(program).replace("rate = 0.1", "rate = 1"), {
    file: "claims.mhc",
    devices: ["wasm"],
    facts,
  });
  const model = await load(plan!, { device: "wasm" });
  const source = textSource(plan!.data[0] as Parameters<typeof textSource>[0], text);
  for await (const { claims, step } of model.train(source, { steps: 6, monitor: 3 })) {
    if (step % 3) expect(claims).toBeNull();
    else
      expect(claims!.map(({ text: claim, holds }) => [claim, holds])).toEqual([
        ["gain(x) <= 1.0001", false],
        ["norm(mlp.up) <= 100", true],
      ]);
  }
  await model.close();
});

it("a parameter that nothing reads is there all the same, and can be watched", async () => {
  const idle = page({ constrain: ["norm(idle) <= 1 monitored"] }).replace(
    "  stream x",
    "  param idle[layers, width] ~ constant(0.5)\n  stream x",
  );
  const { plan } = await compile(idle, { file: "claims.mhc", devices: ["wasm"], facts });
  expect(plan!.parameters.map(({ name }) => name)).toContain("idle");
  const model = await load(plan!, { device: "wasm" });
  const source = textSource(plan!.data[0] as Parameters<typeof textSource>[0], text);
  // Without a gradient it stays at 3 x 16 entries of a half: a matrix of rank one and norm 0.5 sqrt(48).
  for await (const { claims } of model.train(source, { steps: 1, monitor: 1 }))
    expect(claims![0]!.value).toBeCloseTo(0.5 * Math.sqrt(48), 4);
  await model.close();
});
