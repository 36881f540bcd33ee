/**
 * `npm run test:bundlers`: every bundler that people use, installed at a pinned version, with the package's tarball
 * installed as a user's. Takes the network and some minutes; prints a table, and fails where a cell of it is not "yes".
 * In every test run are Vite and esbuild (`browsers.test.ts`).
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { faults, LOCKED, pack, run, STRICT, visit, writeApp, type Policy } from "./app.js";
import { bundlers, complaints, type Built } from "./bundlers.js";
import { openBrowser } from "./chromium.js";

const home = mkdtempSync(join(tmpdir(), "mhc-bundlers-"));
const app = join(home, "app");
let tarball = "";
let browser: Browser | { readonly refused: string };

const policies: Readonly<Record<string, Policy>> = {
  plain: { isolated: false, content: null },
  isolated: { isolated: true, content: null },
  strict: { isolated: false, content: STRICT },
  both: { isolated: true, content: STRICT },
};

const manifest = { name: "app", private: true, type: "module" };
const install = (folder: string, ...packages: readonly string[]): void => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", ...packages], folder);
};

beforeAll(async () => {
  tarball = pack(home);
  install(app, tarball);
  writeApp(app);
  browser = await openBrowser();
}, 600_000);

const table: string[][] = [];
afterAll(async () => {
  if ("close" in browser) await browser.close();
  else console.warn(`nothing was run in a browser, which cannot start here: ${browser.refused}`);
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  console.log(table.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")).join("\n"));
  rmSync(home, { recursive: true, force: true });
}, 120_000);
const cases = Object.keys(policies).flatMap((policy) =>
  (["page", "worker"] as const).map((where) => ({ policy, where })),
);
table.push([
  "bundler",
  "builds",
  "warnings",
  "kB",
  ...cases.map(({ policy, where }) => `${policy} ${where}`),
  "no wasm",
]);

/** Bytes of all scripts, in kB. */
const size = ({ folder }: Built): number =>
  Math.round(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".js"))
      .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) / 1000,
  );

it.each(bundlers)(
  "$name",
  async ({ name, packages, modules: ofModules, build }) => {
    const modules = join(home, name.replace(/\W+/g, "-"));
    install(modules, ...Object.entries(packages).map(([name, version]) => `${name}@${version}`));
    const row = [name];
    table.push(row);
    // Plugins and types are looked up from the app.
    for (const scope of ["@rollup"]) {
      rmSync(join(app, "node_modules", scope), { force: true });
      symlinkSync(join(modules, "node_modules", scope), join(app, "node_modules", scope));
    }
    const built = build(app, join(modules, "node_modules"));
    const wrong = complaints(built.printed);
    row.push("yes", wrong.length ? wrong[0]!.trim() : "none", `${size(built)}`);
    if (!("close" in browser)) return;
    const found: string[] = [...wrong];
    for (const { policy, where } of cases) {
      const faulty = faults(await visit(browser, built.folder, policies[policy]!, where), policies[policy]!, ofModules);
      row.push(faulty.length ? "NO" : "yes");
      found.push(...faulty.map((fault) => `${policy}, ${where}: ${fault}`));
    }
    // Where nothing may be compiled the app is told so, with what to do.
    const told = await visit(browser, built.folder, { isolated: false, content: LOCKED }, "page");
    row.push(
      "name" in told && told.name === "DeviceError" && /wasm-unsafe-eval/.test(told.fix ?? "")
        ? "refused"
        : `NO: ${JSON.stringify(told)}`,
    );
    expect(found).toEqual([]);
    expect(row.at(-1)).toBe("refused");
  },
  600_000,
);

it("publint and attw find nothing wrong, but for resolvers older than exports", () => {
  const tools = join(home, "tools");
  install(tools, "publint@0.3.25", "@arethetypeswrong/cli@0.18.5");
  const bin = join(tools, "node_modules/.bin");
  expect(run(join(bin, "publint"), [tarball, "--strict"], tools)).toContain("All good!");
  // It ends with 1 at any problem that is not set aside: a module of a package of modules is one for require(), too.
  expect(run(join(bin, "attw"), [tarball, "--profile", "esm-only"], tools)).toContain('"mhc-lang/runtime"');
}, 600_000);
