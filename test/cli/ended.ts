/** Commands that are ended while they run, and what they leave. */
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decode } from "../../runtime/checkpoint.js";

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
}

/** Runs the command, and does something to it once its output has a part. */
export const meanwhileIn =
  (cwd: string, main: string) =>
  (args: readonly string[], part: string, act: (child: ChildProcess) => void): Promise<Ended> => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 120_000,
    });
    let out = "";
    let acted = false;
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      if (acted || !out.includes(part)) return;
      acted = true;
      act(child);
    });
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, out })));
  };

/** The step of the checkpoint of a run. */
export const stepOfRun = (folder: string): number =>
  Number(decode(readFileSync(join(folder, "model.safetensors"))).metadata["step"]);
