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
    .action(async (file: string | undefined, given: CostFlags) => {
      const json = given.json === true;
      const { text: page, options: full } = await pageOf(file, given);
      const { check, compile } = await import("../compile/compile.js");
      const own = check(page, full).model?.cost?.device?.name;
      const profile =
        given.device !== undefined
          ? profileNamed(given.device)
          : own === undefined
            ? defaultProfile()
            : profileNamed(own);
      const compiled = await compile(page, { ...full, devices: [profile.device] });
      await report(compiled, json);
      const { cost } = await import("../cost/report.js");
      const found = cost(compiled, profile);
      process.stdout.write(json ? `${JSON.stringify(found)}\n` : text(found));
      if (given.html === undefined) return;
      const { costPage } = await import("../tools/cost-page.js");
      const command = [
        "mhc cost",
        ...(file === undefined ? ["--run", options.quoted(given.run!)] : [options.quoted(file)]),
        "--device",
        options.quoted(given.device ?? profile.name),
        ...(given.data ?? []).flatMap((value) => ["--data", options.quoted(value)]),
        ...(given.set ?? []).flatMap((value) => ["--set", options.quoted(value)]),
      ].join(" ");
      await write(given.html, costPage(found, profile, { command, version, text: page }));
      if (!json) process.stdout.write(`\nwritten to ${given.html}\n`);
    });

function text(found: CostReport): string {
  const { time_ms: ms } = found;
  const table = (
    head: string,
    rows: readonly (readonly [
      string,
      CostReport["by_phase"][number] | CostReport["by_kind"][number] | CostReport["by_block"][number],
      string?,
    ])[],
  ): string[] => {
    const width = Math.max(head.length, ...rows.map(([name]) => name.length)) + 2;
    const line = (name: string, ...cells: readonly string[]): string =>
      `${name.padEnd(width)}${cells.map((cell) => cell.padStart(14)).join("")}`.trimEnd();
    return [
      "",
      line(
        head,
        `FLOP/${found.unit}`,
        `B/${found.unit}`,
        "ms",
        "% of time",
        `J/${found.unit}`,
        ...(rows.some(([, , last]) => last !== undefined) ? ["parameters"] : []),
      ),
      ...rows.map(([name, share, last]) =>
        line(
          name,
          scaled(share.flops_per_token, ""),
          scaled(share.bytes_per_token, ""),
          share.time_ms.toFixed(2),
          ((100 * share.time_ms) / ms).toFixed(1),
          joules(share.joules_per_token),
          ...(last === undefined ? [] : [last]),
        ),
      ),
    ];
  };
  return `${[
    `${found.name}${found.entry === "train" ? "" : " (no loss: its values and derivative)"} on ` +
      `${found.device} (${found.title}): ${scaled(found.flops_per_token, "FLOP")} and ` +
      `${scaled(found.bytes_per_token, "B")} ${found.unit === "token" ? "a token" : "an example"}, counted ` +
      `from the plan; ${found.tokens.toLocaleString("en")} ${found.unit}${found.tokens === 1 ? "" : "s"} a step`,
    `${scaled(ms, "s", ["m", ""])} and ${joules(found.joules_per_token * found.tokens)} a step, modelled from ` +
      `${found.measured === null ? "published and assumed figures" : `what was measured (${found.measured})`}; ` +
      `${found.dispatches} dispatches; ${((100 * found.memory_ms) / ms).toFixed(0)}% of the time waits for ` +
      `memory (${found.by_level.map(({ level, bytes_per_token: bytes }) => `${scaled(bytes, "B")} from ${level}`).join(", ")} ` +
      `${found.unit === "token" ? "a token" : "an example"})`,
    `${found.parameters.toLocaleString("en")} parameters; ${size(found.memory_bytes)} of memory: ` +
      `${found.memory.map(({ kind, bytes }) => `${kind} ${size(bytes)}`).join(", ")}`,
    ...table(
      "",
      found.by_phase.map((share) => [share.phase, share]),
    ),
    ...table(
      "kind",
      found.by_kind.map((share) => [share.kind, share]),
    ),
    ...table(
      "block",
      found.by_block.map((share) => [
        share.block === "" ? "(the page)" : share.block,
        share,
        share.parameters.toLocaleString("en"),
      ]),
    ),
    ...(found.advice.length ? ["", ...found.advice.map((line) => `- ${line}`)] : []),
  ].join("\n")}\n`;
}
