/** mhc cost: what a training step of a spec takes: operations and bytes, and time and energy on a device profile. */
import { Command } from "commander";
import { joules, scaled, size } from "../cost/figures.js";
import type { CostReport } from "../cost/report.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { defaultProfile, profileNamed } from "./profiles.js";
import { pageOf, report, type SpecOptions } from "./project.js";
import { version } from "./version.js";

interface CostFlags extends SpecOptions {
  readonly device?: string;
  readonly html?: string;
  readonly run?: string;
}

/** The command `mhc cost`. */
export const costCommand = (): Command =>
  new Command("cost")
    .description("what a training step costs: FLOPs and bytes counted from the plan, time and energy modelled")
    .argument("[spec]", "a .mhc file")
    .option("--run <folder>", "the page of a run; of a model that has shrunk, what is left of it")
    .option(
      "--device <profile>",
      "a device profile: cpu, laptop, rtx, h100, phone, board, one that was measured here, or a JSON file " +
        "(default: that of the page, else what was measured here last, else cpu)",
    )
    .option("--html <file>", "write a page with the same as a picture")
    .addOption(options.set())
    .addOption(options.data())
    .addOption(options.json())
    .action(async (file: string | undefined, flags: CostFlags) => {
      const json = flags.json === true;
      const { text: page, options: full } = await pageOf(file, flags);
      const { check, compile } = await import("../compile/compile.js");
      const name = flags.device ?? check(page, full).model?.cost?.device?.name;
      const profile = name === undefined ? defaultProfile() : profileNamed(name);
      const compiled = await compile(page, { ...full, devices: [profile.device] });
      await report(compiled, json);
      const { cost } = await import("../cost/report.js");
      const counted = cost(compiled, profile);
      process.stdout.write(json ? `${JSON.stringify(counted)}\n` : text(counted));
      if (flags.html === undefined) return;
      const { costPage } = await import("../tools/cost-page.js");
      const command = [
        "mhc cost",
        ...(file === undefined ? ["--run", options.quoted(flags.run ?? "")] : [options.quoted(file)]),
        "--device",
        options.quoted(flags.device ?? profile.name),
        ...(flags.data ?? []).flatMap((value) => ["--data", options.quoted(value)]),
        ...(flags.set ?? []).flatMap((value) => ["--set", options.quoted(value)]),
      ].join(" ");
      await write(flags.html, costPage(counted, profile, { command, version, text: page }));
      if (!json) process.stdout.write(`\nwritten to ${flags.html}\n`);
    });

type AnyShare = CostReport["by_phase"][number] | CostReport["by_kind"][number] | CostReport["by_block"][number];

/** A row of a table: its name, its share, and the parameters of a block. */
type ShareRow = readonly [name: string, share: AnyShare, parameters?: string];

/** Shares as a table, with an empty line above it. */
function table({ unit, time_ms: ms }: CostReport, head: string, rows: readonly ShareRow[]): string[] {
  const width = Math.max(head.length, ...rows.map(([name]) => name.length)) + 2;
  const line = (name: string, ...cells: readonly string[]): string =>
    `${name.padEnd(width)}${cells.map((cell) => cell.padStart(14)).join("")}`.trimEnd();
  const more = rows.some(([, , parameters]) => parameters !== undefined) ? ["parameters"] : [];
  return [
    "",
    line(head, `FLOP/${unit}`, `B/${unit}`, "ms", "% of time", `J/${unit}`, ...more),
    ...rows.map(([name, share, parameters]) =>
      line(
        name,
        scaled(share.flops_per_token, ""),
        scaled(share.bytes_per_token, ""),
        share.time_ms.toFixed(2),
        ((100 * share.time_ms) / ms).toFixed(1),
        joules(share.joules_per_token),
        ...(parameters === undefined ? [] : [parameters]),
      ),
    ),
  ];
}

/** Operations and bytes, counted. */
function countedWords(cost: CostReport): string {
  const entry = cost.entry === "train" ? "" : " (no loss: its values and derivative)";
  const each = cost.unit === "token" ? "a token" : "an example";
  return (
    `${cost.name}${entry} on ${cost.device} (${cost.title}): ${scaled(cost.flops_per_token, "FLOP")} and ` +
    `${scaled(cost.bytes_per_token, "B")} ${each}, counted from the plan; ` +
    `${cost.tokens.toLocaleString("en")} ${cost.unit}${cost.tokens === 1 ? "" : "s"} a step`
  );
}

/** Time and energy, modelled from that. */
function modelledWords(cost: CostReport): string {
  const { measured, time_ms: ms } = cost;
  const each = cost.unit === "token" ? "a token" : "an example";
  const origin = measured === null ? "published and assumed figures" : `what was measured (${measured})`;
  const levels = cost.by_level.map(({ level, bytes_per_token: bytes }) => `${scaled(bytes, "B")} from ${level}`);
  return (
    `${scaled(ms, "s", ["m", ""])} and ${joules(cost.joules_per_token * cost.tokens)} a step, modelled from ` +
    `${origin}; ${cost.dispatches} dispatches; ${((100 * cost.memory_ms) / ms).toFixed(0)}% of the time waits for ` +
    `memory (${levels.join(", ")} ${each})`
  );
}

function text(cost: CostReport): string {
  const memory = cost.memory.map(({ kind, bytes }) => `${kind} ${size(bytes)}`);
  const lines = [
    countedWords(cost),
    modelledWords(cost),
    `${cost.parameters.toLocaleString("en")} parameters; ${size(cost.memory_bytes)} of memory: ${memory.join(", ")}`,
    ...table(
      cost,
      "",
      cost.by_phase.map((share) => [share.phase, share]),
    ),
    ...table(
      cost,
      "kind",
      cost.by_kind.map((share) => [share.kind, share]),
    ),
    ...table(
      cost,
      "block",
      cost.by_block.map((share) => [
        share.block === "" ? "(the page)" : share.block,
        share,
        share.parameters.toLocaleString("en"),
      ]),
    ),
    ...(cost.advice.length ? ["", ...cost.advice.map((line) => `- ${line}`)] : []),
  ];
  return `${lines.join("\n")}\n`;
}
