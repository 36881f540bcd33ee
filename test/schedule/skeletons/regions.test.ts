/**
 * Regions against the unfused f64 evaluation: every tile of the family, on tokens that end in the middle of a tile,
 * widths that are no multiple of four, and all numbers of lanes. And what they are for, counted from the plan: how
 * often the streams cross memory.
 */
import { describe, expect, it } from "vitest";
import type { Choice } from "../../../src/kernel/profile.js";
import { load } from "../../../runtime/index.js";
import type { Plan } from "../../../runtime/plan.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import { initialValues } from "../../../runtime/initialize.js";
import { legalize } from "../../../src/schedule/fusion/legalize.js";
import { partition } from "../../../src/schedule/fusion/partition.js";
import { arrange } from "../../../src/schedule/fusion/regions.js";
import { rematerialize } from "../../../src/schedule/fusion/rematerialize.js";
import { regionTeams } from "../../../src/schedule/skeletons/region/gpu.js";
import { regionTiles } from "../../../src/schedule/skeletons/region/cpu.js";
import { choicesFor, cpuSubjects, deviceOf, isSlow, nativeWidths, type Subject } from "../../helpers/devices.js";
import { distance, entriesOf, planOf, readSpec, withEntries } from "../../helpers/specs.js";

/** Of every page here. */
const facts = { corpus: { vocabulary: [..."abcdefghijk"] } };

const BLOCKS = ["attention(3)", "mlp(hidden = 2 * width)"];

/** Two sublayers, on tokens that end in the middle of a tile. */
const spec = (lanes: number, width: number, connection = "mhc(Mixing)", blocks = BLOCKS): string => `model Small {
  dim context = 37, width = ${width}, lanes = ${lanes}
  data corpus = characters("text", window = context)
  manifold Mixing = birkhoff(iterations = 5)
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  ${blocks.map((block) => `x through ${block} via ${connection}`).join("\n  ")}
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train { batch = 5, steps = 50, seed = 3, optimizer = sgd(rate = 0.1) }
}`;

const batch = {
  "corpus.token": Uint32Array.from({ length: 5 * 37 }, (_, i) => (7 * i + i * i) % 11),
  "corpus.next": Uint32Array.from({ length: 5 * 37 }, (_, i) => (3 * i + 1) % 11),
};

/** Values of the gradients in f64: the same for every device and every member of the family. */
const exactly = new Map<string, ReadonlyMap<string, ArrayLike<number>>>();

function exactOf(page: string, plan: Plan, seed: number): ReadonlyMap<string, ArrayLike<number>> {
  const before = exactly.get(page);
  if (before) return before;
  const graph = entriesOf(page, { facts }).graphs.find(({ name }) => name === "gradients")!;
  const values = plan.parameters.map((info) => [info.name, initialValues(info, seed)] as const);
  const { outputs } = evaluate(graph, new Map<string, ArrayLike<number>>([...values, ...Object.entries(batch)]));
  exactly.set(page, outputs);
  return outputs;
}

/** The largest difference of the loss and the gradients of a batch, with regions made as `token` says. */
async function worst(page: string, subject: Subject, token: Choice): Promise<number> {
  const device = deviceOf(subject);
  const plan = await planOf(page, [device], { facts, choices: choicesFor(subject, { token }) });
  expect(plan.devices[device]!.kernels.some(({ name }) => name.startsWith("token"))).toBe(true);
  const model = await load(withEntries(plan, ["gradients"]), { device, threads: 2 });
  const exact = exactOf(page, plan, model.seed);
  const { loss, gradients } = await model.gradients(batch);
  await model.close();
  // Lanes start equal, so the gradient of the first mix is zero but for rounding: that one is compared with the largest
  // of all.
  const scale = Math.max(...[...exact.values()].flatMap((value) => Array.from(value, Math.abs)));
  const differences = Object.entries(gradients).map(([name, gradient]) => {
    const truth = exact.get(`gradient:${name}`)!;
    const largest = Math.max(...Array.from(truth, Math.abs));
    return largest < 1e-6 * scale ? 0 : distance(gradient, truth);
  });
  return Math.max(Math.abs(loss - exact.get("loss")![0]!), ...differences);
}

describe("tiles of 8 tokens", () => {
  const isRight = async (subject: Subject): Promise<void> =>
    expect(await worst(spec(4, 24), subject, { tile: 8 })).toBeLessThan(2e-5);
  it.each(cpuSubjects.filter((subject) => !isSlow(subject)))("%s", isRight);
  it.each(cpuSubjects.filter(isSlow))("%s", { tags: "slow" }, isRight);
});

// An emulated GPU compiles this one in 6 s, and the page of two blocks in 15 to 60.
it("64 threads a token of one block on webgpu", async () => {
  expect(await worst(spec(2, 8, "mhc(Mixing)", BLOCKS.slice(1)), "webgpu", { threads: 64 })).toBeLessThan(2e-5);
});

describe.each(regionTiles.filter(({ tile }) => tile !== 8))("tiles of $tile tokens", { tags: "slow" }, ({ tile }) => {
  it.each(cpuSubjects)("%s", async (subject) => {
    expect(await worst(spec(4, 24), subject, { tile })).toBeLessThan(2e-5);
  });
});

describe.each(regionTeams)("$threads threads a token", { tags: "slow" }, (team) => {
  it("webgpu", async () => expect(await worst(spec(4, 24), "webgpu", team)).toBeLessThan(2e-5));
});

describe.each<Subject>(["wasm", "wasm, 8 lanes", ...nativeWidths])("on %s", (subject) => {
  it.each([
    [1, 21],
    [2, 27],
    [3, 24],
    [5, 9],
    [8, 15],
    [16, 12],
  ])("%i lanes of width %i", { tags: "slow" }, async (lanes, width) => {
    expect(await worst(spec(lanes, width), subject, { tile: 8 })).toBeLessThan(5e-5);
  });
});

// Eight lanes and more are on WebAssembly alone: an emulated GPU takes a minute and a half to compile their projection.
it.each([
  [1, 21, 1],
  [3, 24, 32],
  [4, 15, 32],
])("%i lanes of width %i, %i threads a token", { tags: "slow" }, async (lanes, width, threads) => {
  expect(await worst(spec(lanes, width), "webgpu", { threads })).toBeLessThan(5e-5);
});

const CONNECTION = "the connection %s";
it.each(["hc", "identity"])(CONNECTION, async (connection) => {
  expect(await worst(spec(4, 24, connection), "wasm", { tile: 8 })).toBeLessThan(2e-5);
});
describe.each(nativeWidths)("%s", (width) => {
  it.each(["hc", "identity"])(CONNECTION, { tags: "slow" }, async (connection) => {
    expect(await worst(spec(4, 24, connection), width, { tile: 8 })).toBeLessThan(2e-5);
  });
});

describe("a connection at four lanes", () => {
  const sizes = { context: "64", layers: "4" };
  const vocabulary = Array.from({ length: 65 }, (_, i) => String.fromCharCode(40 + i));
  const read = async (width: number): Promise<{ boundaries: readonly number[]; connections: number }> => {
    const plan = await planOf(readSpec("moby-dick"), ["wasm"], {
      facts: { corpus: { vocabulary } },
      set: { ...sizes, width: `${width}` },
    });
    const { kernels, entries } = plan.devices.wasm!;
    const tokens = 12 * 64;
    const used = entries.loss!.dispatches.map(({ kernel }) => kernels[kernel]!);
    return {
      boundaries: used.filter(({ name }) => name.startsWith("token")).map(({ bytes }) => bytes / 4 / tokens),
      connections: 8,
    };
  };

  it.each([128, 256])("moves at most 1.15 x (2n + 2) C values a token forward, C = %i", async (width) => {
    const { boundaries, connections } = await read(width);
    // One kernel before the first sublayer and one after each; the last of them ends in the loss, and not in a
    // connection.
    const between = boundaries.filter((values) => values > 8 * width);
    expect(between).toHaveLength(connections - 2);
    for (const values of between) expect(values).toBeLessThanOrEqual(1.15 * 10 * width);
    for (const values of boundaries) expect(values).toBeLessThanOrEqual(1.15 * 10 * width);
  });

  it.each([1, 32])("leaves at most 190 dispatches of a whole step on a GPU, %i threads a token", async (threads) => {
    const plan = await planOf(readSpec("moby-dick"), ["webgpu"], {
      facts: { corpus: { vocabulary } },
      set: sizes,
      choices: { webgpu: { token: { threads } } },
    });
    expect(plan.devices.webgpu!.entries.train!.dispatches.length).toBeLessThanOrEqual(190);
  });

  it("is one kernel forward and one backward, between two sublayers", () => {
    const graph = legalize(
      entriesOf(readSpec("moby-dick"), { facts: { corpus: { vocabulary } }, set: sizes }).graphs.find(
        ({ name }) => name === "gradients",
      )!,
    );
    const { regions } = arrange(graph, rematerialize(graph, partition(graph)), "cpu");
    const has = (op: string): number =>
      regions.filter(({ clusters }) => clusters.length > 1 && clusters.some(({ anchor }) => anchor?.op === op)).length;
    expect(has("sinkhorn")).toBe(8);
    expect(has("sinkhorn_vjp")).toBe(8);
    // The streams themselves never stay in one: each is read again by the backward pass. What a sublayer reads of them
    // does.
    const inner = regions.flatMap(({ clusters, onChip }) =>
      clusters.some(({ anchor }) => anchor?.op === "sinkhorn") ? [...onChip] : [],
    );
    expect(inner.filter((node) => node.shape.join() === "12,64,128")).toHaveLength(8);
  });
});

/** The products that share a kernel with other clusters on a CPU, as einsum. */
const sharedProducts = (page: string): string[] => {
  const legal = legalize(entriesOf(page).graphs.find(({ name }) => name === "forward")!);
  const { regions } = arrange(legal, rematerialize(legal, partition(legal)), "cpu");
  return regions.flatMap(({ clusters }) =>
    clusters.length > 1 ? clusters.flatMap(({ anchor }) => (anchor?.op === "contract" ? [anchor.attrs.spec] : [])) : [],
  );
};

describe("a product is a kernel of its own, for it is work for registers of rows and columns,", () => {
  it("where a wide matrix belongs to a sequence, whose tokens share it", () => {
    const page = (terms: number): string => `model Shared {
      dim s = 8, t = 16, u = ${terms}, w = 64
      input x[s, t]
      input z[s]
      param scale[u], columns[u, w] ~ normal(1)
      m[s, u, w] = tanh(z[s] * columns[u, w])
      h[s, t, u] = tanh(x[s, t] * scale[u])
      output y[s, t, w] = exp(h[s, t, u] * m[s, u, w])
      output r[s, t] = rms[u](h)
    }`;
    expect(sharedProducts(page(48))).toEqual([]);
    expect(sharedProducts(page(4))).toHaveLength(1);
  });

  it("where a token has many rows of its own: the places of an image", () => {
    const page = (side: number): string => `model Places {
      dim s = 64, i = ${side}, c = 12, o = 8
      input x[s]
      param places[i, c], weight[c, o] ~ normal(1)
      h[s, i, c] = tanh(x[s] * places[i, c])
      output y[s, i, o] = tanh(h[s, i, c] * weight[c, o])
      output z[s] = mean[i, c](h)
    }`;
    expect(sharedProducts(page(64))).toEqual([]);
    expect(sharedProducts(page(16))).toHaveLength(1);
  });
});

it("a sum over other positions of a token's axis is not on the chip, whatever it reads", async () => {
  // x and z are added, so that their positions are one class of axes, which the sum over u has twice.
  const page = `model Earlier {
    dim t = 5, w = 48, u = t
    input x[t, w]
    input z[t, w]
    output b[t, w] = x + z
    output e[t, w] = tanh(x) / rms[w](x) + sum[u](z[u, w] where u <= t)
  }`;
  const given = (phase: number): number[] => Array.from({ length: 240 }, (_, i) => Math.fround(Math.sin(i + phase)));
  const inputs = { x: given(0), z: given(9) };
  const graph = entriesOf(page).graphs.find(({ name }) => name === "forward")!;
  const wanted = evaluate(graph, new Map(Object.entries(inputs))).outputs;
  const model = await load(await planOf(page, ["wasm"]), { device: "wasm" });
  const found = await model.forward({ x: Float32Array.from(inputs.x), z: Float32Array.from(inputs.z) });
  await model.close();
  for (const [name, values] of wanted) expect(distance(found[name]!, values), name).toBeLessThan(1e-6);
});
