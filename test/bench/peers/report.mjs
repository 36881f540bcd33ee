/** The figures of a run as Markdown tables, as they stand in docs/performance.md. */
import { limitsOf } from "./limits.mjs";
import { SETTINGS } from "./settings.mjs";

const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** A figure with three digits that mean something. */
const figure = (value) => {
  if (value === null || value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
};

/** Rows of a setting: a contender a line, a column for each number of threads; those whose threads are their own. */
function settingTable(name, rows, threads) {
  const { title, sizes } = SETTINGS[name];
  const { layers, width, heads, context, batch, vocab } = sizes;
  const cell = (row) => (row?.median_ms ? `${figure(row.median_ms)} (${figure(row.min_ms)})` : "");
  const lines = [...new Set(rows.map(({ key }) => key))].flatMap((key) => {
    const its = rows.filter((row) => row.key === key && row.median_ms);
    if (!its.length) return [];
    const free = its.find((row) => row.threads === null);
    const cells = threads.map((n) => cell(its.find((row) => row.threads === n)));
    return [free ? [`${free.title}, threads of its own`, ...cells.slice(1), cell(free)] : [its[0].title, ...cells]];
  });
  const absent = rows.filter((row) => row.absent);
  return [
    `### ${name}: ${title}`,
    `${layers} layers, width ${width}, ${heads} heads, ${batch} x ${context} characters of ${vocab}; ms a step: ` +
      "median over the rounds (least)",
    table(["", ...threads.map((n) => `${n} thread${n > 1 ? "s" : ""}`)], lines),
    ...(absent.length ? [absentList(absent)] : []),
  ].join("\n\n");
}

/** Those that were not timed, one line for each reason. */
function absentList(rows) {
  const reasons = new Map();
  for (const { title, absent } of rows) reasons.set(absent, (reasons.get(absent) ?? new Set()).add(title));
  return [...reasons].map(([reason, titles]) => `- Not timed: ${[...titles].join("; ")}: ${reason}`).join("\n");
}

function productsTable({ plain, alone, step, absent }) {
  if (absent) return `### Products\n\n- Not timed: ${absent}`;
  const shapes = [...new Set([...Object.keys(plain), ...Object.keys(step)])];
  const cell = (rates, shape) => {
    if (rates[shape] === undefined) return "";
    const share = plain[shape] ? ` (${Math.round((100 * rates[shape]) / plain[shape])}%)` : "";
    return `${figure(rates[shape])}${share}`;
  };
  return [
    "### Products, one thread, GFLOP/s (share of the plain kernel)",
    table(
      ["rows x depth x columns", "the plain kernel", "ours alone", "ours in a step"],
      shapes.map((shape) => [
        shape.replaceAll("x", " x "),
        figure(plain[shape]),
        cell(alone, shape),
        cell(step, shape),
      ]),
    ),
  ].join("\n\n");
}

function firstTable({ starts = [], torch, counts, absent }) {
  const row = ({ name, s, bytes }) => [name, figure(s), bytes ? figure(bytes / 1e9) : ""];
  const missing = torch.filter((item) => item.absent);
  return [
    "### To the first step, from the start of the command",
    table(["", "s", "memory, GB"], [...starts, ...torch.filter(({ s }) => s)].map(row)),
    ...(counts ? [`Kernels of a step of nanogpt: ${counts[4]} with 4 layers, ${counts[48]} with 48.`] : []),
    ...(absent ? [`- Not timed: ours: ${absent}`] : []),
    ...missing.map(({ name, absent: reason }) => `- Not timed: ${name}: ${reason}`),
  ].join("\n\n");
}

function limitsTable(results) {
  const verdict = { true: "holds", false: "missed", null: "not measured" };
  const rows = limitsOf(results).map(({ what, value, bound, holds }) => [
    what,
    value === null ? "" : value.toFixed(value < 10 ? 2 : 1),
    bound,
    verdict[holds],
  ]);
  return `### Limits\n\n${table(["", "value", "limit", ""], rows)}`;
}

/** The whole report. */
export function reportOf(results) {
  const { versions, rounds, threads } = results;
  const made = Object.entries(versions).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value ?? "absent"}`);
  return [
    `Medians of ${rounds} round${rounds > 1 ? "s" : ""} in turns. ${made.join("; ")}.`,
    ...Object.entries(results.settings).map(([name, rows]) => settingTable(name, rows, threads)),
    ...(results.products ? [productsTable(results.products)] : []),
    ...(results.first ? [firstTable(results.first)] : []),
    limitsTable(results),
  ].join("\n\n");
}
