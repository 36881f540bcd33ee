/**
 * A model as one file of C and its header, for a phone, a board or a firmware: `mhc compile --target c`. The file holds
 * the kernels, the tables of the dispatches and a few functions around them; an app includes the header, gives the
 * model memory once and calls its entries. `names.ts` makes names of C of those of the page, `runtime-text.ts` has what
 * does not depend on it, `files.ts` a CMake file and an example.
 */
import { copiesOf, isOfTheRun, type Plan, type TensorRef } from "../../runtime/plan.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { mustValue } from "../../runtime/records.js";
import { siteHash } from "../../runtime/threefry.js";
import { sizeOf } from "../../src/graph/record.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import type { ModuleEmitter } from "../target.js";
import { cmakeFile, exampleFile } from "./files.js";
import type { CModel, EntryFunction } from "./shape.js";
import { comment, distinct, lines, literal, snakeCase } from "./names.js";
import { c } from "./printer.js";
import { INITIALIZE, RUNTIME, THREADS, TYPES } from "./runtime-text.js";

/** The name of the device whose kernels the file holds. */
const DEVICE = "c";
const POOLS = ["state", "work", "ints", "out"] as const;
const LINE = 64;
/** Bytes behind a pool that a vector of its last words may read. */
const TAIL = 64;

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

const wordsOf = ({ shape }: TensorRef): number => sizeOf(shape);
const typeOf = ({ dtype }: TensorRef): string => (dtype === "u32" ? "uint32_t" : "float");

/** Bytes of the model's memory but for scratch, and where each pool begins: behind the struct. */
function layout({ device }: CModel): { readonly pools: readonly number[]; readonly bytes: number } {
  let at = 0;
  const pools = POOLS.map((pool) => {
    const words = device.pools[pool];
    if (words >= 2 ** 30) throw new Error(`codegen: the pool ${pool} is too large for the C target`);
    const start = at;
    at += Math.ceil((4 * words + TAIL) / LINE) * LINE;
    return start;
  });
  return { pools, bytes: at };
}

const scratchOf = ({ device: { code } }: CModel): number =>
  code.kind === "c" ? Math.ceil(Math.max(code.scratchBytes, LINE) / LINE) * LINE : 0;

/** The parameters of an entry's function behind the model. */
const parametersOf = ({ inputs }: EntryFunction): string =>
  inputs
    .map(({ at, name }) =>
      at.shape.length === 0 ? `, ${typeOf(at)} ${name}` : `, const ${typeOf(at)} ${name}[${wordsOf(at)}]`,
    )
    .join("");

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

/** The prototype of an entry's function: the training step returns the loss. */
const prototype = ({ name }: CModel, entry: EntryFunction): string =>
  `${lossOf(entry) ? "float" : "void"} ${name}_${entry.name}(${name} *model${parametersOf(entry)})`;

/** The loss that an entry computes, if it is one number. */
const lossOf = ({ outputs }: EntryFunction): TensorRef | undefined =>
  outputs.find(({ id, at }) => id === "loss" && at.shape.length === 0)?.at;

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

/** Room for the struct, and for what each thread has beside its scratch. */
const STRUCT = 512;
const PER_THREAD = 128;

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
  const purpose = PURPOSES[entry.id] ?? `Runs the entry ${comment(entry.id)}`;
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

/** The dispatches of all entries, one behind the other; where those of each begin. */
function rangesOf({ device }: CModel): ReadonlyMap<string, { readonly first: number; readonly count: number }> {
  let first = 0;
  return new Map(
    Object.entries(device.entries).map(([id, { dispatches }]) => {
      const range = { first, count: dispatches.length };
      first += dispatches.length;
      return [id, range];
    }),
  );
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
        places.push(`${(POOLS.indexOf(pool) * 2 ** 30 + offset) >>> 0}u`);
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

/** A number as a float of C. */
function floatOf(value: number): string {
  if (Number.isNaN(value)) return "NAN";
  if (!Number.isFinite(value)) return value > 0 ? "INFINITY" : "-INFINITY";
  const text = shortestF32(value);
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
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

/** `create`, `close` and `initialize`. */
function lifeOf(model: CModel): string {
  const { plan, device, name, macro } = model;
  const { pools, bytes } = layout(model);
  const range = mustRange(model, "start");
  const starts = plan.parameters.map(({ name: parameter, shape, start, offset }) => {
    const last = shape[shape.length - 1] ?? 1;
    const square = shape.length >= 2 && shape[shape.length - 2] === last;
    const side = square ? last : Math.max(1, Math.round(Math.sqrt(last)));
    // Of a vector that is read as a matrix, every run of the last axis is one.
    const period = square ? side * side : last;
    const [kind, a, b] =
      start.kind === "constant"
        ? ["CONSTANT", start.value, 0]
        : start.kind === "uniform"
          ? ["UNIFORM", start.from, start.to]
          : start.kind === "normal"
            ? ["NORMAL", start.deviation, 0]
            : start.kind === "first"
              ? ["FIRST", start.value, 0]
              : start.kind === "identity"
                ? ["IDENTITY", start.value, 0]
                : ["RAMP", start.center, start.spread];
    return `{${kind}, ${a}, ${b}, ${siteHash(parameter)}u, ${last}, ${side}, ${period}, ${offset}, ${sizeOf(shape)}}`;
  });
  const states = plan.states.map(({ offset, shape, start = 0 }) => `{${offset}, ${sizeOf(shape)}, ${floatOf(start)}}`);
  const copies = device.constants.map(
    ({ at }, i) => `  memcpy(place(m, ${placeOf(at)}), constant${i}, sizeof constant${i});`,
  );
  return `static const start starts[] = {\n${lines(starts, "  ")}\n};

typedef struct { uint32_t offset, size; float value; } state_start;
${states.length ? `static const state_start states[] = {\n${lines(states, "  ")}\n};` : ""}

${name} *${name}_create(void *memory, size_t bytes, int threads) {
  if (threads < 1 || bytes < ${macro}_MEMORY(threads) || (uintptr_t)memory % ${LINE} != 0) return NULL;
#ifndef MHC_THREADS
  if (threads > 1) return NULL;
#endif
  ${name} *m = memory;
  memset(memory, 0, ${macro}_MEMORY(threads));
  char *base = (char *)memory + ${STRUCT};
${POOLS.map((_, i) => `  m->pools[${i}] = base + ${mustAt(pools, i)};`).join("\n")}
  m->scratch = base + ${bytes};
${copies.join("\n")}
#ifdef MHC_THREADS
  _Static_assert(sizeof(${name}) <= ${STRUCT}, "the struct has outgrown its room");
  char *own = m->scratch + (size_t)threads * SCRATCH;
  m->counters = (counter *)(void *)own;
  m->workers = (worker *)(void *)(own + (size_t)threads * LINE);
  m->handles = (pthread_t *)(void *)(own + (size_t)threads * (LINE + 32));
  team_begin(&m->team, threads, m->counters);
  for (m->started = 1; m->started < threads; m->started++) {
    m->workers[m->started] = (worker){.of = m, .number = m->started};
    if (pthread_create(&m->handles[m->started], NULL, work, &m->workers[m->started]) == 0) continue;
    ${name}_close(m);
    return NULL;
  }
#endif
  return m;
}

void ${name}_close(${name} *m) {
#ifdef MHC_THREADS
  atomic_store(&m->team.closing, 1);
  team_proceed(&m->team);
  for (int t = 1; t < m->started; t++) pthread_join(m->handles[t], NULL);
  team_end(&m->team);
#else
  (void)m;
#endif
}

void ${name}_initialize(${name} *m, uint32_t seed) {
  m->seed = seed != 0 ? seed : ${plan.train?.seed ?? 1}u;
  m->step = 0;
  float *state = m->pools[STATE];
  for (size_t p = 0; p < sizeof starts / sizeof *starts; p++)
    for (uint32_t i = 0; i < starts[p].size; i++) state[starts[p].offset + i] = (float)initial(&starts[p], m->seed, i);
${
  states.length
    ? `  for (size_t p = 0; p < sizeof states / sizeof *states; p++)
    for (uint32_t i = 0; i < states[p].size; i++) state[states[p].offset + i] = states[p].value;
`
    : ""
}${range ? `  run(m, ${range.first}, ${range.count});\n` : ""}}`;
}

const mustRange = (model: CModel, id: string): { readonly first: number; readonly count: number } | undefined =>
  rangesOf(model).get(id);

/** A place as the tables write it. */
const placeOf = ({ pool, offset }: TensorRef): string => `${(POOLS.indexOf(pool) * 2 ** 30 + offset) >>> 0}u`;

function savingOf({ plan, name, saved }: CModel): string {
  const rows = saved.map(({ offset, size }) => `{${offset}, ${size}}`);
  const parameters = plan.parameters.length;
  return `typedef struct { uint32_t offset, size; } range;
static const range saved[] = {\n${lines(rows, "  ")}\n};

void ${name}_save(const ${name} *m, float *to) {
  const float *state = m->pools[STATE];
  for (size_t i = 0; i < ${saved.length}; to += saved[i++].size)
    memcpy(to, state + saved[i].offset, 4 * (size_t)saved[i].size);
}

static void load(${name} *m, const float *from, size_t count) {
  float *state = m->pools[STATE];
  for (size_t i = 0; i < count; from += saved[i++].size)
    memcpy(state + saved[i].offset, from, 4 * (size_t)saved[i].size);
}

void ${name}_load(${name} *m, const float *from) { load(m, from, ${saved.length}); }
void ${name}_load_parameters(${name} *m, const float *from) { load(m, from, ${parameters}); }
uint32_t ${name}_step(const ${name} *m) { return m->step; }
void ${name}_set_step(${name} *m, uint32_t step) { m->step = step; }`;
}

function entrySource(model: CModel, entry: EntryFunction): string {
  const { name } = model;
  const { first, count } = mustGet(rangesOf(model), entry.id);
  const ofRun = Object.entries(entry.entry.inputs).filter(([id, at]) => isOfTheRun(id, at));
  const loss = lossOf(entry);
  return [
    `${prototype(model, entry)} {`,
    ...ofRun.map(([id, at]) => `  memcpy(place(model, ${placeOf(at)}), &model->${id}, 4);`),
    ...entry.inputs.map(({ at, name: input }) =>
      at.shape.length === 0
        ? `  memcpy(place(model, ${placeOf(at)}), &${input}, 4);`
        : `  memcpy(place(model, ${placeOf(at)}), ${input}, ${4 * wordsOf(at)});`,
    ),
    `  run(model, ${first}, ${count});`,
    // An entry is told how many steps were made before it.
    ...(entry.id === "train" ? ["  model->step++;"] : []),
    ...(loss ? [`  return *(const float *)place(model, ${placeOf(loss)});`] : []),
    "}",
    ...entry.outputs.map(
      (output) =>
        `const ${typeOf(output.at)} *${name}_${entry.name}_${output.name}(const ${name} *model) ` +
        `{ return place(model, ${placeOf(output.at)}); }`,
    ),
  ].join("\n");
}
