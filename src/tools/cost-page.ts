/** A report of cost as a page: where a step's time goes, block by block, and what its memory is for. */
import { joules, percent, scaled, size } from "../cost/figures.js";
import type { DeviceProfile } from "../cost/profile.js";
import { OVERHEAD, type CostReport, type TokenShare } from "../cost/report.js";
import { document, section } from "./page.js";
import { colourOf, escape, stackChart, type Stack } from "./plot.js";
import { recordOf } from "../../runtime/records.js";

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

export function costPage(
  found: CostReport,
  profile: DeviceProfile,
  { command, version, text }: CostPageOptions,
): string {
  const an = found.unit === "token" ? " token" : "n example";
  const named = (block: string): string => (block === "" ? "(the page)" : block);
  const shown = found.by_block.filter(({ time_ms }) => time_ms > 0);
  const rest = shown.slice(MOST);
  const phases = shown.slice(0, MOST).map(({ block, ms_by_phase, time_ms }) => ({
    name: named(block),
    ms: ms_by_phase,
    overhead: block === OVERHEAD ? time_ms : 0,
  }));
  if (rest.length)
    phases.push({
      name: `${rest.length} more`,
      ms: recordOf(
        PHASES.map((phase) => [phase, rest.reduce((sum, { ms_by_phase }) => sum + ms_by_phase[phase], 0)]),
      ) as Record<(typeof PHASES)[number], number>,
      overhead: 0,
    });
  const blocks = phases.map(({ name, ms, overhead }): Stack =>
    overhead
      ? { name, parts: [{ colour: 3, value: overhead, title: `${name}: ${overhead.toFixed(2)} ms` }] }
      : {
          name,
          parts: PHASES.map((phase, colour) => ({
            colour,
            value: ms[phase],
            title: `${name}, ${phase}: ${ms[phase].toFixed(2)} ms`,
          })),
        },
  );
  const kinds = found.by_kind.map(({ kind, time_ms, flops_per_token }): Stack => ({
    name: kind,
    parts: [
      {
        colour: 0,
        value: time_ms,
        title: `${kind}: ${time_ms.toFixed(2)} ms, ${scaled(flops_per_token, "FLOP")} a${an}`,
      },
    ],
  }));
  const memory = found.memory.map(({ kind, bytes }): Stack => ({
    name: kind,
    parts: [{ colour: 2, value: bytes / 2 ** 20, title: `${kind}: ${size(bytes)}` }],
  }));
  const legend = `<ul class="legend">${PHASES.map((phase, i) => `<li><svg class="${colourOf(i)}" viewBox="0 0 26 10" aria-hidden="true"><rect class="bar" width="26" height="10"/></svg>${phase}</li>`).join("")}</ul>`;
  const table = (
    head: string,
    rows: readonly (readonly [string, TokenShare, string?])[],
  ): string => `<div class="wide"><table>
<thead><tr>${[head, `FLOP a${an}`, `bytes a${an}`, "ms a step", "of the time", `J a${an}`, ...(rows.some(([, , last]) => last !== undefined) ? ["parameters"] : [])].map((cell) => `<th>${cell}</th>`).join("")}</tr></thead>
<tbody>
${rows.map(([name, share, last]) => `<tr><th>${escape(name)}</th>${[scaled(share.flops_per_token, ""), scaled(share.bytes_per_token, ""), share.time_ms.toFixed(2), percent(share.time_ms / found.time_ms), joules(share.joules_per_token), ...(last === undefined ? [] : [last])].map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`).join("\n")}
</tbody>
</table></div>`;
  const origin =
    found.measured === null ? "from published and assumed figures" : `from what was measured: ${found.measured}`;
  return document(
    `What a step of ${found.name} costs`,
    `<p>${escape(`${scaled(found.flops_per_token, "FLOP")} and ${scaled(found.bytes_per_token, "B")} a${an}, counted from the plan; ${found.tokens.toLocaleString("en")} ${found.unit}${found.tokens === 1 ? "" : "s"} a step, ${found.parameters.toLocaleString("en")} parameters, ${size(found.memory_bytes)}.`)}</p>
<p>${escape(`On ${profile.name} (${profile.title}): ${scaled((found.time_ms / 1e3) * 1e6, "s", ["u", "m", ""])} and ${joules(found.joules_per_token * found.tokens)} a step, both modelled ${origin}.`)}</p>
${found.advice.map((line) => `<p class="note">${escape(line)}.</p>`).join("\n")}
${section("Time by block", "Milliseconds of a step, all layers of a repeat together.", legend, stackChart({ label: "milliseconds by block", x: "milliseconds a step", rows: blocks }))}
${section("Time by kind of work", `${percent(found.memory_ms / found.time_ms)} of a step waits for memory rather than arithmetic; the step and its ${found.dispatches} dispatches take ${found.overhead_ms.toFixed(2)} ms by themselves (overhead).`, stackChart({ label: "milliseconds by kind", x: "milliseconds a step", rows: kinds }))}
${section("Memory", "What the pools hold.", stackChart({ label: "MiB by kind", x: "MiB", rows: memory }))}
${section(
  "Table",
  "Operations by the op table; bytes are what each kernel touches, every tensor once.",
  table(
    "",
    found.by_phase.map((share) => [share.phase, share]),
  ),
  table(
    "kind",
    found.by_kind.map((share) => [share.kind, share]),
  ),
  table(
    "block",
    found.by_block.map((share) => [named(share.block), share, share.parameters.toLocaleString("en")]),
  ),
)}
<section>
<h2>How it was made</h2>
<pre>${escape(command)}</pre>
<p>${escape(`mhc ${version}. Sources of the profile: ${profile.sources.join("; ")}.`)}</p>
<details><summary>the spec</summary><pre>${escape(text)}</pre></details>
</section>`,
  );
}
