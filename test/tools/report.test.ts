/**
 * The report of runs that were written by hand: what the table says, what the page holds, and that plots stay within
 * their frames.
 */
import { describe, expect, it } from "vitest";
import type { Comparison } from "../../src/tools/compare.js";
import { outcomeOf, tabulate } from "../../src/tools/outcomes.js";
import { labelsOf, lineChart, rowChart, ticksOf } from "../../src/tools/plot.js";
import { curvesOf, page } from "../../src/tools/comparison-page.js";
import { tableOf, tableText, toJson, words } from "../../src/tools/report.js";
import type { Line } from "../../src/tools/run.js";
import type { Plan } from "../../runtime/plan.js";
import { all, parseMarkup } from "../helpers/markup.js";

const STEPS = 400;

/**
 * Lines of a run whose loss falls to `end`, and whose gain is `growth` to the power of the share of steps that are
 * done.
 */
function linesOf(end: number, growth: number | null, failure: string | null = null): Line[] {
  const steps = failure === null ? STEPS : STEPS / 2;
  const lines: Line[] = Array.from({ length: steps }, (_, i) => ({
    step: i + 1,
    loss: end + Math.exp(-i / 60),
    ms: 2 + (i % 3),
    tokens_per_s: 1,
    constraints: {},
    ...((i + 1) % 50 === 0 && growth !== null
      ? {
          monitors: {
            "gain:x:forward": growth ** ((i + 1) / STEPS),
            "gain:y:forward": 0.5,
            "gain:x:backward": 1e6,
            "entropy:x": 9e9,
          },
        }
      : {}),
    ...(i + 1 === 100 ? { holdout: end + 0.5 } : {}),
  }));
  return [
    ...lines,
    failure === null
      ? { done: true, run: "r", steps, seconds: 3, loss: end, holdout: end + 0.1, device: "wasm" }
      : { done: true, run: "r", steps, failure, device: "wasm" },
  ];
}

/** What the lines call the gains of the streams `x` and `y`. */
const gains = [
  { name: "gain:x:forward", direction: "forward" },
  { name: "gain:x:backward", direction: "backward" },
  { name: "gain:y:forward", direction: "forward" },
] as const;

const plan = { parameters: [{ shape: [3, 4] }, { shape: [5] }] } as unknown as Plan;

function comparisonOf(specs: Readonly<Record<string, readonly (readonly Line[])[]>>): Comparison {
  const outcomes = new Map(
    Object.entries(specs).map(([name, runs]) => [
      { name, text: `model ${name} { /* <&> */ }`, plan, joules: null },
      runs.map((lines, i) => outcomeOf(7 + i, `out/${name}-${i}`, lines, gains)),
    ]),
  );
  return { specs: tabulate(outcomes), seeds: [7, 8, 9], budget: {}, device: "wasm", adapter: "WebAssembly", notes: [] };
}

const whole = comparisonOf({
  mhc: [linesOf(2, 1.1), linesOf(2.1, 1.2), linesOf(2.2, 1.3)],
  hc: [linesOf(2.01, 900), linesOf(2.12, 1000), linesOf(2.23, 1100)],
});
const options = {
  command: 'npx mhc compare "a" <b>',
  version: "0.1.0",
  time: "2026-01-01 00:00",
  unit: "nats a character",
};

describe("a run out of its lines", () => {
  it("has what train says, the median step, and the largest gains when they were last measured", () => {
    const run = outcomeOf(7, "f", linesOf(2, 1.1), gains);
    expect(run).toMatchObject({
      seed: 7,
      folder: "f",
      steps: STEPS,
      loss: 2,
      holdout: 2.1,
      seconds: 3,
      ms: 3,
      failure: null,
    });
    expect(run.gain).toBeCloseTo(1.1, 12);
    expect(run.backward).toBe(1e6);
    expect(run.backwards.map(({ step }) => step)).toEqual(run.gains.map(({ step }) => step));
    expect(run.losses).toHaveLength(STEPS);
    expect(run.holdouts.map(({ step, value }) => [step, value])).toEqual([
      [100, 2.5],
      [400, 2.1],
    ]);
    expect(run.gains.map(({ step }) => step)).toEqual([50, 100, 150, 200, 250, 300, 350, 400]);
    expect(run.losses.at(-1)!.seconds).toBeCloseTo(1.199, 9);
  });

  it("has no gain without monitors, and no loss when it failed", () => {
    expect(outcomeOf(7, "f", linesOf(2, null), gains).gain).toBeNull();
    expect(outcomeOf(7, "f", linesOf(2, null, "the loss is NaN at step 201"), gains)).toMatchObject({
      loss: null,
      holdout: null,
      seconds: null,
      failure: "the loss is NaN at step 201",
      steps: 200,
    });
  });
});

describe("the table", () => {
  it("pairs runs by seed", () => {
    const [first, second] = whole.specs;
    expect(first!.difference).toBeNull();
    second!.difference!.values.forEach((value, i) => expect(value).toBeCloseTo([0.01, 0.02, 0.03][i]!, 9));
    expect(second!.difference!.deviation).toBeCloseTo(0.01, 9);
    // Seeds differ ten times as much as specs do.
    expect(second!.holdout!.deviation).toBeGreaterThan(0.1);
    expect(first!.parameters).toBe(17);
  });

  it("says means, deviations and intervals, and stands on its side where it would be too wide", () => {
    expect(tableOf(whole).head).toEqual([
      "spec",
      "parameters",
      "hold-out loss",
      "less that of mhc",
      "last loss",
      "gain forward",
      "gain backward",
      "ms a step",
      "seconds",
    ]);
    expect(tableOf(whole).rows[1]!.slice(0, 4)).toEqual([
      "hc",
      "17",
      "2.2200 ± 0.1100 [1.9467, 2.4933]",
      "+0.0200 ± 0.0100 [-0.0048, +0.0448]",
    ]);
    expect(tableText(whole, 300).split("\n")[0]).toMatch(/^spec +parameters +hold-out loss/);
    expect(tableText(whole, 80).split("\n")[0]).toMatch(/^spec +mhc +hc$/);
    expect(words(null, String)).toBe("–");
    expect(words({ mean: 2, deviation: null, interval: null, values: [2] }, String)).toBe("2");
  });

  it("counts the runs that ended when one did not, and leaves it out of the means", () => {
    const broken = comparisonOf({
      a: [linesOf(2, null), linesOf(2.1, null)],
      b: [linesOf(1, null, "the loss is NaN at step 201"), linesOf(2.3, null)],
    });
    expect(broken.specs[1]!.holdout).toEqual({ mean: 2.4, deviation: null, interval: null, values: [null, 2.4] });
    expect(broken.specs[1]!.difference!.values[0]).toBeNull();
    expect(tableOf(broken).rows.map((row) => row[2])).toEqual(["2 of 3", "1 of 3"]);
    expect(parseMarkup(page(broken, options)).text).toContain("Broke off: b with seed 7: the loss is NaN at step 201.");
  });

  it("as JSON has the keys of the contract, and no curves", () => {
    const { specs, seeds } = toJson(whole) as { specs: Record<string, unknown>[]; seeds: unknown };
    expect(seeds).toEqual([7, 8, 9]);
    for (const key of ["loss", "holdout", "gain", "gain_backward", "seconds"])
      expect(specs[0]![key], key).toMatchObject({
        mean: expect.any(Number) as number,
        deviation: expect.any(Number) as number,
        values: [expect.any(Number), expect.any(Number), expect.any(Number)] as number[],
      });
    expect(JSON.stringify(specs).length).toBeLessThan(4000);
  });
});

describe("the page", () => {
  const html = page(whole, options);
  const root = parseMarkup(html);

  it("is well-formed, has every plot, and needs nothing from elsewhere", () => {
    expect(all(root, "h2").map(({ text }) => text)).toEqual([
      "Hold-out loss at the end",
      "Hold-out loss less that of mhc",
      "Loss",
      "Gain",
      "Time",
      "Table",
      "How it was made",
    ]);
    expect(
      all(root, "svg")
        .filter(({ attributes }) => attributes["role"] === "img")
        .map(({ attributes }) => attributes["aria-label"]),
    ).toEqual([
      "hold-out loss",
      "differences of hold-out losses",
      "loss over steps",
      "gain forward over steps",
      "gain backward over steps",
      "milliseconds a step",
      "seconds a run",
    ]);
    expect(html).not.toMatch(/https?:|<script|<link|<img|url\((?!#)/);
    expect(html).not.toMatch(/NaN|Infinity|undefined|null/);
  });

  it("quotes what it was made from", () => {
    expect(all(root, "pre").map(({ text }) => text)).toEqual([
      'npx mhc compare "a" <b>',
      "model mhc { /* <&> */ }",
      "model hc { /* <&> */ }",
    ]);
    expect(all(root, "td").map(({ text }) => text)).toContain("2.2200 ± 0.1100[1.9467, 2.4933]");
  });

  it("draws each seed thin and the mean thick, gains on a logarithmic axis, and no plot where there are none", () => {
    const [loss, gain] = ["loss over steps", "gain forward over steps"].map((label) =>
      all(root, "svg").find(({ attributes }) => attributes["aria-label"] === label)!,
    );
    const paths = (kind: string): number =>
      all(loss!, "path").filter(({ attributes }) => attributes["class"] === kind).length;
    expect([paths("thin"), paths("mean"), all(loss!, "circle").length]).toEqual([6, 2, 12]);
    expect([gain!.text.includes("logarithmic"), loss!.text.includes("logarithmic")]).toEqual([true, false]);
    expect(page(comparisonOf({ a: [linesOf(2, null)] }), options)).not.toContain("<h2>Gain</h2>");
    const [ofLoss, ofGain] = all(
      parseMarkup(page(comparisonOf({ a: [linesOf(2, null)], b: [linesOf(2, 3)] }), options)),
      "ul",
    );
    expect([ofLoss!.text, ofGain!.text]).toEqual(["ab", "b"]);
  });
});

describe("curves", () => {
  const run = (count: number, ended = true): Parameters<typeof curvesOf>[0][number] => ({
    points: Array.from({ length: count }, (_, i) => ({ step: i + 1, seconds: (i + 1) / 10, value: count * i })),
    ended,
  });
  it("have every step while these are few, and means of equal bins when they are many", () => {
    const three = [
      { x: 1, y: 0 },
      { x: 2, y: 3 },
      { x: 3, y: 6 },
    ];
    expect(curvesOf([run(3), run(3)], false)).toEqual({ lines: [three, three], mean: three });
    const { lines } = curvesOf([run(1600)], false);
    expect(lines[0]).toHaveLength(160);
    expect(lines[0]![0]).toEqual({ x: 5.5, y: 7200 });
  });
  it("have a mean where all runs are", () => {
    expect(curvesOf([run(3), run(2)], false).mean).toEqual([
      { x: 1, y: 0 },
      { x: 2, y: 2.5 },
    ]);
    expect(curvesOf([run(4), run(0)], false).mean).toEqual([]);
  });
  it("of those that ended, if any did", () => {
    expect(curvesOf([run(3), run(2, false)], false)).toMatchObject({
      lines: [{ length: 3 }, { length: 2 }],
      mean: [
        { x: 1, y: 0 },
        { x: 2, y: 3 },
        { x: 3, y: 6 },
      ],
    });
    expect(curvesOf([run(2, false)], false).mean).toHaveLength(2);
  });
  it("stand over seconds when time is the budget", () => {
    expect(curvesOf([run(2)], true).lines[0]!.map(({ x }) => x)).toEqual([0.1, 0.2]);
  });
});

describe("plots", () => {
  it("have round ticks, with the decimals that they need", () => {
    expect(ticksOf(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(labelsOf(ticksOf(2.013, 2.047, 5))).toEqual(["2.02", "2.03", "2.04"]);
    expect(labelsOf(ticksOf(-0.002, 0.002, 4))).toEqual(["-0.002", "-0.001", "0.000", "0.001", "0.002"]);
    expect(labelsOf(ticksOf(0, 2000, 8))).toEqual(["0", "500", "1,000", "1,500", "2,000"]);
  });

  /** Every number of a path, and every x and y: within the drawing. */
  const within = (svg: string): void => {
    const [drawing] = all(parseMarkup(svg), "svg");
    const [, , width, height] = drawing!.attributes["viewBox"]!.split(" ").map(Number);
    for (const { attributes } of [
      ...all(drawing!, "line"),
      ...all(drawing!, "text"),
      ...all(drawing!, "circle"),
      ...all(drawing!, "rect"),
    ]) {
      for (const [name, value] of Object.entries(attributes)) {
        if (/^c?x\d?$/.test(name)) expect(Number(value) >= 0 && Number(value) <= width!, `${name}=${value}`).toBe(true);
        if (/^c?y\d?$/.test(name))
          expect(Number(value) >= 0 && Number(value) <= height!, `${name}=${value}`).toBe(true);
      }
    }
  };

  it.each<[string, readonly number[]]>([
    ["one value", [3]],
    ["equal values", [2, 2, 2]],
    ["nothing but zero", [0, 0]],
    ["below zero", [-3, -1]],
    ["nine powers of ten", [1e-4, 1, 1e5]],
    ["what diverges", [2, 3, 1e30]],
  ])("stay in their frames for %s", (_, values) => {
    const points = values.map((y, x) => ({ x: x + 1, y }));
    const svg = lineChart({
      id: "a",
      label: "a",
      x: "x",
      y: "y",
      series: [{ name: "a", lines: [points], mean: points, dots: points.filter(({ y }) => y < 1e6) }],
      ceiling: 1e6,
    });
    expect(svg).not.toContain("NaN");
    within(svg);
    for (const kind of ["bars", "dots"] as const) {
      if (kind === "bars" && values.some((value) => value < 0)) continue;
      const rows = rowChart({
        label: "a",
        x: "x",
        kind,
        rows: [
          {
            name: "a".repeat(80),
            colour: 0,
            values,
            mean: values[0]!,
            whisker: [values[0]!, values.at(-1)!],
            title: "a",
          },
        ],
      });
      expect(rows).not.toContain("NaN");
      within(rows);
    }
  });
});

describe("a run of one step", () => {
  it("is a dot, on axes that have its step and its loss", () => {
    const chart = lineChart({
      id: "one",
      label: "one",
      x: "step",
      y: "loss",
      series: [{ name: "a", lines: [[{ x: 1, y: 2.5 }]], mean: [{ x: 1, y: 2.5 }], dots: [] }],
    });
    const svg = parseMarkup(chart);
    expect(all(svg, "path").filter(({ attributes }) => attributes["class"] === "mean")).toEqual([]);
    const [dot] = all(svg, "circle");
    const [, , width, height] = all(svg, "svg")[0]!.attributes["viewBox"]!.split(" ").map(Number);
    expect(
      [Number(dot!.attributes["cx"]) / width!, Number(dot!.attributes["cy"]) / height!].every(
        (part) => part > 0.2 && part < 0.8,
      ),
    ).toBe(true);
    expect(chart).toMatch(/text-anchor="middle">1<\/text>/);
    expect(chart.match(/text-anchor="end">2\.[\d]+<\/text>/g)!.length).toBeGreaterThan(2);
  });
});
