/**
 * Products alone, as our native device computes them on one thread:   node our_products.mjs --root DIR 768x128x512 …
 *
 * Prints one JSON line: GFLOP/s by shape (rows x depth x columns), the median of as many runs as take a third of a
 * second, by the clock of the device's own driver. Kernels have no epilogue here; what products reach in a step,
 * `mhc bench --kernels` says.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./turns.mjs";

const [FEWEST, LONGEST_MS] = [15, 300];
const { values: flags, positionals: shapes } = parseArgs({
  allowPositionals: true,
  options: { root: { type: "string" } },
});
const built = (path) => import(pathToFileURL(join(flags.root, "dist", path)).href);
const { openDevice } = await built("runtime/index.js");
const { choicesFor } = await built("src/cli/tuned.js");
const { printers } = await built("codegen/registry.js");
const { createBuilder } = await built("src/graph/create-builder.js");
const { schedule } = await built("src/schedule/plan.js");
const { profileWith } = await built("src/compile/targets.js");

/** The graph of a product of a shape, named by it. */
function product(shape) {
  const [m, k, n] = shape.split("x").map(Number);
  const b = createBuilder();
  const c = b.contract("ik,kj->ij", b.input("a", [m, k], "f32"), b.input("b", [k, n], "f32"));
  return { name: shape, outputs: new Map([["c", c]]), updates: new Map() };
}

/** A session that has an entry for each product. */
async function loaded(device) {
  const printer = printers[device.name];
  const how = profileWith(printer.profile, choicesFor(device));
  const { kernels, infos, entries, pools, constants } = schedule(shapes.map(product), how, new Map(), 0);
  const code = await printer.print(kernels);
  const session = await device.load({ kernels: infos, code, entries, pools, constants });
  for (const { inputs } of Object.values(entries)) {
    for (const ref of Object.values(inputs)) {
      session.write(ref, new Float32Array(ref.shape.reduce((a, b) => a * b, 1)).fill(1));
    }
  }
  return session;
}

/** Milliseconds of one product, all its dispatches. */
async function timed(session, shape) {
  const times = [];
  await session.run(shape);
  for (let spent = 0; times.length < FEWEST || spent < LONGEST_MS; spent += times.at(-1)) {
    times.push((await session.profile(shape)).reduce((a, b) => a + b, 0));
  }
  return median(times);
}

const device = await openDevice("native", { threads: 1 });
const session = await loaded(device);
const rates = {};
for (const shape of shapes) {
  const flops = 2 * shape.split("x").reduce((product, side) => product * Number(side), 1);
  rates[shape] = flops / (await timed(session, shape)) / 1e6;
}
console.log(JSON.stringify(rates));
await session.close();
await device.close();
process.exit();
