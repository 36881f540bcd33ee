/**
 * Holds the C program to the JavaScript target: `node check.js [SPEC] [FOLDER]` compiles a page for both, builds the
 * program with `cc`, gives both the same parameters and inputs, and prints the largest difference of an output.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile, render } from "mhc-lang";
import { load } from "mhc-lang/runtime";
import kernels from "./kernels.js";
import program from "./program.js";

const [spec = "../../specs/sublayer.mhc", folder = "out"] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const path = (file) => join(folder, file);

const { plan, diagnostics, sources } = await compile(readFileSync(spec, "utf8"), {
  file: spec,
  devices: ["javascript", kernels],
});
if (!plan) throw new Error(diagnostics.map((diagnostic) => render(diagnostic, sources)).join("\n\n"));
const files = [...kernels.files("page", plan.devices.c.code), ...(await program.emit("page", plan))];
for (const { path: file, content } of files) writeFileSync(path(file), content);
execFileSync("cc", [
  "-O2",
  "-Wall",
  "-Wno-unused-variable",
  "-o",
  path("page"),
  ...files.map(({ path: file }) => path(file)),
  "-lm",
]);

const model = await load(plan, { device: "javascript", seed: 1 });
const parameters = await Promise.all(Object.values(model.parameters()).map((parameter) => parameter.get()));
writeFileSync(path("parameters"), Buffer.concat(parameters.map((values) => new Uint8Array(values.buffer))));

const { inputs } = plan.devices.c.entries.forward;
const drawn = Object.entries(inputs).map(([name, { shape }]) => [
  name,
  Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => Math.sin(i * i)),
]);
const expected = await model.forward(Object.fromEntries(drawn));
await model.close();

const bytes = execFileSync(path("page"), [path("parameters")], {
  input: Buffer.concat(drawn.map(([, values]) => new Uint8Array(values.buffer))),
});
const computed = new Float32Array(new Uint8Array(bytes).buffer);
const wanted = Object.keys(plan.outputs).flatMap((name) => [...expected[name]]);
const worst = Math.max(...wanted.map((value, i) => Math.abs(value - computed[i])));
console.log(`${wanted.length} numbers, the largest difference is ${worst.toExponential(1)}`);
