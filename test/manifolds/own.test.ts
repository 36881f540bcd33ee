/**
 * Sets of a user's own: a module's record is taken by the page that uses it, trained on, and refused with the place and
 * the reason when it is not whole.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { textSource, type Source } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { check, compile, modulesOf, type PageHost, type LoadedModule } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import { checkSet } from "../../src/manifolds/laws.js";
import { sphere } from "../../src/manifolds/sphere.js";
import { simplex } from "../../src/manifolds/simplex.js";
import type { Manifold } from "../../src/manifolds/set.js";
import { facts, text } from "../helpers/small.js";

const FILE = new URL("../fixtures/sets/unit_diagonal.js", import.meta.url);
const unitDiagonal = ((await import(FILE.href)) as { readonly default: Manifold }).default;

const source = ({ data }: Plan): Source => textSource(data[0] as Parameters<typeof textSource>[0], text);
const hostOf = (
  modules: Readonly<Record<string, LoadedModule>>,
  pages: Readonly<Record<string, string>> = {},
): PageHost => ({ read: (path) => pages[path] ?? null, load: (path) => modules[path] ?? null });
const own = hostOf({ "sets/unit_diagonal.js": { value: unitDiagonal } });

const page = (optimizer: string): string => `use "./unit_diagonal.js"

model Small {
  dim context = 6, width = 8, heads = 2, lanes = 4

  data corpus = characters("text", window = context)

  manifold Gains = unit_diagonal

  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())

  x through attention(heads) via mhc(Gains)
  x through mlp(hidden = width) via mhc(Gains)

  loss = cross_entropy(unembed(norm(total(x))), corpus.next)

  constrain {
    mlp.up on unit_diagonal
  }

  train {
    batch = 3, steps = 12, seed = 5
    optimizer = ${optimizer}
  }
}
`;

describe("a page with a set of its own", () => {
  it("names the modules to import, also those that a page it uses names", () => {
    const pages = hostOf({}, { "sets/blocks.mhc": 'use "../other/more.mjs"\nuse "./unit_diagonal.js"\n' });
    expect(
      modulesOf(`use "./blocks.mhc"\nuse "./unit_diagonal.js"\n${page("sgd(rate = 1)")}`, {
        file: "sets/page.mhc",
        host: pages,
      }),
    ).toEqual(["other/more.mjs", "sets/unit_diagonal.js"]);
    expect(modulesOf('use "../a.js"\nuse "../../b.js"\n', { file: "page.mhc" })).toEqual(["../a.js", "../../b.js"]);
  });

  it("mixes lanes and holds a parameter on it", async () => {
    const { plan, diagnostics, sources } = await compile(page("adamw(rate = 3e-2)"), {
      file: "sets/page.mhc",
      host: own,
      facts,
      devices: ["wasm"],
    });
    expect(diagnostics.map((found) => render(found, sources))).toEqual([]);
    expect(plan!.constraints).toEqual([
      { name: "Gains", manifold: "unit_diagonal", tolerance: 1e-5, reach: 3 },
      { name: "mlp.up", manifold: "unit_diagonal", tolerance: 1e-5, reach: 3 },
    ]);
    // The plan has all that it needs: a module is not asked for again.
    const model = await load(JSON.parse(JSON.stringify(plan)) as NonNullable<typeof plan>, {
      device: "wasm",
      threads: 1,
    });
    const losses: number[] = [];
    for await (const { loss, constraints } of model.train(source(plan!), { steps: 12 })) {
      losses.push(loss);
      for (const name of ["Gains", "mlp.up"]) expect(constraints[name], name).toBeLessThanOrEqual(1e-5);
    }
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(model.parameters()["mlp.up"]!.shape).toEqual([8]);
    await model.close();
  });

  it("is moved along by a Riemannian optimizer, as a built-in one is", async () => {
    const built = page("radam(rate = 3e-2)").replace(
      "mlp.up on unit_diagonal",
      "mlp.up each hidden on sphere(radius = 2)",
    );
    const after = await Promise.all(
      [built, built.replace('use "', 'use "./mine.js"\nuse "').replace("on sphere", "on mine")].map(async (text) => {
        const { plan } = await compile(text, {
          file: "sets/page.mhc",
          host: hostOf({
            "sets/unit_diagonal.js": { value: unitDiagonal },
            "sets/mine.js": { value: { ...sphere, name: "mine" } },
          }),
          facts,
          devices: ["wasm"],
        });
        const model = await load(plan!, { device: "wasm", threads: 1 });
        for await (const { constraints } of model.train(source(plan!), { steps: 5 }))
          expect(constraints["mlp.up"]).toBeLessThanOrEqual(1e-6);
        const values = await model.parameters()["mlp.up"]!.get();
        await model.close();
        return values;
      }),
    );
    expect(after[1]).toEqual(after[0]);
    expect(Math.hypot(...Array.from({ length: 8 }, (_, i) => after[1]![8 * i]!))).toBeCloseTo(2, 4);
  });

  it("is the example of docs/manifolds.md", () => {
    expect(readFileSync(new URL("../../docs/manifolds.md", import.meta.url), "utf8")).toContain(
      `\`\`\`js\n${readFileSync(FILE, "utf8")}\`\`\`\n`,
    );
  });
});

const wrong = (value: unknown, use = "./mine.js", more = "  manifold M = mine\n"): string => {
  const { model, diagnostics, sources } = check(
    `use "${use}"\n\nmodel M {\n  dim n = 3\n${more}  input u[n]\n  output y[n] = u\n}\n`,
    { file: "page.mhc", host: hostOf({ "mine.js": value as LoadedModule }) },
  );
  // Of a manifold that nothing is on, a page that is right is warned.
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  expect(model === null).toBe(errors.length > 0);
  return errors.map((found) => render(found, sources)).join("\n");
};
const mine = { ...sphere, name: "mine" };

describe("what is wrong with a module is said at its `use`", () => {
  it("with the place", () => {
    const { map: _, ...without } = mine;
    expect(wrong({ value: without }))
      .toBe(`error MHC307: \`./mine.js\`: \`mine\` has no \`map\`: a function (b, free, shape, setting) => node
 --> page.mhc:1:5
1 | use "./mine.js"
  |     ^^^^^^^^^^^
fix: what a set of your own is, with an example, is in docs/manifolds.md`);
    expect(wrong({ value: mine })).toBe("");
    expect(
      wrong(
        { value: [mine, { ...simplex, name: "other" }] },
        "./mine.js",
        "  manifold M = mine\n  manifold N = other\n",
      ),
    ).toBe("");
  });

  it.each<[string, unknown, RegExp]>([
    ["no default export", { value: undefined }, /its default export is not a set, nor a list of sets/],
    ["an empty list", { value: [] }, /nor a list of sets/],
    [
      "a module that fails",
      { error: "Unexpected token '}'" },
      /MHC217: `\.\/mine\.js` cannot be loaded: Unexpected token '}'/,
    ],
    ["no file", null, /MHC217: `\.\/mine\.js` cannot be read/],
    ["a name of the registry", { value: sphere }, /there is a set `sphere` already/],
    ["a name twice", { value: [mine, mine] }, /there is a set `mine` already/],
    [
      "a name that no page can write",
      { value: { ...mine, name: "my set" } },
      /`name` of `my set` must be a name as a page writes it/,
    ],
    [
      "an unknown kind",
      { value: { ...mine, kind: "cone" } },
      /`kind` of `mine` must be "convex", "manifold", "variety"/,
    ],
    [
      "half a manifold",
      { value: { ...simplex, name: "mine", kind: "manifold" } },
      /`mine` has no `tangent`[\s\S]*`mine` has no `distance`: a function \(b, x, y, setting\) => node, or null/,
    ],
    ["a function that is none", { value: { ...mine, project: 3 } }, /`project` of `mine` must be a function/],
    [
      "an option without a default",
      { value: { ...mine, options: { radius: { kind: "real", from: 0, to: 1 } } } },
      /the option `radius` of `mine` needs the numbers/,
    ],
    [
      "an option that starts outside",
      { value: { ...mine, options: { radius: { kind: "real", default: 2, from: 0, to: 1 } } } },
      /has the default 2, which is not in 0 \.\. 1/,
    ],
    [
      "an option of no kind",
      { value: { ...mine, options: { radius: { kind: "number", default: 1 } } } },
      /none of "integer", "real", "flag", "choice"/,
    ],
    [
      "a choice without its default",
      { value: { ...mine, options: { ...mine.options, by: { kind: "choice", default: "a", choices: ["b"] } } } },
      /`by` of `mine` needs `choices`/,
    ],
    [
      "adapting what is no option",
      { value: { ...mine, adapts: () => ["size"] } },
      /`adapts` of `mine` must give names of options of the kind "real"/,
    ],
    [
      "parts that are half there",
      { value: { ...mine, parts: { sizes: () => null } } },
      /`parts` of `mine` must be an object of the functions `sizes`, `pull` and `gated`/,
    ],
    ["no cases", { value: { ...mine, cases: [] } }, /`mine` has no case/],
    [
      "a case of another shape",
      { value: { ...mine, cases: [{ shape: [2, 2], extreme: 1 }] } },
      /has the shape \[2, 2\], and a point is a vector: \[n\]/,
    ],
    [
      "cases that it does not take",
      { value: { ...mine, free: () => ({ error: "has no points" }) } },
      /no case of `mine` is one that its `free` takes/,
    ],
    [
      "pieces without sizes",
      { value: { ...mine, free: () => [{ name: "free", shape: [3] }] } },
      /`free` of `mine` must give pieces \{ name, shape \}/,
    ],
    [
      "a start of no kind",
      { value: { ...mine, start: () => ({ kind: "zero", value: 0 }) } },
      /`start` of `mine` must give/,
    ],
    [
      "a function that throws",
      {
        value: {
          ...mine,
          map: () => {
            throw new Error("not today");
          },
        },
      },
      /`map` of `mine` failed: not today/,
    ],
    [
      "graph that does not fit",
      {
        value: {
          ...mine,
          project: (b: { add: (x: unknown, y: unknown) => unknown; constant: (n: number) => unknown }, x: unknown) =>
            b.add(x, b.constant(1)),
        },
      },
      /`project` of `mine` failed: graph: add/,
    ],
    [
      "a result of another shape",
      { value: { ...mine, violation: (_: unknown, x: unknown) => x } },
      /`violation` of `mine` gave f32 \[2, 1\] for \[2\]/,
    ],
    [
      "a result that is no node",
      { value: { ...mine, inner: () => 3 } },
      /`inner` of `mine` must give a node of the graph/,
    ],
    [
      "a negative tolerance",
      { value: { ...mine, tolerance: () => -1 } },
      /`tolerance` of `mine` must give a number of at least 0, or null/,
    ],
  ])("%s", (_, value, message) => expect(wrong(value)).toMatch(message));

  it("TypeScript, and a host that loads nothing", () => {
    expect(wrong(null, "./mine.ts")).toMatch(
      /`\.\/mine\.ts` is TypeScript[\s\S]*fix: compile it, and use the \.js file/,
    );
    const { diagnostics } = check('use "./mine.js"\nmodel M { dim n = 3\n input u[n]\n output y[n] = u }', {
      file: "page.mhc",
    });
    expect(diagnostics.map(({ code, fix }) => [code, fix])).toEqual([
      ["MHC217", "this host loads no modules: give it `load`"],
    ]);
  });

  it("also when a function fails only at the sizes of the page, while checking or while compiling", async () => {
    const at = (field: "free" | "map") => ({
      ...mine,
      [field]: (...given: unknown[]) => {
        const shape =
          field === "free" ? (given[0] as { value: number }[]).map(({ value }) => value) : (given[2] as number[]);
        if (shape.includes(9)) throw new Error("nine is too many");
        return (mine[field] as (...given: unknown[]) => unknown)(...given);
      },
    });
    const text =
      'use "./mine.js"\nmodel M {\n  dim n = 9\n  input u[n]\n  param w[n] ~ normal(1) on mine\n  output y[n] ' +
      "= u[n] * w[n]\n}\n";
    for (const field of ["free", "map"] as const) {
      const { plan, diagnostics } = await compile(text, {
        file: "page.mhc",
        devices: ["javascript"],
        host: hostOf({ "mine.js": { value: at(field) } }),
      });
      expect(plan).toBeNull();
      expect(diagnostics.map(({ code, message, span }) => [code, message, span.start])).toEqual([
        ["MHC307", `\`${field}\` of \`mine\` failed: nine is too many`, 4],
      ]);
    }
  });

  it("a set that is misspelt is looked for among the page's own", () => {
    expect(wrong({ value: mine }, "./mine.js", "  manifold M = mime\n")).toMatch(
      /`mime` is not a manifold; there are .*, mine\n[\s\S]*did you mean `mine`\?/,
    );
  });
});

describe("checkSet", () => {
  it("finds nothing wrong with a set that is right", () => expect(checkSet(unitDiagonal)).toEqual([]));

  it("finds a record that is not whole", () =>
    expect(checkSet({ ...mine, retract: undefined })).toEqual([
      "`mine` has no `retract`: a function (b, x, v, setting) => node",
    ]));

  it.each<[string, Partial<Manifold>, RegExp]>([
    [
      "a map beside the set",
      { map: (b, [free], _, setting) => b.mul(mine.map(b, [free!], free!.shape, setting), b.fill(1.001, free!.shape)) },
      /the map lands on it.*: the image is off the set by: 0\.00100, and at most 0\.00000100 is allowed/,
    ],
    ["a projection that lands elsewhere", { project: (_, x) => x }, /the projection lands on it/],
    [
      "a start that training cannot leave",
      {
        map: (b, [free], shape, setting) =>
          mine.map(b, [b.add(b.mul(free!, free!), b.fill(0.1, shape))], shape, setting),
        start: () => ({ kind: "constant", value: 0 }),
      },
      /training can leave the start/,
    ],
    [
      "a map of several branches",
      {
        map: (b, [free], shape, setting) =>
          mine.map(
            b,
            [b.add(free!, b.cast(b.lt(b.fill(0, shape), b.sin(b.mul(free!, b.fill(1e5, shape)))), "f32"))],
            shape,
            setting,
          ),
      },
      /matches differences/,
    ],
    ["a tangent that is none", { tangent: (_, __, v) => v }, /tangents are tangent/],
    [
      "a gradient that is another",
      { gradient: (b, x, g, setting) => b.mul(mine.gradient(b, x, g, setting), b.fill(2, g.shape)) },
      /inner product with a tangent vector is the derivative/,
    ],
    [
      "a retraction of another slope",
      { retract: (b, x, v, setting) => mine.retract(b, x, b.mul(v, b.fill(2, v.shape)), setting) },
      /the retraction starts at the point/,
    ],
    ["a transport that is not tangent", { transport: (_, __, ___, v) => v }, /transport stays tangent/],
    [
      "a distance of another scale",
      { distance: (b, x, y, setting) => b.mul(mine.distance!(b, x, y, setting), b.fill(2, x.shape.slice(0, -1))) },
      /distances are a metric/,
    ],
    [
      "an option that does not adapt",
      {
        map: (b, free, shape, { options }) => mine.map(b, free, shape, { options, adapted: {} }),
        cases: [{ shape: [5], extreme: 5 }],
      },
      /with `radius` adapted/,
    ],
  ])("finds %s", (_, change, message) => {
    const found = checkSet({ ...mine, ...change });
    expect(found.join("\n")).toMatch(message);
  });
});
