/** What the train section says of memory and precision: sizes with units, `every k`, and how they are printed. */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { parseBytes, showBytes } from "../../grammar/units.js";
import { check, compile } from "../../src/compile/compile.js";

const page = (clauses: string): string => `model M {
  dim context = 8, width = 8, every = 3
  data corpus = characters("data/*.txt", window = context)
  stream x[context, width] = embed(corpus.token)
  x through mlp(hidden = 8)
  loss = cross_entropy(unembed(x), corpus.next)
  train {
    batch = every, steps = 3
    ${clauses}
    optimizer = sgd(0.1)
  }
}
`;

const settings = (clauses: string, set: Readonly<Record<string, string>> = {}): unknown => {
  const { model, diagnostics } = check(page(clauses), { file: "m.mhc", set });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return { recompute: model.train!.recompute, memory: model.train!.memory?.bytes ?? null };
};

describe("recompute and memory", () => {
  it.each([
    ["clip = 1.0", null, null],
    ["recompute = auto", { kind: "auto" }, null],
    ["recompute = off", { kind: "off" }, null],
    ["recompute = every 6", { kind: "every", count: 6 }, null],
    // `every` is no reserved word: here it is a dim.
    ["recompute = every every", { kind: "every", count: 3 }, null],
    ["recompute = every 2 * every, memory <= 1.5 GiB", { kind: "every", count: 6 }, 1.5 * 1024 ** 3],
    ["memory <= 512MB", null, 512e6],
  ])("%s", (clauses, recompute, memory) => expect(settings(clauses)).toEqual({ recompute, memory }));

  it("can be set from outside", () => {
    expect(settings("recompute = off", { "train.recompute": "every 4", "train.memory": "64 MiB" })).toEqual({
      recompute: { kind: "every", count: 4 },
      memory: 64 * 1024 ** 2,
    });
    expect(
      settings("recompute = every 2, memory <= 1 kB", { "train.recompute": "auto", "train.memory": "2kB" }),
    ).toEqual({ recompute: { kind: "auto" }, memory: 2000 });
  });

  it("are printed with one blank, and read again", () => {
    const { text, diagnostics } = format(page("recompute=every   6,memory<=2GiB"), "m.mhc");
    expect(diagnostics).toEqual([]);
    expect(text).toContain("    recompute = every 6, memory <= 2 GiB\n");
    expect(format(text!, "m.mhc").text).toBe(text);
  });
});

describe("precision", () => {
  const half = (clauses: string, set: Readonly<Record<string, string>> = {}): string | null => {
    const { model, sources } = check(page(clauses), { file: "m.mhc", set });
    const span = model!.train!.precision?.span ?? null;
    return span && sources(span.file)!.slice(span.start, span.end);
  };
  it.each([
    ["clip = 1.0", null],
    ["precision = f32", null],
    ["precision = f16", "f16"],
    ["precision = bf16", "bf16"],
    ["precision = auto", "auto"],
  ])("%s", (clauses, where) => expect(half(clauses)).toBe(where));
  it("can be set from outside", () => {
    expect(half("precision = f16", { "train.precision": "f32" })).toBeNull();
    expect(half("clip = 1.0", { "train.precision": "f16" })).toBe("f16");
  });

  it.each([
    ["native", ["native", "webgpu"]],
    ["wasm", ["wasm", "webgpu"]],
    ["javascript", ["javascript"]],
  ] as const)("f16 is an error for %s, at compile time", async (lacking, devices) => {
    const text = page("precision = f16");
    const { plan, diagnostics } = await compile(text, {
      file: "m.mhc",
      facts: { corpus: { vocabulary: ["a", "b"] } },
      devices,
    });
    expect(plan).toBeNull();
    expect(diagnostics).toMatchObject([
      { code: "MHC601", message: `\`precision = f16\` needs memory of 16-bit floats, which ${lacking} does not have` },
    ]);
    expect(diagnostics[0]!.fix).toContain("--set train.precision=f32");
    expect(text.slice(diagnostics[0]!.span.start, diagnostics[0]!.span.end)).toBe("f16");
  });

  it.each([
    ["wasm", ["native", "wasm"]],
    ["webgpu", ["webgpu"]],
    ["javascript", ["javascript"]],
  ] as const)("bf16 is an error for %s, at compile time", async (lacking, devices) => {
    const { plan, diagnostics } = await compile(page("precision = bf16"), {
      file: "m.mhc",
      facts: { corpus: { vocabulary: ["a", "b"] } },
      devices,
    });
    expect(plan).toBeNull();
    expect(diagnostics).toMatchObject([
      { code: "MHC601", message: `\`precision = bf16\` needs products of bf16, which ${lacking} does not have` },
    ]);
    expect(diagnostics[0]!.fix).toContain("--device native");
  });
});

describe("sizes of memory", () => {
  it.each([
    ["2 KiB", 2048],
    ["1.5 MiB", 1.5 * 1024 ** 2],
    ["3GB", 3e9],
    ["1e3 kB", 1e6],
    ["4\tTiB", 4 * 1024 ** 4],
  ])("%s", (text, bytes) => expect(parseBytes(text)!.bytes).toBe(bytes));
  it.each(["2", "KiB", "2 KiBi", "-2 KiB", "2 bytes", "10%"])("not %s", (text) => expect(parseBytes(text)).toBeNull());
  it("has no bytes in a unit that there is not", () =>
    expect(parseBytes("2 Gib")).toEqual({ bytes: Number.NaN, text: "2 Gib" }));
  it("prints what is enough", () => {
    expect([12, 1024, 1025, 5 * 1024 ** 2 + 1].map(showBytes)).toEqual(["12 bytes", "1 KiB", "1.1 KiB", "5.1 MiB"]);
    for (const bytes of [1023, 1536, 123456789])
      expect(parseBytes(showBytes(bytes))?.bytes ?? bytes).toBeGreaterThanOrEqual(bytes);
  });
});

describe("muon", () => {
  const optimizer = (written: string): unknown => {
    const { model, diagnostics } = check(page("").replace("sgd(0.1)", written), { file: "m.mhc" });
    if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
    return model.train!.optimizer;
  };
  const usual = {
    kind: "muon",
    riemannian: false,
    rate: { kind: "constant", value: 0.02 },
    momentum: 0.95,
    nesterov: true,
    betas: [0.9, 0.95],
    epsilon: 1e-8,
    decay: 0,
  };

  it.each([
    ["muon(0.02)", usual],
    ["muon(rate = 0.02, nesterov = false, momentum = 0.9)", { ...usual, nesterov: false, momentum: 0.9 }],
    [
      "muon(rate = cosine(2e-3, 2e-4, warmup = 10), nesterov = true, betas = (0.8, 0.99), epsilon = 1e-9, decay = 0.1)",
      {
        ...usual,
        rate: { kind: "cosine", from: 2e-3, to: 2e-4, warmup: 10 },
        betas: [0.8, 0.99],
        epsilon: 1e-9,
        decay: 0.1,
      },
    ],
  ])("%s", (written, settings) => expect(optimizer(written)).toEqual(settings));

  it("is kept by the formatter", () => {
    const { text, diagnostics } = format(
      page("").replace(
        "sgd(0.1)",
        "muon( rate=cosine(2e-3,2e-4), momentum=0.9,nesterov=false,betas=(0.9,0.95),decay=0.1 )",
      ),
      "m.mhc",
    );
    expect(diagnostics).toEqual([]);
    expect(text).toContain(
      "optimizer = muon(rate = cosine(2e-3, 2e-4), momentum = 0.9, nesterov = false, betas = (0.9, 0.95), " +
        "decay = 0.1)\n",
    );
    expect(format(text!, "m.mhc").text).toBe(text);
  });
});
