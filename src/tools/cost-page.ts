/** A report of cost as a page: where a step's time goes, block by block, and what its memory is for. */
import { joules, percent, scaled, size } from "../cost/figures.js";
import type { DeviceProfile } from "../cost/profile.js";
import { OVERHEAD, type CostReport, type TokenShare } from "../cost/report.js";
import { document, folded, legend, section, table } from "./page.js";
import { escape, stackChart, type Stack } from "./plot.js";

/** What a page says beside the report itself. */
export interface CostPageOptions {
  /** The command that makes it again. */
  readonly command: string;
  readonly version: string;
  /** The spec. */
  readonly text: string;
}

const PHASES = ["forward", "backward", "update"] as const;
/** Blocks that are drawn: the rest together is one more. */
const MOST = 14;

/** The page of a report, as HTML. */
export function costPage(report: CostReport, profile: DeviceProfile, options: CostPageOptions): string {
  const { command, version, text } = options;
  const mark = '<rect class="bar" width="26" height="10"/>';
  const phases = PHASES.map((name, colour) => ({ colour, name }));
  const shareOfMemory = percent(report.memory_ms / report.time_ms);
  const step = "milliseconds a step";
  return document(
    `What a step of ${report.name} costs`,
    `<p>${escape(countedWords(report))}</p>
<p>${escape(modelledWords(report, profile))}</p>
${report.advice.map((line) => `<p class="note">${escape(line)}.</p>`).join("\n")}
${section(
  "Time by block",
  "Milliseconds of a step, all layers of a repeat together.",
  legend(mark, phases),
  stackChart({ label: "milliseconds by block", x: step, rows: blockRows(report) }),
)}
${section(
  "Time by kind of work",
  `${shareOfMemory} of a step waits for memory rather than arithmetic; the step and its ` +
    `${report.dispatches} dispatches take ${report.overhead_ms.toFixed(2)} ms by themselves (overhead).`,
  stackChart({ label: "milliseconds by kind", x: step, rows: kindRows(report) }),
)}
${section("Memory", "What the pools hold.", stackChart({ label: "MiB by kind", x: "MiB", rows: memoryRows(report) }))}
${section(
  "Table",
  "Operations by the op table; bytes are what each kernel touches, every tensor once.",
  ...tablesOf(report),
)}
<section>
<h2>How it was made</h2>
<pre>${escape(command)}</pre>
<p>${escape(`mhc ${version}. Sources of the profile: ${profile.sources.join("; ")}.`)}</p>
${folded("the spec", text)}
</section>`,
  );
}

/** What a figure is of: `a token`, `an example`. */
const unitOf = ({ unit }: CostReport): string => (unit === "token" ? "a token" : "an example");

const countedWords = (report: CostReport): string =>
  `${scaled(report.flops_per_token, "FLOP")} and ${scaled(report.bytes_per_token, "B")} ${unitOf(report)}, ` +
  `counted from the plan; ${report.tokens.toLocaleString("en")} ${report.unit}${report.tokens === 1 ? "" : "s"} ` +
  `a step, ${report.parameters.toLocaleString("en")} parameters, ${size(report.memory_bytes)}.`;

function modelledWords(report: CostReport, { name, title }: DeviceProfile): string {
  const { measured } = report;
  const origin = measured === null ? "from published and assumed figures" : `from what was measured: ${measured}`;
  const time = scaled((report.time_ms / 1e3) * 1e6, "s", ["u", "m", ""]);
  const energy = joules(report.joules_per_token * report.tokens);
  return `On ${name} (${title}): ${time} and ${energy} a step, both modelled ${origin}.`;
}

const blockName = (block: string): string => (block === "" ? "(the page)" : block);

/** The blocks that take most time, by phase, and the rest as one. */
function blockRows({ by_block }: CostReport): readonly Stack[] {
  const timed = by_block.filter(({ time_ms }) => time_ms > 0);
  const rest = timed.slice(MOST);
  const stacks = timed.slice(0, MOST).map(({ block, ms_by_phase, time_ms }): Stack => {
    const name = blockName(block);
    return block === OVERHEAD
      ? { name, parts: [{ colour: 3, value: time_ms, title: `${name}: ${time_ms.toFixed(2)} ms` }] }
      : phaseStack(name, (phase) => ms_by_phase[phase]);
  });
  if (!rest.length) return stacks;
  const restOf = (phase: StepPhase): number => rest.reduce((sum, { ms_by_phase }) => sum + ms_by_phase[phase], 0);
  return [...stacks, phaseStack(`${rest.length} more`, restOf)];
}

type StepPhase = (typeof PHASES)[number];

const phaseStack = (name: string, msOf: (phase: StepPhase) => number): Stack => ({
  name,
  parts: PHASES.map((phase, colour) => ({
    colour,
    value: msOf(phase),
    title: `${name}, ${phase}: ${msOf(phase).toFixed(2)} ms`,
  })),
});

const kindRows = (report: CostReport): readonly Stack[] =>
  report.by_kind.map(({ kind, time_ms, flops_per_token }): Stack => {
    const title = `${kind}: ${time_ms.toFixed(2)} ms, ${scaled(flops_per_token, "FLOP")} ${unitOf(report)}`;
    return { name: kind, parts: [{ colour: 0, value: time_ms, title }] };
  });

const memoryRows = ({ memory }: CostReport): readonly Stack[] =>
  memory.map(({ kind, bytes }): Stack => ({
    name: kind,
    parts: [{ colour: 2, value: bytes / 2 ** 20, title: `${kind}: ${size(bytes)}` }],
  }));

/** All shares: by phase, by kind of work, and by block with its parameters. */
function tablesOf(report: CostReport): readonly string[] {
  const unit = unitOf(report);
  const head = [`FLOP ${unit}`, `bytes ${unit}`, "ms a step", "of the time", `J ${unit}`];
  const cells = (share: TokenShare): readonly string[] => [
    scaled(share.flops_per_token, ""),
    scaled(share.bytes_per_token, ""),
    share.time_ms.toFixed(2),
    percent(share.time_ms / report.time_ms),
    joules(share.joules_per_token),
  ];
  return [
    table(
      ["", ...head],
      report.by_phase.map((share) => [share.phase, ...cells(share)]),
    ),
    table(
      ["kind", ...head],
      report.by_kind.map((share) => [share.kind, ...cells(share)]),
    ),
    table(
      ["block", ...head, "parameters"],
      report.by_block.map((share) => [blockName(share.block), ...cells(share), share.parameters.toLocaleString("en")]),
    ),
  ];
}
