/**
 * Generated modules of specs whose data is not text: what they can be trained on, as types that an app is checked
 * against.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { typescript } from "../../codegen/typescript/emitter.js";
import type { Facts } from "../../src/compile/compile.js";
import { planOf, readSpec } from "../helpers/specs.js";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = mkdtempSync(join(tmpdir(), "mhc-module-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the type checker says of an app beside the module of a spec. */
const checked = (spec: string, facts: Facts, app: string): Promise<string> =>
  checkedPage(spec, readSpec(spec), facts, app);

/** The same of a page, whose module has a name. */
async function checkedPage(stem: string, page: string, facts: Facts, app: string): Promise<string> {
  for (const { path, content } of await typescript.emit(stem, await planOf(page, ["javascript"], { facts })))
    writeFileSync(join(folder, path), content);
  return checkedApp(app);
}

/** What the type checker says of an app beside the modules that stand in the folder. */
function checkedApp(app: string): string {
  writeFileSync(join(folder, "app.ts"), app);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: "ES2022",
        module: "NodeNext",
        moduleResolution: "NodeNext",
        lib: ["ES2023", "DOM", "DOM.AsyncIterable"],
        skipLibCheck: true,
        types: ["node", "@webgpu/types"],
        typeRoots: [join(root, "node_modules/@types"), join(root, "node_modules")],
        paths: { "mhc-lang/runtime": [join(root, "runtime/index.ts")] },
      },
      files: ["app.ts"],
    }),
  );
  try {
    return execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    return (error as { readonly stdout: string }).stdout;
  }
}

it("of pairs train on lines of names, and say which name a row is", async () => {
  const names = ["canine", "cat", "dog", "feline", ...Array.from({ length: 20 }, (_, i) => `thing ${i}`)];
  const said = await checked(
    "poincare",
    { mammals: { names } },
    `import { Poincare } from "./poincare.js";
const model = await Poincare.create();
for await (const { loss } of model.train("dog\\tcanine\\n", { steps: 3 })) loss.toFixed();
const rows: Float32Array = await model.parameters().point.get();
const first: string | undefined = Poincare.names[0];
console.log(rows, first, await model.holdout("dog\\tcanine\\n"));
`,
  );
  expect(said).toBe("");
});

it("of examples train on a source alone", async () => {
  const said = await checked(
    "digits",
    { images: { features: 784, classes: 10 } },
    `import { Digits } from "./digits.js";
const model = await Digits.create();
model.train("text");
`,
  );
  expect(said).toContain(
    "app.ts(3,13): error TS2345: Argument of type 'string' is not assignable to parameter of type 'Source'",
  );
  expect(said.trim().split("\n").length).toBe(1);
});

it("with named losses and metrics say their names, in steps and in evaluations", async () => {
  const page = `model Named {
  dim features = 3
  data points = examples("p/*.json", features = features, classes = features)
  h[features] = measured(points.value)
  loss main = cross_entropy(h, points.label)
  loss = main + balance
  /// How large the largest is.
  metric largest = max[features](h)
  train { batch = 2, steps = 3, optimizer = sgd(rate = 0.1) }
}

block measured(y[w]) {
  param c[w] ~ ones
  /// Of the squares.
  loss balance = sum[w](y[w] ^ 2)
  return [w] = c[w] * y[w]
}
`;
  const emitted = await typescript.emit("named", await planOf(page, ["javascript"]));
  const text = emitted.map(({ content }) => content).join("");
  expect(text).toContain(`export interface NamedTerms {
  /** Of the squares. */
  readonly balance: number;
  readonly main: number;
}`);
  expect(text).toContain(`export interface NamedMetrics {
  /** How large the largest is. */
  readonly largest: number;
}`);
  const app = (name: string): string => `import { Named } from "./named.js";
import { examplesSource } from "mhc-lang/runtime";
const model = await Named.create();
const source = examplesSource(
  { kind: "examples", name: "points", location: "", features: 3, holdout: 0.5, classes: 3 },
  [{ values: new Float32Array(12), count: 4 }],
);
for await (const { metrics, terms } of model.train(source, { steps: 1 })) {
  const numbers: number = metrics.largest + terms.balance + terms.main;
  numbers.toFixed();
}
const { examples, terms, metrics } = await model.measure(source);
console.log(examples.toFixed(), terms.balance, metrics.${name});
console.log((await model.evaluate(source.batch(2, 1, 0))).metrics.largest);
`;
  for (const { path, content } of emitted) writeFileSync(join(folder, path), content);
  expect(checkedApp(app("largest"))).toBe("");
  expect(checkedApp(app("smallest"))).toContain("Property 'smallest' does not exist on type 'NamedMetrics'");
});

const page = (data: string, rest: string): string => `model Own {
  dim n = 6, m = 5
  data own = ${data}
${rest}
  train { batch = 2, steps = 2, optimizer = sgd(rate = 1e-2) }
}
`;
const tokens = `  dim vocab = own.vocab
  param table[vocab, m] ~ normal(0.1)
  param out[m, vocab] ~ normal(0.1)
  seen[n, m] = table[own.token[n], m]
  scores[n, vocab] = seen[n, m] * out[m, vocab]
  loss = cross_entropy(scores, own.next)`;

it.each<readonly [string, string, Facts, string]>([
  [
    "csv",
    page(
      'csv("t.csv", target = "y", label = "k")',
      "  dim f = own.features\n  param w[f] ~ zeros\n  loss = (sum[f](own.value[f] * w[f]) - own.target) ^ 2",
    ),
    {
      own: {
        columns: [{ kind: "number", name: "a", mean: 1, deviation: 2 }],
        target: { name: "y", mean: 0, deviation: 1 },
        label: { name: "k", classes: ["no", "yes"] },
      },
    },
    `import { csvSource, csvValues } from "mhc-lang/runtime";
const classes: readonly string[] | undefined = Own.data.label?.classes;
const values: Float32Array = csvValues(Own.data, "a\\n1\\n");
await model.holdout(csvSource(Own.data, "a,y,k\\n1,2,no\\n"));
for await (const { loss } of model.train("a,y,k\\n1,2,no\\n")) console.log(loss, classes, values);
`,
  ],
  [
    "images",
    page(
      'images("d", height = n, width = m)',
      "  param w[n, m] ~ zeros\n  loss = mean[n, m]((own.value[n, m] - w[n, m]) ^ 2)",
    ),
    { own: { labels: ["cat", "dog"] } },
    `import { imagesSource } from "mhc-lang/runtime";
const name: string | undefined = Own.data.classes[0];
await model.holdout(imagesSource(Own.data, { pixels: new Uint8Array(60), labels: [0, 1] }));
console.log(name);
`,
  ],
  [
    "lines",
    page('lines("n.txt", length = n)', tokens),
    { own: { vocabulary: ["\n", "a"] } },
    `import { linesSource } from "mhc-lang/runtime";
await model.holdout(linesSource(Own.data, "a\\na\\n"));
for await (const { loss } of model.train("a\\na\\n")) loss.toFixed();
const said: string = await model.generate("a", { temperature: 0 });
`,
  ],
  [
    "sequences",
    page('sequences("n.tsv", source = m, target = n)', tokens.replace("own.token", "own.target")),
    { own: { vocabulary: ["<padding>", "<start>", "<end>", "a"] } },
    `import { sequencesSource } from "mhc-lang/runtime";
await model.holdout(sequencesSource(Own.data, "a\\ta\\n"));
for await (const { loss } of model.train("a\\ta\\n")) loss.toFixed();
const said: string = await model.generate("a");
`,
  ],
  [
    "tokens",
    page('tokens("n.txt", tokenizer = "t.json", window = n)', tokens),
    { own: { vocab: 7 } },
    `import { tokensSource, type TextTokenizer } from "mhc-lang/runtime";
const tokenizer: TextTokenizer = { encode: (text) => [...text].map(Number), decode: (tokens) => tokens.join("") };
await model.holdout(tokensSource(Own.data, tokenizer.encode("123")));
const said: string = await model.generate("12", { tokenizer });
`,
  ],
])("of %s take what the source is made of, and say what is known of it", async (kind, text, facts, app) => {
  const said = await checkedPage(
    `own-${kind}`,
    text,
    facts,
    `import { Own } from "./own-${kind}.js";\nconst model = await Own.create();\n${app}`,
  );
  expect(said).toBe("");
});
