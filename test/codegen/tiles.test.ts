/**
 * Products of bf16 in C: the function of each unit (AMX, AVX512-BF16, Arm's BFDOT, and f32 where there is none), by
 * every compiler that the machine has, against sums in f64 of the same rounded values. A unit that the processor or the
 * machine's compilers lack is skipped.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { prelude } from "../../codegen/c/prelude.js";
import { TILES, TILES_TEXT } from "../../codegen/c/tiles.js";

const folder = mkdtempSync(join(tmpdir(), "mhc-tiles-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Prints the largest error over the sums of absolute terms, of a product that is set and of one that is added to. */
const PROGRAM = `#include <math.h>
#include <stdio.h>
${prelude(4)}
${TILES_TEXT}

enum { BLOCKS = 3, LINE = 40 };
static uint32_t a[BLOCKS * 512], b[BLOCKS * 512];
static float to[32 * LINE];

/* Words are drawn so that their halves are numbers between 2^-8 and 2^8. */
static uint32_t half(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  const uint32_t bits = *state >> 16;
  return (bits & 0x8000u) | ((119u + (bits >> 8) % 16u) << 7) | (bits & 0x7fu);
}
static double valueAt(const uint32_t *panel, int square, int word, int late) {
  const uint32_t both = panel[square + word];
  return (double)bits_f32(late ? both & 0xffff0000u : both << 16);
}
static double check(bool adds) {
  double worst = 0;
  for (int r = 0; r < 32; r++)
    for (int c = 0; c < 32; c++) {
      double sum = adds ? 1 : 0, size = sum;
      for (int step = 0; step < 32 * BLOCKS; step++) {
        const int block = 512 * (step / 32), pair = step % 32 / 2;
        const double x = valueAt(a, block + 256 * (r / 16), 16 * (r % 16) + pair, step % 2);
        const double y = valueAt(b, block + 256 * (c / 16), 16 * pair + c % 16, step % 2);
        sum += x * y;
        size += fabs(x * y);
      }
      const double error = fabs(sum - (double)to[r * LINE + c]) / size;
      if (!(error <= worst)) worst = error;
    }
  return worst;
}

int main(void) {
  uint32_t state = 7;
  for (int i = 0; i < BLOCKS * 512; i++) {
    a[i] = half(&state) | half(&state) << 16;
    b[i] = half(&state) | half(&state) << 16;
  }
  for (int i = 0; i < 32 * LINE; i++) to[i] = 1;
  const bool unit = ${TILES}_begin();
  ${TILES}(unit, true, to, LINE, a, b, BLOCKS);
  const double added = check(true);
  ${TILES}(unit, false, to, LINE, a, b, BLOCKS);
  ${TILES}_end(unit);
  for (int r = 0; r < 31; r++)
    for (int c = 32; c < LINE; c++) if (to[r * LINE + c] != 1) return 1;
  printf("%d %g %g\\n", unit, added, check(false));
  return 0;
}
`;

const hasRun = ([command = "", ...rest]: readonly string[]): boolean => spawnSync(command, rest).status === 0;

/** Whether the processor and the compiler have what a flag asks for. */
function defines(compiler: readonly string[], macro: string): boolean {
  const [command = "", ...flags] = compiler;
  const { stdout } = spawnSync(command, [...flags, "-dM", "-E", "-x", "c", "-"], { input: "", encoding: "utf8" });
  return Boolean(stdout?.includes(`#define ${macro} `));
}

interface Unit {
  readonly name: string;
  readonly compiler: readonly string[];
  readonly run: readonly string[];
  /** What the compiler defines where the unit is there. */
  readonly macro: string;
  readonly tiles: boolean;
}

const units: readonly Unit[] = [
  ...["gcc", "clang"].flatMap((compiler): Unit[] => [
    { name: "AMX", compiler: [compiler, "-march=native"], run: [], macro: "__AMX_BF16__", tiles: true },
    {
      name: "AVX512-BF16",
      compiler: [compiler, "-march=native", "-mno-amx-bf16", "-mno-amx-tile", "-mno-amx-int8"],
      run: [],
      macro: "__AVX512BF16__",
      tiles: false,
    },
    { name: "f32", compiler: [compiler], run: [], macro: "__GNUC__", tiles: false },
  ]),
  {
    name: "BFDOT",
    compiler: ["aarch64-linux-gnu-gcc", "-static", "-march=armv8.6-a+bf16"],
    run: ["qemu-aarch64", "-cpu", "max"],
    macro: "__ARM_FEATURE_BF16_VECTOR_ARITHMETIC",
    tiles: false,
  },
];

/** Whether the unit can be tested here. */
function isThere({ compiler, run, macro }: Unit): boolean {
  const commands = [compiler[0], run[0]].filter((command) => command !== undefined);
  return commands.every((command) => hasRun([command, "--version"])) && defines(compiler, macro);
}

for (const unit of units) it.skipIf(!isThere(unit))(`${unit.name}, ${unit.compiler[0]}`, () => isRight(unit));

function isRight({ name, compiler, run, tiles }: Unit): void {
  const [command = ""] = compiler;
  const source = join(folder, `${command}-${name}.c`);
  const program = source.replace(/\.c$/, "");
  writeFileSync(source, PROGRAM);
  const flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"];
  const compiled = spawnSync(command, [...compiler.slice(1), ...flags, "-o", program, source, "-lm"]);
  expect(String(compiled.stderr)).toBe("");
  const [file = "", ...rest] = [...run, program];
  const { stdout, status } = spawnSync(file, rest, { encoding: "utf8" });
  expect(status).toBe(0);
  const [unit, added, set] = stdout.trim().split(" ").map(Number);
  // A system may refuse what the processor has, and then the same function does without it.
  expect(unit).toBeLessThanOrEqual(tiles ? 1 : 0);
  // Sums of 96 products in f32, in any order.
  expect(added).toBeLessThan(2e-6);
  expect(set).toBeLessThan(2e-6);
}
