/**
 * Training never leaves a set: 500 steps in f32, at ten times the rate, of every spec in `specs/` at a small size and
 * of a page that has a parameter on every set of the registry in every setting. After each step what is on a set is
 * within the set's tolerance, and everything is finite. Specs and sets come from the folder and the registry, so that
 * new ones are held to it.
 */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { examplesSource, textSource, type Source } from "../../runtime/data.js";
import { csvSource } from "../../runtime/columns.js";
import { sequencesSource, SPECIAL } from "../../runtime/lines.js";
import { decode } from "../../runtime/checkpoint.js";
import { countNotFinite } from "../../runtime/finite.js";
import { load } from "../../runtime/index.js";
import { namesOf, pairsSource, parsePairs } from "../../runtime/pairs.js";
import type { Plan } from "../../runtime/plan.js";
import { check, type Facts } from "../../src/compile/compile.js";
import { known, valueOf } from "../../src/graph/sizes.js";
import { sets } from "../../src/manifolds/registry.js";
import { rankOf } from "../../src/manifolds/set.js";
import type { TypedModel } from "../../src/model/typed.js";
import { random } from "../helpers/cases.js";
import { text } from "../helpers/small.js";
import { planOf, readSpec } from "../helpers/specs.js";
import { settings } from "../manifolds/members.js";

const STEPS = 500;
/** Names and what they are kinds of: a chain, and a few that hang on it. */
const pairs = parsePairs(
  ["b", "c", "d", "e", "f", "g", "h"].flatMap((name, i) => [`${name}\ta`, ...(i > 2 ? [`${name}\tb`] : [])]).join("\n"),
);

/** Houses with numbers alone, and words with themselves backwards. */
const houses = [
  "area,rooms,price,soon",
  ...Array.from({ length: 40 }, (_, i) => `${20 + i},${1 + (i % 4)},${100 + 3 * i},${i % 3 ? "yes" : "no"}`),
].join("\n");
const words = ["abc", "bca", "cab", "acb", "ba", "ca"].map((word) => `${word}\t${[...word].reverse().join("")}`);

/** Sizes of the dims that the pages have; a page with others keeps its own. */
const SMALL: Readonly<Record<string, number>> = {
  context: 7,
  width: 12,
  heads: 2,
  layers: 2,
  pixels: 9,
  hidden: 8,
  digits: 3,
  negatives: 3,
};

/** The page with its rates ten times as high. */
const hotter = (page: string): string =>
  page.replace(/rate = (?:\w+\()?[^)=]*/g, (rate) =>
    rate.replace(/\d[\d.]*(?:e-?\d+)?/g, (number) => `${10 * Number(number)}`),
  );

function factOf(source: TypedModel["data"][number]): Facts[string] {
  switch (source.kind) {
    case "characters":
      return { vocabulary: [...new Set(text)].sort() };
    case "examples":
      return { features: valueOf(source.stated.get("features")!)!, classes: valueOf(source.sizes.get("classes")!)! };
    case "pairs":
      return { names: namesOf(pairs) };
    case "csv":
      return {
        columns: ["area", "rooms"].map((name) => ({ kind: "number", name, mean: 20, deviation: 10 })),
        target: { name: "price", mean: 150, deviation: 40 },
        label: { name: "soon", classes: ["no", "yes"] },
      };
    case "sequences":
      return { vocabulary: [...SPECIAL, "a", "b", "c"] };
    default:
      throw new Error(`no page here has data of the kind ${source.kind}`);
  }
}

function factsOf({ data }: TypedModel): Facts {
  return Object.fromEntries(data.map((source) => [source.name, factOf(source)]));
}

/** Made up, reproducibly. */
function sourceOf({ data }: Plan): Source {
  const info = data[0]!;
  if (info.kind === "characters") return textSource(info, text);
  if (info.kind === "pairs") return pairsSource(info, pairs);
  if (info.kind === "csv") return csvSource(info, houses);
  if (info.kind === "sequences") return sequencesSource(info, words.join("\n"));
  if (info.kind !== "examples") throw new Error(info.kind);
  const next = random(3);
  return examplesSource(
    info,
    Array.from({ length: info.classes }, (_, at) => ({
      values: Float32Array.from({ length: 20 * info.features }, (_, i) => next() + (i % info.classes === at ? 1 : 0)),
      count: 20,
    })),
  );
}

async function trainsOnItsSets(page: string, set: Readonly<Record<string, string>>): Promise<void> {
  const { model: typed, diagnostics } = check(page, { file: "page.mhc", set });
  expect(diagnostics).toEqual([]);
  const facts = factsOf(typed!);
  const plan = await planOf(page, ["wasm"], { facts, set });
  const model = await load(plan, { device: "wasm", threads: 1 });
  const held = plan.constraints.flatMap(({ name, tolerance }) => (tolerance === null ? [] : [{ name, tolerance }]));
  let steps = 0;
  for await (const { step, loss, constraints } of model.train(sourceOf(plan), { steps: STEPS, monitor: 0 })) {
    const off = held
      .filter(({ name, tolerance }) => !(constraints[name]! <= tolerance))
      .map(
        ({ name, tolerance }) => `${name} is off by ${constraints[name]} at step ${step}, and ${tolerance} is allowed`,
      );
    expect([off, Number.isFinite(loss), Object.values(constraints).every(Number.isFinite)]).toEqual([[], true, true]);
    steps = step;
  }
  expect(steps).toBe(STEPS);
  // So are all parameters, and the optimizer's state.
  for (const [name, { data }] of decode(await model.checkpoint()).tensors) expect(countNotFinite(data), name).toBe(0);
  await model.close();
}

const names = readdirSync(new URL("../../specs/", import.meta.url))
  .filter((name) => name.endsWith(".mhc"))
  .map((name) => name.slice(0, -4))
  .sort();

describe("every spec that trains", () => {
  const cases = names.flatMap((name) => {
    const page = readSpec(name);
    const { model } = check(page, { file: `${name}.mhc` });
    if (!model?.train) return [];
    const set = Object.fromEntries(
      model.dims.flatMap((dim) => (SMALL[dim.name] === undefined ? [] : [[dim.name, `${SMALL[dim.name]}`]])),
    );
    const own = hotter(page);
    // Where parameters are points that move, both Riemannian optimizers; without such parameters they are the others.
    const moving = model.parameters.some(({ on }) => on?.manifold.set.kind === "manifold");
    const optimizers = ["as written", ...(moving ? ["radam(rate = 1e-2)", "rsgd(rate = 1, momentum = 0.9)"] : [])];
    return optimizers.map((optimizer) => ({
      name,
      optimizer,
      set: { ...set, "train.batch": "3", "train.steps": `${STEPS}` },
      page:
        optimizer === "as written"
          ? own
          : own.replace(/optimizer = \w+\((?:[^()]|\([^()]*\))*\)/, `optimizer = ${optimizer}`),
    }));
  });

  it("is here, at ten times its rate", () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBeGreaterThanOrEqual(3);
    expect(hotter("adamw(rate = cosine(1e-3, 1e-4, warmup = 100), decay = 0.1) sgd(rate = 0.2, momentum = 0.9)")).toBe(
      "adamw(rate = cosine(0.01, 0.001, warmup = 100), decay = 0.1) sgd(rate = 2, momentum = 0.9)",
    );
    for (const { name, page } of cases) expect(page, name).not.toBe(readSpec(name));
  });

  it.each(cases)("$name, $optimizer", { tags: "slow" }, async ({ page, set }) => {
    await trainsOnItsSets(page, set);
  });
});

describe("a parameter on every set in every setting", () => {
  const N = 4;
  /** Square, so that every set takes the shape. */
  const members = Object.values(sets).flatMap((set) =>
    settings(set).flatMap((options, i) => {
      const point = Array.from({ length: rankOf(set.point) }, () => known(N));
      const pieces = set.free(point, options);
      if ("error" in pieces || pieces.length === 0) return [];
      const own = Object.entries(options)
        .filter(([name, value]) => value !== set.options[name]!.default)
        .map(([name, value]) => `${name} = ${value}`);
      return [
        {
          name: `${set.name}${i}`,
          vector: rankOf(set.point) === 1,
          on: `${set.name}${own.length ? `(${own.join(", ")})` : ""}`,
        },
      ];
    }),
  );
  const sum = (vector: boolean, term: (name: string) => string): string =>
    members
      .filter((member) => member.vector === vector)
      .map(({ name }) => term(name))
      .join(" + ");
  const parameters = members.map(
    ({ name, vector, on }) => `  param ${name}[${vector ? "other" : "width, other"}] ~ normal(0.5) on ${on}`,
  );
  const page = (optimizer: string): string => `model All {
  dim context = 5, width = ${N}, other = ${N}
  data corpus = characters("text", window = context)
${parameters.join("\n")}
  x[context, width] = norm(embed(corpus.token) + positions())
  y[context, other] = ${sum(false, (name) => `x[context, width] * ${name}[width, other]`)}
  s[other] = ${sum(true, (name) => `${name}[other]`)}
  loss = cross_entropy(unembed(norm(y[context, other] * s[other]) as last), corpus.next)
  train { batch = 3, steps = ${STEPS}, seed = 3, optimizer = ${optimizer}, clip = 1.0 }
}`;

  it("is all of them but the sets of one point", () => {
    expect(Object.keys(sets).filter((name) => !members.some(({ on }) => on === name))).toEqual(["identity"]);
  });

  it.each(["adamw(rate = 3e-2)", "radam(rate = 3e-2)", "rsgd(rate = 2, momentum = 0.9)"])(
    "%s",
    async (optimizer) => {
      await trainsOnItsSets(page(optimizer), {});
    },
    120_000,
  );
});
