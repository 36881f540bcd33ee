/** The functions of a model in C that depend on its page: its life, saving and loading, and its entries. */
import { isOfTheRun, type ParameterInfo, type Start } from "../../runtime/plan.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { siteHash } from "../../runtime/threefry.js";
import { sizeOf } from "../../src/graph/record.js";
import { lines } from "./names.js";
import {
  floatOf,
  layout,
  LINE,
  lossOf,
  placeOf,
  POOLS,
  prototype,
  rangesOf,
  STRUCT,
  typeOf,
  wordsOf,
  type CModel,
  type EntryFunction,
} from "./layout.js";

/** How a parameter starts, as the table of `initialize` has it. */
function startOf({ name, shape, start, offset }: ParameterInfo): string {
  const last = shape[shape.length - 1] ?? 1;
  const square = shape.length >= 2 && shape[shape.length - 2] === last;
  const side = square ? last : Math.max(1, Math.round(Math.sqrt(last)));
  // Of a vector that is read as a matrix, every run of the last axis is one.
  const period = square ? side * side : last;
  const [kind, a, b] = valuesOf(start);
  return `{${kind}, ${a}, ${b}, ${siteHash(name)}u, ${last}, ${side}, ${period}, ${offset}, ${sizeOf(shape)}}`;
}

/** The kind of a start, and its two numbers. */
function valuesOf(start: Start): readonly [kind: string, a: number, b: number] {
  switch (start.kind) {
    case "constant":
    case "first":
    case "identity":
      return [start.kind.toUpperCase(), start.value, 0];
    case "uniform":
      return ["UNIFORM", start.from, start.to];
    case "normal":
      return ["NORMAL", start.deviation, 0];
    case "ramp":
      return ["RAMP", start.center, start.spread];
    default:
      return start satisfies never;
  }
}

/** `create`, `close` and `initialize`. */
export function lifeOf(model: CModel): string {
  const { plan, device, name, macro } = model;
  const { pools, bytes } = layout(model);
  const range = rangesOf(model).get("start");
  const starts = plan.parameters.map(startOf);
  const states = plan.states.map(({ offset, shape, start = 0 }) => `{${offset}, ${sizeOf(shape)}, ${floatOf(start)}}`);
  const copies = device.constants.map(
    ({ at }, i) => `  memcpy(place(m, ${placeOf(at.pool, at.offset)}), constant${i}, sizeof constant${i});`,
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

/** Copies of parameters and states, out of a model and into it. */
export function savingOf({ plan, name, saved }: CModel): string {
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

/** The function of an entry, and those that give what it leaves. */
export function entrySource(model: CModel, entry: EntryFunction): string {
  const { name } = model;
  const { first, count } = mustGet(rangesOf(model), entry.id);
  const ofRun = Object.entries(entry.entry.inputs).filter(([id, at]) => isOfTheRun(id, at));
  const loss = lossOf(entry);
  return [
    `${prototype(model, entry)} {`,
    ...ofRun.map(([id, at]) => `  memcpy(place(model, ${placeOf(at.pool, at.offset)}), &model->${id}, 4);`),
    ...entry.inputs.map(({ at, name: input }) =>
      at.shape.length === 0
        ? `  memcpy(place(model, ${placeOf(at.pool, at.offset)}), &${input}, 4);`
        : `  memcpy(place(model, ${placeOf(at.pool, at.offset)}), ${input}, ${4 * wordsOf(at)});`,
    ),
    `  run(model, ${first}, ${count});`,
    // An entry is told how many steps were made before it.
    ...(entry.id === "train" ? ["  model->step++;"] : []),
    ...(loss ? [`  return *(const float *)place(model, ${placeOf(loss.pool, loss.offset)});`] : []),
    "}",
    ...entry.outputs.map(
      (output) =>
        `const ${typeOf(output.at)} *${name}_${entry.name}_${output.name}(const ${name} *model) ` +
        `{ return place(model, ${placeOf(output.at.pool, output.at.offset)}); }`,
    ),
  ].join("\n");
}
