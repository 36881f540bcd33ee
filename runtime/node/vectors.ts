/** V8's revectorizer, which makes one 256-bit instruction of two that lie side by side. */
import { readFileSync } from "node:fs";
import v8 from "node:v8";

/** Node 24 is the first whose engine keeps to it in loops. */
const FIRST = 24;

/** Whether the processor has AVX2, as far as can be known: the engine tells nobody. */
function hasAvx2(): boolean {
  if (process.platform !== "linux") return false;
  try {
    return /^flags\b.*\bavx2\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}

/** Asks for it, for all WebAssembly that the process compiles from now on; whether the engine has it. */
export function joinVectors(): boolean {
  if (process.arch !== "x64" || Number(process.versions.node.split(".")[0]) < FIRST || !hasAvx2()) return false;
  // The engine takes it at run time only: Node's command line refuses it as an option.
  v8.setFlagsFromString("--experimental-wasm-revectorize");
  return true;
}
