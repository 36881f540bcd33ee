/**
 * The package in browsers: its tarball, in an app that Vite and esbuild bundle with their defaults, opened in a
 * headless Chromium on a page and in a worker, with and without shared memory, and under a policy that forbids what it
 * can. More bundlers: `npm run test:bundlers`.
 *
 * @module-tag slow
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { faults, LOCKED, pack, root, STRICT, unpack, visit, writeApp } from "./app.js";
import { complaints, esbuild, vite } from "./bundlers.js";
import { openBrowser } from "./chromium.js";

const app = mkdtempSync(join(tmpdir(), "mhc-browsers-"));
const modules = join(root, "node_modules");
const version = (name: string): string =>
  (JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")) as { readonly version: string }).version;
let browser: Browser | { readonly refused: string };

beforeAll(async () => {
  unpack(pack(app), app);
  writeApp(app);
  browser = await openBrowser();
  if ("refused" in browser)
    console.warn(`apps are built and not run, since no browser starts here: ${browser.refused}`);
}, 300_000);

afterAll(async () => {
  if ("close" in browser) await browser.close();
  rmSync(app, { recursive: true, force: true });
});

/** The modules that a bundler for a browser takes in, and those that it is asked to load later. */
async function graphOf(entry: string): Promise<{ readonly inputs: string[]; readonly later: string[] }> {
  const { metafile } = await build({
    stdin: { contents: `export * from "${entry}";`, resolveDir: app },
    bundle: true,
    platform: "browser",
    format: "esm",
    write: false,
    metafile: true,
  });
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  return {
    inputs: Object.keys(metafile.inputs),
    later: imports.filter(({ kind }) => kind === "dynamic-import").map(({ path }) => path),
  };
}

it.each(["mhc-lang", "mhc-lang/runtime", "mhc-lang/thread"])(
  "%s has nothing of Node, no large library and no import for later",
  async (entry) => {
    // A module of Node, or one that is not installed, would be an error of the build.
    const { inputs, later } = await graphOf(entry);
    expect(
      inputs.filter((path) =>
        /ts-morph|webgpu\/index|tinyglobby|commander|fast-check|src\/(cli|tools)|runtime\/node/.test(path),
      ),
    ).toEqual([]);
    expect(later).toEqual([]);
  },
);

it("nothing of the package is kept by a bundler that uses nothing of it", async () => {
  for (const entry of ["mhc-lang", "mhc-lang/runtime"]) {
    const { outputFiles } = await build({
      stdin: {
        contents:
          `import { MhcError, namesOf } from "mhc-lang/runtime"; import { compile } from "mhc-lang"; import ` +
          `"${entry}";`,
        resolveDir: app,
      },
      bundle: true,
      platform: "browser",
      format: "esm",
      write: false,
      minify: true,
      logLevel: "silent",
    });
    expect(outputFiles[0]!.text).toBe("");
  }
});

const policies = [
  { under: "no policy", where: "page", policy: { isolated: false, content: null } },
  { under: "a strict policy, isolated", where: "page", policy: { isolated: true, content: STRICT } },
  { under: "a strict policy, isolated", where: "worker", policy: { isolated: true, content: STRICT } },
] as const;

describe.each([vite(version("vite")), esbuild(version("esbuild"), "modules")])("$name", (bundler) => {
  let folder: string;
  it("builds without a complaint", () => {
    const built = bundler.build(app, modules);
    folder = built.folder;
    expect(complaints(built.printed)).toEqual([]);
  }, 120_000);

  it.for(policies)("runs under $under, in a $where", { timeout: 120_000 }, async ({ where, policy }, { skip }) => {
    if ("refused" in browser) return skip(browser.refused);
    expect(faults(await visit(browser, folder, policy, where), policy, bundler.modules)).toEqual([]);
  });

  it("is told what to do where a policy allows no code to be made", { timeout: 120_000 }, async ({ skip }) => {
    if ("refused" in browser) return skip(browser.refused);
    const told = await visit(browser, folder, { isolated: false, content: LOCKED }, "page");
    expect(told).toMatchObject({ name: "DeviceError", fix: expect.stringContaining("wasm-unsafe-eval") as string });
  });
});
