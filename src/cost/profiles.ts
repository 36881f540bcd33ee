/**
 * Device profiles that come with mhc. Peaks, bandwidths and powers are of publications (sources of each); what no
 * publication says is assumed, and said so:
 *
 * - Shares of a GPU's peak that kernels reach: half in products, an eighth in narrow ones and in Sinkhorn, a quarter in
 *   attention and in plain arithmetic (no multiply-add), a sixteenth in elementary functions. `mhc devices --calibrate`
 *   measures them instead.
 * - Energy of an operation: the power of the chip or board at load, less what its memory takes at full bandwidth, over
 *   the rate that products reach. That is four to two hundred times what the arithmetic alone takes (0.85 pJ: half of a
 *   multiply and an add at 7 nm), since instructions and operands have to be fetched (Hameed et al. 2010).
 * - Energy of a byte: SRAM of 1 MB 14 pJ and DRAM (DDR) 1,300 pJ for 8 bytes, HBM2 250 to 450, GDDR6 350 to 480 (Jouppi
 *   et al. 2021, table 2, 7 nm); LPDDR4 8 pJ and LPDDR5 7 pJ a bit.
 */
import type { KernelProfile } from "../kernel/profile.js";
import type { DeviceProfile } from "./profile.js";

const ENERGY =
  "energy: Jouppi et al., Ten Lessons From Three Generations Shaped Google's TPUv4i, ISCA 2021, table 2 (7 " +
  "nm); Horowitz, Computing's Energy Problem, ISSCC 2014";
const DISPATCH =
  "dispatches of WebGPU, one after the other: Maczan 2026 (arXiv 2604.02344): 24 to 36 us on Vulkan, 32 to 71 " +
  "us on Metal; the lower ends are taken";
const SHARES = "shares of the peak that kernels reach: assumed (src/cost/profiles.ts)";
const SRAM = 1.75;

/** Few registers an invocation, so that more of them hide a slow memory. Assumed: no phone was at hand. */
const SMALL_TILES = { matmul: { rows: 4, columns: 4, unroll: 1, shared: 0, rolled: 0, subgroup: 0 } };

/** The share of a GPU's peak that kernels reach. */
const reached = (peak: number): DeviceProfile["gflops"] => ({
  product: peak / 2,
  narrow: peak / 8,
  attention: peak / 4,
  mixing: peak / 8,
  elementary: peak / 16,
  plain: peak / 4,
});

/** The profiles that come with mhc. */
export const profiles: readonly DeviceProfile[] = [
  {
    format: 1,
    name: "cpu",
    title: "two cores of a server CPU, WebAssembly",
    device: "wasm",
    threads: 2,
    gflops: { product: 81, narrow: 58, attention: 57, mixing: 25, elementary: 1.32, plain: 31 },
    levels: [
      { name: "cache", bytes: 1 << 20, gbytes: 100, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 36, pj_per_byte: 162 },
    ],
    dispatch_us: 0.26,
    step_us: 18,
    pj_per_flop: 96,
    memory_bytes: 2 ** 32,
    measured: "two cores of an EPYC, Node 20.20.2, 2026-11-26",
    sources: [
      "rates: measured by `mhc devices --calibrate` on two cores of an EPYC (Zen), Node 20",
      "power: AMD EPYC 7763, 280 W for 64 cores; two cores' share of it and of the memory's bandwidth (204.8 GB/s)",
      ENERGY,
    ],
  },
  {
    format: 1,
    name: "laptop",
    title: "Apple M2, GPU of 10 cores",
    device: "webgpu",
    threads: 0,
    gflops: reached(3579),
    levels: [
      { name: "cache", bytes: 8e6, gbytes: 200, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 100, pj_per_byte: 56 },
    ],
    dispatch_us: 32,
    step_us: 500,
    pj_per_flop: 5.3,
    memory_bytes: 8e9,
    binding_bytes: 2 ** 32 - 4,
    half: true,
    measured: null,
    sources: [
      "peak: 1,280 lanes x 2 x 1.398 GHz (metal-benchmarks); memory: Apple, June 2022, 100 GB/s; last-level " +
        "cache 8 MB, its bandwidth assumed to be twice the memory's; 15 W for the GPU",
      DISPATCH,
      SHARES,
      ENERGY,
    ],
  },
  {
    format: 1,
    name: "rtx",
    title: "NVIDIA GeForce RTX 4090",
    device: "webgpu",
    threads: 0,
    gflops: reached(82_600),
    levels: [
      { name: "cache", bytes: 72e6, gbytes: 4000, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 1008, pj_per_byte: 52 },
    ],
    dispatch_us: 24,
    step_us: 500,
    pj_per_flop: 9.6,
    memory_bytes: 24e9,
    binding_bytes: 2 ** 31 - 4,
    half: true,
    measured: null,
    sources: [
      "peak 82.6 TFLOP/s, 1,008 GB/s, 72 MB, 450 W: NVIDIA Ada architecture, 2022; the cache's bandwidth is " +
        "assumed to be four times the memory's",
      DISPATCH,
      SHARES,
      ENERGY,
    ],
  },
  {
    format: 1,
    name: "h100",
    title: "NVIDIA H100 SXM5",
    device: "webgpu",
    threads: 0,
    gflops: reached(66_900),
    levels: [
      { name: "cache", bytes: 50e6, gbytes: 5500, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 3350, pj_per_byte: 44 },
    ],
    dispatch_us: 24,
    step_us: 500,
    pj_per_flop: 16,
    memory_bytes: 80e9,
    binding_bytes: 2 ** 31 - 4,
    half: true,
    measured: null,
    sources: [
      "peak 66.9 TFLOP/s (f32, no tensor cores), 3,350 GB/s, 50 MB, 700 W: NVIDIA Hopper architecture, 2022; " +
        "the cache's bandwidth is assumed",
      DISPATCH,
      SHARES,
      ENERGY,
    ],
  },
  {
    format: 1,
    name: "phone",
    title: "Adreno 740 (Snapdragon 8 Gen 2)",
    device: "webgpu",
    threads: 0,
    gflops: reached(2089),
    levels: [
      { name: "cache", bytes: 3e6, gbytes: 134, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 67.2, pj_per_byte: 56 },
    ],
    dispatch_us: 71,
    step_us: 500,
    pj_per_flop: 3.6,
    memory_bytes: 4e9,
    binding_bytes: 2 ** 27,
    half: true,
    kernels: SMALL_TILES,
    measured: null,
    sources: [
      "peak: 1,536 lanes x 2 x 680 MHz; memory: LPDDR5X, 67.2 GB/s; 7.5 W for the whole chip under a GPU " +
        "benchmark (notebookcheck); cache and its bandwidth, and half of 8 GB for a model: assumed",
      "a dispatch on a phone: no publication found, the upper end of the others (Maczan 2026) is taken",
      SHARES,
      ENERGY,
    ],
  },
  {
    format: 1,
    name: "board",
    title: "Raspberry Pi 5, WebAssembly",
    device: "wasm",
    threads: 4,
    gflops: { product: 61, narrow: 44, attention: 43, mixing: 19, elementary: 1, plain: 23 },
    levels: [
      { name: "cache", bytes: 512 << 10, gbytes: 40, pj_per_byte: SRAM },
      { name: "memory", bytes: null, gbytes: 9, pj_per_byte: 64 },
    ],
    dispatch_us: 0.7,
    step_us: 40,
    pj_per_flop: 180,
    memory_bytes: 2 ** 32,
    measured: null,
    sources: [
      "peak: 4 Cortex-A76 x 2.4 GHz x 2 pipes x 4 lanes x 2 = 153.6 GFLOP/s with multiply-add, which " +
        "WebAssembly has not: half of it; the shares reached and a dispatch are taken from the profile `cpu`",
      "memory: 9 GB/s read (tinymembench); L2 512 KB a core; 12 W at load (Geerling, HPL)",
      ENERGY,
    ],
  },
];

/** The profile whose cost is likest to that of a device of a kind, where it has none of its own. */
export function likestTo(kind: KernelProfile["kind"]): DeviceProfile {
  const name = kind === "gpu" ? "laptop" : "cpu";
  const profile = profiles.find((one) => one.name === name);
  if (!profile) throw new Error(`bug: there is no profile ${name}`);
  return profile;
}
