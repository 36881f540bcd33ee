/**
 * What a page says and nothing comes of is a warning, and what no gradient reaches is not trained; the examples and the
 * library warn of nothing.
 */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "../../grammar/parse.js";
import { load } from "../../runtime/index.js";
import { textSource, type Source } from "../../runtime/data.js";
import type { DataInfo } from "../../runtime/plan.js";
import { standardLibrary } from "../../specs/std.js";
import { check } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import { unusedIn } from "../../src/model/unused.js";
import { planOf, readSpec } from "../helpers/specs.js";

const text = "a sad sea, a bad sea ".repeat(8);
const facts = { corpus: { vocabulary: [...new Set(text)].sort() } };

interface Parts {
  readonly dims?: string;
  readonly before?: string;
  readonly body?: string;
  readonly after?: string;
  readonly blocks?: string;
  readonly loss?: string;
}

const page = ({
  dims = "",
  before = "",
  body = "x through mlp(8)",
  after = "",
  blocks = "",
  loss = "",
}: Parts): string => `model Unused {
  dim context = 4, width = 4, layers = 2${dims}
  data corpus = characters("t.txt", window = context)
  ${before}
  stream x[context, width] = embed(corpus.token)
  repeat layers { ${body} }
  ${after}
  loss = cross_entropy(unembed(x), corpus.next)${loss}
  train { batch = 2, steps = 3, optimizer = adamw(rate = 1e-2, decay = 0.5) }
}
${blocks}`;

const own = "x through own";
const block = (body: string, header = "own(y[t, w])"): string => `block ${header} {\n  ${body}\n}\n`;

const warned = (text: string): readonly string[] => {
  const { model, diagnostics } = check(text, { file: "unused.mhc" });
  expect(model).not.toBeNull();
  expect(diagnostics.every(({ severity }) => severity === "warning")).toBe(true);
  return diagnostics.map(({ code, message }) => `${code} ${message}`);
};

describe("nothing is said of", () => {
  it.each(
    readdirSync(new URL("../../specs/", import.meta.url))
      .filter((name) => name.endsWith(".mhc"))
      .map((name) => name.slice(0, -4)),
  )("specs/%s.mhc, nor of the library where it uses it", (name) => {
    const { model, diagnostics } = check(readSpec(name), { file: `${name}.mhc` });
    expect(diagnostics).toEqual([]);
    const library = standardLibrary.map((file) => parse(file.text, file.name).file);
    expect(unusedIn(model!, [parse(readSpec(name), `${name}.mhc`).file, ...library], [])).toEqual([]);
  });

  it.each<readonly [string, Parts]>([
    ["a stream that is updated", { body: "x = x + mlp(8)(x)" }],
    [
      "a definition that another one in use reads",
      { before: "e[context] = index(context)", after: "g[context] = e\n  x[context, width] = x + g[context]" },
    ],
    ["a dim that another dim is made of", { dims: ", half = width / 2", body: "x through mlp(half)" }],
    ["a manifold on a parameter", { before: "manifold S = sphere", after: "constrain { mlp.up each hidden on S }" }],
    [
      "a block that another one calls",
      { body: own, blocks: block("return [t, w] = inner(y)") + block("return [t, w] = 2 * y", "inner(y[t, w])") },
    ],
    [
      "an argument that one of two uses reads",
      { body: "x through own\n    x through own as again", blocks: block("return [t, w] = 2 * y") },
    ],
    [
      "a stream that only another stream reads",
      { before: "stream m[context, width] = positions()", body: "m through mlp(8)", after: "x = x + m" },
    ],
  ])("%s", (_, parts) => expect(warned(page(parts))).toEqual([]));
});

describe("a warning each", () => {
  it.each<readonly [string, Parts, readonly string[]]>([
    [
      "definitions",
      { before: "e = 1", body: "x through mlp(8)\n    h = norm(x)" },
      ["MHC220 nothing uses `e`", "MHC220 nothing uses `h`"],
    ],
    [
      "definitions that only such use",
      { before: "e = 1\n  g = 2 * e" },
      ["MHC220 nothing uses `e`", "MHC220 nothing uses `g`"],
    ],
    ["dims", { dims: ", heads = 2" }, ["MHC220 nothing uses the dim `heads`"]],
    [
      "data",
      { before: 'data images = examples("d/*.json", features = 2, classes = 2)' },
      ["MHC220 nothing uses the data `images`"],
    ],
    ["inputs", { before: "input u[width]" }, ["MHC220 nothing uses the input `u`"]],
    ["manifolds", { before: "manifold S = sphere" }, ["MHC220 nothing uses the manifold `S`"]],
    [
      "blocks",
      { blocks: block("return [t, w] = other(y)") + block("return [t, w] = 2 * y", "other(y[t, w])") },
      ["MHC220 nothing uses the block `own`", "MHC220 nothing uses the block `other`"],
    ],
    [
      "parameters of the page",
      { before: "param p[width] ~ ones" },
      ["MHC220 nothing uses the parameter `p`: it would be saved, and never trained"],
    ],
    [
      "streams that nothing changes",
      { before: "stream m[context, width] = positions()", after: "x = x + m" },
      ["MHC222 nothing changes the stream `m`"],
    ],
    [
      "streams that nothing reads",
      { before: "stream m[context, width] = positions()", body: "x through mlp(8)\n    m = m + x" },
      ["MHC220 nothing uses the stream `m`"],
    ],
    [
      "beginnings that are replaced",
      { body: "x = embed(corpus.next) as next + index(context)" },
      ["MHC220 what the stream `x` begins with is thrown away: nothing reads it before it is replaced"],
    ],
    [
      "updates that are replaced",
      { after: "x = 2 * x\n  x = positions()" },
      [
        "MHC220 what the stream `x` begins with is thrown away: nothing reads it before it is replaced",
        "MHC220 this value of `x` is thrown away: nothing reads it before it is replaced, nor at the end",
        "MHC220 this value of `x` is thrown away: nothing reads it before it is replaced, nor at the end",
      ],
    ],
    [
      "in a block, what its result does not need",
      {
        body: own,
        blocks: block(
          "dim d = w\n  param p[w] ~ ones\n  param q[w] ~ ones\n  h[t, w] = norm(y)\n  g[t, w] = h * q[w]\n  " +
            "return [t, w] = 2 * y",
        ),
      },
      [
        "MHC220 nothing uses the dim `d` of `own`",
        "MHC220 nothing uses the parameter `p` of `own`: it would be saved, and never trained",
        "MHC220 nothing uses the parameter `q` of `own`: it would be saved, and never trained",
        "MHC220 nothing uses `h` in `own`",
        "MHC220 nothing uses `g` in `own`",
      ],
    ],
  ])("%s", (_, parts, expected) => expect(warned(page(parts))).toEqual(expected));

  it("arguments of blocks", () => {
    const blocks =
      `${block("return [t, w] = 2 * y", "own(size, p: number = 1)(y[t, w], r[t, w])")}connection idle(x[t, w], ` +
      `f) {\n  return [t, w] = x[t, w]\n}\n`;
    expect(warned(page({ body: "x = own(2)(x, norm(x))\n    x through mlp(8) via idle", blocks }))).toEqual([
      "MHC220 `own` does nothing with its argument `size`",
      "MHC220 `own` does nothing with its argument `p`",
      "MHC220 `own` does nothing with its argument `r`",
      "MHC220 `idle` does nothing with its argument `f`",
    ]);
  });

  it("shows the place, and what would become of the parameters", () => {
    const wrong = page({ body: "x through mlp(8)\n    h = mlp(8)(x) as lost" });
    const { diagnostics, sources } = check(wrong, { file: "unused.mhc" });
    expect(diagnostics.map((diagnostic) => render(diagnostic, sources)).join("\n")).toMatchInlineSnapshot(`
      "warning MHC220: nothing uses \`h\`
       --> unused.mhc:7:5
      7 |     h = mlp(8)(x) as lost }
        |     ^
      note: its parameters would be saved, and never trained
      fix: take it out, or use it: neither the loss nor an output needs it"
    `);
  });
});

describe("a parameter that no gradient reaches", () => {
  const cases: readonly (readonly [string, Parts, string])[] = [
    [
      "in a condition",
      { before: "param p[width] ~ normal(1)", after: "x[context, width] = x + sum[width](1 where p[width] > 0)" },
      "p",
    ],
    [
      "beside a factor of 0",
      { before: "param p[width] ~ normal(1)", after: "x[context, width] = x + 0 * p[width]" },
      "p",
    ],
    [
      "of a library block, in a definition that a condition reads",
      { after: "h = mlp(8)(x) as gate\n  x[context, width] = x + sum[width](1 where h[context, width] > 0)" },
      "gate.up",
    ],
  ];

  it.each(cases)("%s is told, and stays as it starts", async (_, parts, name) => {
    const wrong = page(parts);
    expect(warned(wrong)).toEqual([expect.stringMatching(/^MHC221 no gradient reaches .*: training leaves/)]);
    expect(warned(wrong)[0]).toContain(`\`${name}\``);
    const plan = await planOf(wrong, ["javascript"], { facts });
    expect(plan.states.some((state) => state.name.endsWith(`:${name}`))).toBe(false);
    const model = await load(plan, { device: "javascript" });
    const values = async (of: string): Promise<number[]> => [...(await model.parameters()[of]!.get())];
    const before = [await values(name), await values("embed.table")];
    const source: Source = textSource(plan.data[0] as Extract<DataInfo, { readonly kind: "characters" }>, text);
    const batch = source.batch(2, 1, 0);
    expect([...(await model.gradients(batch)).gradients[name]!].every((value) => value === 0)).toBe(true);
    for await (const { loss } of model.train(source)) expect(loss).toBeGreaterThan(0);
    expect(await values(name)).toEqual(before[0]);
    expect(await values("embed.table")).not.toEqual(before[1]);
    await model.close();
  });
});
