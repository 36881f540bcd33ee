/** What `cost` says of a compiled spec. */
import { beforeAll, describe, expect, it } from "vitest";
import { bytesOfPools } from "../../runtime/plan.js";
import { compile, type Compiled } from "../../src/compile/compile.js";
import { cost } from "../../src/cost/report.js";
import { profiles } from "../../src/cost/profiles.js";
import { costPage } from "../../src/tools/cost-page.js";
import { readSpec } from "../helpers/specs.js";

const facts = { corpus: { vocabulary: [..."abcdefghijklmnop"] } };
const cpu = profiles.find(({ name }) => name === "cpu")!;
const compiled = (spec: string, set: Record<string, string> = {}): Promise<Compiled> =>
  compile(readSpec(spec), { file: "test.mhc", devices: ["wasm"], set, facts });

let moby: Compiled;
beforeAll(async () => void (moby = await compiled("moby-dick", { layers: "3" })));

describe("cost", () => {
  it("shares a step out among the page's blocks, with their parameters", () => {
    const found = cost(moby, cpu);
    const blocks = new Map(found.by_block.map((block) => [block.block, block]));
    for (const name of [
      "layers.*.mlp",
      "layers.*.attention",
      "layers.*.mlp.mhc",
      "layers.*.mlp.mhc.mix",
      "layers.*.attention.norm",
      "embed",
      "unembed",
      "norm",
      "",
    ])
      expect(blocks.has(name), name).toBe(true);
    // 3 layers of two matrices of 128 x 512: two operations a weight forward, twice as many backward, and the
    // activation.
    const mlp = blocks.get("layers.*.mlp")!;
    expect(mlp.parameters).toBe(3 * 2 * 128 * 512);
    expect(mlp.flops_per_token / (6 * mlp.parameters)).toBeGreaterThan(1);
    expect(mlp.flops_per_token / (6 * mlp.parameters)).toBeLessThan(1.02);
    expect(found.by_block.map(({ time_ms }) => time_ms)).toEqual(
      found.by_block.map(({ time_ms }) => time_ms).toSorted((a, b) => b - a),
    );
    for (const shares of [found.by_block, found.by_kind, found.by_phase])
      expect(shares.reduce((sum, { time_ms }) => sum + time_ms, 0)).toBeCloseTo(found.time_ms, 9);
    for (const { block, time_ms, ms_by_phase: own } of found.by_block)
      expect(own.forward + own.backward + own.update).toBeCloseTo(block === "overhead" ? 0 : time_ms, 9);
    expect([found.unit, found.tokens, found.entry, found.device]).toEqual(["token", 12 * 64, "train", "cpu"]);
    expect(found.by_phase.find(({ phase }) => phase === "backward")!.flops_per_token).toBeGreaterThan(
      1.8 * found.by_phase.find(({ phase }) => phase === "forward")!.flops_per_token,
    );
  });

  it("puts what is computed again in the backward pass's account", async () => {
    const [once, again] = [
      cost(moby, cpu),
      cost(await compiled("moby-dick", { layers: "3", "train.recompute": "every 2" }), cpu),
    ];
    const phase = (report: typeof once, name: string): number =>
      report.by_phase.find((share) => share.phase === name)!.flops_per_token;
    expect(phase(again, "forward") / phase(once, "forward")).toBeCloseTo(1, 3);
    expect(phase(again, "backward")).toBeGreaterThan(phase(once, "backward") * 1.02);
    expect(again.memory.find(({ kind }) => kind === "streams")!.bytes).toBeLessThan(
      once.memory.find(({ kind }) => kind === "streams")!.bytes,
    );
  });

  it("says what the memory is for, to the last byte", () => {
    const { memory, memory_bytes: all } = cost(moby, cpu);
    expect(all).toBe(bytesOfPools(moby.plan!.devices["wasm"]!.pools));
    expect(memory.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(all);
    for (const { kind, bytes } of memory) expect(bytes, kind).toBeGreaterThanOrEqual(0);
  });

  it("advises on what dominates", async () => {
    expect(cost(moby, cpu).advice.join("\n")).toMatch(/layers\.\*\.mlp takes \d\d% of a step/);
    expect(cost(moby, { ...cpu, memory_bytes: 1e6 }).advice.join("\n")).toMatch(
      /a step needs [\d.]+ MiB of 976\.6 KiB: .*`memory <= …`/,
    );
    expect(cost(moby, { ...cpu, dispatch_us: 1e4 }).advice.join("\n")).toMatch(
      /the step and its \d+ dispatches take \d\d% before they compute anything: a larger batch/,
    );
    expect(cost(moby, { ...cpu, levels: [{ ...cpu.levels[1]!, gbytes: 0.1 }] }).advice.join("\n")).toMatch(
      /of a step waits for memory/,
    );
    expect(cost(await compiled("nanogpt"), cpu).advice.join("\n")).not.toMatch(/connections between streams/);
  });

  it("takes a spec without a loss by its derivative, example by example", async () => {
    const found = cost(await compiled("sublayer"), cpu);
    expect([found.entry, found.unit, found.tokens]).toEqual(["vjp", "example", 1]);
    expect(found.by_phase.map(({ phase, flops_per_token: flops }) => [phase, flops > 0])).toEqual([
      ["forward", true],
      ["backward", true],
      ["update", false],
      ["overhead", false],
    ]);
    expect(cost(await compiled("sublayer"), { ...cpu, step_us: 1e6 }).advice).toEqual([
      expect.stringMatching(/take 100% before they compute anything$/),
    ]);
  });

  it("needs the plan of the profile's device", () => {
    expect(() =>
      cost(
        moby,
        profiles.find(({ name }) => name === "laptop")!,
      ),
    ).toThrow("cost: the spec is not compiled for webgpu");
    expect(() => cost({ plan: null, accounts: null }, cpu)).toThrow("cost: the spec is not compiled for wasm");
  });

  it("is a page that needs nothing else", () => {
    const html = costPage(cost(moby, cpu), cpu, { command: "mhc cost <x>", version: "1", text: "model A & B" });
    expect(html).toContain("What a step of MobyDick costs");
    expect(html).toContain("mhc cost &lt;x&gt;");
    expect(html).toContain("model A &amp; B");
    expect(html).toContain("<title>layers.*.mlp, backward: ");
    expect(html).not.toMatch(/<script|https?:|NaN|undefined/);
  });
});
