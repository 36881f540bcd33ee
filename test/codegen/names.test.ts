/**
 * Names of a page are data, and so is its text: words that mean something to a target, and random strings, in every
 * place of a page where a name, a string or a comment can be. Each is refused by a diagnostic at its place; or it
 * leaves the code of every device as it is, and the module of the page type-checks, runs and round-trips. Pages hold
 * hundreds of names each, and all modules are checked by one run of the type checker.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ts } from "ts-morph";
import { afterAll, describe, expect, it, vi } from "vitest";
import { typescript } from "../../codegen/typescript/emitter.js";
import { format } from "../../grammar/format.js";
import { keywords } from "../../grammar/lexer.js";
import { parse } from "../../grammar/parse.js";
import { deviceNames } from "../../runtime/device.js";
import * as runtime from "../../runtime/index.js";
import type { Model } from "../../runtime/interface.js";
import type { Plan } from "../../runtime/plan.js";
import { check } from "../../src/compile/compile.js";
import { printModel } from "../../src/model/print.js";
import { cpuDevices, everyDevice } from "../helpers/devices.js";
import { planOf } from "../helpers/specs.js";
import { objectWords, strings, typescriptWords, words } from "./words.js";

// Seconds, and minutes on a busy machine.
vi.setConfig({ testTimeout: 300_000 });

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = mkdtempSync(join(tmpdir(), "mhc-names-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DEVICES = deviceNames;
/**
 * A name as the language has them: letters and digits of ASCII. Letters of other scripts are refused, so that no
 * two names look alike.
 */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const isName = (text: string): boolean => NAME.test(text) && !(keywords as readonly string[]).includes(text);

/**
 * Strings of all kinds; the same in every run. A page with a zero byte, or a carriage return alone, is refused as
 * a whole.
 */
const random = strings(10_000, 17);
const readable = random.map((text) => text.replace(/[\0\r]/g, ""));

/**
 * Where a name can be: what a page says of the i-th, over `n` and the input `u`. Outputs `y0`, `y1`, … are
 * `factor` times u.
 */
const places = {
  dim: (name, i) => [`dim ${name} = 3`, `v${i}[${name}] = u`, `output y${i}[n] = 2 * v${i}`],
  input: (name, i) => [`input ${name}[n]`, `output y${i}[n] = 2 * ${name}[n]`],
  output: (name) => [`output ${name}[n] = 2 * u[n]`],
  parameter: (name, i) => [`param ${name}[n] ~ constant(2)`, `output y${i}[n] = ${name}[n] * u[n]`],
  tensor: (name, i) => [`${name}[n] = 2 * u[n]`, `output y${i}[n] = ${name}[n]`],
  instance: (name, i) => [`output y${i}[n] = scaled(u) as ${name}`],
  block: (name, i) => [`output y${i}[n] = ${name}(u) as b${i}`],
  "dim of a block": (name, i) => [`output y${i}[n] = dims_${name}(u)`],
  manifold: (name, i) => [
    `manifold ${name} = box(from = 1, to = 3)`,
    `param p${i}[n] ~ ${name}.start on ${name}`,
    `output y${i}[n] = p${i}[n] * u[n]`,
  ],
} satisfies Readonly<Record<string, (name: string, i: number) => readonly string[]>>;
type Place = keyof typeof places;

const blocks: Partial<Readonly<Record<Place, (name: string) => string>>> = {
  block: (name) => `block ${name}(v[m]) {\n  param s[m] ~ constant(2)\n  return [m] = s[m] * v[m]\n}\n`,
  "dim of a block": (name) => `block dims_${name}(v[${name}]) {\n  return [${name}] = 2 * v[${name}]\n}\n`,
};

/** Each place has all words; those that make much of a name have fewer of them. */
const MOST: Partial<Readonly<Record<Place, number>>> = { manifold: 40, parameter: 100, instance: 100, block: 100 };

const SCALED = "block scaled(v[m]) {\n  param s[m] ~ constant(2)\n  return [m] = s[m] * v[m]\n}\n";

const pageOf = (place: Place, names: readonly string[]): string =>
  [
    "model A {",
    "  dim n = 3",
    "  input u[n]",
    ...names.flatMap(places[place]).map((line) => `  ${line}`),
    "}",
    "",
    SCALED,
  ]
    .concat(names.map(blocks[place] ?? (() => "")))
    .join("\n");

/** The names that a page takes in a place. What it does not is named by a diagnostic. */
function taken(place: Place, names: readonly string[]): readonly string[] {
  const { model, diagnostics } = check(pageOf(place, names), { file: "p.mhc" });
  if (model) return names;
  const refused = names.filter((name) => diagnostics.some(({ message }) => message.includes(`\`${name}\``)));
  expect(refused, diagnostics.map(({ message }) => message).join("\n")).not.toEqual([]);
  return taken(
    place,
    names.filter((name) => !refused.includes(name)),
  );
}

/** A generated module as it runs, without its types. */
function evaluated(
  content: string,
): Readonly<Record<string, { create(options: runtime.LoadOptions): Promise<Model> }>> {
  const { outputText } = ts.transpileModule(content, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  });
  const exports = {};
  new Function("require", "exports", outputText)(() => runtime, exports);
  return exports;
}

const modules: string[] = [];
/** Emits a module into the folder that is type-checked in the end. */
async function emitted(stem: string, plan: Plan): Promise<string> {
  const [file, ...others] = await typescript.emit(stem, plan);
  expect(others).toEqual([]);
  writeFileSync(join(folder, file!.path), file!.content);
  modules.push(file!.path);
  return file!.content as string;
}

/** Forward, and a checkpoint that brings back every parameter. */
async function used(model: Model, plan: Plan): Promise<void> {
  const u = Float32Array.of(1, 2, 3);
  const outputs = await model.forward(Object.fromEntries(Object.keys(plan.inputs).map((name) => [name, u])));
  expect(Object.keys(outputs)).toEqual(Object.keys(plan.outputs));
  for (const [name, values] of Object.entries(outputs)) expect([name, ...values]).toEqual([name, 2, 4, 6]);
  const access = Object.entries(model.parameters());
  expect(access.map(([name]) => name)).toEqual(plan.parameters.map(({ name }) => name));
  const bytes = await model.checkpoint();
  for (const [, parameter] of access) parameter.set([7, 8, 9]);
  await model.load(bytes);
  for (const [name, parameter] of access) expect([name, ...(await parameter.get())]).not.toEqual([name, 7, 8, 9]);
}

describe("words of targets and of objects, as the name of", () => {
  it.each(Object.keys(places) as Place[])("a %s", async (place) => {
    const names = taken(
      place,
      words
        .filter((word) => !(keywords as readonly string[]).includes(word) && word !== "n" && word !== "u")
        .slice(0, MOST[place] ?? words.length),
    );
    expect(objectWords.filter((word) => !names.includes(word) && words.includes(word) && word !== "return")).toEqual(
      [],
    );
    const page = pageOf(place, names);
    const [plan, plain] = [
      await planOf(page, DEVICES),
      await planOf(
        pageOf(
          place,
          names.map((_, i) => `plain_${i}`),
        ),
        DEVICES,
      ),
    ];
    for (const device of DEVICES)
      expect([plan.devices[device]!.kernels, plan.devices[device]!.code]).toEqual([
        plain.devices[device]!.kernels,
        plain.devices[device]!.code,
      ]);
    const { A } = evaluated(await emitted(`place-${place.replaceAll(" ", "-")}`, plan));
    for (const device of place === "input"
      ? everyDevice
      : place === "parameter"
        ? cpuDevices
        : ["javascript" as const]) {
      const model = await A!.create({ device });
      await used(model, plan);
      await model.close();
    }
    const formatted = format(page, "p.mhc").text!;
    expect(format(formatted, "p.mhc").text).toBe(formatted);
    expect(printModel(check(formatted, { file: "p.mhc" }).model!)).toBe(
      printModel(check(page, { file: "p.mhc" }).model!),
    );
  });
});

describe("random strings", () => {
  it("as names are names, or refused at their place, or other text that is written and read again", () => {
    const items: readonly ((text: string) => readonly [string, string])[] = [
      (text) => [`dim ${text}`, " = 3"],
      (text) => [`input ${text}`, "[n]"],
      (text) => [`param ${text}`, "[n] ~ ones"],
      (text) => [`output ${text}`, "[n] = u"],
      (text) => [`data ${text}`, ' = characters("x")'],
      (text) => [`manifold ${text}`, " = sphere"],
      (text) => [`output y[n] = ${text}`, "(u)"],
      (text) => [`${text}`, "[n] = u"],
    ];
    let refused = 0;
    for (const [i, text] of random.filter((one) => !isName(one)).entries()) {
      const [head, tail] = items[i % items.length]!(text);
      const page = `model A {\n  ${head}${tail}\n}\n`;
      const { diagnostics } = parse(page, "p.mhc");
      if (diagnostics.length) {
        refused++;
        expect(Math.max(...diagnostics.map(({ span }) => span.end)), JSON.stringify(page)).toBeGreaterThanOrEqual(
          page.indexOf(head) + head.length - text.length,
        );
        continue;
      }
      const { text: formatted } = format(page, "p.mhc");
      expect([text, parse(formatted!, "p.mhc").diagnostics, format(formatted!, "p.mhc").text]).toEqual([
        text,
        [],
        formatted,
      ]);
    }
    expect(refused).toBeGreaterThan(3000);
  });

  it("as names and comments leave a module as it is, and come back", async () => {
    const names = [...new Set(random.filter(isName))].filter((name) => name !== "u" && name !== "y");
    const docs = names.map((_, i) => readable[i]!);
    const items = names.flatMap((name, i) => [
      `// ${readable[i + names.length]}`,
      `/// ${docs[i]}`,
      `dim ${name} = 3`,
      "",
    ]);
    const computed = [`input u[${names[0]}]`, `output y[${names[0]}] = 2 * u[${names[0]}]`];
    const page = [`/// ${docs[0]}`, "model A {", ...[...items, ...computed].map((line) => `  ${line}`), "}", ""].join(
      "\n",
    );
    const plan = await planOf(page, ["javascript"]);
    expect(Object.keys(plan.dims)).toEqual(names);
    expect(names.map((name) => plan.dimDocs[name] ?? "")).toEqual(docs.map((doc) => doc.trim()));
    const [documented, plain] = await Promise.all([
      emitted("random", plan),
      typescript.emit("plain", { ...plan, doc: null, dimDocs: {} }),
    ]);
    const printer = ts.createPrinter({ removeComments: true });
    const code = (text: string): string =>
      printer
        .printFile(ts.createSourceFile("a.ts", text.slice(0, text.lastIndexOf("JSON.parse(")), ts.ScriptTarget.ES2022))
        .replace(/\s+/g, " ");
    expect(code(documented)).toBe(code(plain[0]!.content as string));
    const formatted = format(page, "p.mhc").text!;
    expect(format(formatted, "p.mhc").text).toBe(formatted);
    const again = await planOf(formatted, ["javascript"]);
    expect([again.dims, again.dimDocs]).toEqual([plan.dims, plan.dimDocs]);
  });

  it("as strings of a page and of its data are in the plan as they were", async () => {
    const escaped = (text: string): string => text.replace(/["\\]/g, "\\$&");
    const items = readable.map((text, i) => `  data d${i} = characters("${escaped(text)}", window = 3)\n`);
    const page = `model A {\n${items.join("")}}\n`;
    const { file, diagnostics } = parse(page, "p.mhc");
    expect(diagnostics).toEqual([]);
    const [model] = file.items as readonly Extract<(typeof file.items)[number], { readonly kind: "model" }>[];
    const locations = model!.items
      .flatMap((item) => (item.kind === "data" ? item.source.lists.flat() : []))
      .flatMap(({ value }) => (value.kind === "string" ? [value.value] : []));
    expect(locations).toEqual(readable);
    expect(format(page, "p.mhc").text).toBe(page);
    const plan = await planOf("model A {\n  dim n = 3\n  input u[n]\n  output y[n] = 2 * u[n]\n}\n", ["javascript"]);
    const data = random.map(
      (location) =>
        ({ kind: "characters", name: "d", location, window: 3, holdout: 0.1, vocabulary: [location] }) as const,
    );
    const whole = { ...plan, data };
    const content = await emitted("strings", whole);
    expect(content).not.toMatch(/<\/|<!--|[\u2028\u2029]/);
    const model2 = await evaluated(content)["A"]!.create({ device: "javascript" });
    expect((model2 as unknown as { readonly model: Model }).model.plan.data).toEqual(data);
  });
});

it("training gives back what a page calls anything, under any name", async () => {
  for (const [i, name] of ["__proto__", "constructor", "toString", "valueOf"].entries()) {
    const [data, manifold, stream, instance] = ["a", "b", "c", "d"].map((other, k) => (k === i % 4 ? name : other));
    const page = `model A {
  dim t = 2, w = 3, l = 2
  data ${data} = characters("x.txt", window = t)
  manifold ${manifold} = birkhoff(iterations = 5)
  stream ${stream}[l, t, w] = copies(embed(${data}.token))
  ${stream} through own() via mhc(${manifold}) as ${instance}
  loss = cross_entropy(unembed(total(${stream})), ${data}.next)
  train {
    batch = 2, steps = 2
    optimizer = adamw(rate = 0.1)
  }
}

block own(v[t, w]) {
  param ${name}[w] ~ ones
  return [t, w] = v[t, w] * ${name}[w]
}
`;
    const plan = await planOf(page, ["javascript"], { facts: { [data!]: { vocabulary: ["a", "b", "c"] } } });
    const model = await runtime.load(plan, { device: "javascript" });
    const tokens = Uint32Array.of(0, 1, 2, 0);
    const batch = { [`${data}.token`]: tokens, [`${data}.next`]: tokens };
    const source = { batch: () => batch, *holdout() {}, holdoutExamples: 0 };
    for await (const step of model.train(source, { steps: 2 }))
      expect(Object.keys(step.constraints)).toEqual([manifold]);
    const { gradients } = await model.gradients(batch);
    expect(Object.keys(gradients)).toEqual(plan.parameters.map((info) => info.name));
    expect(plan.parameters.some((info) => info.name === `${instance}.${name}`)).toBe(true);
    const again = await runtime.load(plan, { device: "javascript", seed: 9 });
    await again.load(await model.checkpoint());
    expect((await again.gradients(batch)).gradients).toEqual(gradients);
  }
});

/** A model that has the name of each `every`th thing that its module uses, one after the other. */
async function namedAsItsModule(every: number): Promise<void> {
  const plan = await planOf(
    "model Some {\n  dim n = 3\n  input u[n]\n  param w[n] ~ constant(2)\n  output y[n] = w[n] * u[n]\n}\n",
    ["javascript"],
  );
  const [trained] = await typescript.emit("trained", {
    ...plan,
    train: { batch: 1, steps: 1, seed: 1 },
    data: [{ kind: "characters", name: "d", location: "", window: 1, holdout: 0.1, vocabulary: [] }],
  });
  const inModule = (trained!.content as string)
    .slice(0, (trained!.content as string).lastIndexOf("JSON.parse"))
    .match(/[A-Za-z_]\w*(?!\w|\$)/g)!;
  const names = [...new Set([...typescriptWords, ...objectWords, ...inModule, "JSON", "A", "constructor"])]
    // As modules are evaluated here, and nowhere else, `__esModule` is taken.
    .filter((name, i) => NAME.test(name) && name !== "__esModule" && i % every === 0);
  expect(names.length).toBeGreaterThan(20);
  for (const [i, name] of names.entries()) {
    const content = await emitted(`model-${i}`, { ...plan, name });
    const Made = evaluated(content)[name]!;
    await used(await Made.create({ device: "javascript" }), plan);
  }
}

it("a model may have the name of something that its module uses: each seventh", () => namedAsItsModule(7));
it("a model may have the name of anything that its module uses", { tags: "slow" }, () => namedAsItsModule(1));

/** Checks all modules that were emitted before. */
function passTypeChecker(): void {
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: "ES2022",
        module: "NodeNext",
        lib: ["ES2023", "DOM", "DOM.AsyncIterable"],
        skipLibCheck: true,
        declaration: true,
        erasableSyntaxOnly: true,
        isolatedDeclarations: true,
        verbatimModuleSyntax: true,
        isolatedModules: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noUnusedLocals: true,
        noUnusedParameters: true,
        noImplicitReturns: true,
        noPropertyAccessFromIndexSignature: true,
        types: ["node", "@webgpu/types"],
        typeRoots: [join(root, "node_modules/@types"), join(root, "node_modules")],
        paths: { "mhc-lang/runtime": [join(root, "runtime/index.ts")] },
      },
      files: modules,
    }),
  );
  const said = (): string => {
    try {
      return execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (error) {
      return (error as { readonly stdout: string }).stdout;
    }
  };
  // What the checker says of the runtime's own source is not of these modules.
  expect(
    said()
      .split("\n")
      .filter((line) => /^(place|random|strings|model)-?/.test(line)),
  ).toEqual([]);
}

const CHECKED = "and all modules pass a strict type checker, as files whose types can be stripped";
it(CHECKED, passTypeChecker);
it(`${CHECKED}; those of all names`, { tags: "slow" }, passTypeChecker);
