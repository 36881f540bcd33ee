/**
 * How long a user waits for the first step: `mhc train` from its start on, with a cache that is empty and with one that
 * has everything, beside PyTorch's from the start of Python to the first compiled step. The memory of a start is the
 * most that the process and the compilers that it started held together (resident, pages that several share counted
 * for each), looked at every 50 ms where the system has /proc.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { coldTorch, kernelsAsked, root } from "./contenders.mjs";
import { ready, start, stop } from "./program.mjs";
import { SETTINGS, TEXT } from "./settings.mjs";
import { median } from "./turns.mjs";

const LOOK_MS = 50;
const PAGE = 4096;

/** Starts that are timed: page, further settings, whether what the start before it compiled is there. */
const STARTS = {
  "nanogpt, cold": { page: "nanogpt", cold: true },
  "nanogpt, cached": { page: "nanogpt", cold: false },
  "moby-dick, cold": { page: "moby-dick", cold: true },
  "moby-dick, cached": { page: "moby-dick", cold: false },
  "nanogpt with 48 layers, cold": { page: "nanogpt", cold: true, set: ["layers=48"] },
};

const readable = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

/** Bytes that a process and all that it started hold now. */
function resident(pid) {
  const own = Number(readable(`/proc/${pid}/statm`).split(" ")[1] ?? 0) * PAGE;
  const children = readable(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean);
  return children.reduce((sum, child) => sum + resident(child), own);
}

/** Looks at the memory of a process until it is told to stop; gives the most that was seen, null where nothing was. */
function watched(pid) {
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, resident(pid))), LOOK_MS);
  return () => {
    clearInterval(timer);
    return most || null;
  };
}

/** Seconds and bytes from the start of `mhc train` to the line of its first step. */
async function timeTrain({ page, set = [] }, cache) {
  const out = mkdtempSync(join(tmpdir(), "mhc-first-"));
  const spec = join(root, "specs", `${page}.mhc`);
  const sets = set.flatMap((item) => ["--set", item]);
  const how = ["--data", TEXT, "--device", "native", "--out", join(out, "run"), "--json", ...sets];
  const begun = performance.now();
  const child = spawn(process.execPath, [join(root, "dist/src/cli/main.js"), "train", spec, ...how], {
    env: { ...process.env, MHC_CACHE: cache },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let words = "";
  child.stderr.on("data", (part) => (words += part));
  const closed = new Promise((resolve) => child.once("close", resolve));
  const most = watched(child.pid);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('"step":1')) return { s: (performance.now() - begun) / 1000, bytes: most() };
    }
    throw new Error(words.trim().split("\n").at(-1) || "mhc train ended before its first step");
  } finally {
    most();
    child.kill("SIGKILL");
    await closed;
    rmSync(out, { recursive: true, force: true });
  }
}

/** Seconds and bytes from the start of Python to the first compiled step. */
async function timeTorch(setting, peers) {
  const cache = mkdtempSync(join(tmpdir(), "mhc-torch-"));
  const { absent, ...contender } = coldTorch(setting, Math.max(...peers.threads), peers, cache);
  const begun = performance.now();
  try {
    if (absent) return { absent };
    const program = start(contender);
    const most = watched(program.child.pid);
    try {
      await program.next(15 * 60_000);
      return { s: (performance.now() - begun) / 1000, bytes: most() };
    } finally {
      most();
      await stop(program);
    }
  } catch (error) {
    return { absent: error.message };
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

/** How many kernels a training step of nanoGPT's page has with so many layers. */
async function kernels(layers, cache) {
  const program = await ready(kernelsAsked("nanogpt", [`layers=${layers}`], cache));
  await program.stop();
  return program.about.kernels;
}

/** Every start in turn, in an order in which a cached one follows its cold one; caches are `mhc-cold-…` folders. */
async function ourStarts(rounds, say) {
  const rows = Object.entries(STARTS).map(([name]) => ({ name, rounds: [], bytes: [] }));
  let counts = null;
  for (let round = 1; round <= rounds; round++) {
    let cache = "";
    const caches = [];
    for (const [i, how] of Object.values(STARTS).entries()) {
      if (how.cold) caches.push((cache = `${mkdtempSync(join(tmpdir(), "mhc-cold-"))}/`));
      const { s, bytes } = await timeTrain(how, cache);
      rows[i].rounds.push(s);
      rows[i].bytes.push(bytes ?? 0);
      say(`  ${rows[i].name}: ${s.toFixed(2)} s`);
    }
    counts ??= { 4: await kernels(4, cache), 48: await kernels(48, cache) };
    for (const folder of caches) rmSync(folder, { recursive: true, force: true });
    say(`  first steps: round ${round} of ${rounds}`);
  }
  const starts = rows.map(({ name, rounds: times, bytes }) => {
    return { name, s: median(times), bytes: Math.max(...bytes) || null, rounds: times };
  });
  return { starts, counts };
}

/** Seconds to the first step and the memory that it took, ours in every round and torch.compile's once. */
export async function firstSteps(rounds, peers, say) {
  const found = {};
  try {
    Object.assign(found, await ourStarts(rounds, say));
  } catch (error) {
    found.absent = error.message;
    say(`  first steps of ours: not timed: ${error.message}`);
  }
  found.torch = [];
  for (const name of ["nanogpt", "moby-dick"]) {
    const timed = await timeTorch(SETTINGS[name], peers);
    found.torch.push({ name: `torch.compile, ${name}, cold`, ...timed });
    say(`  torch.compile, ${name}: ${timed.absent ?? `${timed.s.toFixed(1)} s`}`);
  }
  return found;
}
