/**
 * What a user with a GPU runs once and sends back:   npm run bench:gpu [-- --device webgpu] [--out FILE]
 *
 * It tunes the kernels of specs/moby-dick.mhc on the adapter, times its step and every kernel beside the measured
 * ceilings, and trains ten steps whose losses are compared with those that WebAssembly gave (losses.json, in f32);
 * where the adapter has `shader-f16`, both once more in half precision. Everything goes to one JSON file; what matters
 * is printed too. Ends with 1 when a loss is off by more than a thousandth, or a hundredth in half precision.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const { values: flags } = parseArgs({
  options: {
    device: { type: "string", default: "webgpu" },
    out: { type: "string", default: "gpu-report.json" },
    store: { type: "boolean", default: false },
  },
});
const SPEC = "specs/moby-dick.mhc";
const STORED = join(here, "losses.json");
const TOLERANCE = 1e-3;
const HALF_TOLERANCE = 1e-2;

/** The lines of a command's JSON; ends this one where that one failed. */
function mhc(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["dist/src/cli/main.js", ...args, "--json"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) {
    console.error(stderr || stdout);
    process.exit(status ?? 1);
  }
  return stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** Of ten steps, with what has been tuned so far. */
function tenLosses(...settings) {
  const runs = mkdtempSync(join(tmpdir(), "mhc-gpu-"));
  const rows = mhc("train", SPEC, ...settings, "--device", flags.device, "--steps", "10", "--out", join(runs, "ten"));
  rmSync(runs, { recursive: true });
  return rows.filter((row) => row.step !== undefined).map(({ loss }) => loss);
}

if (flags.store) {
  const losses = tenLosses();
  writeFileSync(STORED, `${JSON.stringify(losses)}\n`);
  console.log(`${STORED}: ${losses.join(", ")}`);
  process.exit(0);
}
const devices = mhc("devices");
const tuned = mhc("tune", SPEC, "--device", flags.device);
const [bench] = mhc("bench", SPEC, "--device", flags.device, "--steps", "20", "--kernels");
const losses = tenLosses();
const stored = JSON.parse(readFileSync(STORED, "utf8"));
const worstOf = (found) => Math.max(...found.map((loss, i) => Math.abs(loss / stored[i] - 1)));
const worst = worstOf(losses);
const hasHalf = devices.some(({ device, features }) => device === flags.device && features.includes("shader-f16"));
const f16 = ["--set", "train.precision=f16"];
const half = hasHalf
  ? {
      bench: mhc("bench", SPEC, ...f16, "--device", flags.device, "--steps", "20", "--kernels")[0],
      losses: tenLosses(...f16),
    }
  : null;
const worstHalf = half ? worstOf(half.losses) : 0;
const platform = `${process.platform} ${process.arch}`;
const machine = { spec: SPEC, node: process.version, platform, devices };
const result = { ...machine, tuned, bench, losses, stored, worst, half, worstHalf };
writeFileSync(flags.out, `${JSON.stringify(result, null, 2)}\n`);

console.log(
  `${bench.adapter}: ${bench.median_ms.toFixed(2)} ms a step (least ${bench.min_ms.toFixed(2)}), ` +
    `${Math.round(bench.tokens_per_s)} tokens/s, ${bench.gflops.toFixed(1)} GFLOP/s of ` +
    `${bench.peak.gflops.toFixed(1)} measured; first step after ${Math.round(bench.first_step_ms)} ms`,
);
for (const { kernel, count, ms, share, bound } of bench.kernels.slice(0, 12))
  console.log(
    `  ${kernel.padEnd(28)}${`${count}`.padStart(5)}${ms.toFixed(3).padStart(10)} ms  ` +
      `${(100 * share).toFixed(0).padStart(3)}% of the ${bound} ceiling`,
  );
const better = tuned.filter(({ choice }) => choice);
console.log(
  `${better.length} of ${tuned.length} shapes tuned: ` +
    `${tuned.reduce((sum, row) => sum + row.default_ms, 0).toFixed(2)} -> ` +
    `${tuned.reduce((sum, row) => sum + row.ms, 0).toFixed(2)} ms`,
);
console.log(
  `losses of ten steps: largest relative difference ${worst.toExponential(1)} ` +
    `${worst <= TOLERANCE ? "(as stored)" : "- NOT as stored"}`,
);
if (half)
  console.log(
    `half precision: ${half.bench.median_ms.toFixed(2)} ms a step (least ${half.bench.min_ms.toFixed(2)}), ` +
      `${(half.bench.arena_bytes / 2 ** 20).toFixed(1)} MiB for ${(bench.arena_bytes / 2 ** 20).toFixed(1)}; ` +
      `losses off by ${worstHalf.toExponential(1)}`,
  );
else console.log("half precision: this adapter has no shader-f16");
console.log(`all of it is in ${flags.out}; please attach it to an issue`);
process.exitCode = worst <= TOLERANCE && worstHalf <= HALF_TOLERANCE ? 0 : 1;
