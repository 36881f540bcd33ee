/** mhc target-test: whether a device, above all one of the user's own, computes what it should. */
import { resolve } from "node:path";
import { Command } from "commander";
import type { ConformanceRow, Part } from "../tools/conformance/suite.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { deviceNamed } from "./targets.js";
import { choicesFor } from "./tuned.js";

interface TargetTestFlags {
  readonly steps: number;
  readonly only?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** The command `mhc target-test`. */
export const targetTestCommand = (): Command =>
  new Command("target-test")
    .description("test whether a device computes what it should, beside the device javascript")
    .argument("<device>", "the path of a module that is a device (./mine.js), or the name of one of mhc")
    .option("--steps <n>", "training steps of each page", options.positive, 10)
    .option("--only <names>", "test these alone: ops, moby-dick, … (comma-separated; a wrong name lists them)")
    .addOption(options.threads())
    .addOption(options.json())
    .action(async (word: string, { steps, only, threads, json }: TargetTestFlags) => {
      const { conformance, subjectsFor } = await import("../tools/conformance/suite.js");
      const names = only?.split(",").map((name) => name.trim());
      const target = await deviceNamed(word, "target-test");
      const { openTarget } = await import("../tools/opened.js");
      const device = await openTarget(
        target,
        { threads, wide: true },
        typeof target === "string" ? null : resolve(word),
      );
      const subjects = subjectsFor(device.printer);
      const unknown = names?.find((name) => !subjects.includes(name));
      const print = (text: string): void => void process.stdout.write(`${text}\n`);
      try {
        if (unknown !== undefined)
          throw new UsageError(`error: --only ${unknown}: for ${device.name} there are ${subjects.join(", ")}`);
        if (!json) print(`${device.name} (${device.adapter}) beside javascript\n${TITLES}`);
        const rows = await conformance(device, {
          choices: choicesFor(device),
          steps,
          only: names,
          tell: (row) => print(json ? JSON.stringify(toJson(row)) : textOf(row)),
        });
        const failed = rows.filter(({ ok }) => !ok).length;
        if (json)
          print(JSON.stringify({ device: device.name, ok: failed === 0, passed: rows.length - failed, failed }));
        else print(failed ? `${failed} of ${rows.length} fail` : `all ${rows.length} pass`);
        if (failed) process.exitCode = 1;
      } finally {
        await device.close();
      }
    });

/** What the rows of a part count, and what their worst difference is of. */
const COUNTED: Readonly<Record<Part, string>> = {
  session: "promises of a session",
  kernels: "kernels",
  outputs: "outputs",
  losses: "steps, their losses",
  bits: "steps again, the same bits",
};

const columns = (mark: string, of: string, what: string, worst: string, allowed: string): string =>
  `  ${mark.padEnd(8)}${of.padEnd(13)}${what.padEnd(30)}${worst.padStart(9)}${allowed.padStart(9)}`.trimEnd();

const TITLES = columns("", "", "", "differ by", "allowed");

const share = (value: number | null): string =>
  value === null ? "" : value === 0 ? "0" : Number.isFinite(value) ? value.toExponential(1) : "wholly";

function textOf({ part, of, ok, count, worst, tolerance, first }: ConformanceRow): string {
  const what = count ? `${count} ${COUNTED[part]}` : part;
  const row = columns(ok ? "ok" : "FAILED", of, what, share(worst), share(tolerance));
  return first === null ? row : `${row}\n          ${first}`;
}

/** JSON has no infinity: numbers that differ wholly, as one that is none, are null. */
const toJson = ({ worst, ...row }: ConformanceRow): Readonly<Record<string, unknown>> => ({
  ...row,
  worst: worst !== null && Number.isFinite(worst) ? worst : null,
});
