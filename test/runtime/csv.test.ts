/** Tables: the text as RFC 4180 has it, and columns as numbers by their definitions. */
import { describe, expect, it } from "vitest";
import { array, assert, constantFrom, property, record, string } from "fast-check";
import { csvSource, csvValues, featureNames, tableFacts, type TableRequest } from "../../runtime/columns.js";
import { parseCsv } from "../../runtime/csv.js";
import { heldOut } from "../../runtime/rows.js";
import type { CsvInfo } from "../../runtime/sources.js";

const cells = (text: string, separator?: string): (readonly string[])[] => {
  const { header, rows } = parseCsv([["t.csv", text]], separator);
  return [header, ...rows.map((row) => row.cells)];
};

describe("the text of a table", () => {
  it.each<readonly [string, string, string[][]]>([
    [
      "line feeds",
      "a,b\n1,2\n",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "CRLF, and no end of the last line",
      "a,b\r\n1,2",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "a byte order mark",
      "\uFEFFa,b\n1,2\n",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "quotes around separators, quotes and line ends",
      'a,b\n"x, ""y""","1\n2"\n',
      [
        ["a", "b"],
        ['x, "y"', "1\n2"],
      ],
    ],
    [
      "spaces around cells and quotes",
      'a , b\n 1 , "2" \n',
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "empty cells",
      "a,b\n,\n1,\n",
      [
        ["a", "b"],
        ["", ""],
        ["1", ""],
      ],
    ],
    [
      "lines with nothing in them",
      "a,b\n\n1,2\n\n",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
  ])("has %s", (_, text, expected) => expect(cells(text)).toEqual(expected));

  it("may have another separator", () =>
    expect(cells("a;b\n1,5;2\n", ";")).toEqual([
      ["a", "b"],
      ["1,5", "2"],
    ]));

  it("is read as it was written, whatever its cells are", () => {
    const quoted = (cell: string): string => `"${cell.replaceAll('"', '""')}"`;
    assert(
      property(
        array(record({ a: string(), b: string() }), { minLength: 1 }),
        constantFrom("\n", "\r\n"),
        (rows, end) => {
          const written = rows.map(({ a, b }) => [quoted(a), quoted(b)].join(",") + end).join("");
          expect(cells(`a,b${end}${written}`).slice(1)).toEqual(rows.map(({ a, b }) => [a, b]));
        },
      ),
    );
  });

  it("says the line of a row, also behind cells of several lines", () => {
    const { rows } = parseCsv([["t.csv", 'a,b\n"1\n2",x\n\n3,y\n']]);
    expect(rows.map(({ line, where }) => [line, where])).toEqual([
      [2, "t.csv"],
      [5, "t.csv"],
    ]);
  });

  it.each([
    ["a,b\n1,2,3\n", "line 2 of t.csv has 3 cells, and the first line names 2 columns"],
    ['a,b\n"1,2\n', "line 2 of t.csv has a quote that is not closed"],
    ['a,b\n"1"x,2\n', 'line 2 of t.csv has "x" behind a closing quote'],
    ["a,a\n1,2\n", 't.csv has two columns named "a"'],
    ["", "t.csv is empty"],
  ])("is refused where it is %j", (text, message) => expect(() => cells(text)).toThrow(message));

  it("of several files has the same columns in each", () => {
    expect(
      parseCsv([
        ["1.csv", "a,b\n1,2\n"],
        ["2.csv", "a,b\n3,4\n"],
      ]).rows.map((row) => row.cells[0]),
    ).toEqual(["1", "3"]);
    expect(() =>
      parseCsv([
        ["1.csv", "a,b\n1,2\n"],
        ["2.csv", "b,a\n3,4\n"],
      ]),
    ).toThrow("2.csv has the columns b, a, and 1.csv has a, b");
  });
});

const request = (more: Partial<TableRequest> = {}): TableRequest => ({
  name: "houses",
  holdout: 0.25,
  fill: false,
  features: null,
  target: null,
  label: null,
  categories: [],
  ...more,
});

const infoOf = (text: string, more: Partial<TableRequest> = {}, standard = false): CsvInfo => {
  const asked = request(more);
  const { name, holdout, fill } = asked;
  const facts = tableFacts(parseCsv([["t.csv", text]]), asked);
  return { kind: "csv", name, location: "t.csv", holdout, separator: ",", ...facts, standard, fill };
};

const HOUSES = `area,town,price
10,Bern,100
30,Basel,300
20,Bern,150
50,Chur,500
40,Bern,250
60,Basel,700
80,Chur,900
70,Bern,600
`;
const areas = [10, 30, 20, 50, 40, 60, 80, 70];
const prices = [100, 300, 150, 500, 250, 700, 900, 600];
const towns = ["Bern", "Basel", "Bern", "Chur", "Bern", "Basel", "Chur", "Bern"];

/** The mean and the deviation by their formulas. */
const moments = (values: readonly number[]): readonly [number, number] => {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)];
};
const trained = <T>(values: readonly T[]): T[] => {
  const held = heldOut({ name: "houses", holdout: 0.25 }, values.length);
  return values.filter((_, i) => held[i] === 0);
};

describe("columns", () => {
  it("of numbers have the mean and the deviation of the rows that are trained on", () => {
    const { columns, target } = infoOf(HOUSES, { features: ["area"], target: "price" });
    expect(trained(areas)).toHaveLength(6);
    const [mean, deviation] = moments(trained(areas));
    expect(columns).toEqual([
      {
        kind: "number",
        name: "area",
        mean: expect.closeTo(mean, 10) as number,
        deviation: expect.closeTo(deviation, 10) as number,
      },
    ]);
    const [targetMean, targetDeviation] = moments(trained(prices));
    expect(target?.mean).toBeCloseTo(targetMean, 10);
    expect(target?.deviation).toBeCloseTo(targetDeviation, 10);
  });

  it("of texts are categories, one number a value, in order", () => {
    const info = infoOf(HOUSES, { features: ["town", "area"] });
    expect(featureNames(info.columns)).toEqual(["town=Basel", "town=Bern", "town=Chur", "area"]);
    expect([...csvValues(info, "area,town\n7,Chur\n")]).toEqual([0, 0, 1, 7]);
  });

  it("that hold numbers are categories where the page says so, in order of number", () => {
    const info = infoOf("zip,y\n9,1\n10,2\n9,3\n", { features: ["zip"], categories: ["zip"] });
    expect(featureNames(info.columns)).toEqual(["zip=9", "zip=10"]);
  });

  it("are all but what is to be predicted where none are named", () => {
    expect(infoOf(HOUSES, { target: "price" }).columns.map(({ name }) => name)).toEqual(["area", "town"]);
    expect(infoOf(HOUSES, { label: "town" }).columns.map(({ name }) => name)).toEqual(["area", "price"]);
  });

  it("are standardised: mean 0 and deviation 1 over the rows that are trained on", () => {
    const info = infoOf(HOUSES, { features: ["area"], target: "price" }, true);
    const [mean, deviation] = moments(trained(areas));
    const values = csvValues(info, HOUSES);
    values.forEach((value, i) => expect(value).toBeCloseTo((areas[i]! - mean) / deviation, 5));
    const [over, spread] = moments(trained([...values]));
    expect(over).toBeCloseTo(0, 5);
    expect(spread).toBeCloseTo(1, 5);
  });

  it("of one number alone have the deviation 1", () =>
    expect(infoOf("a,y\n5,1\n5,2\n5,3\n", { features: ["a"] }).columns[0]).toMatchObject({ mean: 5, deviation: 1 }));

  it("are filled with their mean, and categories with their shares, where the page says so", () => {
    const text = HOUSES.replace("20,Bern", ",Bern").replace("40,Bern", "40,NA");
    const info = infoOf(text, { features: ["area", "town"], fill: true });
    const held = heldOut({ name: "houses", holdout: 0.25 }, 8);
    const area = areas.filter((_, i) => i !== 2 && held[i] === 0);
    const known = towns.filter((_, i) => i !== 4 && held[i] === 0);
    const share = (town: string): number => known.filter((name) => name === town).length / known.length;
    const values = csvValues(info, text);
    expect(values[2 * 4]).toBeCloseTo(area.reduce((a, b) => a + b) / area.length, 4);
    ["Basel", "Bern", "Chur"].forEach((town, i) => expect(values[4 * 4 + 1 + i]).toBeCloseTo(share(town), 6));
  });

  it.each<readonly [string, string, Partial<TableRequest>, string]>([
    ["a missing value", HOUSES.replace("20,", ","), {}, 'line 4 of t.csv, column "area" has no value'],
    [
      "a missing target",
      HOUSES.replace(",500", ","),
      { target: "price", fill: true },
      'line 5 of t.csv, column "price" has no value',
    ],
    [
      "a text among numbers",
      HOUSES.replace("20,", "2O,"),
      {},
      'line 4 of t.csv, column "area" has "2O", and other rows have numbers there',
    ],
    [
      "a target that is text",
      HOUSES,
      { target: "town" },
      'line 2 of t.csv, column "town" has "Bern", and a number is expected',
    ],
    ["a column that is not there", HOUSES, { features: ["rooms"] }, 'there is no column "rooms" of t.csv'],
    [
      "a feature that is the target",
      HOUSES,
      { features: ["area", "price"], target: "price" },
      'column "price" of `houses` is a feature and what is to be predicted',
    ],
    [
      "a category that is none",
      HOUSES,
      { features: ["area"], categories: ["town"] },
      '"town" of `categories` is not a feature',
    ],
    ["a number beyond f32", HOUSES.replace("20,", "1e39,"), {}, 'line 4 of t.csv, column "area" has "1e39"'],
    ["no rows", "area,price\n", {}, "`houses` has 0 rows, and two are needed"],
    [
      "too many texts",
      `id,y\n${Array.from({ length: 300 }, (_, i) => `n${i},1\n`).join("")}`,
      {},
      'column "id" has 300 different texts',
    ],
  ])("are refused for %s", (_, text, more, message) => expect(() => infoOf(text, more)).toThrow(message));

  it("that come later are read by what the model knows", () => {
    const info = infoOf(HOUSES, { features: ["area", "town"], label: null });
    expect(() => csvValues(info, "area,town\n1,Genf\n")).toThrow(
      'line 2 of the text, column "town" has "Genf", which the data of the model does not have',
    );
    expect(() => csvValues(info, "area\n1\n")).toThrow('there is no column "town" of the text');
    expect(() => csvValues(info, "area,town\n?,Bern\n")).toThrow('column "area" has no value');
  });
});

describe("batches of a table", () => {
  const info = infoOf(HOUSES, { features: ["area"], target: "price", label: "town" }, true);
  const source = csvSource(info, HOUSES);

  it("have the rows of the training part, with their targets and labels", () => {
    const held = heldOut({ name: "houses", holdout: 0.25 }, 8);
    const [mean, deviation] = moments(trained(areas));
    const [targetMean, targetDeviation] = moments(trained(prices));
    const classes = ["Basel", "Bern", "Chur"];
    const seen = new Set<number>();
    for (let step = 0; step < 20; step++) {
      const batch = source.batch(4, 3, step);
      expect(source.batch(4, 3, step)).toEqual(batch);
      for (let i = 0; i < 4; i++) {
        const row = areas.findIndex((area) => Math.abs((area - mean) / deviation - batch["houses.value"]![i]!) < 1e-5);
        expect(held[row]).toBe(0);
        expect(batch["houses.target"]![i]).toBeCloseTo((prices[row]! - targetMean) / targetDeviation, 5);
        expect(batch["houses.label"]![i]).toBe(classes.indexOf(towns[row]!));
        seen.add(row);
      }
    }
    expect(seen.size).toBe(6);
  });

  it("of the held-out part are all of its rows, each once, and none that is trained on", () => {
    const held = heldOut({ name: "houses", holdout: 0.25 }, 8);
    expect(source.holdoutExamples).toBe(2);
    const batches = [...source.holdout(3)];
    expect(batches.map(({ count }) => count)).toEqual([2]);
    const [mean, deviation] = moments(trained(areas));
    const rows = Array.from(batches[0]!.batch["houses.value"]!.subarray(0, 2), (value) =>
      Math.round(value * deviation + mean),
    );
    expect(rows).toEqual(areas.filter((_, i) => held[i] === 1));
  });

  it("refuse a class that the model does not have", () =>
    expect(() => csvSource(info, `${HOUSES}10,Genf,1\n`)).toThrow(
      'column "town" has "Genf", which is no class of the model',
    ));
});
