/**
 * The package as a user gets it: packed, installed in a folder outside the repository, a spec compiled there with the
 * installed command, and a small app around the generated module type-checked under --strict and run: create, train,
 * generate, save, load. And what npm shows and installs of it: size, license, documentation, entries.
 */
import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hasCompiler } from "../helpers/devices.js";
import { brokenLinks } from "./links.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const app = mkdtempSync(join(tmpdir(), "mhc-app-"));
const run = (command: string, args: readonly string[], cwd = app): string => {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout ?? ""}\n${stderr ?? ""}`, { cause: error });
  }
};

const SPEC = `/// A small decoder.
model Little {
  /// Characters that it sees.
  dim context = 8, width = 16, heads = 2, layers = 1, lanes = 2
  data corpus = characters("text.txt", window = context, holdout = 20%)
  manifold Mixing = birkhoff(iterations = 20)
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  repeat layers {
    x through attention(heads) via mhc(Mixing)
    x through mlp(hidden = 2 * width) via mhc(Mixing)
  }
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train {
    batch = 4, steps = 20, seed = 1
    optimizer = adamw(rate = 1e-2)
  }
}
`;

const APP = `import { readFileSync } from "node:fs";
import { Little, type LittleParameters } from "./out/little.js";

const text = readFileSync("text.txt", "utf8");
const model = await Little.create({ device: "wasm", seed: 1, threads: 2 });
const losses: number[] = [];
for await (const step of model.train(text, { steps: 20 })) losses.push(step.loss, step.constraints["Mixing"]!);
const parameters: LittleParameters = model.parameters();
const width: 16 = Little.dims.width;
const table = await parameters["embed.table"].get();
const said = await model.generate("the ", { tokens: 10, temperature: 0 });
await model.save("little.safetensors");
const again = await Little.create({ device: "wasm", seed: 2 });
await again.load("little.safetensors");
const repeated = await again.generate("the ", { tokens: 10, temperature: 0 });
const [first, last] = [losses[0], losses[losses.length - 2]];
console.log(JSON.stringify({ first, last, said, repeated, width, step: again.step, values: table.length }));
await model.close();
await again.close();
`;

const SET = `import { checkSet, norm, sizes, type ConvexSet } from "mhc-lang/manifolds";
const halves: ConvexSet = {
  kind: "convex",
  name: "halves",
  summary: "pairs that sum to 1",
  source: "by definition",
  point: "vector",
  options: {},
  free: ([n]) => (n!.value === 2 ? [{ name: "free", shape: [sizes.known(1)] }] : { error: "has pairs only" }),
  start: () => ({ kind: "constant", value: 0 }),
  tolerance: () => 2e-6,
  bound: () => ({ none: "has no rows or columns" }),
  closed: null,
  adapts: () => [],
  cases: [{ shape: [2], extreme: 20 }],
  map: (b, [free], shape) => {
    const outer = shape.slice(0, -1);
    const along = b.broadcast(b.reshape(free!, outer), shape, outer.map((_, axis) => axis));
    return b.softmax(b.mul(along, b.cast(b.iota(shape, shape.length - 1), "f32")));
  },
  project: (b, x) => {
    const off = b.mean(b.sub(b.fill(0.5, x.shape), x), [x.shape.length - 1]);
    return b.add(x, b.broadcast(off, x.shape, x.shape.slice(0, -1).map((_, axis) => axis)));
  },
  violation: (b, x) => b.abs(b.sub(b.sum(x, [x.shape.length - 1]), b.fill(1, x.shape.slice(0, -1)))),
};
export default halves;
const wrong: ConvexSet = { ...halves, violation: (b, x) => norm(b, x, 1) };
console.log(JSON.stringify([checkSet(halves), checkSet(wrong).length > 0]));
`;

let tarball = "";

beforeAll(() => {
  const packed = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", app], root),
  ) as readonly { readonly filename: string }[];
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  tarball = packed[0]!.filename;
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${tarball}`]);
  writeFileSync(join(app, "text.txt"), "the whale and the sea and the ship and the whale. ".repeat(40));
  writeFileSync(join(app, "little.mhc"), SPEC);
  writeFileSync(join(app, "app.ts"), APP);
  writeFileSync(join(app, "set.ts"), SET);
  writeFileSync(
    join(app, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        target: "ES2022",
        module: "NodeNext",
        moduleResolution: "NodeNext",
        lib: ["ES2022"],
        outDir: "build",
        rootDir: ".",
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      },
      files: ["app.ts", "set.ts"],
    }),
  );
}, 240_000);

afterAll(() => rmSync(app, { recursive: true, force: true }));

it("compiles, type-checks and runs from the packed tarball", () => {
  run("npx", ["mhc", "compile", "little.mhc", "-o", "out"]);
  const module = readFileSync(join(app, "out/little.ts"), "utf8");
  expect(module).toContain("A small decoder.");
  expect(module).toContain("/** Characters that it sees. */");
  expect(module).toContain("/** [w = 16, heads = 2, d = 8] */");
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."]);
  const said = JSON.parse(run(process.execPath, ["build/app.js"])) as {
    first: number;
    last: number;
    said: string;
    repeated: string;
    width: number;
    step: number;
    values: number;
  };
  expect(said.last).toBeLessThan(said.first);
  expect(said.said).toMatch(/^the .{10}$/s);
  expect(said.repeated).toBe(said.said);
  expect(said.step).toBe(20);
  expect(said.width).toBe(16);
  expect(said.values % 16).toBe(0);

  // A set of one's own, typed by the package and held to its laws, is used from where it was compiled to.
  expect(run(process.execPath, ["build/set.js"])).toBe("[[],true]\n");
  writeFileSync(
    join(app, "own.mhc"),
    'use "./build/set.js"\n\nmodel Own {\n  dim n = 2\n  input u[n]\n  param w[n] ~ normal(1) on halves\n  ' +
      "output y[n] = u[n] * w[n]\n}\n",
  );
  expect(run("npx", ["mhc", "check", "own.mhc"])).toContain("own.mhc is right");
}, 240_000);

const installed = join(app, "node_modules/mhc-lang");

it("is small, without the package webgpu, and says so where that would be of use", () => {
  const files = readdirSync(join(app, "node_modules"), { recursive: true, encoding: "utf8" }).map((name) =>
    lstatSync(join(app, "node_modules", name)),
  );
  // What `du` counts: blocks, folders too.
  expect(files.reduce((sum, { blocks }) => sum + 512 * blocks, 0) / 2 ** 20).toBeLessThan(34);
  expect(files.length).toBeGreaterThan(1000);
  // The tests' environment has a driver.
  const devices = run("npx", ["mhc-lang", "devices"]);
  expect(devices).toMatch(/webgpu +not here: the package webgpu is not installed \(run `npm install webgpu`/);
  // What loads native kernels came along.
  if (hasCompiler) expect(devices).toMatch(/^\* native +.+-bit vectors, \d+ thread/m);
}, 60_000);

it("can be required where Node requires modules, which its engines say", () => {
  writeFileSync(
    join(app, "app.cjs"),
    'console.log(typeof require("mhc-lang").compile, typeof require("mhc-lang").typescript, typeof ' +
      'require("mhc-lang/runtime").load);\n',
  );
  expect(run(process.execPath, ["app.cjs"])).toBe("function object function\n");
});

it("has its license, and documentation whose links lead somewhere", () => {
  expect(readFileSync(join(installed, "LICENSE"), "utf8")).toMatch(/^MIT License/);
  const pages = [
    "README.md",
    "ARCHITECTURE.md",
    ...readdirSync(join(installed, "docs"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join("docs", name)),
  ];
  expect(pages.length).toBeGreaterThan(8);
  expect(pages.flatMap((page) => brokenLinks(installed, page))).toEqual([]);
});

it("publint finds nothing wrong", () => {
  expect(run(join(root, "node_modules/.bin/publint"), [tarball, "--strict"])).toContain("All good!");
});
