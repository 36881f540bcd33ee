/**
 * A comparison in words: the table, which is made once and printed twice (as text for the terminal here, as HTML in
 * `comparison-page.ts`), and what scripts get.
 */
import { mustAt } from "../../runtime/lookup.js";
import { recordOf } from "../../runtime/records.js";
import type { Comparison } from "./compare.js";
import type { Compared } from "./outcomes.js";
import type { Summary } from "./statistics.js";

/** Three figures, without an exponent where one can do without. */
export const three = (value: number): string =>
  Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2)
    : Math.abs(value) >= 100
      ? Math.round(value).toLocaleString("en")
      : value.toPrecision(3);
/** Four decimals. */
export const four = (value: number): string => value.toFixed(4);
/** Four figures. */
const figure = (value: number): string => value.toPrecision(4);
/** Four decimals, with the sign. */
export const signed = (value: number): string => `${value < 0 ? "-" : "+"}${four(Math.abs(value))}`;

/** Mean ± deviation [interval]. */
export function words(summary: Summary | null, figure: (value: number) => string): string {
  if (!summary) return "–";
  const { mean, deviation, interval } = summary;
  if (deviation === null || interval === null) return figure(mean);
  // A deviation has no sign.
  const spread = figure === signed ? four(deviation) : figure(deviation);
  return `${figure(mean)} ± ${spread} [${figure(interval[0])}, ${figure(interval[1])}]`;
}

/** A table of texts: what its columns are called, and a row a spec. */
export interface ComparisonTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

type TableColumn = readonly [name: string, textOf: (spec: Compared) => string];

/** The table of a comparison. Columns that no spec has anything for are left out. */
export function tableOf({ specs, seeds }: Comparison): ComparisonTable {
  const [first] = specs;
  const shrinks = specs.some(({ left }) => left);
  const failed = specs.some(({ runs }) => runs.some(({ failure }) => failure !== null));
  const where = (shown: unknown, ...columns: readonly TableColumn[]): readonly TableColumn[] => (shown ? columns : []);
  const columns: readonly TableColumn[] = [
    ["spec", ({ spec }) => spec],
    ["parameters", ({ parameters }) => parameters.toLocaleString("en")],
    ...where(shrinks, [
      "at the end",
      ({ left, parameters }) =>
        left ? words(left, (value) => Math.round(value).toLocaleString("en")) : parameters.toLocaleString("en"),
    ]),
    ...where(failed, [
      "ended",
      ({ runs }) => `${runs.filter(({ failure }) => failure === null).length} of ${seeds.length}`,
    ]),
    ["hold-out loss", ({ holdout }) => words(holdout, four)],
    ...where(specs.length > 1, [`less that of ${first?.spec}`, ({ difference }) => words(difference, signed)]),
    ...[...new Set(specs.flatMap(({ measured }) => [...measured.keys()]))].map((name): TableColumn => [
      `hold-out ${name}`,
      ({ measured }) => words(measured.get(name) ?? null, figure),
    ]),
    ["last loss", ({ loss }) => words(loss, four)],
    ...where(
      specs.some(({ gain }) => gain),
      ["gain forward", ({ gain }) => words(gain, three)],
      ["gain backward", ({ backward }) => words(backward, three)],
    ),
    ...where(
      specs.some(({ joules }) => joules),
      ["mJ a step, modelled", ({ joules }) => words(joules, (value) => three(1000 * value))],
    ),
    [shrinks ? "ms a step at the end" : "ms a step", ({ ms }) => words(ms, three)],
    ["seconds", ({ seconds }) => words(seconds, three)],
    ...where(shrinks, [`seconds to the loss of ${first?.spec}`, ({ reached }) => words(reached, three)]),
  ];
  return { head: columns.map(([name]) => name), rows: specs.map((spec) => columns.map(([, of]) => of(spec))) };
}

/** Specs as columns when a terminal would wrap them as rows. */
export function tableText(comparison: Comparison, width: number): string {
  const { head, rows } = tableOf(comparison);
  const wide = lines([head, ...rows]);
  const fits = wide.every((line) => line.length <= width);
  const columns = head.map((name, i) => [name, ...rows.map((row) => mustAt(row, i))]);
  return `${(fits ? wide : lines(columns)).join("\n")}\n${LEGEND}\n`;
}

/** What the figures of a table are. */
export const LEGEND =
  "mean ± sample deviation [95% confidence interval of the mean, Student's t]; differences are taken seed by seed";

function lines(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => mustAt(row, i).length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(mustAt(widths, i)))
      .join("  ")
      .trimEnd(),
  );
}

/** What scripts get: without curves and texts. */
export const toJson = ({
  specs,
  seeds,
  budget,
  device,
  adapter,
  notes,
}: Comparison): Readonly<Record<string, unknown>> => ({
  specs: specs.map(
    ({ spec, parameters, left, joules, reached, loss, holdout, measured, gain, backward, seconds, ms, ...rest }) => ({
      spec,
      parameters,
      left,
      joules,
      reached,
      loss,
      holdout,
      ...(measured.size ? { measured: recordOf(measured) } : {}),
      gain,
      gain_backward: backward,
      seconds,
      ms,
      difference: rest.difference,
      runs: rest.runs.map(({ folder, steps, failure }) => ({ folder, steps, failure })),
    }),
  ),
  seeds,
  budget,
  device,
  adapter,
  notes,
});

/** What a run was given: `300 steps a run`. */
export function budgetText({ budget: { steps, seconds }, specs }: Pick<Comparison, "budget" | "specs">): string {
  const parts = [
    ...(seconds === undefined ? [] : [`${seconds} s of training a run`]),
    ...(steps === undefined
      ? []
      : [`${seconds === undefined ? "" : "at most "}${steps.toLocaleString("en")} steps a run`]),
  ];
  if (parts.length) return parts.join(", ");
  const ended = specs.flatMap(({ runs }) => runs.filter(({ failure }) => failure === null));
  const lengths = [...new Set(ended.map((run) => run.steps))].map((count) => count.toLocaleString("en"));
  return `${lengths.join(" or ")} steps a run, as the pages say`;
}
