/**
 * A model in C (`mhc compile --target c`): the file is compiled by every compiler that the machine has, without a
 * warning, also for 64-bit and 32-bit Arm, which an emulator runs; it trains to the losses of WebAssembly, and passes
 * the sanitizers. What is not installed is passed over, and said in the name of the test.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cModel } from "../../codegen/c/model.js";
import { textSource, type Source } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { compile } from "../../src/compile/compile.js";
import { ADAMW, facts, smallPage, text } from "../helpers/small.js";

const STEPS = 20;
const scratch = mkdtempSync(join(tmpdir(), "mhc-c-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Compilers of the machine, with what runs what they make. */
const COMPILERS = [
  { name: "gcc", command: ["gcc"], run: [] },
  { name: "clang", command: ["clang"], run: [] },
  { name: "64-bit Arm", command: ["aarch64-linux-gnu-gcc", "-static"], run: ["qemu-aarch64"] },
  { name: "32-bit Arm", command: ["arm-linux-gnueabihf-gcc", "-static", "-mfpu=neon"], run: ["qemu-arm"] },
] as const;

const isThere = (command: string | undefined): boolean =>
  command === undefined || spawnSync(command, ["--version"]).status === 0;

const WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"];

/** Two layers; with mHC they are kernels of thousands of lines, which compilers take minutes for without a cache. */
const PAGES = {
  residual: smallPage("residual", { optimizer: ADAMW }),
  mhc: smallPage("mhc(Mixing)", { optimizer: ADAMW }),
};
type PageName = keyof typeof PAGES;

/** A program that trains on batches of a file, and prints the losses and sums of what is saved. */
const HARNESS = `#include <stdio.h>
#include <stdlib.h>
#include "small.h"

int main(int count, char **arguments) {
  if (count < 3) return 2;
  const int threads = atoi(arguments[2]);
  const size_t bytes = (SMALL_MEMORY(threads) + 63) / 64 * 64;
  void *memory = aligned_alloc(64, bytes);
  small *model = small_create(memory, bytes, threads);
  FILE *file = fopen(arguments[1], "rb");
  if (!model || !file) return 1;
  small_initialize(model, 0);
  static uint32_t token[5 * 13], next[5 * 13];
  while (fread(token, 4, 65, file) == 65 && fread(next, 4, 65, file) == 65)
    printf("%.9g\\n", (double)small_train(model, token, next));
  float *saved = malloc(4 * SMALL_SAVED);
  small_save(model, saved);
  small_close(model);
  small *again = small_create(memory, bytes, 1);
  if (again == NULL) return 3;
  small_load(again, saved);
  small_set_step(again, 20);
  small_loss(again, token, next);
  const float *losses = small_loss_losses(again);
  double sum = 0;
  for (int i = 0; i < 5; i++) sum += (double)losses[i];
  printf("%.9g\\n", sum / 5);
  free(saved);
  small_close(again);
  free(memory);
  fclose(file);
  return 0;
}
`;

/** A page as the c target writes it, in a folder with the program, and its losses on WebAssembly. */
interface Written {
  readonly folder: string;
  readonly losses: readonly number[];
}

async function planFor(name: PageName, devices: Parameters<typeof compile>[1]["devices"]): Promise<Plan> {
  const entries = ["train", "loss", "start"];
  const { plan } = await compile(PAGES[name], { file: "small.mhc", devices, facts, entries });
  if (!plan) throw new Error("the page has errors");
  return plan;
}

/** Batches as the program reads them. */
function batchesOf(source: Source, seed: number): Uint32Array {
  const words: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const batch = source.batch(5, seed, step);
    for (const name of ["corpus.token", "corpus.next"]) words.push(...Array.from(batch[name] ?? []));
  }
  return Uint32Array.from(words);
}

async function written(name: PageName, lanes: 4 | 8 | 16): Promise<Written> {
  const target = cModel(lanes);
  const plan = await planFor(name, [...(target.devices ?? []), "wasm"]);
  const folder = mkdtempSync(join(scratch, "model-"));
  for (const { path, content } of await target.emit("small", plan)) writeFileSync(join(folder, path), content);
  writeFileSync(join(folder, "main.c"), HARNESS);
  const info = plan.data[0] as Parameters<typeof textSource>[0];
  const source = textSource(info, text);
  const model = await load(plan, { device: "wasm" });
  const losses: number[] = [];
  for await (const { loss } of model.train(source, { steps: STEPS })) losses.push(loss);
  writeFileSync(join(folder, "batches"), batchesOf(source, model.seed));
  await model.close();
  return { folder, losses };
}

/** Compiles the program, and gives the numbers that it prints. */
function numbersOf(
  folder: string,
  command: readonly string[],
  flags: readonly string[],
  run: readonly string[] = [],
  threads = 1,
): number[] {
  const [file = "", ...args] = command;
  execFileSync(file, [...args, ...WARNINGS, ...flags, "main.c", "small.c", "-o", "program", "-lm"], { cwd: folder });
  const [first = "", ...others] = [...run, join(folder, "program"), "batches", String(threads)];
  const said = execFileSync(first, others, { cwd: folder, encoding: "utf8" });
  return said.trim().split("\n").map(Number);
}

const farthest = (found: readonly number[], expected: readonly number[]): number =>
  Math.max(...expected.map((loss, i) => Math.abs((found[i] ?? Number.NaN) - loss) / loss));

describe.skipIf(!isThere("gcc"))("a model in C", () => {
  let model: Written;
  beforeAll(async () => {
    model = await written("residual", 4);
  });

  it.each(COMPILERS.filter(({ command, run }) => isThere(command[0]) && isThere(run[0])))(
    "compiled by $name trains as WebAssembly does",
    { tags: ["slow"] },
    ({ command, run }) => {
      const losses = numbersOf(model.folder, command, ["-O1"], run);
      expect(losses).toHaveLength(STEPS + 1);
      expect(farthest(losses, model.losses)).toBeLessThan(1e-4);
      // What was saved and loaded again has gone on from there.
      expect(losses[STEPS]).toBeLessThan(losses[0] ?? 0);
    },
  );

  it("gives the same bits with threads", () => {
    const flags = ["-O1", "-DMHC_THREADS", "-pthread"];
    const alone = numbersOf(model.folder, ["gcc"], flags);
    expect(farthest(alone, model.losses)).toBeLessThan(1e-4);
    const said = execFileSync(join(model.folder, "program"), ["batches", "3"], { cwd: model.folder, encoding: "utf8" });
    expect(said.trim().split("\n").map(Number)).toEqual(alone);
  });

  it.each([8, 16] as const)("has vectors of %i lanes where they are asked for", { tags: ["slow"] }, async (lanes) => {
    const wide = await written("residual", lanes);
    expect(farthest(numbersOf(wide.folder, ["gcc"], ["-O1", "-march=native"]), wide.losses)).toBeLessThan(1e-4);
    // Also where the compiler is not told of a processor that has them.
    expect(farthest(numbersOf(wide.folder, ["gcc"], ["-O0"]), wide.losses)).toBeLessThan(1e-4);
  });

  it("with mHC trains as WebAssembly does", { tags: ["slow"] }, async () => {
    const streams = await written("mhc", 4);
    expect(farthest(numbersOf(streams.folder, ["gcc"], ["-O1"]), streams.losses)).toBeLessThan(1e-4);
  });

  it("passes the address and undefined-behaviour sanitizers", { tags: ["slow"] }, () => {
    const flags = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    expect(farthest(numbersOf(model.folder, ["gcc"], flags), model.losses)).toBeLessThan(1e-4);
  });

  it("passes the thread sanitizer", { tags: ["slow"] }, () => {
    const flags = ["-O0", "-DMHC_THREADS", "-pthread", "-fsanitize=thread"];
    expect(farthest(numbersOf(model.folder, ["gcc"], flags, [], 2), model.losses)).toBeLessThan(1e-4);
  });

  it("compiles its example, and says what it needs", { tags: ["slow"] }, () => {
    execFileSync("gcc", [...WARNINGS, "-O1", "example.c", "small.c", "-o", "example", "-lm"], { cwd: model.folder });
    writeFileSync(join(model.folder, "text.txt"), text);
    const said = execFileSync("./example", ["text.txt", "10"], { cwd: model.folder, encoding: "utf8" });
    expect(said).toMatch(/^\d+ bytes of memory, \d+ parameters\nstep 10: loss \d\.\d{4}\n/);
    expect(spawnSync("./example", ["missing.txt"], { cwd: model.folder, encoding: "utf8" }).stderr).toContain("usage");
  });

  it("refuses too little memory and memory that begins anywhere", { tags: ["slow"] }, () => {
    writeFileSync(
      join(model.folder, "refused.c"),
      `#include <stdlib.h>
#include "small.h"
int main(void) {
  char *memory = aligned_alloc(64, (SMALL_MEMORY(1) + 127) / 64 * 64);
  const int refused = !small_create(memory, SMALL_MEMORY(1) - 1, 1) + !small_create(memory + 4, SMALL_MEMORY(1), 1) +
    !small_create(memory, SMALL_MEMORY(2), 2);
  free(memory);
  return refused == 3 ? 0 : 1;
}
`,
    );
    execFileSync("gcc", [...WARNINGS, "-O0", "refused.c", "small.c", "-o", "refused", "-lm"], { cwd: model.folder });
    expect(spawnSync("./refused", [], { cwd: model.folder }).status).toBe(0);
  });
});
