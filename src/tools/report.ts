/**
 * A comparison in words and as a page. The table is made once and printed twice: as text for the terminal and as HTML.
 * The page is one file without scripts or anything from elsewhere, so that it can be sent as it is; it follows the
 * reader's light or dark. Losses of single batches are noise at the width of a page, so a curve has at most 160 points,
 * each the mean of the steps around it.
 */
import type { Compared, Comparison, Outcome, Point } from "./compare.js";
import { colourOf, escape, lineChart, rowChart, type Row, type Series, type Xy } from "./plot.js";
import { document, section } from "./page.js";
import { meanOf, type Summary } from "./statistics.js";

const BINS = 160;

/** Three figures, without an exponent where one can do without. */
const three = (value: number): string =>
  Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2)
    : Math.abs(value) >= 100
      ? Math.round(value).toLocaleString("en")
      : value.toPrecision(3);
const four = (value: number): string => value.toFixed(4);
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${four(Math.abs(value))}`;

/** Mean ± deviation [interval]. */
export function words(found: Summary | null, figure: (value: number) => string): string {
  if (!found) return "–";
  const { mean, deviation, interval } = found;
  return deviation === null || interval === null
    ? figure(mean)
    : `${figure(mean)} ± ${figure === signed ? four(deviation) : figure(deviation)} [${figure(interval[0])}, ` +
        `${figure(interval[1])}]`;
}

interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function tableOf({ specs, seeds }: Comparison): Table {
  const first = specs[0]!.spec;
  const failed = specs.some(({ runs }) => runs.some(({ failure }) => failure !== null));
  const columns: [string, (spec: Compared) => string][] = [
    ["spec", ({ spec }) => spec],
    ["parameters", ({ parameters }) => parameters.toLocaleString("en")],
    ...(specs.some(({ left }) => left)
      ? [
          [
            "at the end",
            ({ left, parameters }: Compared) =>
              left ? words(left, (value) => Math.round(value).toLocaleString("en")) : parameters.toLocaleString("en"),
          ] as [string, (spec: Compared) => string],
        ]
      : []),
    ...(failed
      ? [
          [
            "ended",
            ({ runs }: Compared) => `${runs.filter(({ failure }) => failure === null).length} of ${seeds.length}`,
          ] as [string, (spec: Compared) => string],
        ]
      : []),
    ["hold-out loss", ({ holdout }) => words(holdout, four)],
    ...(specs.length > 1
      ? [
          [`less that of ${first}`, ({ difference }: Compared) => words(difference, signed)] as [
            string,
            (spec: Compared) => string,
          ],
        ]
      : []),
    ["last loss", ({ loss }) => words(loss, four)],
    ...(specs.some(({ gain }) => gain)
      ? [
          ["gain forward", ({ gain }: Compared) => words(gain, three)] as [string, (spec: Compared) => string],
          ["gain backward", ({ backward }: Compared) => words(backward, three)] as [string, (spec: Compared) => string],
        ]
      : []),
    ...(specs.some(({ joules }) => joules)
      ? [
          ["mJ a step, modelled", ({ joules }: Compared) => words(joules, (value) => three(1000 * value))] as [
            string,
            (spec: Compared) => string,
          ],
        ]
      : []),
    [specs.some(({ left }) => left) ? "ms a step at the end" : "ms a step", ({ ms }) => words(ms, three)],
    ["seconds", ({ seconds }) => words(seconds, three)],
    ...(specs.some(({ left }) => left)
      ? [
          [`seconds to the loss of ${first}`, ({ reached }: Compared) => words(reached, three)] as [
            string,
            (spec: Compared) => string,
          ],
        ]
      : []),
  ];
  return { head: columns.map(([name]) => name), rows: specs.map((spec) => columns.map(([, of]) => of(spec))) };
}

/** Specs as columns when a terminal would wrap them as rows. */
export function tableText(comparison: Comparison, width: number): string {
  const { head, rows } = tableOf(comparison);
  const wide = lines([head, ...rows]);
  const fits = wide.every((line) => line.length <= width);
  return `${(fits ? wide : lines(head.map((name, i) => [name, ...rows.map((row) => row[i]!)]))).join("\n")}\n${LEGEND}\n`;
}

const LEGEND =
  "mean ± sample deviation [95% confidence interval of the mean, Student's t]; differences are taken seed by seed";

function lines(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
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
    ({ spec, parameters, left, joules, reached, loss, holdout, gain, backward, seconds, ms, difference, runs }) => ({
      spec,
      parameters,
      left,
      joules,
      reached,
      loss,
      holdout,
      gain,
      gain_backward: backward,
      seconds,
      ms,
      difference,
      runs: runs.map(({ folder, steps, failure }) => ({ folder, steps, failure })),
    }),
  ),
  seeds,
  budget,
  device,
  adapter,
  notes,
});

export interface PageOptions {
  /** The command that makes it again. */
  readonly command: string;
  readonly version: string;
  readonly time: string;
  /** Of the data: "nats a character". */
  readonly unit: string;
}

export function page(comparison: Comparison, { command, version, time, unit }: PageOptions): string {
  const { specs, seeds, budget, device, adapter, notes } = comparison;
  const timed = budget.seconds !== undefined;
  const x = timed ? "seconds of training" : "step";
  const starts = specs.flatMap(({ runs }) =>
    runs.flatMap(({ losses }) => losses.slice(0, 1).map(({ value }) => value)),
  );
  const legendOf = (shown: (spec: Compared) => boolean): string =>
    `<ul class="legend">${specs.map((spec, i) => (shown(spec) ? `<li><svg class="${colourOf(i)}" viewBox="0 0 26 10" aria-hidden="true"><path class="mean" d="M1 5H25"/></svg>${escape(spec.spec)}</li>` : "")).join("")}</ul>`;
  const failures = specs.flatMap(({ spec, runs }) =>
    runs.flatMap(({ seed, failure }) => (failure === null ? [] : [`${spec} with seed ${seed}: ${failure}`])),
  );
  const several = seeds.length > 1 ? "; each seed thin, the mean of all thick" : "";
  const holdouts = rowsOf(specs, ({ holdout }) => holdout, "interval", four, unit);
  const apart = rowsOf(specs, ({ difference }) => difference, "interval", signed, unit);
  const steps = rowsOf(specs, ({ ms }) => ms, "deviation", three, "ms a step");
  const totals = rowsOf(specs, ({ seconds }) => seconds, "deviation", three, "seconds");
  const gains = specs.some(({ gain }) => gain);
  const shrinks = specs.some(({ left }) => left);
  const energies = shrinks
    ? rowsOf(specs, ({ joules }) => joules && inMillijoules(joules), "deviation", three, "mJ a step")
    : [];
  const ceiling = starts.length ? 1.2 * Math.max(...starts) : undefined;
  const gainChart = (direction: string, points: (run: Outcome) => readonly Point[]): string =>
    lineChart({
      id: `gain-${direction}`,
      label: `gain ${direction} over steps`,
      x,
      y: `gain ${direction}`,
      series: seriesOf(specs, { points, dots: () => [] }, timed),
    });
  const { head, rows } = tableOf(comparison);
  const title = specs.map(({ spec }) => spec).join(" · ");
  return document(
    title,
    `<p>${escape(`${specs.length} spec${specs.length === 1 ? "" : "s"}, ${seeds.length} seed${seeds.length === 1 ? "" : "s"} (${seeds.join(", ")}), ${budgetText(comparison)}, on ${device} (${adapter}).`)}</p>
${[...notes.map((note) => `Not the same: ${note}.`), ...failures.map((failure) => `Broke off: ${failure}.`)].map((note) => `<p class="note">${escape(note)}</p>`).join("\n")}
${holdouts.length ? section("Hold-out loss at the end", `In ${unit}: each seed, the mean, and its 95% confidence interval. Less is better.`, rowChart({ label: "hold-out loss", x: unit, rows: holdouts, kind: "dots" })) : ""}
${apart.length ? section(`Hold-out loss less that of ${specs[0]!.spec}`, "Seed by seed, which takes out what the seed does to all specs alike. An interval without 0 tells a spec from the first.", rowChart({ label: "differences of hold-out losses", x: unit, rows: apart, kind: "dots", zero: true })) : ""}
${section(
  "Loss",
  `In ${unit}${several}. Dots are hold-out losses.`,
  legendOf(() => true),
  lineChart({ id: "loss", label: "loss over steps", x, y: "loss", series: seriesOf(specs, LOSSES, timed), ceiling }),
)}
${shrinks && !timed ? section("Loss and time", "The same over the seconds of training; evaluations take none.", lineChart({ id: "time", label: "loss over seconds", x: "seconds of training", y: "loss", series: seriesOf(specs, LOSSES, true), ceiling })) : ""}
${
  gains
    ? section(
        "Gain",
        "The largest gains of a stream's mixes over the whole depth: forward, of what passes through, and " +
          `backward, of its gradients${several}.`,
        legendOf(({ gain }) => gain !== null),
        gainChart("forward", ({ gains: own }) => own),
        ...(specs.some(({ backward }) => backward) ? [gainChart("backward", ({ backwards }) => backwards)] : []),
      )
    : ""
}
${energies.length ? section("Energy", "A step at the end, by the model of cost.", rowChart({ label: "millijoules a step", x: "millijoules a step", rows: energies, kind: "bars" })) : ""}
${section("Time", `The median of a run's steps${shrinks ? ", of a model that has shrunk those since then" : ""}, and whole runs; bars are means over seeds, whiskers one deviation to each side.`, rowChart({ label: "milliseconds a step", x: "milliseconds a step", rows: steps, kind: "bars" }), totals.length ? rowChart({ label: "seconds a run", x: "seconds a run", rows: totals, kind: "bars" }) : "")}
<section>
<h2>Table</h2>
<div class="wide"><table>
<thead><tr>${head.map((cell) => `<th>${escape(cell)}</th>`).join("")}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${row.map((cell, i) => (i ? `<td>${cellOf(cell)}</td>` : `<th>${escape(cell)}</th>`)).join("")}</tr>`).join("\n")}
</tbody>
</table></div>
<p>${escape(LEGEND)}.</p>
</section>
<section>
<h2>How it was made</h2>
<pre>${escape(command)}</pre>
<p>${escape(`mhc ${version}, ${time}. Runs: ${specs.flatMap(({ runs }) => runs.map(({ folder }) => folder)).join(", ")}.`)}</p>
${specs.map(({ spec, text }) => `<details><summary>${escape(spec)}</summary><pre>${escape(text)}</pre></details>`).join("\n")}
</section>`,
  );
}

/** What of a run is drawn. */
interface Drawn {
  readonly points: (run: Outcome) => readonly Point[];
  readonly dots: (run: Outcome) => readonly Point[];
}

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

export function budgetText({ budget: { steps, seconds }, specs }: Pick<Comparison, "budget" | "specs">): string {
  const parts = [
    ...(seconds === undefined ? [] : [`${seconds} s of training a run`]),
    ...(steps === undefined
      ? []
      : [`${seconds === undefined ? "" : "at most "}${steps.toLocaleString("en")} steps a run`]),
  ];
  return parts.length
    ? parts.join(", ")
    : `${[...new Set(specs.flatMap(({ runs }) => runs.flatMap(({ steps: own, failure }) => (failure === null ? [own] : []))))].map((own) => own.toLocaleString("en")).join(" or ")} ` +
        "steps a run, as the pages say";
}

export function rowsOf(
  specs: readonly Compared[],
  of: (spec: Compared) => Summary | null,
  whisker: "interval" | "deviation",
  figure: (value: number) => string,
  unit: string,
): Row[] {
  return specs.flatMap((spec, colour) => {
    const found = of(spec);
    if (!found) return [];
    const { mean, deviation, interval, values } = found;
    const ends: readonly [number, number] | null =
      whisker === "interval" ? interval : deviation === null ? null : [mean - deviation, mean + deviation];
    return [
      {
        name: spec.spec,
        colour,
        values: values.filter((value) => value !== null),
        mean,
        whisker: ends,
        title: `${spec.spec}: ${words(found, figure)} ${unit}`,
      },
    ];
  });
}

interface Curve {
  readonly points: readonly Point[];
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
  const x = (point: Point): number => (timed ? point.seconds : point.step);
  const last = runs.flatMap(({ points }) => points).reduce((most, point) => Math.max(most, x(point)), 0);
  const width = timed ? last / BINS : Math.max(1, Math.ceil(last / BINS));
  const binned = runs.map(({ points }) => {
    const found = new Map<number, Point[]>();
    for (const point of points) {
      const bin = Math.ceil(x(point) / width);
      const inside = found.get(bin);
      if (inside) inside.push(point);
      else found.set(bin, [point]);
    }
    return new Map(
      [...found].map(([bin, inside]) => [
        bin,
        { x: meanOf(inside.map(x)), y: meanOf(inside.map(({ value }) => value)) },
      ]),
    );
  });
  const ended = binned.filter((_, i) => runs[i]!.ended);
  const kept = ended.length ? ended : binned;
  const shared = [...(kept[0]?.keys() ?? [])].filter((bin) => kept.every((run) => run.has(bin)));
  return {
    lines: binned.map((run) => [...run.values()]),
    mean: shared.map((bin) => ({
      x: meanOf(kept.map((run) => run.get(bin)!.x)),
      y: meanOf(kept.map((run) => run.get(bin)!.y)),
    })),
  };
}
