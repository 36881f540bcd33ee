/**
 * Products alone, as our native device computes them on one thread:   node our_products.mjs --root DIR 768x128x512 …
 *
 * Prints one JSON line: GFLOP/s by shape (rows x depth x columns), the best run of each round's best in the middle and
 * of all. Kernels have no epilogue here; what products reach in a step, `mhc bench --kernels` says.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: flags, positionals: shapes } = parseArgs({
  allowPositionals: true,
  options: { root: { type: "string" } },
});
const built = (path) => import(pathToFileURL(join(flags.root, "dist", path)).href);
const { openDevice } = await built("runtime/index.js");
const { choicesFor } = await built("src/cli/tuned.js");
const { timeLoads } = await built("src/tools/ceilings.js");

/** A product of a shape, as a computation to be timed. */
const product = (shape) => {
  const [m, k, n] = shape.split("x").map(Number);
  return (b) => [b.contract("ik,kj->ij", b.input("a", [m, k], "f32"), b.input("b", [k, n], "f32"))];
};

const device = await openDevice("native", { threads: 1 });
const loads = Object.fromEntries(shapes.map((shape) => [shape, product(shape)]));
const timed = await timeLoads(device, choicesFor(device), loads);
const rates = Object.entries(timed).map(([shape, { flops, ms, spread }]) => {
  const best = flops / ms / 1e6;
  return [shape, { median: best / (1 + spread), best }];
});
console.log(JSON.stringify(Object.fromEntries(rates)));
await device.close();
process.exit();
