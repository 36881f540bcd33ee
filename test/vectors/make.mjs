/**
 * Writes the conformance vectors (docs/conformance/vectors/): `npm run vectors`. Everything is computed in f64, by the
 * evaluator of graphs; inputs, parameters and cotangents are multiples of 1/256 but for powers of ten, so that f32
 * holds them exactly. `--check` compares with what is there instead.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dirname, join, resolve } from "node:path";
import {
  CHANNELS,
  coefficientsPageOf,
  CONVENTIONS,
  inputOf,
  LANES,
  outputOf,
  pageOf,
  put,
  taken,
  TOKENS,
} from "./conventions.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const built = resolve(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? join(root, "dist"));
const { check } = await import(join(built, "src/compile/compile.js"));
const { buildEntries } = await import(join(built, "src/step/entries.js"));
const { evaluate } = await import(join(built, "src/graph/evaluate.js"));
const { threefry2x32, unit } = await import(join(built, "runtime/threefry.js"));

/** A multiple of 1/256 from -size to size. */
const random = (seed, at, size) => Math.round((2 * unit(...threefry2x32([seed, 0], [at, 1])) - 1) * size * 256) / 256;
const tensor = (seed, shape, size) => ({
  shape,
  data: Array.from({ length: shape.reduce((product, n) => product * n, 1) }, (_, at) => random(seed, at, size)),
});

/** What is drawn for a case: sizes of the stream, of each parameter, and of the cotangent. */
const CASES = {
  ordinary: {},
  "large logits": { base: 10_000 },
  "a stream of zeros": { x: 0 },
  "a stream of 1e-8": { x: 1, power: 1e-8 },
  "cotangents of 1e30": { cotangent: 1e30 },
  "cotangents of 1e-30": { cotangent: 1e-30 },
};

/** From so many lanes on, whose matrices have thousands of entries, these cases alone. */
const MANY = 8;
const SHORT = ["ordinary", "large logits"];

function entriesOf(text) {
  const { model, diagnostics } = check(text, { file: "vector.mhc" });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("; "));
  return buildEntries(model, { monitors: false }).graphs;
}

const valuesOf = (graphs, name, bindings) =>
  evaluate(
    graphs.find((graph) => graph.name === name),
    bindings,
  ).outputs;

function caseOf(convention, n, name, graphs, coefficients) {
  const { x: stream = 2, base = 1, power = 1, cotangent = 1 } = CASES[name];
  const seed = 100 * n + Object.keys(CASES).indexOf(name);
  const x = tensor(seed, [TOKENS, n, CHANNELS], stream);
  x.data = x.data.map((value) => value * power);
  const sizes = { base, fn: 0.5, scale: 1.5, weight: 0.5, down: 1, up: 1, inject: 1 };
  const parameters = Object.fromEntries(
    Object.entries(convention.shapes(n)).map(([of, shape], i) => [of, tensor(1000 * (i + 1) + seed, shape, sizes[of])]),
  );
  const [to, from] = [outputOf(convention, n), inputOf(n)];
  const shapeOfY = convention.head ? [TOKENS, CHANNELS] : [TOKENS, n, CHANNELS];
  const dy = tensor(7000 + seed, shapeOfY, 1);
  dy.data = dy.data.map((value) => value * cotangent);
  const places = Object.entries(convention.parameters(n));
  const bindings = new Map([
    ...places.map(([path, at]) => [path, taken(at, parameters[at.of].data)]),
    ["u", taken(from, x.data)],
    ["cotangent:y", taken(to, dy.data)],
  ]);
  const y = { shape: shapeOfY, data: [] };
  put(to, valuesOf(graphs, "forward", bindings).get("y"), y.data);
  const back = valuesOf(graphs, "vjp", bindings);
  const gradients = { x: { shape: x.shape, data: [] } };
  put(from, back.get("cotangent:u"), gradients.x.data);
  for (const [of, { shape }] of Object.entries(parameters)) gradients[of] = { shape, data: [] };
  for (const [path, at] of places) put(at, back.get(`gradient:${path}`), gradients[at.of].data);
  const told = {};
  if (coefficients) {
    const own = new Map(
      places.map(([path, at]) => [path.split(".").slice(-2).join("."), taken(at, parameters[at.of].data)]),
    );
    const outputs = valuesOf(coefficients, "forward", new Map([...own, ["u", taken(from, x.data)]]));
    for (const [of, , shape] of convention.coefficients(n))
      told[of] = { shape: [TOKENS, ...shape], data: [...outputs.get(of)] };
  }
  return { name, inputs: { x }, parameters, dy, coefficients: told, y, gradients };
}

/** Fourteen digits: more than any of them can be held to. */
const rounded = (_, value) => (typeof value === "number" ? Number(value.toPrecision(14)) : value);

/** A vector file as text: a line a case. */
function fileOf(name, n) {
  const convention = CONVENTIONS[name];
  const graphs = entriesOf(pageOf(convention, n));
  const page = coefficientsPageOf(convention, n);
  const coefficients = page && entriesOf(page);
  const names = Object.keys(CASES).filter((each) => n < MANY || SHORT.includes(each));
  const cases = names.map((each) => caseOf(convention, n, each, graphs, coefficients));
  const lines = cases.map((each) => JSON.stringify(each, rounded));
  return `{"convention": "${name}", "lanes": ${n}, "cases": [\n${lines.join(",\n")}\n]}\n`;
}

const folder = join(root, "docs/conformance/vectors");
mkdirSync(folder, { recursive: true });
let different = 0;
for (const name of Object.keys(CONVENTIONS)) {
  for (const n of LANES) {
    const path = join(folder, `${name}-n${n}.json`);
    const text = fileOf(name, n);
    if (!process.argv.includes("--check")) writeFileSync(path, text);
    else if (readFileSync(path, "utf8") !== text) {
      different++;
      console.log(`${name}-n${n}.json is not what \`npm run vectors\` writes`);
    }
  }
}
process.exitCode = different ? 1 : 0;
