/**
 * What our products reach beside the plain kernel (`product.c`) on one thread, GFLOP/s, in turns: alone, without an
 * epilogue, and in a training step, with what they have there and what lies in the caches then.
 */
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { root } from "./contenders.mjs";
import { settingsOf, SETTINGS, TEXT } from "./settings.mjs";
import { median } from "./turns.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** Shapes (rows x depth x columns), the setting whose step has such a product, and what its account there is called. */
const SHAPES = {
  "768x128x512": { setting: "nanogpt", whose: /mlp: up, forward/ },
  "768x512x128": { setting: "nanogpt", whose: /mlp: down, forward/ },
  "1024x2048x512": { setting: "wide", whose: /mlp: down, forward/ },
};

/** The plain kernel's rates by shape. */
async function plainRates(program) {
  const shapes = Object.keys(SHAPES);
  const { stdout } = await run(
    program,
    shapes.flatMap((shape) => shape.split("x")),
  );
  const lines = stdout.trim().split("\n");
  return Object.fromEntries(shapes.map((shape, i) => [shape, Number(lines[i].split(" ")[0])]));
}

/** Our rates alone, by shape. */
async function aloneRates(env) {
  const program = [join(here, "our_products.mjs"), "--root", root, ...Object.keys(SHAPES)];
  const { stdout } = await run(process.execPath, program, { env });
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Our rates in the steps of two settings, by shape; and of all products of each step together. */
async function stepRates(env) {
  const found = {};
  for (const name of new Set(Object.values(SHAPES).map(({ setting }) => setting))) {
    const setting = SETTINGS[name];
    const page = join(root, "specs", `${setting.page}.mhc`);
    const how = ["--data", TEXT, "--device", "native", "--threads", "1", "--steps", "5", "--kernels", "--json"];
    const sizes = settingsOf(setting).flatMap((item) => ["--set", item]);
    const program = [join(root, "dist/src/cli/main.js"), "bench", page, ...how, ...sizes];
    const { stdout } = await run(process.execPath, program, { env, maxBuffer: 1 << 26 });
    const { kernels } = JSON.parse(stdout.trim().split("\n").at(-1));
    for (const [shape, { setting: its, whose }] of Object.entries(SHAPES)) {
      if (its === name) found[shape] = rateOf(kernels.filter((kernel) => whose.test(kernel.whose)));
    }
    found[`all of ${name}`] = rateOf(kernels.filter(({ kernel }) => kernel.startsWith("matmul")));
  }
  return found;
}

const total = (list, field) => list.reduce((sum, item) => sum + item[field], 0);
const rateOf = (kernels) => total(kernels, "flops") / total(kernels, "ms") / 1e6;

/** Medians over rounds of every figure. */
const mediansOf = (rounds) =>
  Object.fromEntries(Object.keys(rounds[0] ?? {}).map((key) => [key, median(rounds.map((round) => round[key]))]));

/** Rates by shape: of the plain kernel, of ours alone, of ours in a step. `absent` says why there are none. */
export async function products(rounds, cache, say) {
  const env = { ...process.env, MHC_CACHE: join(cache, "mhc/") };
  const program = join(cache, "product");
  const [compiler, ...flags] = (process.env.CC?.trim() || "cc").split(/\s+/);
  try {
    await run(compiler, ["-O3", "-march=native", ...flags, join(here, "product.c"), "-o", program]);
    const [plain, alone, step] = [[], [], []];
    for (let round = 1; round <= rounds; round++) {
      plain.push(await plainRates(program));
      alone.push(await aloneRates(env));
      step.push(await stepRates(env));
      say(`  products: round ${round} of ${rounds}`);
    }
    return { plain: mediansOf(plain), alone: mediansOf(alone), step: mediansOf(step) };
  } catch (error) {
    const reason = `${error.stderr || error.message}`.trim().split("\n").at(-1);
    say(`  products: not timed: ${reason}`);
    return { absent: reason };
  }
}
