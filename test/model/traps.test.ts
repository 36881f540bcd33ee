/**
 * Pages that once were understood wrongly without a word (test/fixtures/traps): each now trains, or is refused or
 * warned of for its reason.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { textSource, type Source } from "../../runtime/data.js";
import { load, NumericError } from "../../runtime/index.js";
import { check, compile } from "../../src/compile/compile.js";
import { outputsOf } from "../helpers/outputs.js";
import { facts, text } from "../helpers/small.js";

const read = (name: string): string => readFileSync(new URL(`../fixtures/traps/${name}.mhc`, import.meta.url), "utf8");

/** What is said of a page: the code, and the words of the page that it is about. */
const saidOf = (page: string): readonly string[] =>
  check(page, { file: "page.mhc" }).diagnostics.map(
    ({ code, span }) => `${code} ${page.slice(span.start, span.end).split("\n")[0]}`,
  );

describe("what is said", () => {
  it.each<readonly [string, readonly string[]]>([
    ["loud", ["MHC305 gain(x) <= 1.5"]],
    ["rotary-constant", ["MHC219 t", "MHC219 half"]],
    ["one-slip", ["MHC103 [t]"]],
    ["lost-let", ["MHC222 aux", "MHC221 embed(corpus.token)", "MHC220 foo", "MHC221 unembed(e)"]],
    ["lost-update", ["MHC220 heads"]],
    ["autoencoder", []],
    ["static-beside-dynamic", ["MHC308 identity(1)"]],
    ["nan-at-step-1", []],
    ["balance-loss", []],
    ["encoder-decoder", []],
    ["gru", []],
    ["number-argument", []],
  ])("of %s", (name, said) => {
    expect(saidOf(read(name))).toEqual(said);
  });

  it("of two products in one line, which are two sums to people", () => {
    const page = read("encoder-decoder")
      .replace(/ {2}q\[t, heads, d\] = h.*\n {2}k\[u, heads, d\] = h.*\n/, "")
      .replace("q[t, heads, d] * k[u, heads, d]", "(h[t, w] * wq[w, heads, d]) * (h[u, w] * wk[w, heads, d])");
    expect(saidOf(page)).toEqual(["MHC227 h[t, w] * wq[w, heads, d]"]);
  });

  it("of a gain that is too large names the factor of a layer and of all", () => {
    const page = read("loud");
    const [first] = check(page, { file: "page.mhc" }).diagnostics;
    expect(first?.notes.map(({ message }) => message).join("\n")).toMatch(/10 together, 4 times[\s\S]*10000/);
    expect(saidOf(page.replace("gain(x) <= 1.5", "gain(x) <= 10000"))).toEqual([]);
  });

  it("of a bare axis offers both words", () => {
    const [first] = check(read("rotary-constant"), { file: "page.mhc" }).diagnostics;
    expect(first?.fix).toMatch(/`index\(t\)`.*`size\(t\)`/);
  });
});

/** Examples of no pattern, for data that is not text. */
const points = (features: number): Source => ({
  batch: (size, _seed, step) => ({
    "images.value": Float32Array.from({ length: size * features }, (_, i) => 0.5 + 0.5 * Math.sin(i + step)),
    "images.label": Uint32Array.from({ length: size }, (_, i) => i % 10),
  }),
  holdout: () => [],
  holdoutExamples: 0,
});

/** Losses of the first steps of a page. */
async function lossesOf(name: string, steps: number): Promise<readonly number[]> {
  const { plan, diagnostics } = await compile(read(name), {
    file: "page.mhc",
    facts: { ...facts, images: { features: 784, classes: 10 } },
    devices: ["wasm"],
  });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  const [info] = plan.data;
  const source = info?.kind === "characters" ? textSource(info, text.repeat(3)) : points(784);
  const model = await load(plan, { device: "wasm", threads: 1 });
  const losses: number[] = [];
  try {
    for await (const { loss } of model.train(source, { steps })) losses.push(loss);
  } finally {
    await model.close();
  }
  return losses;
}

describe("what trains", () => {
  const falls = async (name: string): Promise<void> => {
    const losses = await lossesOf(name, 12);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  };
  const timeout = 240_000;
  it.each(["gru", "balance-loss"])("%s", { timeout }, falls);
  const long = ["lost-update", "autoencoder", "static-beside-dynamic", "encoder-decoder"];
  it.each(long)("%s", { tags: "slow", timeout }, falls);

  it("a NaN at the first step is an error that names what was not finite", { timeout: 240_000 }, async () => {
    await expect(lossesOf("nan-at-step-1", 3)).rejects.toBeInstanceOf(NumericError);
  });

  it("a number among arguments is that number: the gate is half of each, whatever divides 0", () => {
    const u = Array.from({ length: 40 }, (_, i) => Math.sin(i));
    const gate = Array.from({ length: 8 }, (_, i) => i / 8 - 0.4);
    const y = outputsOf(read("number-argument"), { u, "squash.gated.gate": gate }).get("y")!;
    u.forEach((x, i) => {
      const b = 1 / (1 + Math.exp(-gate[i % 8]! / 0.5));
      expect(y[i]).toBeCloseTo((1 - b) * x + b * Math.tanh(x), 10);
    });
  });
});
