/** What stands beside a model in C: a CMake file, and an example that is whole. */
import { mustTrain } from "../../runtime/plan.js";
import type { CModel, EntryFunction } from "./layout.js";

/** A CMake file: a library of the model, with threads where MHC_THREADS is on, and the example. */
export const cmakeFile = ({
  name,
  stem,
}: CModel): string => `# Made by mhc. The model is a library; the example uses it.
cmake_minimum_required(VERSION 3.13)
project(${name} C)
set(CMAKE_C_STANDARD 11)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
option(MHC_THREADS "let a model compute on several threads" OFF)
option(MHC_NATIVE "use all instructions of this machine's processor" OFF)

add_library(${name} ${stem}.c)
target_include_directories(${name} PUBLIC \${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(${name} PUBLIC m)
if(MHC_NATIVE)
  target_compile_options(${name} PRIVATE -march=native)
endif()
if(MHC_THREADS)
  find_package(Threads REQUIRED)
  target_compile_definitions(${name} PRIVATE MHC_THREADS)
  target_link_libraries(${name} PUBLIC Threads::Threads)
endif()

add_executable(${name}_example example.c)
target_link_libraries(${name}_example ${name})
`;

/** A program that uses the model: it trains and generates where the page says how, else it computes once. */
export function exampleFile(model: CModel): string {
  const { name, macro, stem, entries, plan } = model;
  const train = entries.find(({ id }) => id === "train");
  const forward = entries.find(({ id }) => id === "forward" || id === "outputs");
  const text = plan.data.some(({ kind }) => kind === "characters");
  const parts =
    train && text
      ? trainsOnText(model, train, forward)
      : train
        ? trainsOnNoise(model, train)
        : forward
          ? computes(model, forward)
          : [];
  return `/* An example for ${stem}.h: cc -O2 example.c ${stem}.c -lm */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "${stem}.h"

int main(int count, char **arguments) {
  (void)count;
  (void)arguments;
  const size_t bytes = ${macro}_MEMORY(1);
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  ${name} *model = memory ? ${name}_create(memory, bytes, 1) : NULL;
  if (!model) return 1;
  ${name}_initialize(model, 0);
  printf("%zu bytes of memory, %d parameters\\n", bytes, ${macro}_PARAMETERS);
${parts.map((line) => (line === "" ? "" : `  ${line}`)).join("\n")}
  ${name}_close(model);
  free(memory);
  return 0;
}
`;
}

const arrayOf = (type: string, name: string, shape: readonly number[]): string =>
  `static ${type} ${name}[${shape.reduce((product, size) => product * size, 1)}];`;

const declared = ({ inputs }: EntryFunction): string[] =>
  inputs.map(({ at, name }) => arrayOf(at.dtype === "u32" ? "uint32_t" : "float", name, at.shape));

const given = ({ inputs }: EntryFunction): string => inputs.map(({ name }) => `, ${name}`).join("");

/** Trains on windows of a file of text, then continues a word of it. */
function trainsOnText(model: CModel, train: EntryFunction, forward: EntryFunction | undefined): string[] {
  const { name, plan } = model;
  const info = plan.data.find(({ kind }) => kind === "characters");
  if (info?.kind !== "characters") return [];
  const [tokens, next] = train.inputs;
  if (!tokens || !next || train.inputs.length !== 2) return trainsOnNoise(model, train);
  const { batch } = mustTrain(plan);
  return [
    "/* A file of text, as tokens; what the vocabulary lacks is left out. */",
    `FILE *file = fopen(count > 1 ? arguments[1] : "text.txt", "rb");`,
    `if (!file) { fprintf(stderr, "usage: example FILE [STEPS]\\n"); return 1; }`,
    "static uint32_t corpus[1 << 20];",
    "size_t length = 0;",
    "char character[5];",
    "for (int byte; (byte = fgetc(file)) != EOF && length < sizeof corpus / sizeof *corpus;) {",
    "  int n = 0;",
    "  character[n++] = (char)byte;",
    "  for (int more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0; more > 0; more--)",
    "    character[n++] = (char)fgetc(file);",
    "  character[n] = 0;",
    `  for (uint32_t t = 0; t < ${info.vocabulary.length}; t++)`,
    `    if (strcmp(${name}_vocabulary[t], character) == 0) { corpus[length++] = t; break; }`,
    "}",
    "fclose(file);",
    `if (length < ${info.window + 2}) { fprintf(stderr, "the text is too short\\n"); return 1; }`,
    ...declared(train),
    "uint32_t random = 1;",
    `const int steps = count > 2 ? atoi(arguments[2]) : 100;`,
    "for (int step = 1; step <= steps; step++) {",
    `  for (int b = 0; b < ${batch}; b++) {`,
    "    random = random * 1664525u + 1013904223u;",
    `    const size_t from = random % (length - ${info.window} - 1);`,
    `    memcpy(${tokens.name} + b * ${info.window}, corpus + from, ${4 * info.window});`,
    `    memcpy(${next.name} + b * ${info.window}, corpus + from + 1, ${4 * info.window});`,
    "  }",
    `  const float loss = ${name}_${train.name}(model${given(train)});`,
    `  if (step % 10 == 0 || step == steps) printf("step %d: loss %.4f\\n", step, loss);`,
    "}",
    ...(forward ? generates(model, forward, info.vocabulary.length) : []),
  ];
}

/** The likeliest continuation of the first tokens of the text. */
function generates({ name }: CModel, forward: EntryFunction, vocabulary: number): string[] {
  const [tokens, ...others] = forward.inputs;
  const logits = forward.outputs.find(({ at }) => at.shape.at(-1) === vocabulary);
  if (!tokens || others.length > 0 || !logits) return [];
  const context = tokens.at.shape.at(-1) ?? 1;
  return [
    "/* The likeliest next character, again and again. */",
    `static uint32_t ${tokens.name}_now[${context}];`,
    `size_t at = ${Math.min(8, context - 1)};`,
    `memcpy(${tokens.name}_now, corpus, 4 * at);`,
    `for (size_t i = 0; i < at; i++) fputs(${name}_vocabulary[${tokens.name}_now[i]], stdout);`,
    `while (at < ${context}) {`,
    `  ${name}_${forward.name}(model, ${tokens.name}_now);`,
    `  const float *logits = ${name}_${forward.name}_${logits.name}(model) + (at - 1) * ${vocabulary};`,
    "  uint32_t best = 0;",
    `  for (uint32_t t = 1; t < ${vocabulary}; t++) if (logits[t] > logits[best]) best = t;`,
    `  ${tokens.name}_now[at++] = best;`,
    `  fputs(${name}_vocabulary[best], stdout);`,
    "}",
    `printf("\\n");`,
  ];
}

/** Trains on what the app gives: here some numbers, to show the calls. */
const trainsOnNoise = ({ name }: CModel, train: EntryFunction): string[] => [
  "/* An app fills these with a batch of its data. */",
  ...declared(train),
  ...train.inputs
    .filter(({ at }) => at.dtype === "f32")
    .map(
      ({ name: input }) =>
        `for (size_t i = 0; i < sizeof ${input} / sizeof *${input}; i++) ${input}[i] = (float)(i % 7) / 7;`,
    ),
  "for (int step = 1; step <= 10; step++)",
  `  printf("step %d: %.4f\\n", step, ${name}_${train.name}(model${given(train)}));`,
];

/** Computes outputs once. */
const computes = ({ name }: CModel, forward: EntryFunction): string[] => [
  "/* An app fills these with its inputs. */",
  ...declared(forward),
  `${name}_${forward.name}(model${given(forward)});`,
  ...forward.outputs.map(
    (output) => `printf("${output.name}: %g, …\\n", (double)*${name}_${forward.name}_${output.name}(model));`,
  ),
];
