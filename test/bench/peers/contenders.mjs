/**
 * Who is timed in a setting: ours, and what a user would pick instead, in the ways that it can be run. A contender has
 * a key (`torch-compiled`), a number of threads and a command, or a reason why it cannot be timed here.
 */
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { argumentsOf, settingsOf, SETTINGS } from "./settings.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** The folder of the project. */
export const root = dirname(dirname(dirname(here)));

/** What holds PyTorch and the libraries that it calls to 256 bits. */
const AVX2 = {
  ATEN_CPU_CAPABILITY: "avx2",
  MKL_ENABLE_INSTRUCTIONS: "AVX2",
  ONEDNN_MAX_CPU_ISA: "AVX2",
};

/** The C compiler that is told to make code for 8 lanes. */
const eightLanes = () => ({ CC: `${process.env.CC?.trim() || "cc"} -march=haswell` });

/** Our step of a setting. `with` changes how: device, further settings, another build, another Node, environment. */
function ours(setting, threads, { device = "native", set = [], from = root, node = [process.execPath], env } = {}) {
  const settings = [...settingsOf(setting), ...set].flatMap((item) => ["--set", item]);
  const program = [join(here, "our_step.mjs"), "--root", from, "--page", setting.page];
  return { command: [...node, ...program, "--device", device, "--threads", `${threads}`, ...settings], env };
}

/** The residual page at the sizes of an mHC page. */
const residualOf = (setting) => ({ ...setting, page: SETTINGS.nanogpt.page });

/** Node 24, as npm brings it. */
const NODE24 = ["npx", "--yes", "--package", "node@24", "node"];

/** Ours in a setting with so many threads. `before` is the folder of another build, timed beside this one. */
function ownContenders(setting, threads, { node24, before, webgpu, cache }) {
  const own = (key, title, how, of = setting) => {
    const { command, env } = ours(of, threads, how);
    return { key, title, threads, command, env: { MHC_CACHE: join(cache, "mhc/"), ...env } };
  };
  const wasm = { device: "wasm" };
  const list = [own("native", "ours, native"), own("wasm", "ours, WebAssembly", wasm)];
  if (setting.connection === "mhc") {
    list.push(own("native-residual", "ours, native, residual page", {}, residualOf(setting)));
  }
  if (process.arch === "x64") {
    list.push({ ...own("native-lanes8", "ours, native, 8 lanes", { env: eightLanes() }), lanes: 8 });
  } else list.push({ ...own("native-lanes8", "ours, native, 8 lanes"), absent: "this processor is no x64" });
  list.push(own("native-bf16", "ours, native, bf16", { set: ["train.precision=bf16"] }));
  if (node24) list.push(own("wasm-node24", "ours, WebAssembly, Node 24", { ...wasm, node: NODE24 }));
  if (before) {
    list.push(own("native-before", "ours, native, the build before", { from: before }));
    list.push(own("wasm-before", "ours, WebAssembly, the build before", { ...wasm, from: before }));
  }
  if (before && node24) {
    const how = { ...wasm, node: NODE24, from: before };
    list.push(own("wasm-node24-before", "ours, WebAssembly, Node 24, the build before", how));
  }
  if (webgpu && threads === 1) list.push({ ...own("webgpu", "ours, WebGPU", { device: "webgpu" }), threads: null });
  return list;
}

/** A Python program of a setting. */
function python(script, setting, threads, { python: file }, ways = []) {
  const program = [join(here, script), "--connection", setting.connection, "--threads", `${threads}`];
  return [file, ...program, ...argumentsOf(setting), ...ways.map((way) => `--${way}`)];
}

/**
 * How torch.compile works in a contender: what it made is kept for the next run, apart for each width of vectors and
 * number of threads, which it takes for one; and there is no pool of compilers that stays, since contenders are started
 * side by side.
 */
const inductor = (threads, width, { cache }) => ({
  TORCHINDUCTOR_CACHE_DIR: join(cache, `inductor-${width}-${threads}`),
  TORCHINDUCTOR_COMPILE_THREADS: "1",
});

/** Memory in large pages, which ours asks for itself: a variable of glibc from 2.35 on. */
const LARGE_PAGES = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };

const FUSED = ["sdpa", "fused"];
const COMPILED = [...FUSED, "compile"];

/** PyTorch's ways of a setting: key, title, flags, environment, the package it needs. */
function torchWays({ connection, sizes }) {
  const ways = [
    ["torch-eager", "PyTorch, eager", []],
    ["torch-fused", "PyTorch, sdpa, fused", FUSED],
    ["torch-compiled", "PyTorch, sdpa, fused, compiled", COMPILED],
    ["torch-compiled-large", "PyTorch, sdpa, fused, compiled, large pages", COMPILED, LARGE_PAGES],
  ];
  if (sizes.width >= 512) {
    ways.push(["torch-fused-bf16", "PyTorch, sdpa, fused, bf16", [...FUSED, "bf16"]]);
    ways.push(["torch-compiled-bf16", "PyTorch, sdpa, fused, compiled, bf16", [...COMPILED, "bf16"]]);
  } else {
    ways.push(["torch-avx2-fused", "PyTorch held to AVX2, sdpa, fused", FUSED, AVX2]);
    ways.push(["torch-avx2-compiled", "PyTorch held to AVX2, sdpa, fused, compiled", COMPILED, AVX2]);
  }
  if (connection === "mhc") {
    ways.push(["package-eager", "hyper-connections, sdpa, fused", [...FUSED, "package"]]);
    ways.push(["package-compiled", "hyper-connections, sdpa, fused, compiled", [...COMPILED, "package"]]);
  }
  return ways;
}

/** What a Python has, and what is to be done where it has not. */
function missing(key, { found, python: file }) {
  const install = (name) => `${file} has no ${name}: ${file} -m pip install ${name}`;
  if (found.error) return `${file} does not run (PYTHON names another): ${found.error}`;
  if (key !== "jax" && !found.torch) return install("torch");
  if (key.startsWith("package") && !found["hyper-connections"]) return install("hyper-connections");
  if (key === "jax" && !found.jax) return install("jax");
  return undefined;
}

function pythonContenders(setting, threads, peers) {
  const torch = torchWays(setting).map(([key, title, flags, env]) => ({
    key,
    title,
    threads,
    absent: missing(key, peers),
    command: python("torch_step.py", setting, threads, peers, flags),
    env: { ...inductor(threads, env === AVX2 ? "avx2" : "widest", peers), ...env },
  }));
  const jax = { key: "jax", title: "JAX, jit", threads, absent: missing("jax", peers) };
  return [...torch, { ...jax, command: python("jax_step.py", setting, threads, peers) }];
}

/** jax-js chooses its threads itself. Its program stands beside it while it runs, since that is where it is found. */
function jaxjsContenders(setting, { jaxjs, webgpu }) {
  if (setting !== SETTINGS.nanogpt) return [];
  return ["wasm", ...(webgpu ? ["webgpu"] : [])].map((device) => {
    const about = { key: `jaxjs-${device}`, title: `jax-js, ${device}`, threads: null };
    if (!jaxjs) return { ...about, absent: "MHC_PEERS names no folder where `npm i @jax-js/jax webgpu` was run" };
    if (!existsSync(join(jaxjs, "node_modules/@jax-js/jax"))) {
      return { ...about, absent: `${jaxjs} has no @jax-js/jax: npm i @jax-js/jax webgpu` };
    }
    const script = join(jaxjs, "mhc-jaxjs-step.mjs");
    const command = [process.execPath, script, "--device", device, ...argumentsOf(setting)];
    const beforehand = () => copyFileSync(join(here, "jaxjs_step.mjs"), script);
    const afterwards = () => rmSync(script, { force: true });
    return { ...about, command, cwd: jaxjs, beforehand, afterwards };
  });
}

/** The version of jax-js in a folder. */
export const jaxjsVersion = (folder) => {
  const file = folder && join(folder, "node_modules/@jax-js/jax/package.json");
  return file && existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : null;
};

/** How torch.compile's first step is timed: the fastest way, with caches of its own. */
export const coldTorch = (setting, threads, peers, cache) => {
  const env = { TORCHINDUCTOR_CACHE_DIR: join(cache, "inductor"), TRITON_CACHE_DIR: join(cache, "triton") };
  return {
    absent: missing("torch-compiled", peers),
    command: python("torch_step.py", setting, threads, peers, COMPILED),
    env,
  };
};

/** A native step of a page, to be asked how many kernels it has. */
export const kernelsAsked = (page, set, cache) => {
  const { command } = ours({ page, sizes: SETTINGS.nanogpt.sizes }, 1, { set });
  return { command, env: { MHC_CACHE: cache } };
};

/** All contenders of a setting, in the order of their turns. `only` keeps families of keys: `torch`, `native-bf16`. */
export function contendersOf(setting, { threads, only, ...peers }) {
  const all = [
    ...threads.flatMap((n) => [...ownContenders(setting, n, peers), ...pythonContenders(setting, n, peers)]),
    ...jaxjsContenders(setting, peers),
  ];
  const named = ({ key }) => only.some((name) => key === name || key.startsWith(`${name}-`));
  return only.length ? all.filter(named) : all;
}
