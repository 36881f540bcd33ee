/**
 * The bundlers, each called as its own documentation first does: no configuration but the entries, and what it cannot
 * do without. Those that do not look for workers (esbuild, rollup) take them as entries.
 */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { nameWorker, run, toJavaScript, typeCheck, writePage } from "./app.js";

/** What a bundler wrote and printed. */
export interface Built {
  /** The folder to serve. */
  readonly folder: string;
  readonly printed: string;
}

export interface Bundler {
  readonly name: string;
  /** Packages to install for it, pinned. */
  readonly packages: Readonly<Record<string, string>>;
  /**
   * Whether its scripts are modules, which know their own address. Where a policy forbids workers made of text, others
   * have no worker that computes.
   */
  readonly modules: boolean;
  /**
   * Builds the app with the packages in `modules`, a node_modules folder. Throws with what was printed when it fails.
   */
  build(app: string, modules: string): Built;
}

const node = (app: string, script: string, ...args: readonly string[]): string =>
  run(process.execPath, [script, ...args], app);

/** `tsc && vite build`, as the official template has it. */
export const vite = (version: string): Bundler => ({
  name: `vite ${version}`,
  packages: { vite: version },
  modules: true,
  build(app, modules) {
    const printed = `${typeCheck(app)}${node(app, join(modules, "vite/bin/vite.js"), "build")}`;
    return { folder: join(app, "dist"), printed };
  },
});

export const esbuild = (version: string, format: "modules" | "scripts"): Bundler => ({
  name: `esbuild ${version}, ${format}`,
  packages: { esbuild: version },
  modules: format === "modules",
  build(app, modules) {
    const folder = join(app, `out-esbuild-${format}`);
    const sources = `src-${format}`;
    cpSync(join(app, "src"), join(app, sources), { recursive: true });
    // A script has no `import.meta`: the page names its worker by the page's address.
    nameWorker(
      join(app, sources, "main.ts"),
      format === "modules" ? `new URL("./worker.js", import.meta.url)` : `"./worker.js"`,
    );
    mkdirSync(folder, { recursive: true });
    const entries = [`main=${sources}/main.ts`, `worker=${sources}/worker.ts`, "thread=mhc-lang/thread"];
    const how = format === "modules" ? ["--format=esm", "--splitting"] : [];
    const printed = run(
      join(modules, ".bin/esbuild"),
      [...entries, "--bundle", `--outdir=${folder}`, ...how, "--log-level=warning"],
      app,
    );
    writePage(folder, "./main.js");
    return { folder, printed };
  },
});

const webpack: Bundler = {
  name: "webpack 5.113.0",
  packages: { webpack: "5.113.0", "webpack-cli": "7.3.1" },
  modules: true,
  build(app, modules) {
    toJavaScript(app);
    const folder = join(app, "out-webpack");
    const printed = node(
      app,
      join(modules, "webpack-cli/bin/cli.js"),
      "--mode",
      "production",
      "--entry",
      "./js/main.js",
      "-o",
      folder,
    );
    writePage(folder, "./main.js");
    return { folder, printed };
  },
};

const rollup: Bundler = {
  name: "rollup 4.68.8",
  packages: { rollup: "4.68.8", "@rollup/plugin-node-resolve": "16.0.3" },
  modules: true,
  build(app, modules) {
    toJavaScript(app);
    const folder = join(app, "out-rollup");
    const entries = ["main=js/main.js", "worker=js/worker.js", "thread=mhc-lang/thread"];
    const printed = node(
      app,
      join(modules, "rollup/dist/bin/rollup"),
      ...entries,
      "-d",
      folder,
      "-p",
      "node-resolve",
      "-f",
      "es",
    );
    writePage(folder, "./main.js");
    return { folder, printed };
  },
};

const parcel: Bundler = {
  name: "parcel 2.16.4",
  packages: { parcel: "2.16.4" },
  modules: true,
  build(app, modules) {
    const folder = join(app, "out-parcel");
    const printed = node(
      app,
      join(modules, "parcel/lib/bin.js"),
      "build",
      "index.html",
      "--dist-dir",
      folder,
      "--no-cache",
    );
    return { folder, printed };
  },
};

export const bundlers: readonly Bundler[] = [
  vite("6.4.6"),
  vite("7.3.8"),
  vite("8.4.0"),
  webpack,
  esbuild("0.28.2", "modules"),
  esbuild("0.28.2", "scripts"),
  rollup,
  parcel,
];

/** Words of bundlers that tell of such faults. */
const FAULTS = new RegExp(
  [
    /externaliz|could not be resolved|can't resolve|unresolved|circular/,
    /\beval\b|node:|polyfill|import\.meta|not exported/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "i",
);

/**
 * Lines of a bundler's output that tell of something wrong with the package: warnings of modules that are not there in
 * a browser, of `eval`, of circles. That an app with a compiler in it is larger than a bundler recommends is no fault.
 */
export const complaints = (printed: string): string[] => printed.split("\n").filter((line) => FAULTS.test(line));
