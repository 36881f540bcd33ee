/**
 * Our training step as a step program of `main.mjs`:
 *
 *   node our_step.mjs --root DIR --page nanogpt --device native --threads 1 [--set width=512]…
 *
 * A step program makes its first step, prints {"first": …}, makes some more, prints {"ready": …}, and then reads
 * lines: `go 20` makes 20 steps and prints the milliseconds of each. It ends when its input does. `--root` is the
 * folder of the project whose build is timed, so that two builds can be timed side by side.
 */
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { TEXT } from "./settings.mjs";

const WARMUP = 5;
const { values: flags } = parseArgs({
  options: {
    root: { type: "string" },
    page: { type: "string" },
    device: { type: "string", default: "native" },
    threads: { type: "string", default: "1" },
    set: { type: "string", multiple: true, default: [] },
  },
});
const built = (path) => import(pathToFileURL(join(flags.root, "dist", path)).href);
const say = (message) => console.log(JSON.stringify(message));

/** Throws what the compiler refuses a page for. */
function allow({ diagnostics }) {
  const refusal = diagnostics.find(({ severity }) => severity === "error");
  if (refusal) throw new Error(refusal.message);
}

/** The model of the page on the device, and the text that feeds it. */
async function opened() {
  const { openProject, readFacts, trainable } = await built("src/cli/project.js");
  const { choicesFor } = await built("src/cli/tuned.js");
  const { check, compile } = await built("src/compile/compile.js");
  const { load, openDevice } = await built("runtime/index.js");
  const project = await openProject(join(flags.root, "specs", `${flags.page}.mhc`), { data: [TEXT], set: flags.set });
  const device = await openDevice(flags.device, { threads: Number(flags.threads), wide: true });
  allow(check(project.text, project.options));
  const { options, loaded } = await readFacts(project, false);
  const how = { ...options, devices: [device.name], choices: { [device.name]: choicesFor(device) } };
  const compiled = await compile(project.text, how);
  allow(compiled);
  const { plan } = compiled;
  return { plan, device, model: await load(plan, { device }), source: trainable(plan, loaded).source };
}

/** Milliseconds of each of so many steps, all that happens between two of them included. */
async function timed(model, source, steps) {
  const times = [];
  let begun = performance.now();
  for await (const _ of model.train(source, { steps, monitor: 0 })) {
    const now = performance.now();
    times.push(now - begun);
    begun = now;
  }
  return times;
}

const kernelsOf = ({ devices }, { name }) =>
  new Set(devices[name].entries.train.dispatches.map(({ kernel }) => kernel)).size;

async function main() {
  const { plan, device, model, source } = await opened();
  await timed(model, source, 1);
  say({ first: performance.now() / 1000 });
  const times = await timed(model, source, WARMUP);
  say({
    ready: true,
    step_ms: Math.min(...times),
    peer: `${device.name} (${device.adapter})`,
    node: process.versions.node,
    parameters: plan.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    lanes: device.vectors?.lanes,
    kernels: kernelsOf(plan, device),
  });
  for await (const line of createInterface({ input: process.stdin })) {
    const steps = Number(line.split(" ")[1]);
    say({ ms: await timed(model, source, steps) });
  }
  await model.close();
  await device.close();
}

try {
  await main();
} catch (error) {
  say({ error: error instanceof Error ? error.message : `${error}` });
  process.exitCode = 1;
}
process.exit();
