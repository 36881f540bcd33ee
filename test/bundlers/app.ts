/**
 * A small app around the package as users get it: the folder that a bundler is run in, the server that serves what it
 * wrote under some policy, and the browser that opens it. `app/` has its sources.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import type { Failure, Outcome } from "./app/src/outcome.js";

const here = dirname(fileURLToPath(import.meta.url));
export const root = dirname(dirname(here));

/** Runs a command to its end and gives what it printed on both streams; an error has that too. */
export function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", CI: "true" },
    });
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout ?? ""}\n${stderr ?? ""}`, { cause: error });
  }
}

/** Packs the package as it is built, and gives the tarball's path. */
export function pack(folder: string): string {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const [packed] = JSON.parse(run("npm", args, root)) as readonly { readonly filename: string }[];
  return join(folder, packed!.filename);
}

/**
 * Puts the package into an app's node_modules as its tarball has it; its dependencies are those of this repository.
 * Takes no network.
 */
export function unpack(tarball: string, app: string): void {
  const home = join(app, "node_modules", "mhc-lang");
  mkdirSync(home, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", home, "--strip-components=1"], app);
  const { dependencies } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  for (const name of Object.keys(dependencies))
    symlinkSync(join(root, "node_modules", name), join(app, "node_modules", name), "dir");
}

/** The options of Vite's official template for TypeScript without a framework. */
const template = {
  target: "es2023",
  module: "esnext",
  lib: ["ES2023", "DOM"],
  types: [],
  allowArbitraryExtensions: true,
  skipLibCheck: true,
  moduleResolution: "bundler",
  verbatimModuleSyntax: true,
  moduleDetection: "force",
  strict: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  noFallthroughCasesInSwitch: true,
};

/** Writes the app's sources, and compiles its page with the package in its node_modules. */
export function writeApp(app: string): void {
  cpSync(join(here, "app"), app, { recursive: true });
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  writeFileSync(join(app, "text.txt"), "the whale and the sea and the ship and the whale. ".repeat(40));
  const command = join(app, "node_modules/mhc-lang/dist/src/cli/main.js");
  run(
    process.execPath,
    [command, "compile", "little.mhc", "-o", "src/generated", "--target", "typescript,wasm,wgsl,javascript"],
    app,
  );
  const options = { ...template, noEmit: true, allowImportingTsExtensions: true, erasableSyntaxOnly: true };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["src"] }));
  writeFileSync(
    join(app, "tsconfig.js.json"),
    JSON.stringify({ compilerOptions: { ...template, outDir: "js", rootDir: "src" }, include: ["src"] }),
  );
}

const tsc = join(root, "node_modules/typescript/bin/tsc");

/** Type-checks the app as its template does. */
export const typeCheck = (app: string): string => run(process.execPath, [tsc, "-p", "."], app);

/** The app as JavaScript in `js/`, for bundlers that take no TypeScript; the worker is then `worker.js`. */
export function toJavaScript(app: string): void {
  run(process.execPath, [tsc, "-p", "tsconfig.js.json"], app);
  nameWorker(join(app, "js/main.js"), `new URL("./worker.js", import.meta.url)`);
}

/** Names the worker as a bundler that does not look for workers will have it. */
export function nameWorker(file: string, address: string): void {
  writeFileSync(
    file,
    readFileSync(file, "utf8").replace(`new URL("./worker.ts", import.meta.url)`, () => address),
  );
}

/** A page beside what a bundler wrote, where the bundler writes no pages. */
export function writePage(folder: string, script: string): void {
  const page = readFileSync(join(here, "app/index.html"), "utf8").replace("./src/main.ts", script);
  writeFileSync(join(folder, "index.html"), page);
}

export interface Policy {
  /** Whether the page is cross-origin isolated, and so may share memory. */
  readonly isolated: boolean;
  /** Its Content-Security-Policy; null for none. */
  readonly content: string | null;
}

/** Scripts and workers from files of the page's own origin only; WebAssembly, but no text made code. */
export const STRICT =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; object-src 'none'; base-uri 'none'";
/** The same without WebAssembly. */
export const LOCKED = "default-src 'self'; script-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
};

/**
 * A policy that allows the scripts that stand in a page itself, by their hashes: Parcel writes a map of imports there.
 */
function allowing(content: string, page: string): string {
  const scripts = [...page.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([^]*?)<\/script>/g)].map(([, text]) => text!);
  const hashes = scripts.map((text) => ` 'sha256-${createHash("sha256").update(text).digest("base64")}'`);
  return content.replace("script-src 'self'", `script-src 'self'${hashes.join("")}`);
}

/** Serves a folder under a policy until it is closed. */
async function serve(
  folder: string,
  { isolated, content }: Policy,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const policy =
    content === null
      ? {}
      : { "content-security-policy": allowing(content, readFileSync(join(folder, "index.html"), "utf8")) };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const file = join(folder, path === "/" ? "index.html" : path);
    readFile(file).then(
      (bytes) => {
        response
          .writeHead(200, {
            "content-type": TYPES[extname(file)] ?? "application/octet-stream",
            ...(isolated
              ? { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" }
              : {}),
            ...policy,
          })
          .end(bytes);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export type Told = Outcome | Failure;
export const isOutcome = (told: Told): told is Outcome => "losses" in told;

/**
 * What is wrong with what an app, made of modules or of scripts, tells; nothing where it trained, generated, compiled
 * and ran as it must under its policy.
 */
export function faults(told: Told, { isolated, content }: Policy, modules: boolean): string[] {
  if (!isOutcome(told)) return [`${told.name}: ${told.message}`];
  const { losses, said, compiled, diagnostic, adapter } = told;
  return [
    ...(told.isolated === isolated ? [] : [`isolated: ${told.isolated}`]),
    ...(adapter.endsWith(isolated && (modules || content === null) ? "2 threads" : "1 thread")
      ? []
      : [`it runs on ${adapter}`]),
    ...(losses.length === 6 && losses.every(Number.isFinite) && losses.at(-1)! < losses[0]!
      ? []
      : [`losses ${losses.join(" ")}`]),
    ...(/^the [a-z. ]{8}$/.test(said) ? [] : [`it says ${JSON.stringify(said)}`]),
    ...(compiled.join() === "0,0,2,4" ? [] : [`the page compiled there computes ${compiled.join(" ")}`]),
    ...(/^error MHC\d+: `v`/.test(diagnostic) ? [] : [`the diagnostic is ${JSON.stringify(diagnostic)}`]),
  ];
}

/** Opens a built app and gives what it tells, with what the console had of errors. */
export async function visit(browser: Browser, folder: string, policy: Policy, where: "page" | "worker"): Promise<Told> {
  const { url, close } = await serve(folder, policy);
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => void errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  try {
    await page.goto(where === "worker" ? `${url}?worker` : url);
    const told = await page.waitForFunction(() => (globalThis as { outcome?: unknown }).outcome, null, {
      timeout: 60_000,
    });
    return (await told.jsonValue()) as Told;
  } catch (error) {
    return {
      name: "no answer",
      message: [error instanceof Error ? error.message.split("\n")[0] : String(error), ...errors].join("\n"),
      fix: null,
    };
  } finally {
    await page.close();
    await close();
  }
}
