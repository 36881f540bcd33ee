/**
 * A model as one file of C and its header, for a phone, a board or a firmware: `mhc compile --target c`. The file holds
 * the kernels, the tables of the dispatches and a few functions around them; an app includes the header, gives the
 * model memory once and calls its entries. `names.ts` makes names of C of those of the page, `runtime-text.ts` has what
 * does not depend on it, `files.ts` a CMake file and an example.
 */
import { copiesOf, isOfTheRun, type Plan, type TensorRef } from "../../runtime/plan.js";
import { mustAt } from "../../runtime/lookup.js";
import { mustValue, valueAt } from "../../runtime/records.js";
import { sizeOf } from "../../src/graph/record.js";
import type { ModuleEmitter } from "../target.js";
import { cmakeFile, exampleFile } from "./files.js";
import {
  floatOf,
  layout,
  LINE,
  PER_THREAD,
  placeOf,
  prototype,
  scratchOf,
  STRUCT,
  typeOf,
  type CModel,
  type EntryFunction,
} from "./layout.js";
import { comment, distinct, lines, literal, snakeCase } from "./names.js";
import { c } from "./printer.js";
import { entrySource, lifeOf, savingOf } from "./functions.js";
import { INITIALIZE, RUNTIME, THREADS, TYPES } from "./runtime-text.js";

/** The name of the device whose kernels the file holds. */
const DEVICE = "c";
/** The c target, with vectors of that many lanes: 4 are what the small processors have, and SSE. */
export const cModel = (lanes: 4 | 8 | 16 = 4): ModuleEmitter => ({
  kind: "module",
  name: "c",
  devices: [{ ...c, name: DEVICE, profile: { ...c.profile, lanes, registers: lanes === 16 ? 32 : 16 } }],
  emit(stem, plan) {
    const model = modelOf(stem, plan);
    return Promise.resolve([
      { path: `${stem}.h`, content: header(model) },
      { path: `${stem}.c`, content: source(model) },
      { path: "CMakeLists.txt", content: cmakeFile(model) },
      { path: "example.c", content: exampleFile(model) },
    ]);
  },
});

function modelOf(stem: string, plan: Plan): CModel {
  const device = mustValue(plan.devices, DEVICE);
  const name = snakeCase(plan.name);
  const ids = Object.keys(device.entries).filter((id) => id !== "start");
  const names = distinct(ids);
  const named = (tensors: Readonly<Record<string, TensorRef>>, without: (id: string, at: TensorRef) => boolean) => {
    const kept = Object.entries(tensors).filter(([id, at]) => !without(id, at));
    const own = distinct(kept.map(([id]) => id));
    return kept.map(([id, at], i) => ({ id, at, name: mustAt(own, i) }));
  };
  const entries = ids.map((id, i): EntryFunction => {
    const entry = mustValue(device.entries, id);
    return {
      id,
      name: mustAt(names, i),
      entry,
      inputs: named(entry.inputs, (input, at) => isOfTheRun(input, at)),
      outputs: named(entry.outputs, () => false),
    };
  });
  const saved = [...plan.parameters, ...plan.states].map(({ offset, shape }) => ({ offset, size: sizeOf(shape) }));
  return { plan, device, name, macro: name.toUpperCase(), stem, entries, saved };
}

/** What a tensor is, for people: `corpus.token [12, 64]`. */
const describe = (id: string, { shape }: TensorRef): string => comment(`${id} [${shape.join(", ")}]`);

/** What an entry does, for people. */
const PURPOSES: Readonly<Record<string, string>> = {
  train: "Makes one training step on a batch, and gives its loss",
  loss: "Computes the loss of every example of a batch",
  gradients: "Computes the loss of a batch and the gradient of every parameter",
  forward: "Computes the outputs",
  outputs: "Computes the outputs",
  vjp: "Computes gradients for cotangents of the outputs",
  monitor: "Measures gains, mixes and claims",
};

function header(model: CModel): string {
  const { plan, name, macro, entries, saved } = model;
  const { bytes } = layout(model);
  const total = plan.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return `/* Made by mhc from the model ${comment(plan.name)}. Do not edit: compile the spec again. */
#ifndef ${macro}_H
#define ${macro}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of memory that a model wants for some threads, at a multiple of ${LINE}. */
#define ${macro}_MEMORY(threads) ((size_t)${bytes + STRUCT} + (size_t)(threads) * ${scratchOf(model) + PER_THREAD})
/* Numbers in all parameters, and numbers that are saved: parameters, then the optimizer's state. */
#define ${macro}_PARAMETERS ${total}
#define ${macro}_SAVED ${saved.reduce((sum, { size }) => sum + size, 0)}
${dims(model)}
typedef struct ${name} ${name};

/*
 * Lays a model out in memory that the caller gives, and keeps. NULL where there is too little of it, or it begins at
 * no multiple of ${LINE}. More than one thread is for files that are compiled with MHC_THREADS defined. Parameters are
 * zeros: ${name}_initialize draws them, and ${name}_load takes those that were saved.
 */
${name} *${name}_create(void *memory, size_t bytes, int threads);
/* Ends the threads of a model; its memory is the caller's again. */
void ${name}_close(${name} *model);
/* Draws parameters as the page says, with the seed that the page has if it is 0, and begins at step 0. */
void ${name}_initialize(${name} *model, uint32_t seed);

/* A parameter: its name on the page, its place among the numbers that are saved, and how many numbers it has. */
typedef struct { const char *name; size_t at, size; } ${name}_parameter;
extern const ${name}_parameter ${name}_parameters[${plan.parameters.length}];
/* Copies ${macro}_SAVED numbers out of a model or into it; the step goes beside them. */
void ${name}_save(const ${name} *model, float *to);
void ${name}_load(${name} *model, const float *from);
/* The first ${macro}_PARAMETERS of these alone. */
void ${name}_load_parameters(${name} *model, const float *from);
/* Steps made so far. */
uint32_t ${name}_step(const ${name} *model);
void ${name}_set_step(${name} *model, uint32_t step);
${vocabulary(model)}
${entries.map((entry) => entryHeader(model, entry)).join("\n")}
#ifdef __cplusplus
}
#endif

#endif
`;
}

const dims = ({ plan, macro }: CModel): string =>
  Object.entries(plan.dims)
    .map(([dim, value]) => `#define ${macro}_DIM_${snakeCase(dim).toUpperCase()} ${value}`)
    .join("\n");

function vocabulary({ plan, name }: CModel): string {
  const text = plan.data.find((info) => info.kind === "characters");
  if (text?.kind !== "characters") return "";
  return `
/* What each token stands for, in UTF-8. */
extern const char *const ${name}_vocabulary[${text.vocabulary.length}];
`;
}

function entryHeader(model: CModel, entry: EntryFunction): string {
  const { name } = model;
  const given = entry.inputs.map(({ id, at }) => describe(id, at)).join(", ");
  const purpose = valueAt(PURPOSES, entry.id) ?? `Runs the entry ${comment(entry.id)}`;
  return [
    `/* ${purpose}${given ? ` of ${given}` : ""}. */`,
    `${prototype(model, entry)};`,
    ...entry.outputs.map(
      (output) =>
        `/* ${describe(output.id, output.at)}, as the last call left it; until the next call. */\n` +
        `const ${typeOf(output.at)} *${name}_${entry.name}_${output.name}(const ${name} *model);`,
    ),
    "",
  ].join("\n");
}

function source(model: CModel): string {
  const { plan, device, name, stem } = model;
  const { code } = device;
  if (code.kind !== "c") throw new Error("bug: the C target has no kernels in C");
  return [
    `/* Made by mhc from the model ${comment(plan.name)}. Do not edit: compile the spec again. */`,
    "#ifdef MHC_THREADS\n#define _POSIX_C_SOURCE 200809L\n#endif",
    `#include "${stem}.h"\n\n#include <math.h>`,
    code.prelude,
    ...Object.values(code.functions),
    ...code.kernels.map(({ text }) => text.replace(/^void /m, "static void ")),
    TYPES,
    THREADS,
    tables(model),
    structOf(model),
    RUNTIME.replaceAll("MODEL", name),
    INITIALIZE,
    lifeOf(model),
    savingOf(model),
    ...model.entries.map((entry) => entrySource(model, entry)),
    "",
  ].join("\n\n");
}

function tables(model: CModel): string {
  const { plan, device, name } = model;
  const places: string[] = [];
  const rows = Object.values(device.entries).flatMap(({ dispatches }) =>
    dispatches.map((dispatch) => {
      const info = mustAt(device.kernels, dispatch.kernel);
      const first = places.length;
      for (const [slot, offset] of dispatch.offsets.entries()) {
        const { pool } = mustAt(info.buffers, slot % info.buffers.length);
        if (pool === "half") throw new Error("bug: the C target has no half precision");
        places.push(placeOf(pool, offset));
      }
      return `{${dispatch.kernel}, ${copiesOf(dispatch, info)}, ${first}}`;
    }),
  );
  const infos = device.kernels.map(({ groups, buffers }, i) => `{k${i}, ${groups}, ${buffers.length}}`);
  const most = Math.max(1, ...device.kernels.map(({ buffers }) => buffers.length));
  const text = plan.data.find((info) => info.kind === "characters");
  let at = 0;
  const parameters = plan.parameters.map((parameter) => {
    const size = sizeOf(parameter.shape);
    const row = `{${literal(parameter.name)}, ${at}, ${size}}`;
    at += size;
    return row;
  });
  return [
    `#define MOST_BUFFERS ${most}\n#define SCRATCH ${scratchOf(model)}`,
    `static const kernel_info kernels[] = {\n${lines(infos, "  ")}\n};`,
    `static const dispatch dispatches[] = {\n${lines(rows, "  ")}\n};`,
    `static const uint32_t places[] = {\n${lines(places, "  ")}\n};`,
    ...device.constants.map(({ at: { dtype }, data }, i) => {
      const items = data.map((value) => (dtype === "u32" ? `${value}u` : floatOf(value)));
      return `static const ${dtype === "u32" ? "uint32_t" : "float"} constant${i}[] = {\n${lines(items, "  ")}\n};`;
    }),
    `const ${name}_parameter ${name}_parameters[${parameters.length}] = {\n${lines(parameters, "  ")}\n};`,
    ...(text?.kind === "characters"
      ? [
          `const char *const ${name}_vocabulary[${text.vocabulary.length}] = {\n` +
            `${lines(text.vocabulary.map(literal), "  ")}\n};`,
        ]
      : []),
  ].join("\n\n");
}

const structOf = ({ name }: CModel): string => `#ifdef MHC_THREADS
typedef struct { ${name} *of; int number; } worker;
#endif

struct ${name} {
  void *pools[4];
  char *scratch;
  uint32_t step, seed;
#ifdef MHC_THREADS
  int32_t first, count;
  int started;
  counter *counters;
  worker *workers;
  pthread_t *handles;
  team team;
#endif
};
`;
