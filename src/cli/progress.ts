/**
 * Progress for people: one line rewritten on a terminal, a line every tenth of the way elsewhere. With --json, a line a
 * step and nothing else.
 */

import { merged, valueAt } from "../../runtime/records.js";
import type { GainMonitor } from "../tools/gains.js";
import type { Evaluating, NamedNumbers, StepLine } from "../tools/train.js";
import { namedNumbers } from "../tools/words.js";

/** How often a long evaluation is told of where lines are not rewritten. */
const TOLD_MS = 10_000;

/** With more constraints than this, only the one that is furthest off is shown. */
const SHOWN = 2;

/** What progress is told of. */
export interface ProgressOptions {
  /** Infinite when time ends the run. */
  readonly steps: number;
  readonly json: boolean;
  /** Which of several runs it is. */
  readonly prefix?: string;
  /** The gains that are shown. */
  readonly gains?: readonly GainMonitor[];
  /** What is counted a second; tokens, when it is not said. */
  readonly counted?: "tokens" | "examples";
}

/** Progress of one run. */
export class Progress {
  private readonly terminal = process.stdout.isTTY === true;
  private readonly begun = performance.now();
  private shown = 0;
  /** Whether the cursor stands behind a progress line. */
  private open = false;
  /** Claims that were broken when they were last measured: each is told once. */
  private readonly broken = new Set<string>();
  /** The gains that were measured last, forward and backward, and the step after which they were. */
  private gains: { readonly step: number; readonly text: string } | null = null;

  private readonly steps: number;
  private readonly json: boolean;
  private readonly prefix: string;
  private readonly gainNames: readonly string[];
  private readonly counted: "tokens" | "examples";

  constructor({ steps, json, prefix = "", gains = [], counted = "tokens" }: ProgressOptions) {
    this.steps = steps;
    this.json = json;
    this.prefix = prefix;
    this.counted = counted;
    this.gainNames = gains.map(({ name }) => name);
  }

  say(text: string): void {
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  step(line: StepLine): void {
    if (this.json) {
      process.stdout.write(`${JSON.stringify(line)}\n`);
      return;
    }
    for (const { text, value, holds } of line.claims ?? []) {
      if (!holds && !this.broken.has(text))
        this.end(`step ${line.step}: the claim ${text} is broken, it is ${value.toPrecision(4)}`);
      if (holds) this.broken.delete(text);
      else this.broken.add(text);
    }
    // Every measurement counts, those of steps that get no line of their own too.
    const { monitors } = line;
    const gains = this.gainNames.flatMap((name) => valueAt(monitors, name)?.toPrecision(3) ?? []);
    if (gains.length) this.gains = { step: line.step, text: gains.join(" / ") };
    if (line.shrunk) this.end(`step ${line.step}: ${shrunk(line.shrunk)}`);
    const now = performance.now();
    const tenth =
      line.step === 1 || line.step === this.steps || line.step % Math.max(1, Math.floor(this.steps / 10)) === 0;
    if (this.terminal ? now - this.shown < 100 && !tenth : !tenth) return;
    this.shown = now;
    const limited = Number.isFinite(this.steps);
    const remaining = limited ? `  ${clock(((now - this.begun) / line.step) * (this.steps - line.step))} left` : "";
    const distances = Object.entries(line.constraints).sort(([, a], [, b]) => b - a);
    const constraints = (distances.length > SHOWN ? distances.slice(0, 1) : distances)
      .map(([name, distance]) => `  ${name} off by ${distance.toExponential(1)}`)
      .join("");
    const { gains: newest } = this;
    const gain = newest ? `  gain ${newest.text}${newest.step === line.step ? "" : ` (step ${newest.step})`}` : "";
    const measured = measuredOf("  ", line.terms, line.metrics);
    const heldOut = measuredOf(", ", line.holdout_terms, line.holdout_metrics);
    const holdout = line.holdout === undefined ? "" : `  hold-out ${line.holdout.toFixed(4)}${shareOf(line)}${heldOut}`;
    const cost = Object.entries(line.costs ?? {})
      .map(([measure, part]) => `  ${measure} ${(100 * part).toFixed(0)}%`)
      .join("");
    const step = `${this.prefix}step ${line.step}${limited ? `/${this.steps}` : ""}`;
    const rate = `${Math.round(line.tokens_per_s).toLocaleString("en")} ${this.counted}/s`;
    this.put(
      `${step}  loss ${line.loss.toFixed(4)}${measured}${holdout}  ${rate}${remaining}${cost}${gain}${constraints}`,
    );
  }

  /** `of`: what the evaluation is on, in words. */
  evaluating({ done, of: total, last }: Evaluating, of: string): void {
    if (this.json) return;
    if (last && done === 0) this.end(`evaluating on ${of} …`);
    const now = performance.now();
    if (done === 0) this.shown = now;
    if (now - this.shown < (this.terminal ? 100 : TOLD_MS)) return;
    this.shown = now;
    this.put(`${this.prefix}evaluating on ${of}: ${Math.floor((100 * done) / total)}%`);
  }

  /** A line that wraps could not be rewritten in place; what does not fit is cut. */
  private put(text: string): void {
    process.stdout.write(
      this.terminal ? `\r\u001b[K${text.slice(0, Math.max(20, (process.stdout.columns || 80) - 1))}` : `${text}\n`,
    );
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

/** Named parts of the loss and metrics, each with what parts it from the one before, behind the loss. */
function measuredOf(between: string, terms: NamedNumbers = {}, metrics: NamedNumbers = {}): string {
  const text = namedNumbers(merged(terms, metrics), between);
  return text && `${between}${text}`;
}

/** What a hold-out loss while training is the mean over, when that is not all. */
const shareOf = ({ holdout_share: share = 1 }: StepLine): string =>
  share === 1 ? "" : ` (of ${(100 * share).toPrecision(2)}%)`;

/** What a model has become that was shrunk, in words. */
function shrunk({ parameters, share, compiled, compileMs }: NonNullable<StepLine["shrunk"]>): string {
  const costs = Object.entries(share)
    .map(([measure, part]) => `${measure} ${(100 * part).toFixed(1)}%`)
    .join(", ");
  const how = compiled
    ? `the step is compiled for what is left (${(compileMs / 1000).toFixed(1)} s in the background)`
    : "closed units are masked, and still computed";
  return (
    `gates are decided: ${parameters.toLocaleString("en")} parameters; of the dense model's, modelled: ` +
    `${costs}; ${how}`
  );
}

function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
