/** The methods of a module's class: each hands its arguments on to the runtime's model, and has the page's types. */
import type { MethodDeclarationStructure, OptionalKind, ParameterDeclarationStructure } from "ts-morph";
import type { Plan } from "../../runtime/plan.js";
import { naming, saying } from "./measured.js";

/** A method of a class, as ts-morph writes it. */
export type Method = OptionalKind<MethodDeclarationStructure>;

/** A parameter with what it is when it is not given. */
export function option(name: string, type: string, initializer: string): OptionalKind<ParameterDeclarationStructure> {
  return { name, type, initializer };
}

/** A method that hands its arguments on to the runtime's model. */
function method(name: string, returnType: string, parameters: readonly string[], doc: string, body: string): Method {
  return {
    name,
    returnType,
    docs: [doc],
    parameters: parameters.map((text) => {
      const [, parameter = "", type = "", initializer] = /^(\w+): (.*?)(?: = (.*))?$/.exec(text) ?? [];
      return { name: parameter, type, ...(initializer ? { initializer } : {}) };
    }),
    statements: [`return this.model.${body};`],
  };
}

/** `text`: what a text must be to be trained on; null when only a source of batches will do. */
export function training(plan: Plan, text: string | null): Method[] {
  const steps = `AsyncIterableIterator<${naming(plan, "StepMetrics")}>`;
  const evaluation = `Promise<${naming(plan, "Evaluation")}>`;
  const ofBatch = `Promise<${naming(plan, "BatchEvaluation")}>`;
  const data = `data: Source${text === null ? "" : " | string"}`;
  return [
    method(
      "train",
      steps,
      [data, "options: TrainOptions = {}"],
      `Trains on ${text === null ? "" : `${text} or `}a source of batches; yields after every step. Other calls come ` +
        `between two steps. \`signal\` ends it after the step under way. Throws NumericError when the loss is ` +
        "not finite.",
      saying(plan, "train(data, options)", steps),
    ),
    method(
      "holdout",
      "Promise<number>",
      [data, "options: CallOptions = {}"],
      "Mean loss over the held-out part of the data; over all pairs, when none are held out. `signal` ends it.",
      "holdout(data, options)",
    ),
    method(
      "measure",
      evaluation,
      [data, "options: CallOptions = {}"],
      "The same with the named parts of the loss and the metrics.",
      saying(plan, "measure(data, options)", evaluation),
    ),
    method(
      "evaluate",
      ofBatch,
      ["batch: Batch"],
      "Mean loss of one batch, its named parts and the metrics; nothing changes.",
      saying(plan, "evaluate(batch)", ofBatch),
    ),
    method(
      "gradients",
      "Promise<{ readonly loss: number; readonly gradients: Readonly<Record<string, Float32Array>> }>",
      ["batch: Batch"],
      "Loss and gradients of one batch, by parameter; nothing changes.",
      "gradients(batch)",
    ),
  ];
}

/** Continuing a text of characters. */
export const GENERATE: Method = method(
  "generate",
  "Promise<string>",
  ["prompt: string", "options: GenerateOptions = {}"],
  "Continues a text with characters of the training text. Throws DataError on any other character.",
  "generate(prompt, options)",
);

/** Continuing a text of tokens. */
export const GENERATE_TOKENS: Method = method(
  "generate",
  "Promise<string>",
  ["prompt: string", "options: GenerateOptions"],
  "Continues a text, which `options.tokenizer` makes tokens. Throws DataError where it is not given.",
  "generate(prompt, options)",
);

/** Parameters, checkpoints, and the end. */
export const keeping = ({ name }: Plan): Method[] => [
  method(
    "parameters",
    `${name}Parameters`,
    [],
    "Every parameter by name: its shape, its values, and how to set them.",
    `parameters() as unknown as ${name}Parameters`,
  ),
  method(
    "checkpoint",
    "Promise<Uint8Array<ArrayBuffer>>",
    [],
    "All parameters and optimizer state as a safetensors file.",
    "checkpoint()",
  ),
  method(
    "save",
    "Promise<void>",
    ["path: string"],
    "Writes the checkpoint to a file, atomically. Node only.",
    "save(path)",
  ),
  method(
    "load",
    "Promise<{ readonly leftOut: readonly string[] }>",
    ["from: string | Uint8Array"],
    "Restores a checkpoint from a file (Node only) or its bytes. Names the moments that it leaves out, of parameters " +
      "that are frozen here. Throws DataError when it is not of this model, or not finite.",
    "load(from)",
  ),
  method("close", "Promise<void>", [], "Gives the device's memory back.", "close()"),
];

/** Forward pass and derivative of a model with outputs. */
export function computing({ name }: Plan): Method[] {
  return [
    {
      name: "forward",
      isAsync: true,
      returnType: `Promise<${name}Outputs>`,
      docs: ["Computes the outputs."],
      parameters: [{ name: "inputs", type: `${name}Inputs` }],
      statements: [`return (await this.model.forward({ ...inputs })) as unknown as ${name}Outputs;`],
    },
    {
      name: "vjp",
      isAsync: true,
      returnType:
        `Promise<{ readonly inputs: ${name}Inputs; readonly parameters: Readonly<Record<keyof ` +
        `${name}Parameters, Float32Array>> }>`,
      docs: ["Vector-Jacobian product: cotangents of the inputs and of the parameters, for cotangents of the outputs."],
      parameters: [
        { name: "inputs", type: `${name}Inputs` },
        { name: "cotangents", type: `${name}Outputs` },
      ],
      statements: [
        "const back = await this.model.vjp({ ...inputs }, { ...cotangents });",
        `return back as unknown as { readonly inputs: ${name}Inputs; readonly parameters: ` +
          `Readonly<Record<keyof ${name}Parameters, Float32Array>> };`,
      ],
    },
  ];
}
