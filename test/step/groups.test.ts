/**
 * Groups and frozen parameters: several steps of a page against the formulas written out by hand, in f64, from the
 * gradients of the page; and the planned steps of devices against the evaluator.
 */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { initialValues } from "../../runtime/initialize.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { facts, smallPage, text } from "../helpers/small.js";
import { distance, entriesOf, planOf } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

const STEPS = 4;
type Values = Map<string, Float64Array>;

/** What moves a parameter, by hand: AdamW with its numbers, or descent with a momentum. */
type Hand = { readonly rate: (step: number) => number; readonly decay: number } & (
  | { readonly kind: "adamw"; readonly betas: readonly [number, number]; readonly epsilon: number }
  | { readonly kind: "sgd"; readonly momentum: number }
  | { readonly kind: "still" }
);

/** The largest norm of all gradients together, as the page says it. */
const CLIP = 1;

/** Parameters after some steps as the evaluator makes them, and as the formulas do. */
async function bothWays(
  page: string,
  handOf: (name: string, shape: readonly number[]) => Hand,
): Promise<{ readonly found: Values; readonly expected: Values; readonly moments: readonly string[]; start: Values }> {
  const plan = await planOf(page, ["javascript"], { facts });
  const { graphs } = entriesOf(page, { facts });
  const [train, slopes] = ["train", "gradients"].map((name) => graphs.find((graph) => graph.name === name)!);
  const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
  const start: Values = new Map(plan.parameters.map((info) => [info.name, Float64Array.from(initialValues(info, 3))]));
  const found: Values = new Map(start);
  for (const { name, shape } of plan.states) found.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
  const expected: Values = new Map([...start].map(([name, values]) => [name, values.slice()]));
  const moments = new Map([...start].map(([name, { length }]) => [name, [0, 1].map(() => new Float64Array(length))]));
  for (let step = 0; step < STEPS; step++) {
    const fed: readonly (readonly [string, ArrayLike<number>])[] = [
      ...Object.entries(source.batch(5, 3, step)),
      ["step", [step]],
      ["seed", [3]],
    ];
    const { outputs } = evaluate(slopes!, new Map<string, ArrayLike<number>>([...expected, ...fed]));
    const gradients = new Map(
      plan.parameters.map(({ name }) => [name, outputs.get(`gradient:${name}`) ?? null] as const),
    );
    const norm = Math.sqrt(
      [...gradients.values()].reduce(
        (sum, g) => sum + (g ? Float64Array.from(g).reduce((s, x) => s + x * x, 0) : 0),
        0,
      ),
    );
    const factor = Math.min(1, CLIP / (norm + 1e-6));
    for (const { name, shape } of plan.parameters) {
      const [hand, p, [m, v]] = [handOf(name, shape), expected.get(name)!, moments.get(name)!];
      if (hand.kind === "still") continue;
      const [rate, g] = [hand.rate(step), gradients.get(name)!];
      p.forEach((_, i) => {
        const slope = g[i]! * factor;
        p[i]! *= 1 - rate * hand.decay;
        if (hand.kind === "sgd") {
          m![i] = hand.momentum * m![i]! + slope;
          p[i]! -= rate * m![i]!;
          return;
        }
        const [b1, b2] = hand.betas;
        m![i] = b1 * m![i]! + (1 - b1) * slope;
        v![i] = b2 * v![i]! + (1 - b2) * slope * slope;
        const root = Math.sqrt(v![i]! / (1 - b2 ** (step + 1))) + hand.epsilon;
        p[i]! -= (rate * (m![i]! / (1 - b1 ** (step + 1)))) / root;
      });
    }
    evaluate(train!, new Map<string, ArrayLike<number>>([...found, ...fed])).updates.forEach((value, name) =>
      found.set(name, Float64Array.from(value)),
    );
  }
  return { found, expected, moments: plan.states.map(({ name }) => name), start };
}

const pageWith = (optimizer: string, clauses: string): string =>
  smallPage("mhc(Mixing)", { optimizer }).replace("batch = 5", `${clauses}\n    batch = 5`);

/** The decay that a page gives a parameter: for two axes or more, and not for what is on a set. */
const byRank = (decay: number, shape: readonly number[]): number => (shape.length >= 2 ? decay : 0);

const cosine = (from: number, to: number) => (step: number) =>
  to + (from - to) * 0.5 * (1 + Math.cos((Math.PI * step) / 50));

const ADAM = { kind: "adamw", betas: [0.9, 0.99], epsilon: 1e-8 } as const;
const OPTIMIZER = "adamw(rate = cosine(3e-3, 1e-4), betas = (0.9, 0.99), decay = 0.1)";

describe("a step in f64 is the formula", () => {
  it("where groups have a part of the rate, a schedule, a decay and betas of their own", async () => {
    const page = pageWith(
      OPTIMIZER,
      `group "*.read.*", "*.mix.*" { rate = 10%, decay = 0 }
    group embed, unembed { rate = pieces((0, 1e-3), (10, 3e-3)), decay = 0.3, betas = (0.5, 0.6), epsilon = 1e-3 }
    group "*.norm.*" { decay = 1 }`,
    );
    const { found, expected, start } = await bothWays(page, (name, shape) => {
      if (/\.(?:read|mix)\./.test(name)) return { ...ADAM, rate: cosine(3e-4, 1e-5), decay: 0 };
      if (/^(?:un)?embed\./.test(name))
        return { kind: "adamw", rate: (step) => 1e-3 + 2e-4 * step, decay: 0.3, betas: [0.5, 0.6], epsilon: 1e-3 };
      // The gain of a norm has one axis, and decays since its group says so.
      const decay = name.includes(".norm.") ? 1 : byRank(0.1, shape);
      return { ...ADAM, rate: cosine(3e-3, 1e-4), decay };
    });
    for (const [name, values] of expected) expect(distance(found.get(name)!, values), name).toBeLessThan(1e-9);
    const gains = [...expected.keys()].filter((name) => name.includes(".norm."));
    expect(gains.length).toBeGreaterThan(0);
    for (const name of ["embed.table", ...gains])
      expect(distance(expected.get(name)!, start.get(name)!)).toBeGreaterThan(1e-4);
  });

  it("where a group is moved by another optimizer", { tags: "slow" }, async () => {
    const page = pageWith(
      OPTIMIZER,
      "group embed, layers.1 { optimizer = sgd(momentum = 0.5), rate = 0.2 }\n    group positions { rate = 200% }",
    );
    const { found, expected, moments } = await bothWays(page, (name, shape) => {
      if (/^(?:embed|layers\.1)\./.test(name))
        return { kind: "sgd", momentum: 0.5, rate: () => 0.2, decay: byRank(0.1, shape) };
      const by = name.startsWith("positions.") ? 2 : 1;
      return { ...ADAM, rate: (step) => by * cosine(3e-3, 1e-4)(step), decay: byRank(0.1, shape) };
    });
    for (const [name, values] of expected) expect(distance(found.get(name)!, values), name).toBeLessThan(1e-9);
    // A parameter has the moments of its own optimizer, and no others.
    expect(moments.filter((name) => name.endsWith("embed.table") && !name.includes("un")).sort()).toEqual([
      "momentum:embed.table",
    ]);
    expect(moments.filter((name) => name.endsWith(":positions.table")).sort()).toEqual([
      "m:positions.table",
      "v:positions.table",
    ]);
  });

  it("where some are frozen: they stay, have no gradient and no moments, and count in no norm", async () => {
    const page = pageWith(OPTIMIZER, 'freeze embed, layers.0.mlp, "*.wq"');
    const isFrozen = (name: string): boolean => /^embed\.|^layers\.0\.mlp\.|\.wq$/.test(name);
    const { found, expected, moments, start } = await bothWays(page, (name, shape) =>
      isFrozen(name)
        ? { kind: "still", rate: () => 0, decay: 0 }
        : { ...ADAM, rate: cosine(3e-3, 1e-4), decay: byRank(0.1, shape) },
    );
    const frozen = [...start.keys()].filter(isFrozen);
    expect(frozen).toContain("layers.1.attention.wq");
    expect(frozen).not.toContain("layers.1.mlp.up");
    for (const [name, values] of expected) expect(distance(found.get(name)!, values), name).toBeLessThan(1e-9);
    for (const name of frozen) expect(found.get(name)).toEqual(start.get(name));
    expect(moments.filter((name) => isFrozen(name.slice(name.indexOf(":") + 1)))).toEqual([]);
    expect(moments).toContain("m:layers.1.mlp.up");
    const { graphs } = entriesOf(page, { facts });
    const gradients = [...graphs.find(({ name }) => name === "gradients")!.outputs.keys()];
    expect(gradients.filter((id) => isFrozen(id.replace("gradient:", "")))).toEqual([]);
    expect(gradients).toContain("gradient:layers.1.mlp.up");
  });
});

const GROUPS = `group "*.read.*", "*.mix.*" { rate = 10%, decay = 0 }
    group embed { rate = 50%, decay = 0.3 }
    freeze positions, layers.0.mlp`;

describe.each<[string, DeviceName, number]>([
  ["javascript", "javascript", 1],
  ["wasm", "wasm", 2],
])("ten planned steps on %s are those of the evaluator", (_, device, threads) => {
  it("under SGD", { tags: "slow" }, async () => {
    const page = pageWith("sgd(rate = 0.2, momentum = 0.9, decay = 0.01)", GROUPS);
    const { losses, parameters, fell } = await compareSteps(page, text, facts, device, threads);
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-4);
    expect(parameters).toBeLessThan(1e-4);
  });

  it("under AdamW", { tags: "slow" }, async () => {
    const { losses, fell } = await compareSteps(pageWith(OPTIMIZER, GROUPS), text, facts, device, threads);
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-3);
  });

  it("under Muon, with a group of AdamW and one of Muon at another rate", { tags: "slow" }, async () => {
    const page = smallPage("residual", { optimizer: "muon(rate = 5e-3, decay = 0.1)" }).replace(
      "batch = 5",
      `group layers.0 { rate = 50%, momentum = 0.9 }
    group embed { optimizer = adamw(betas = (0.9, 0.99)) }
    batch = 5`,
    );
    const { losses, parameters, fell } = await compareSteps(page, text, facts, device, threads);
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-4);
    expect(parameters).toBeLessThan(1e-3);
  });
});

it("ten planned steps along manifolds, with a group and points that are frozen", { tags: "slow" }, async () => {
  const page = smallPage("residual", { optimizer: "radam(rate = 3e-3, betas = (0.9, 0.99))" })
    .replace("  train {", "  constrain { mlp.up each hidden on sphere, attention.wq each heads on stiefel }\n  train {")
    .replace(
      "batch = 5",
      `group layers.1.mlp { rate = 50% }
    group layers.1.attention { optimizer = rsgd(rate = 0.01, momentum = 0.5) }
    freeze layers.0.mlp.up
    batch = 5`,
    );
  const { losses, fell } = await compareSteps(page, text, facts, "javascript", 1);
  expect(fell).toBe(true);
  expect(losses).toBeLessThan(1e-3);
  const { states, parameters } = await planOf(page, ["javascript"], { facts });
  const moments = (name: string): readonly string[] =>
    states.flatMap((state) => (state.name.endsWith(`:${name}`) ? [state.name.split(":")[0]!] : [])).sort();
  expect(["layers.0.mlp.up", "layers.1.mlp.up", "layers.0.attention.wq", "layers.1.attention.wq"].map(moments)).toEqual(
    [[], ["m", "v"], ["m", "v"], ["momentum"]],
  );
  expect(parameters.filter(({ frozen }) => frozen).map(({ name }) => name)).toEqual(["layers.0.mlp.up"]);
});

it("a group is updated as one vector: one kernel more for each group, at most", { tags: "slow" }, async () => {
  const writers = async (clauses: string): Promise<number> => {
    const { entries, kernels } = (await planOf(pageWith(OPTIMIZER, clauses), ["javascript"], { facts })).devices[
      "javascript"
    ]!;
    return entries["train"]!.dispatches.filter(({ kernel }) =>
      kernels[kernel]!.buffers.some(({ pool, access }) => pool === "state" && access !== "read"),
    ).length;
  };
  const alone = await writers("");
  expect(alone).toBeGreaterThan(0);
  expect(await writers('group "*.read.*", "*.mix.*" { rate = 10%, decay = 0 }')).toBeLessThanOrEqual(alone + 1);
  const two = 'group "*.read.*", "*.mix.*" { rate = 10%, decay = 0 }\n    group embed, mlp.up { decay = 0.3 }';
  expect(await writers(two)).toBeLessThanOrEqual(alone + 2);
});
