/**
 * Writes the module that an app imports: `import { MobyDick } from "./moby-dick.js"`. One file, so that whatever runs
 * it (a bundler, `tsc`, Node as it is) has nothing to find beside it: the page's own names, shapes and doc comments as
 * types, and at the end the plan as a string of JSON (a literal of that size would slow the type checker down), which
 * is parsed when it is first needed. The module holds no logic: it gives types to `load` of mhc-lang/runtime. What is
 * written of a page's words and names is in `words.ts`. ts-morph is loaded when it is needed, since loading takes
 * longer than emitting.
 *
 * @module mhc-lang/typescript
 */
import type {
  ClassDeclarationStructure,
  GetAccessorDeclarationStructure,
  InterfaceDeclarationStructure,
  OptionalKind,
  Scope,
} from "ts-morph";
import { sizeOf } from "../../src/graph/record.js";
import type { DataInfo, ParameterInfo, Plan } from "../../runtime/plan.js";
import { described } from "../../runtime/sources.js";
import type { ModuleEmitter } from "../target.js";
import { recordOf, valueAt } from "../../runtime/records.js";
import { measuredInterfaces } from "./measured.js";
import { computing, GENERATE, GENERATE_TOKENS, keeping, option, training, type Method } from "./methods.js";
import { commentOf, literalOf, localName } from "./words.js";

type Interface = OptionalKind<InterfaceDeclarationStructure>;

const RUNTIME = "mhc-lang/runtime";
/** Names of the module's own. None is a page's: these have no dollar sign. */
const PLAN = "plan$";
const PARSED = "parsed$";
/** Where the plan will stand. */
const PLACE = "$PLACE";

/** Emits one TypeScript module a model: `compile --target typescript`. */
export const typescript: ModuleEmitter = {
  kind: "module",
  name: "typescript",
  async emit(stem, plan) {
    const morph = await import("ts-morph");
    const project = new morph.Project({
      useInMemoryFileSystem: true,
      manipulationSettings: { indentationText: morph.IndentationText.TwoSpaces },
    });
    const file = project.createSourceFile("module.ts");
    const local = localName(plan.name);
    const facts: ModelFacts = {
      plan,
      local,
      generates: plan.data.some((info) => described(info).text) && plan.train !== null,
      written: plan.data.map((info) => described(info).written).find((text) => text !== null) ?? null,
      pairs: plan.data.find(({ kind }) => kind === "pairs"),
      computes: Object.keys(plan.outputs).length > 0,
    };
    file.addStatements(`// Made by mhc from the model ${plan.name}. Do not edit: compile the spec again.`);
    file.addImportDeclaration({ moduleSpecifier: RUNTIME, namedImports: ["load"] });
    file.addImportDeclaration({ moduleSpecifier: RUNTIME, isTypeOnly: true, namedImports: importedTypes(facts) });
    for (const type of interfaces(facts)) file.addInterface(type);
    file.addClass(modelClass(facts, morph.Scope.Private));
    if (local !== plan.name) file.addExportDeclaration({ namedExports: [{ name: local, alias: plan.name }] });
    file.addVariableStatement({
      declarationKind: morph.VariableDeclarationKind.Let,
      declarations: [{ name: PARSED, type: "Plan | undefined" }],
    });
    file.addFunction({
      name: PLAN,
      returnType: "Plan",
      docs: ["The compiled plan, parsed once."],
      statements: [`return (${PARSED} ??= JSON.parse(${PLACE}) as Plan);`],
    });
    file.formatText();
    return [{ path: `${stem}.ts`, content: withPlan(file.getFullText(), plan) }];
  },
};

/** What the module's parts are made from. */
interface ModelFacts {
  readonly plan: Plan;
  /** What the class is called within the module. */
  readonly local: string;
  /** Whether it continues texts. */
  readonly generates: boolean;
  /** What a text must be to be trained on; null when only a source of batches will do. */
  readonly written: string | null;
  /** The data of pairs that it is trained on, if there is such. */
  readonly pairs: DataInfo | undefined;
  /** Whether it has outputs that an app reads. */
  readonly computes: boolean;
}

const importedTypes = ({ plan, generates }: ModelFacts): string[] => [
  ...(plan.train ? ["Batch", "BatchEvaluation", "CallOptions", "Evaluation"] : []),
  ...[told(plan) ?? []].flat().map(infoType),
  ...(generates ? ["GenerateOptions"] : []),
  "LoadOptions",
  "Model",
  "ParameterAccess",
  "Plan",
  ...(plan.train ? ["Source", "StepMetrics", "TrainOptions"] : []),
];

/** The source whose facts an app hands on: to `csvSource`, `imagesSource` and the like. */
const told = ({ data }: Plan): DataInfo | undefined =>
  data.find(({ kind }) => kind !== "characters" && kind !== "examples" && kind !== "pairs");

/** The name of the type of what a plan says of a source: `CsvInfo`. */
const infoType = ({ kind }: DataInfo): string => `${kind[0]?.toUpperCase() ?? ""}${kind.slice(1)}Info`;

/** Dims, parameters, inputs and outputs, as interfaces with a doc comment for each. */
function interfaces({ plan, computes }: ModelFacts): Interface[] {
  const dims: Interface = {
    name: `${plan.name}Dims`,
    isExported: true,
    docs: [`The dims of ${plan.name}.`],
    properties: Object.entries(plan.dims).map(([name, value]) => {
      const doc = valueAt(plan.dimDocs, name);
      return { name, type: `${value}`, isReadonly: true, ...(doc ? { docs: [commentOf(doc)] } : {}) };
    }),
  };
  const parameters: Interface = {
    name: `${plan.name}Parameters`,
    isExported: true,
    docs: [`The parameters of ${plan.name}: values are row-major over the axes named here.`],
    properties: plan.parameters.map((info) => ({
      name: JSON.stringify(info.name),
      type: "ParameterAccess",
      isReadonly: true,
      docs: [commentOf(describe(info))],
    })),
  };
  const tensors = (kind: "Inputs" | "Outputs", named: Plan["inputs"] | Plan["outputs"]): Interface => ({
    name: `${plan.name}${kind}`,
    isExported: true,
    docs: [`${kind} of ${plan.name}: row-major, with a leading batch axis of ${plan.train?.batch ?? 1}.`],
    properties: Object.entries(named).map(([name, { shape, axes }]) => ({
      name,
      type: "Float32Array",
      isReadonly: true,
      docs: [shapeText(axes, shape)],
    })),
  });
  const computed = computes ? [tensors("Inputs", plan.inputs), tensors("Outputs", plan.outputs)] : [];
  return [dims, parameters, ...measuredInterfaces(plan), ...computed];
}

/** The class that an app makes: it holds the runtime's model, and hands every call on to it. */
function modelClass(facts: ModelFacts, scope: Scope.Private): OptionalKind<ClassDeclarationStructure> {
  const { plan, local } = facts;
  const size = count(plan.parameters).toLocaleString("en");
  const doc = [
    commentOf(plan.doc ?? `The model ${plan.name}.`),
    "",
    `${size} parameters in ${plan.parameters.length} tensors.`,
  ].join("\n");
  return {
    name: local,
    isExported: local === plan.name,
    docs: [doc],
    properties: [{ name: "model", scope, isReadonly: true, type: "Model" }],
    ctors: [{ scope, parameters: [{ name: "model", type: "Model" }], statements: ["this.model = model;"] }],
    getAccessors: accessors(facts),
    methods: methods(facts),
  };
}

function accessors({ plan, pairs }: ModelFacts): OptionalKind<GetAccessorDeclarationStructure>[] {
  const names = pairs
    ? [
        {
          name: "names",
          isStatic: true,
          returnType: "readonly string[]",
          docs: [`What ${pairs.name} is about: row i of a parameter over \`${pairs.name}.names\` is that of names[i].`],
          statements: [
            `for (const data of ${PLAN}().data) if (data.kind === "pairs") return data.names;`,
            "return [];",
          ],
        },
      ]
    : [];
  const source = told(plan);
  return [
    ...(source ? [dataAccessor(plan, source)] : []),
    {
      name: "dims",
      isStatic: true,
      returnType: `${plan.name}Dims`,
      docs: ["The dims that the model was compiled with."],
      statements: [`return ${PLAN}().dims as unknown as ${plan.name}Dims;`],
    },
    ...names,
    { name: "step", returnType: "number", docs: ["Steps trained so far."], statements: ["return this.model.step;"] },
    {
      name: "device",
      returnType: "string",
      docs: ["The device it runs on."],
      statements: ["return this.model.device.name;"],
    },
  ];
}

function dataAccessor({ data }: Plan, info: DataInfo): OptionalKind<GetAccessorDeclarationStructure> {
  const type = infoType(info);
  return {
    name: "data",
    isStatic: true,
    returnType: type,
    docs: [`What is known of ${info.name}, for the functions of mhc-lang/runtime that make batches of data.`],
    statements: [`return ${PLAN}().data[${data.indexOf(info)}] as ${type};`],
  };
}

function methods({ plan, local, generates, written, computes }: ModelFacts): Method[] {
  const create: Method = {
    name: "create",
    isStatic: true,
    isAsync: true,
    returnType: `Promise<${local}>`,
    docs: [
      "Puts the model on a device with initial values from a seed. Throws DeviceError when there is no such device.",
    ],
    parameters: [option("options", "LoadOptions", "{}")],
    statements: [`return new ${local}(await load(${PLAN}(), options));`],
  };
  return [
    create,
    ...(plan.train ? training(plan, written) : []),
    ...(generates ? [plan.data.some(({ kind }) => kind === "tokens") ? GENERATE_TOKENS : GENERATE] : []),
    ...(computes ? computing(plan) : []),
    ...keeping(plan),
  ];
}

/**
 * The module's text with the plan in its place, put in last: a writer that keeps account of indentation looks at every
 * character of it.
 */
function withPlan(text: string, plan: Plan): string {
  const place = text.lastIndexOf(PLACE);
  const literal = literalOf(JSON.stringify(withoutText(plan)));
  return [text.slice(0, place), literal, text.slice(place + PLACE.length)].join("");
}

/** The plan without the WebAssembly text, which is for people and four times as long as the rest. */
function withoutText(plan: Plan): Plan {
  const strip = (device: Plan["devices"][string]): Plan["devices"][string] =>
    device.code.kind === "wasm" ? { ...device, code: { ...device.code, text: "" } } : device;
  return { ...plan, devices: recordOf(Object.entries(plan.devices).map(([name, device]) => [name, strip(device)])) };
}

const shapeText = (axes: readonly string[], shape: readonly number[]): string =>
  `[${axes.map((axis, i) => `${axis} = ${shape[i]}`).join(", ")}]`;
const describe = ({ axes, shape, doc }: ParameterInfo): string => `${shapeText(axes, shape)}${doc ? `: ${doc}` : ""}`;
const count = (parameters: readonly ParameterInfo[]): number =>
  parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
