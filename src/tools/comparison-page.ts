/**
 * A comparison as a page: one file without scripts or anything from elsewhere, so that it can be sent as it is. Losses
 * of single batches are noise at the width of a page, so a curve has at most 160 points, each the mean of the steps
 * around it.
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Comparison } from "./compare.js";
import type { Compared, Outcome, RunPoint } from "./outcomes.js";
import { document, folded, legend, section, table } from "./page.js";
import { escape, lineChart, rowChart, type ChartRow, type Series, type Xy } from "./plot.js";
import { budgetText, four, LEGEND, signed, tableOf, three, words } from "./report.js";
import { meanOf, type Summary } from "./statistics.js";

const BINS = 160;

/** What a page says beside the comparison itself. */
export interface PageOptions {
  /** The command that makes it again. */
  readonly command: string;
  readonly version: string;
  readonly time: string;
  /** Of the data: "nats a character". */
  readonly unit: string;
}

/** The page of a comparison, as HTML. */
export function page(comparison: Comparison, { command, version, time, unit }: PageOptions): string {
  const { specs } = comparison;
  const { head, rows } = tableOf(comparison);
  const folders = specs.flatMap(({ runs }) => runs.map(({ folder }) => folder));
  return document(
    specs.map(({ spec }) => spec).join(" · "),
    `<p>${escape(summaryOf(comparison))}</p>
${warningsOf(comparison)
  .map((warning) => `<p class="note">${escape(warning)}</p>`)
  .join("\n")}
${holdoutSection(specs, unit)}
${differenceSection(specs, unit)}
${lossSections(comparison, unit)}
${gainSection(comparison)}
${energySection(specs)}
${timeSection(specs)}
<section>
<h2>Table</h2>
${table(head, rows, cellOf)}
<p>${escape(LEGEND)}.</p>
</section>
<section>
<h2>How it was made</h2>
<pre>${escape(command)}</pre>
<p>${escape(`mhc ${version}, ${time}. Runs: ${folders.join(", ")}.`)}</p>
${specs.map(({ spec, text }) => folded(spec, text)).join("\n")}
</section>`,
  );
}

/** How many of a thing: `1 spec`, `2 specs`. */
const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

const summaryOf = (comparison: Comparison): string => {
  const { specs, seeds, device, adapter } = comparison;
  return (
    `${counted(specs.length, "spec")}, ${counted(seeds.length, "seed")} (${seeds.join(", ")}), ` +
    `${budgetText(comparison)}, on ${device} (${adapter}).`
  );
};

/** What is not the same for all specs, and which runs broke off. */
const warningsOf = ({ specs, notes }: Comparison): readonly string[] => [
  ...notes.map((note) => `Not the same: ${note}.`),
  ...specs.flatMap(({ spec, runs }) =>
    runs.flatMap(({ seed, failure }) =>
      failure === null ? [] : [`Broke off: ${spec} with seed ${seed}: ${failure}.`],
    ),
  ),
];

/** The specs' names with the colours of their lines. */
const legendOf = (specs: readonly Compared[], isShown: (spec: Compared) => boolean): string =>
  legend(
    '<path class="mean" d="M1 5H25"/>',
    specs.flatMap((spec, colour) => (isShown(spec) ? [{ colour, name: spec.spec }] : [])),
  );

const severalSeeds = ({ seeds }: Comparison): string =>
  seeds.length > 1 ? "; each seed thin, the mean of all thick" : "";

const isTimed = ({ budget }: Comparison): boolean => budget.seconds !== undefined;
const isShrinking = (specs: readonly Compared[]): boolean => specs.some(({ left }) => left);

function holdoutSection(specs: readonly Compared[], unit: string): string {
  const rows = rowsOf(specs, { of: ({ holdout }) => holdout, whisker: "interval", figure: four, unit });
  if (!rows.length) return "";
  return section(
    "Hold-out loss at the end",
    `In ${unit}: each seed, the mean, and its 95% confidence interval. Less is better.`,
    rowChart({ label: "hold-out loss", x: unit, rows, kind: "dots" }),
  );
}

function differenceSection(specs: readonly Compared[], unit: string): string {
  const rows = rowsOf(specs, { of: ({ difference }) => difference, whisker: "interval", figure: signed, unit });
  if (!rows.length) return "";
  return section(
    `Hold-out loss less that of ${specs[0]?.spec}`,
    "Seed by seed, which takes out what the seed does to all specs alike. " +
      "An interval without 0 tells a spec from the first.",
    rowChart({ label: "differences of hold-out losses", x: unit, rows, kind: "dots", zero: true }),
  );
}

/** Losses over steps, or over the seconds that the budget gives; and of specs that shrink over seconds too. */
function lossSections(comparison: Comparison, unit: string): string {
  const { specs } = comparison;
  const timed = isTimed(comparison);
  const starts = specs.flatMap(({ runs }) => runs.flatMap(({ losses }) => losses.slice(0, 1)));
  const ceiling = starts.length ? 1.2 * Math.max(...starts.map(({ value }) => value)) : undefined;
  const seconds = "seconds of training";
  const losses = section(
    "Loss",
    `In ${unit}${severalSeeds(comparison)}. Dots are hold-out losses.`,
    legendOf(specs, () => true),
    lineChart({
      id: "loss",
      label: "loss over steps",
      x: timed ? seconds : "step",
      y: "loss",
      series: seriesOf(specs, LOSSES, timed),
      ceiling,
    }),
  );
  const series = seriesOf(specs, LOSSES, true);
  const overTime =
    isShrinking(specs) && !timed
      ? section(
          "Loss and time",
          "The same over the seconds of training; evaluations take none.",
          lineChart({ id: "time", label: "loss over seconds", x: seconds, y: "loss", series, ceiling }),
        )
      : "";
  return `${losses}\n${overTime}`;
}

function gainSection(comparison: Comparison): string {
  const { specs } = comparison;
  if (!specs.some(({ gain }) => gain)) return "";
  const timed = isTimed(comparison);
  const chart = (direction: string, points: (run: Outcome) => readonly RunPoint[]): string =>
    lineChart({
      id: `gain-${direction}`,
      label: `gain ${direction} over steps`,
      x: timed ? "seconds of training" : "step",
      y: `gain ${direction}`,
      series: seriesOf(specs, { points, dots: () => [] }, timed),
    });
  return section(
    "Gain",
    "The largest gains of a stream's mixes over the whole depth: forward, of what passes through, and " +
      `backward, of its gradients${severalSeeds(comparison)}.`,
    legendOf(specs, ({ gain }) => gain !== null),
    chart("forward", ({ gains }) => gains),
    ...(specs.some(({ backward }) => backward) ? [chart("backward", ({ backwards }) => backwards)] : []),
  );
}

/** Energies of specs that shrink. */
function energySection(specs: readonly Compared[]): string {
  const of = ({ joules }: Compared): Summary | null => joules && inMillijoules(joules);
  const rows = isShrinking(specs) ? rowsOf(specs, { of, whisker: "deviation", figure: three, unit: "mJ a step" }) : [];
  if (!rows.length) return "";
  return section(
    "Energy",
    "A step at the end, by the model of cost.",
    rowChart({ label: "millijoules a step", x: "millijoules a step", rows, kind: "bars" }),
  );
}

function timeSection(specs: readonly Compared[]): string {
  const shrunk = isShrinking(specs) ? ", of a model that has shrunk those since then" : "";
  const steps = rowsOf(specs, { of: ({ ms }) => ms, whisker: "deviation", figure: three, unit: "ms a step" });
  const runs = rowsOf(specs, { of: ({ seconds }) => seconds, whisker: "deviation", figure: three, unit: "seconds" });
  return section(
    "Time",
    `The median of a run's steps${shrunk}, and whole runs; bars are means over seeds, whiskers one deviation to each ` +
      "side.",
    rowChart({ label: "milliseconds a step", x: "milliseconds a step", rows: steps, kind: "bars" }),
    runs.length ? rowChart({ label: "seconds a run", x: "seconds a run", rows: runs, kind: "bars" }) : "",
  );
}

/** What of a run is drawn. */
interface Drawn {
  readonly points: (run: Outcome) => readonly RunPoint[];
  readonly dots: (run: Outcome) => readonly RunPoint[];
}

/** Losses of single steps, and hold-out losses as dots. */
export const LOSSES: Drawn = { points: ({ losses }) => losses, dots: ({ holdouts }) => holdouts };

/** A curve a spec, over steps or over seconds of training. */
export const seriesOf = (specs: readonly Compared[], { points, dots }: Drawn, bySeconds: boolean): Series[] =>
  specs.map(({ spec, runs }) => ({
    name: spec,
    ...curvesOf(
      runs.map((run) => ({ points: points(run), ended: run.failure === null })),
      bySeconds,
    ),
    dots: runs.flatMap((run) =>
      dots(run).map((point) => ({ x: bySeconds ? point.seconds : point.step, y: point.value })),
    ),
  }));

const inMillijoules = ({ mean, deviation, interval, values }: Summary): Summary => ({
  mean: 1000 * mean,
  deviation: deviation === null ? null : 1000 * deviation,
  interval: interval && [1000 * interval[0], 1000 * interval[1]],
  values: values.map((value) => (value === null ? null : 1000 * value)),
});

/** The interval on a line of its own. */
const cellOf = (cell: string): string => escape(cell).replace(/ (\[.*\])$/, '<br/><span class="interval">$1</span>');

/** What is drawn of a spec as a row: a summary, with whiskers for its interval or for one deviation to each side. */
export interface RowStyle {
  readonly of: (spec: Compared) => Summary | null;
  readonly whisker: "interval" | "deviation";
  /** A figure in words. */
  readonly figure: (value: number) => string;
  readonly unit: string;
}

/** A row for each spec that has such a summary. */
export const rowsOf = (specs: readonly Compared[], { of, whisker, figure, unit }: RowStyle): ChartRow[] =>
  specs.flatMap((spec, colour) => {
    const summary = of(spec);
    if (!summary) return [];
    const { mean, deviation, interval, values } = summary;
    const ends: readonly [number, number] | null =
      whisker === "interval" ? interval : deviation === null ? null : [mean - deviation, mean + deviation];
    return [
      {
        name: spec.spec,
        colour,
        values: values.filter((value) => value !== null),
        mean,
        whisker: ends,
        title: `${spec.spec}: ${words(summary, figure)} ${unit}`,
      },
    ];
  });

interface Curve {
  readonly points: readonly RunPoint[];
  readonly ended: boolean;
}

/**
 * Runs in bins of equal width, and the mean of those that ended (like the table's; of all when none did), where all of
 * these have a point: a run that is shorter would bend it.
 */
export function curvesOf(
  runs: readonly Curve[],
  timed: boolean,
): { readonly lines: readonly (readonly Xy[])[]; readonly mean: readonly Xy[] } {
  const x = (point: RunPoint): number => (timed ? point.seconds : point.step);
  const last = runs.flatMap(({ points }) => points).reduce((most, point) => Math.max(most, x(point)), 0);
  const width = timed ? last / BINS : Math.max(1, Math.ceil(last / BINS));
  const binned = runs.map(({ points, ended }) => {
    const bins = new Map<number, RunPoint[]>();
    for (const point of points) {
      const bin = Math.ceil(x(point) / width);
      const inside = bins.get(bin);
      if (inside) inside.push(point);
      else bins.set(bin, [point]);
    }
    const means = [...bins].map(
      ([bin, inside]) => [bin, { x: meanOf(inside.map(x)), y: meanOf(inside.map(({ value }) => value)) }] as const,
    );
    return { ended, bins: new Map(means) };
  });
  const complete = binned.some(({ ended }) => ended) ? binned.filter(({ ended }) => ended) : binned;
  const shared = [...(complete[0]?.bins.keys() ?? [])].filter((bin) => complete.every(({ bins }) => bins.has(bin)));
  return {
    lines: binned.map(({ bins }) => [...bins.values()]),
    mean: shared.map((bin) => {
      const points = complete.map(({ bins }) => mustGet(bins, bin));
      return { x: meanOf(points.map((point) => point.x)), y: meanOf(points.map((point) => point.y)) };
    }),
  };
}
