/** What a run was made with: the machine, compilers, Node, and the peers that a Python has. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { jaxjsVersion, root } from "./contenders.mjs";
import { SEED } from "./settings.mjs";

/** What a command prints, its first line; null where it does not run. */
function firstLine(command, ...args) {
  try {
    const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    return execFileSync(command, args, options).split("\n")[0].trim();
  } catch {
    return null;
  }
}

const ASK = `
import importlib.metadata as m, json, platform
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
names = ["torch", "hyper-connections", "jax"]
print(json.dumps(dict(python=platform.python_version(), **{name: version(name) for name in names})))
`;

/** Versions of the peers that a Python has, null for those that it has not; `error` where it does not run. */
export function pythonPeers(python) {
  try {
    return JSON.parse(execFileSync(python, ["-c", ASK], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }));
  } catch (error) {
    return { error: `${error.stderr || error.message}`.trim().split("\n").at(-1) };
  }
}

/** The processor: its name, and the widest vectors that it says it has. */
function processor() {
  let flags = "";
  try {
    flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  } catch {
    // Other systems have no such file.
  }
  const widest = ["avx512f", "avx2", "avx"].find((name) => flags.split(" ").includes(name));
  return `${cpus()[0]?.model ?? "unknown"}${widest ? `, ${widest}` : ""}`;
}

/** Everything that the figures of a run depend on, by what it is. */
export function versionsOf({ found, jaxjs }) {
  const compiler = (process.env.CC?.trim() || "cc").split(/\s+/)[0];
  const changed = firstLine("git", "status", "--porcelain", "--untracked-files=no");
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `${firstLine("git", "rev-parse", "--short", "HEAD")}${changed ? "+" : ""}`,
    processor: processor(),
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 1e9),
    load_at_start: Number(loadavg()[0].toFixed(2)),
    node: process.versions.node,
    "C compiler": firstLine(compiler, "--version"),
    Python: found.python ?? null,
    PyTorch: found.torch ?? null,
    "hyper-connections": found["hyper-connections"] ?? null,
    JAX: found.jax ?? null,
    "jax-js": jaxjsVersion(jaxjs),
    seed: SEED,
  };
}
