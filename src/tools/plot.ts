/**
 * Plots as SVG text for a page that needs nothing else: lines over steps, and rows of values with their mean. Colours
 * are classes (`s0` to `s7`) that the page defines for light and dark; every mark carries a title, which browsers show
 * under the pointer. Names stand in the page's own legend or at the left of their row, never inside the plot, so that
 * no label can cover a mark or another label.
 */
import { mustAt } from "../../runtime/lookup.js";

/** A point of a plot, in the units of its axes. */
export interface Xy {
  readonly x: number;
  readonly y: number;
}

/** What a line chart shows of one spec. */
export interface Series {
  readonly name: string;
  /** Drawn thin, one a seed. */
  readonly lines: readonly (readonly Xy[])[];
  /** Drawn thick. */
  readonly mean: readonly Xy[];
  readonly dots: readonly Xy[];
}

/** What a row chart shows of one spec. */
export interface ChartRow {
  readonly name: string;
  /** Its number among all specs. */
  readonly colour: number;
  readonly values: readonly number[];
  readonly mean: number;
  /** Ends of the whisker; null for one value. */
  readonly whisker: readonly [number, number] | null;
  /** What the pointer is told. */
  readonly title: string;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly { readonly value: number; readonly text: string }[];
}

/** Of a chart, in the units of its view box. */
export const WIDTH = 760;
const HEIGHT = 320;
const BOTTOM = 44;
const RIGHT = 26;
const TOP = 12;
const ROW = 30;
/** Of a character, at the size of the labels, in the widest of the fonts that systems have for their own. */
export const CHARACTER = 7.5;
const NAME = 32;
/** How many colours there are. */
export const COLOURS = 8;

/** Text as HTML and SVG have it. */
export const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** The classes of the i-th series: colours repeat with dashes. */
export const colourOf = (i: number): string => `s${i % COLOURS}${i >= COLOURS ? " again" : ""}`;

/** About `count` round values from `low` to `high`. */
export function ticksOf(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i === 0 ? 0 : i * step);
  return ticks;
}

/** Numbers of one axis, with the decimals that tell them apart. */
export function labelsOf(values: readonly number[]): string[] {
  const step = values.length > 1 ? Math.abs(mustAt(values, 1) - mustAt(values, 0)) : Math.abs(values[0] ?? 1) || 1;
  const decimals = Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return values.map((value) =>
    value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
  );
}

function linear(low: number, high: number, from: number, to: number, count: number): Scale {
  const span = high - low || 1;
  const values = ticksOf(low, high, count);
  const texts = labelsOf(values);
  return {
    at: (value) => from + ((value - low) / span) * (to - from),
    ticks: values.map((value, i) => ({ value, text: mustAt(texts, i) })),
  };
}

/** The axis of one value, in the middle. */
const single = (value: number, middle: number): Scale => ({
  at: () => middle,
  ticks: [{ value, text: value.toLocaleString("en", { maximumSignificantDigits: 4 }) }],
});

function logarithmic(low: number, high: number, from: number, to: number): Scale {
  const span = Math.log(high / low) || 1;
  const values: number[] = [];
  const sparse = Math.log10(high / low) > 2.5;
  const stride = Math.max(1, Math.ceil(Math.log10(high / low) / 6));
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    if (power % stride === 0)
      values.push(
        ...(sparse ? [1] : [1, 2, 5])
          .map((factor) => factor * 10 ** power)
          .filter((value) => value >= low * 0.999 && value <= high * 1.001),
      );
  }
  return {
    at: (value) => from + (Math.log(Math.max(value, low) / low) / span) * (to - from),
    ticks: values.map((value) => ({
      value,
      text:
        value >= 1e5 || value < 1e-3
          ? value.toExponential(0)
          : value.toLocaleString("en", { maximumFractionDigits: 3 }),
    })),
  };
}

const at = (value: number): string => value.toFixed(1);

const path = (points: readonly Xy[], x: Scale, y: Scale): string =>
  points.map((point, i) => `${i ? "L" : "M"}${at(x.at(point.x))} ${at(y.at(point.y))}`).join("");

/** A line through points; a single one, through which no line can be seen, as a dot. */
function curve(mark: "thin" | "mean", points: readonly Xy[], { x, y }: Axes): string {
  const [first, ...others] = points;
  if (!first || others.length) return `<path class="${mark}" d="${path(points, x, y)}"/>`;
  const radius = mark === "mean" ? 4.5 : 3;
  return `<circle class="${mark}" r="${radius}" cx="${at(x.at(first.x))}" cy="${at(y.at(first.y))}"/>`;
}

/** A chart of lines over steps or seconds. */
export interface LineOptions {
  /** Of the page that it is a part of: no two charts have the same. */
  readonly id: string;
  readonly label: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** Values above it are cut off: what diverges must not flatten the rest. */
  readonly ceiling?: number | undefined;
}

/** Beyond this ratio of largest and least a linear axis shows the largest only. */
const LOGARITHMIC = 30;

/** Both axes of a line chart, and where they stand. */
interface Axes {
  readonly x: Scale;
  readonly y: Scale;
  /** Where the axis of y begins, and the height of the axis of x. */
  readonly left: number;
  readonly floor: number;
  readonly logarithmic: boolean;
}

/** Lines over steps or seconds, as SVG. */
export function lineChart({ id, label, x: xLabel, y: yLabel, series, ceiling }: LineOptions): string {
  const axes = axesOf(series, ceiling ?? Number.POSITIVE_INFINITY);
  const { x, y, left, floor } = axes;
  const grid = y.ticks.map(
    ({ value, text }) =>
      `<line class="grid" x1="${at(left)}" x2="${WIDTH - RIGHT}" y1="${at(y.at(value))}" ` +
      `y2="${at(y.at(value))}"/><text class="tick" x="${at(left - 6)}" y="${at(y.at(value) + 4)}" ` +
      `text-anchor="end">${text}</text>`,
  );
  const below = x.ticks.map(
    ({ value, text }) =>
      `<line class="axis" x1="${at(x.at(value))}" x2="${at(x.at(value))}" y1="${floor}" ` +
      `y2="${floor + 4}"/><text class="tick" x="${at(x.at(value))}" y="${floor + 18}" ` +
      `text-anchor="middle">${text}</text>`,
  );
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(label)}">`,
    `<clipPath id="${id}"><rect x="${at(left)}" y="${TOP - 6}" width="${at(WIDTH - RIGHT + 6 - left)}" ` +
      `height="${floor - TOP + 12}"/></clipPath>`,
    ...grid,
    `<line class="axis" x1="${at(left)}" x2="${WIDTH - RIGHT}" y1="${floor}" y2="${floor}"/>`,
    ...below,
    `<text class="label" x="${at((left + WIDTH - RIGHT) / 2)}" y="${HEIGHT - 6}" ` +
      `text-anchor="middle">${escape(xLabel)}</text>`,
    `<text class="label" transform="translate(12 ${at((TOP + floor) / 2)}) rotate(-90)" ` +
      `text-anchor="middle">${escape(yLabel)}${axes.logarithmic ? ", logarithmic" : ""}</text>`,
    `<g clip-path="url(#${id})">${marksOf(series, axes).join("\n")}</g>`,
    "</svg>",
  ].join("\n");
}

/** Axes that show all points of some series, but for what lies above the ceiling. */
function axesOf(series: readonly Series[], ceiling: number): Axes {
  const points = series
    .flatMap(({ lines, mean, dots }) => [...lines.flat(), ...mean, ...dots])
    .filter(({ y }) => Number.isFinite(y));
  const ys = points.map(({ y }) => Math.min(y, ceiling));
  const low = ys.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = ys.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const last = points.reduce((most, point) => Math.max(most, point.x), 0);
  const first = points.reduce((least, point) => Math.min(least, point.x), last);
  const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  const isLogarithmic = low > 0 && high / low > LOGARITHMIC;
  const floor = HEIGHT - BOTTOM;
  const y = isLogarithmic
    ? logarithmic(low / 1.1, high * 1.1, floor, TOP)
    : linear(low - pad, high + pad, floor, TOP, 6);
  const left = 34 + CHARACTER * y.ticks.reduce((most, { text }) => Math.max(most, text.length), 1);
  const x =
    first === last ? single(first, (left + WIDTH - RIGHT) / 2) : linear(first, last, left + 4, WIDTH - RIGHT, 8);
  return { x, y, left, floor, logarithmic: isLogarithmic };
}

/** Lines, means and dots. Thin lines come first: none may lie over another spec's mean. */
function marksOf(series: readonly Series[], axes: Axes): readonly string[] {
  const { x, y } = axes;
  const thin = series.flatMap(({ lines }, i) =>
    lines.length > 1
      ? [`<g class="${colourOf(i)}">${lines.map((line) => curve("thin", line, axes)).join("")}</g>`]
      : [],
  );
  const marks = series.map(({ name, mean, dots }, i) => {
    const thick = mean.length ? curve("mean", mean, axes) : "";
    const round = dots.map((dot) => {
      const title = `${name}: ${dot.y.toPrecision(5)} at ${dot.x.toLocaleString("en")}`;
      return `<circle r="3.5" cx="${at(x.at(dot.x))}" cy="${at(y.at(dot.y))}"><title>${escape(title)}</title></circle>`;
    });
    return `<g class="${colourOf(i)}"><title>${escape(name)}</title>${thick}${round.join("")}</g>`;
  });
  return [...thin, ...marks];
}

/** A chart of a row a spec. */
export interface RowOptions {
  readonly label: string;
  readonly x: string;
  readonly rows: readonly ChartRow[];
  /** Bars begin at zero, as lengths must; dots stand where their values are. */
  readonly kind: "bars" | "dots";
  /** Whether zero is on the axis, and marked. */
  readonly zero?: boolean;
}

/** Where rows begin, behind their names, and where they end. */
const leftOf = (rows: readonly { readonly name: string }[]): number =>
  14 + CHARACTER * rows.reduce((longest, { name }) => Math.max(longest, Math.min(NAME, name.length)), 1);
const floorOf = (rows: readonly unknown[]): number => TOP + ROW * rows.length;
const middleOf = (i: number): number => TOP + ROW * (i + 0.5);

const gridOf = (x: Scale, floor: number): string[] =>
  x.ticks.map(
    ({ value, text }) =>
      `<line class="grid" x1="${at(x.at(value))}" x2="${at(x.at(value))}" y1="${TOP}" y2="${floor}"/><text ` +
      `class="tick" x="${at(x.at(value))}" y="${floor + 18}" text-anchor="middle">${text}</text>`,
  );

const nameAt = (name: string, left: number, middle: number): string =>
  `<text class="name" x="${at(left - 8)}" y="${middle + 4}" ` +
  `text-anchor="end">${escape(name.length > NAME ? `${name.slice(0, NAME - 1)}…` : name)}</text>`;

const labelAt = (text: string, left: number, floor: number): string =>
  `<text class="label" x="${at((left + WIDTH - RIGHT) / 2)}" y="${floor + BOTTOM - 6}" ` +
  `text-anchor="middle">${escape(text)}</text>`;

/** A bar that is made of parts. */
export interface Stack {
  readonly name: string;
  /** From the left to the right. */
  readonly parts: readonly { readonly colour: number; readonly value: number; readonly title: string }[];
}

/** Bars that are made of parts, from 0. */
export function stackChart({
  label,
  x: xLabel,
  rows,
}: {
  readonly label: string;
  readonly x: string;
  readonly rows: readonly Stack[];
}): string {
  const totals = rows.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const left = leftOf(rows);
  const floor = floorOf(rows);
  const x = linear(0, totals.reduce((most, total) => Math.max(most, total), 0) * 1.04 || 1, left, WIDTH - RIGHT, 7);
  const marks = rows.map(({ name, parts }, i) => {
    const middle = middleOf(i);
    let from = 0;
    const bars = parts.map(({ colour, value, title }) => {
      const start = x.at(from);
      from += value;
      return (
        `<g class="${colourOf(colour)}"><title>${escape(title)}</title><rect class="bar" x="${at(start)}" ` +
        `y="${middle - 7}" width="${at(x.at(from) - start)}" height="14"/></g>`
      );
    });
    return `<g>${nameAt(name, left, middle)}${bars.join("")}</g>`;
  });
  return [
    `<svg viewBox="0 0 ${WIDTH} ${floor + BOTTOM}" role="img" aria-label="${escape(label)}">`,
    ...gridOf(x, floor),
    `<line class="axis" x1="${at(left)}" x2="${at(left)}" y1="${TOP}" y2="${floor}"/>`,
    ...marks,
    labelAt(xLabel, left, floor),
    "</svg>",
  ].join("\n");
}

/** A row a spec: each seed as a small dot, the mean as a bar or a large dot, and a whisker. */
export function rowChart({ label, x: xLabel, rows, kind, zero = false }: RowOptions): string {
  const shown = rows
    .flatMap(({ values, mean, whisker }) => [...values, mean, ...(whisker ?? [])])
    .concat(zero ? [0] : []);
  const least = shown.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = shown.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const pad = (most - least) * 0.06 || Math.abs(most) * 0.02 || 1;
  const left = leftOf(rows);
  const floor = floorOf(rows);
  const x =
    kind === "bars"
      ? linear(0, most * 1.04 || 1, left, WIDTH - RIGHT, 7)
      : linear(least - pad, most + pad, left, WIDTH - RIGHT, 7);
  const marks = rows.map(({ name, colour, values, mean, whisker, title }, i) => {
    const middle = middleOf(i);
    const bar =
      kind === "bars"
        ? `<rect class="bar" x="${at(left)}" y="${middle - 7}" width="${at(Math.max(0.5, x.at(mean) - left))}" ` +
          `height="14"/>`
        : "";
    const [from, to] = (whisker ?? []).map((end) => at(x.at(end)));
    const line = whisker
      ? `<path class="whisker" d="M${from} ${middle}H${to}M${from} ${middle - 5}v10M${to} ${middle - 5}v10"/>`
      : "";
    const seeds =
      kind === "dots" && values.length > 1
        ? values.map((value) => `<circle class="seed" r="3.5" cx="${at(x.at(value))}" cy="${middle}"/>`).join("")
        : "";
    const centre = kind === "dots" ? `<circle class="centre" r="5" cx="${at(x.at(mean))}" cy="${middle}"/>` : "";
    const marked = `${nameAt(name, left, middle)}${bar}${line}${seeds}${centre}`;
    return `<g class="${colourOf(colour)}"><title>${escape(title)}</title>${marked}</g>`;
  });
  return [
    `<svg viewBox="0 0 ${WIDTH} ${floor + BOTTOM}" role="img" aria-label="${escape(label)}">`,
    ...gridOf(x, floor),
    `<line class="axis" x1="${at(left)}" x2="${kind === "bars" ? at(left) : WIDTH - RIGHT}" ` +
      `y1="${kind === "bars" ? TOP : floor}" y2="${floor}"/>`,
    ...(zero ? [`<line class="axis" x1="${at(x.at(0))}" x2="${at(x.at(0))}" y1="${TOP}" y2="${floor}"/>`] : []),
    ...marks,
    labelAt(xLabel, left, floor),
    "</svg>",
  ].join("\n");
}
