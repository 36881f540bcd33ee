/** Progress for people: one line rewritten on a terminal, a line every tenth of the way elsewhere. With --json, a line a step and nothing else. */

import type { StepLine } from "../tools/train.js";

export class Progress {
  private readonly terminal = process.stdout.isTTY === true;
  private readonly begun = performance.now();
  private shown = 0;
  /** Whether the cursor stands behind a progress line. */
  private open = false;

  /** Without a limit of steps time ends the run; `prefix` says which of several runs it is. */
  constructor(private readonly steps: number, private readonly json: boolean, private readonly prefix = "") {}

  say(text: string): void {
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  step(line: StepLine): void {
    if (this.json) {
      process.stdout.write(`${JSON.stringify(line)}\n`);
      return;
    }
    const now = performance.now();
    const tenth = line.step === 1 || line.step === this.steps || line.step % Math.max(1, Math.floor(this.steps / 10)) === 0;
    if (this.terminal ? now - this.shown < 100 && !tenth : !tenth) return;
    this.shown = now;
    const limited = Number.isFinite(this.steps);
    const left = limited ? `  ${clock(((now - this.begun) / line.step) * (this.steps - line.step))} left` : "";
    const constraints = Object.entries(line.constraints).map(([name, distance]) => `  ${name} off by ${distance.toExponential(1)}`).join("");
    const holdout = line.holdout === undefined ? "" : `  hold-out ${line.holdout.toFixed(4)}`;
    const text = `${this.prefix}step ${line.step}${limited ? `/${this.steps}` : ""}  loss ${line.loss.toFixed(4)}${holdout}  ${Math.round(line.tokens_per_s).toLocaleString("en")} tokens/s${left}${constraints}`;
    // A line that wraps could not be rewritten in place; what does not fit is cut.
    process.stdout.write(this.terminal ? `\r\u001b[K${text.slice(0, Math.max(20, (process.stdout.columns || 80) - 1))}` : `${text}\n`);
    this.open = this.terminal;
  }

  /** Leaves the progress line, so that what follows begins on its own. */
  stop(): void {
    if (this.open) process.stdout.write("\n");
    this.open = false;
  }

  end(text: string): void {
    if (this.json) return;
    this.stop();
    process.stdout.write(`${text}\n`);
  }
}

function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
