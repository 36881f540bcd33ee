/** The model of time and energy, on accounts that are made by hand. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Account } from "../../src/cost/account.js";
import { costsOf, pathOf } from "../../src/cost/cost.js";
import { kindOf, KINDS } from "../../src/cost/kinds.js";
import { faultOf, type DeviceProfile } from "../../src/cost/profile.js";
import { profiles } from "../../src/cost/profiles.js";
import { joules, scaled } from "../../src/cost/figures.js";
import { createBuilder } from "../../src/graph/create-builder.js";

const machine: DeviceProfile = {
  format: 1,
  name: "machine",
  title: "a machine",
  device: "wasm",
  threads: 2,
  gflops: { product: 100, narrow: 40, attention: 50, mixing: 20, elementary: 1, plain: 10 },
  levels: [
    { name: "cache", bytes: 1000, gbytes: 100, pj_per_byte: 1 },
    { name: "memory", bytes: null, gbytes: 10, pj_per_byte: 100 },
  ],
  dispatch_us: 10,
  step_us: 30,
  pj_per_flop: 5,
  memory_bytes: null,
  measured: null,
  sources: [],
};
const forward = { block: "layers.3.mlp", phase: "forward" } as const;
const backward = { block: "layers.4.mlp", phase: "backward" } as const;
const product = (flops: number, bytes: number, at = 0, groups = 1000): Account => ({
  kernel: 0,
  groups,
  work: [{ origin: forward, kind: "products", flops }],
  traffic: [{ origin: forward, pool: "work", at, bytes, size: bytes }],
});

describe("costsOf", () => {
  it("adds up what threads compute and wait for, and takes the larger where hardware does both at once", () => {
    const gpu = { ...machine, threads: 0 };
    // 10 ms of products, 0.2 us of memory, 10 us to begin, 30 us a step.
    expect(costsOf([product(1e9, 2000)], machine).total.ms).toBeCloseTo(10 + 0.0002 + 0.01 + 0.03, 9);
    expect(costsOf([product(1e9, 2000)], gpu).total.ms).toBeCloseTo(10 + 0.01 + 0.03, 9);
    expect(costsOf([product(1e9, 2000)], gpu).memoryMs).toBe(0);
    expect(costsOf([product(1e8, 1e8)], machine)).toMatchObject({ memoryMs: 10, overheadMs: 0.04 });
    expect(costsOf([product(1e8, 1e8)], machine).total.ms).toBeCloseTo(1 + 10 + 0.04, 9);
    expect(costsOf([product(1e8, 1e8)], gpu).total.ms).toBeCloseTo(10 + 0.04, 9);
    expect(costsOf([], machine).total.ms).toBeCloseTo(0.03, 12);
  });

  it("takes a tensor from the nearest level that holds what was moved since it was touched", () => {
    // 400 bytes each: two fit into 1000 bytes, three do not.
    const two = costsOf([product(1, 400, 0), product(1, 400, 400)], machine);
    expect(two.levels).toEqual([
      { name: "cache", bytes: 800 },
      { name: "memory", bytes: 0 },
    ]);
    const three = costsOf([product(1, 400, 0), product(1, 400, 400), product(1, 400, 800)], machine);
    expect(three.levels).toEqual([
      { name: "cache", bytes: 0 },
      { name: "memory", bytes: 1200 },
    ]);
    const again = costsOf([product(1, 400, 0), product(1, 400, 0), product(1, 900, 400)], machine);
    expect(again.levels).toEqual([
      { name: "cache", bytes: 400 },
      { name: "memory", bytes: 1300 },
    ]);
    // What is touched twice in between is in the way once, and so is what is read and written.
    const twice = costsOf(
      [product(1, 400, 0), product(1, 300, 400), product(1, 300, 400), product(1, 300, 400)],
      machine,
    );
    expect(twice.levels).toEqual([
      { name: "cache", bytes: 1300 },
      { name: "memory", bytes: 0 },
    ]);
    const updated: Account = {
      kernel: 0,
      groups: 1,
      work: [],
      traffic: [{ origin: forward, pool: "state", at: 0, bytes: 1200, size: 600 }],
    };
    expect(costsOf([updated], machine).levels).toEqual([
      { name: "cache", bytes: 1200 },
      { name: "memory", bytes: 0 },
    ]);
    expect(again.total.joules).toBeCloseTo(3 * 5e-12 + 400e-12 + 1300 * 100e-12, 20);
  });

  it("leaves threads idle that have no group", () => {
    expect(costsOf([product(1e9, 1, 0, 1)], machine).total.ms).toBeCloseTo(20.04, 6);
    expect(costsOf([product(1e9, 1, 0, 3)], machine).total.ms).toBeCloseTo((10 * 4) / 3 + 0.04, 6);
    expect(costsOf([product(1e9, 1, 0, 1)], { ...machine, threads: 0 }).total.ms).toBeCloseTo(10.04, 6);
  });

  it("adds up in every way to the same, whatever the accounts", () => {
    const origin = fc.record({
      block: fc.constantFrom("", "layers.0.mlp", "layers.1.mlp", "embed"),
      phase: fc.constantFrom("forward", "backward", "update"),
    });
    const account = fc.record({
      kernel: fc.constant(0),
      groups: fc.constant(1000),
      work: fc.array(fc.record({ origin, kind: fc.constantFrom(...KINDS), flops: fc.integer({ min: 1, max: 1e6 }) }), {
        maxLength: 4,
      }),
      traffic: fc.array(
        fc.record({
          origin,
          pool: fc.constant("work" as const),
          at: fc.integer({ min: 0, max: 5 }),
          bytes: fc.integer({ min: 4, max: 2000 }),
          size: fc.integer({ min: 4, max: 2000 }),
        }),
        { maxLength: 4 },
      ),
    });
    fc.assert(
      fc.property(fc.array(account, { maxLength: 8 }), (accounts) => {
        const { total, overheadMs, phases, blocks, kinds, levels, blockPhases } = costsOf(
          accounts as readonly Account[],
          machine,
        );
        const flops = accounts.flatMap(({ work }) => work).reduce((sum, one) => sum + one.flops, 0);
        const bytes = accounts.flatMap(({ traffic }) => traffic).reduce((sum, one) => sum + one.bytes, 0);
        expect([total.flops, total.bytes]).toEqual([flops, bytes]);
        expect(levels.reduce((sum, level) => sum + level.bytes, 0)).toBe(bytes);
        for (const shares of [Object.values(phases), [...blocks.values()], [...kinds.values()]]) {
          for (const key of ["flops", "bytes", "ms", "joules"] as const)
            expect(shares.reduce((sum, share) => sum + share[key], key === "ms" ? overheadMs : 0)).toBeCloseTo(
              total[key],
              9,
            );
        }
        for (const [block, own] of blockPhases)
          expect(own.forward.ms + own.backward.ms + own.update.ms).toBeCloseTo(blocks.get(block)!.ms, 9);
        expect(overheadMs).toBeCloseTo(0.03 + accounts.length * 0.01, 12);
      }),
    );
  });

  it("puts layers of a repeat together", () => {
    const { blocks, phases } = costsOf(
      [product(1e6, 4), { ...product(2e6, 4), work: [{ origin: backward, kind: "products", flops: 2e6 }] }],
      machine,
    );
    expect([...blocks.keys()]).toEqual(["layers.*.mlp"]);
    expect([phases.forward.flops, phases.backward.flops, phases.update.flops]).toEqual([1e6, 2e6, 0]);
    expect(pathOf("a.0.b2.11")).toBe("a.*.b2.*");
  });
});

it("a product is narrow by its rows, its columns or its terms", () => {
  const b = createBuilder();
  const kind = (spec: string, x: readonly number[], y: readonly number[]): string =>
    kindOf(b.contract(spec, b.input("x", x, "f32"), b.input("y", y, "f32")));
  expect(kind("ik,kj->ij", [100, 100], [100, 100])).toBe("products");
  expect(kind("ik,kj->ij", [24, 100], [100, 100])).toBe("narrow products");
  expect(kind("ik,kj->ij", [100, 24], [24, 100])).toBe("narrow products");
  expect(kind("ik,kj->ij", [100, 100], [100, 24])).toBe("narrow products");
  // Heads beside each other are many products, tokens of a batch are rows.
  expect(kind("btw,whd->bthd", [12, 64, 128], [128, 4, 32])).toBe("products");
  expect(kind("tnm,tmw->tnw", [768, 4, 4], [768, 4, 128])).toBe("narrow products");
});

describe("profiles", () => {
  it.each(profiles.map((profile) => [profile.name, profile] as const))("%s is one, with sources", (_, profile) => {
    expect(faultOf(JSON.parse(JSON.stringify(profile)))).toBeNull();
    expect(profile.sources.join()).toContain("energy");
    expect(profile.levels.map(({ gbytes }) => gbytes)).toEqual(
      profile.levels.map(({ gbytes }) => gbytes).toSorted((a, b) => b - a),
    );
  });

  it.each<[string, (profile: Record<string, unknown>) => void]>([
    ['"format" is 2, not 1', (p) => (p["format"] = 2)],
    ['"name" is no text', (p) => (p["name"] = "")],
    ['"device" is none of native, wasm, webgpu, javascript', (p) => (p["device"] = "tpu")],
    ['"threads" is no whole number', (p) => (p["threads"] = 1.5)],
    [
      '"gflops.attention" is no positive number',
      (p) => (p["gflops"] = { product: 1, narrow: 1, attention: 0, mixing: 1, elementary: 1, plain: 1 }),
    ],
    ['"levels" lists no memory', (p) => (p["levels"] = [])],
    ['"levels[0]" is no object', (p) => (p["levels"] = [null])],
    [
      '"levels[0].bytes" is no positive number',
      (p) => (p["levels"] = [{ ...machine.levels[0], bytes: null }, machine.levels[1]]),
    ],
    [
      '"levels[1].bytes" is not null, as the last level\'s is',
      (p) => (p["levels"] = [machine.levels[0], { ...machine.levels[1], bytes: 5 }]),
    ],
    [
      '"levels[1].gbytes" is no positive number',
      (p) => (p["levels"] = [machine.levels[0], { ...machine.levels[1], gbytes: "fast" }]),
    ],
    ['"dispatch_us" is no positive number', (p) => (p["dispatch_us"] = -1)],
    ['"memory_bytes" is neither a positive number nor null', (p) => (p["memory_bytes"] = "8 GB")],
    ['"measured" is neither a text nor null', (p) => (p["measured"] = 3)],
    ['"sources" is no list of texts', (p) => (p["sources"] = "a book")],
  ])("%s", (fault, spoil) => {
    const profile = JSON.parse(JSON.stringify(machine)) as Record<string, unknown>;
    spoil(profile);
    expect(faultOf(profile)).toBe(fault);
  });

  it("nothing is no profile", () =>
    expect([faultOf(null), faultOf(3)]).toEqual(["it is no object", "it is no object"]));
});

it("figures have three digits", () => {
  expect([0, 5, 999.4, 999.6, 123456, 1e15].map((value) => scaled(value, "FLOP"))).toEqual([
    "0 FLOP",
    "5.00 FLOP",
    "999 FLOP",
    "1.00 kFLOP",
    "123 kFLOP",
    "1000 TFLOP",
  ]);
  expect([0, 3e-12, 4.2e-6, 0.493, 12.5, 2300].map(joules)).toEqual([
    "0 J",
    "3.00 pJ",
    "4.20 uJ",
    "493 mJ",
    "12.5 J",
    "2.30 kJ",
  ]);
});
