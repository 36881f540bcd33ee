/**
 * What a run keeps: all that its page was, under any name, so that it works when its home is gone.
 *
 * @module-tag slow
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { commandIn, sandbox, SPEC } from "../helpers/command.js";

const { build, cwd } = sandbox();

/** Each of these means something to a glob, a shell or a URL. */
const ODD = `a [1] (b) {c,d} *? !e 'f' "g" $h #i %20`;

const home = join(cwd, ODD);

const elsewhere = join(cwd, "elsewhere");

const WASM = ["--device", "wasm", "--threads", "1"];

/** A page that uses another and a module, which imports in turn, all beside it. */
const PAGE = `use "../shared/blocks.mhc"\nuse "./sets/mine.js"\n\n${SPEC.replace('"text.txt"', '"texts (1)/*.txt"')
  .replace("birkhoff(iterations = 20)", "mine")
  .replace("unembed(norm(total(x)))", "unembed(norm(still(total(x))))")}`;

beforeAll(() => {
  for (const folder of ["sets/lib", "texts (1)"]) mkdirSync(join(home, folder), { recursive: true });
  mkdirSync(join(cwd, "shared"));
  mkdirSync(elsewhere);
  writeFileSync(join(cwd, "shared/blocks.mhc"), "block still(y[t, w]) {\n  return [t, w] = 1 * y\n}\n");
  writeFileSync(join(home, "package.json"), '{"type": "module"}');
  copyFileSync(new URL("../fixtures/sets/unit_diagonal.js", import.meta.url), join(home, "sets/lib/set.js"));
  // As if installed: the set imports the package by its name.
  mkdirSync(join(cwd, "node_modules"));
  symlinkSync(build, join(cwd, "node_modules/mhc-lang"));
  writeFileSync(
    join(home, "sets/mine.js"),
    'import set from "./lib/set.js";\n\nexport default { ...set, name: "mine" };\n',
  );
  writeFileSync(join(home, "my page (2).mhc"), PAGE);
  writeFileSync(join(elsewhere, "small.mhc"), SPEC);
  for (const i of [1, 2])
    writeFileSync(join(home, `texts (1)/${i}.txt`), "the sea was calm, and the whale went down. all hands! ".repeat(6));
});

const here = commandIn(build, home);

const there = commandIn(build, elsewhere);

it("a run has every file that its page uses, and works after its home is gone, from another folder", async () => {
  const out = join(elsewhere, `run ${ODD}`);
  const trained = await here([
    "train",
    "my page (2).mhc",
    ...WASM,
    "--steps",
    "2",
    "--set",
    "width=12",
    "--set",
    "train.batch=4",
    "--out",
    out,
  ]);
  expect([trained.code, trained.err]).toEqual([0, ""]);
  expect(trained.out).toContain("npx mhc train 'my page (2).mhc' --device wasm --set width=12 --set train.batch=8\n");
  expect(trained.out).toContain("npx mhc compile 'my page (2).mhc' --set width=12 --set train.batch=4 -o out\n");
  const info = JSON.parse(readFileSync(join(out, "run.json"), "utf8")) as {
    readonly used: { readonly file: string }[];
    readonly sources: unknown;
  };
  expect(info.used.map(({ file }) => file).sort()).toEqual([
    `files/${ODD}/package.json`,
    `files/${ODD}/sets/lib/set.js`,
    `files/${ODD}/sets/mine.js`,
    "files/shared/blocks.mhc",
  ]);
  const files = [1, 2].map((i) => join(home, `texts (1)/${i}.txt`));
  expect(info.sources).toEqual([{ name: "corpus", location: "texts (1)/*.txt", from: home, files }]);
  const before = await here(["sample", out, "--tokens", "9", ...WASM]);
  expect(before.code).toBe(0);
  renameSync(home, join(cwd, "moved"));
  rmSync(join(cwd, "shared"), { recursive: true });
  expect(await there(["sample", out, "--tokens", "9", ...WASM])).toEqual(before);
  const verified = await there(["verify", "--run", out, ...WASM, "--runs", "1"]);
  expect([verified.code, verified.err]).toEqual([0, ""]);
  expect(verified.out).toContain("the data of the run is not there, and batches are made up");
  expect((await there(["compile", "--run", out, "-o", "out", "--target", "typescript"])).code).toBe(0);
  // What is not in the folder of the run is no part of it.
  writeFileSync(
    join(out, "run.json"),
    readFileSync(join(out, "run.json"), "utf8").replace("files/shared/blocks.mhc", "files/../../blocks.mhc"),
  );
  expect((await there(["sample", out, ...WASM])).err).toMatch(/does not describe a run/);
  renameSync(join(cwd, "moved"), home);
});

it("data is found under any name: a path, a pattern in a folder, and one with an equals sign", async () => {
  const steps = ["--steps", "1", ...WASM, "--json"];
  for (const [i, path] of [
    join(home, "texts (1)/1.txt"),
    join(home, "texts (1)/*.txt"),
    `corpus=${join(home, "texts (1)/[12].txt")}`,
  ].entries()) {
    const { code, out } = await there(["train", "small.mhc", "--data", path, ...steps, "--out", `odd ${i}`]);
    expect([code, out.trim().split("\n").length], path).toEqual([0, 2]);
  }
  writeFileSync(join(elsewhere, "a=b.txt"), readFileSync(join(home, "texts (1)/1.txt")));
  expect((await there(["train", "small.mhc", "--data", "a=b.txt", ...steps, "--out", "equal"])).code).toBe(0);
});
