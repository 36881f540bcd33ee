/**
 * Gains as `mhc verify` measures them: of the compiled stream, whatever was read of its mixes, on pages where that once
 * went wrong.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { textSource } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { load, openDevice } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { verify, type Finding } from "../../src/tools/verify.js";
import { probesOf } from "../../src/tools/gains.js";
import { cpuDevices } from "../helpers/devices.js";
import { facts, text } from "../helpers/small.js";
import { planOf } from "../helpers/specs.js";
import type * as mixing from "../../src/model/mixing.js";

/** Whether a connection is read as one that passes its stream on, whatever is defined beside. */
const fault = vi.hoisted(() => ({ on: false }));
vi.mock("../../src/model/mixing.js", async (original) => {
  const right = await original<typeof mixing>();
  const mixingOf: typeof right.mixingOf = (value, stream) =>
    fault.on
      ? {
          kind: "linear",
          stream,
          parts: [{ factors: [], read: stream.axes, summed: [] }],
          mixed: [],
          definitions: new Map(),
        }
      : right.mixingOf(value, stream);
  return { ...right, mixingOf };
});
afterEach(() => void (fault.on = false));

const sourceOf = (plan: Plan): ReturnType<typeof textSource> =>
  textSource(plan.data[0] as Parameters<typeof textSource>[0], text);

const page = (changes: string, claim: string, blocks: string, layers = 4): string => `model Own {
  dim context = 6, width = 8, layers = ${layers}, lanes = 4
  data corpus = characters("text", window = context, holdout = 20%)
  manifold Turn = orthogonal(by = cayley)
  manifold Static = birkhoff
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers {
    ${changes}
  }
  loss = cross_entropy(unembed(total(x)), corpus.next)
${claim && `  constrain { ${claim} }\n`}  train { batch = 3, steps = 50, seed = 3, optimizer = adamw(rate = 1e-3) }
}
${blocks}`;

const tenfold = `connection tenfold(x[n, t, w], f) {
  z[t, w] = sum[n](x)
  y[t, w] = f(z)
  a[n, t, w] = 9 * x[n, t, w]
  return [n, t, w] = x[n, t, w] + a[n, t, w] + y[t, w]
}`;
const still = `connection still(M: manifold)(x[n, t, w], f) {
  dim m = n
  param mix[n, m] ~ identity(1) on M
  param read[n] ~ constant(1 / n)
  z[t, w] = read[n] * x[n, t, w]
  y[t, w] = f(z)
  return [n, t, w] = mix[n, m] * x[m, t, w] + y[t, w]
}`;

async function verified(own: string, name: DeviceName = "wasm"): Promise<Finding[]> {
  const plan = await planOf(own, [name], { facts, monitors: "all" });
  const device = await openDevice(name, { threads: 1 });
  try {
    return await verify(plan, device, { source: sourceOf(plan), runs: 20 });
  } finally {
    await device.close();
  }
}

describe("ten times the stream, by a definition, four layers deep", () => {
  const through = "x through mlp(hidden = 4) via tenfold";

  it("is measured, where it is only monitored", async () => {
    const findings = await verified(page(through, "gain(x) <= 1.5 monitored", tenfold));
    expect(findings.map(({ when, property, ok, promised }) => [when, property, ok, promised])).toEqual(
      ["drawn", "training"].map((when) => [when, "gain(x) <= 1.5", null, "monitored"]),
    );
    for (const { worst } of findings) expect(worst / 1e4).toBeCloseTo(1, 5);
  });

  it("breaks a proof that did not see it", async () => {
    fault.on = true;
    const findings = await verified(page(through, "gain(x) <= 1.5", tenfold));
    expect(findings.map(({ when, ok, promised }) => [when, ok, promised])).toEqual([
      ["drawn", false, "proved"],
      ["training", false, "proved"],
    ]);
    for (const { worst } of findings) expect(worst / 1e4).toBeCloseTo(1, 5);
  });

  it("is measured in a product of claims, and of a stream of which nothing is claimed", async () => {
    const [claimed] = await verified(page(through, "0.5 * gain(x) <= 6000", tenfold));
    expect([claimed!.ok, claimed!.worst / 5000]).toEqual([true, expect.closeTo(1, 5)]);
    const [free] = await verified(page(through, "", tenfold));
    expect([free!.property, free!.ok, free!.promised, free!.worst / 1e4]).toEqual([
      "gain",
      null,
      "nothing",
      expect.closeTo(1, 5),
    ]);
  });
});

describe.each(cpuDevices)("mixes that depend on the token beside ones that do not, on %s", (name) => {
  const changes = "x through mlp(hidden = 4) via mhc(Turn)\n    x through attention(2) via still(Static)";

  // A C compiler takes a while for all entries of the page.
  it("train, are watched, and are measured alike", { tags: name === "native" ? "slow" : [] }, async () => {
    const own = page(changes, "gain(x) <= 4.1", still, 2);
    const plan = await planOf(own, [name], { facts, monitors: "all" });
    const model = await load(plan, { device: name, threads: 1 });
    for await (const { step, loss, monitors } of model.train(sourceOf(plan), { steps: 4, monitor: 2 })) {
      expect(Number.isFinite(loss)).toBe(true);
      if (step % 2 === 0)
        for (const of of ["forward", "backward"]) expect(monitors![`gain:x:${of}`]).toBeGreaterThanOrEqual(0.99);
    }
    await model.close();
    const device = await openDevice(name, { threads: 1 });
    const findings = await verify(plan, device, { source: sourceOf(plan), runs: 12 });
    await device.close();
    const gain = findings.filter(({ property }) => property.startsWith("gain"));
    expect(gain.map(({ ok, promised }) => [ok, promised])).toEqual([
      [true, "proved"],
      [true, "proved"],
    ]);
    for (const { worst } of gain) expect(worst).toBeGreaterThan(0.99);
  });
});

it(
  "every lane in every composite is tried, in as few runs as the batch allows; of the deepest models some " +
    "composites are left out",
  () => {
    const chosen = (
      runs: ReturnType<typeof probesOf>,
      connections: number,
      lanes: number,
      batch: number,
    ): Set<string> =>
      new Set(
        runs.flatMap((run) =>
          Array.from({ length: batch }, (_, example) => {
            const one = (name: string, size: number): number =>
              [...run.get(name)!.subarray(example * size, (example + 1) * size)].indexOf(1);
            return `${one("gain:x:depth", connections)} ${one("gain:x:place:0", lanes)}`;
          }),
        ),
      );
    const few = probesOf({ stream: "x", shape: [4, 6, 8], connections: 5, batch: 3 });
    expect(few).toHaveLength(7);
    expect(chosen(few, 5, 4, 3).size).toBe(20);
    const many = probesOf({ stream: "x", shape: [4, 6, 8], connections: 500, batch: 3 });
    expect(many.length).toBeLessThanOrEqual(16);
    for (const depth of [0, 499])
      for (let lane = 0; lane < 4; lane++) expect([...chosen(many, 500, 4, 3)]).toContain(`${depth} ${lane}`);
    expect(probesOf({ stream: "x", shape: [4, 6, 8], connections: 1, batch: 1 })).toHaveLength(4);
  },
);
