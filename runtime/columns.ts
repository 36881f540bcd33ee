/**
 * Columns of a table as numbers. A column of numbers is one feature; one of texts is a category, and as many features
 * as it has values: 1 for the value that is there, 0 for the others. What is missing (an empty cell, `NA`, `NaN`,
 * `null`, `?`) is an error or, where the page says so, the mean of the column: of a category the share of each value.
 * Means, deviations and shares are those of the rows that are trained on; they are facts of the data, so that a model
 * that was compiled applies the same to what it is given later.
 */
import { isObject, describe, F32_MAX } from "./check.js";
import { parseCsv, type CsvRow, type CsvTable } from "./csv.js";
import type { Source } from "./data.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";
import { heldOut, rowsSource, type RowsField } from "./rows.js";
import type { CsvColumn, CsvInfo } from "./sources.js";

/** What a page says of a table. */
export interface TableRequest extends Pick<CsvInfo, "name" | "holdout" | "fill"> {
  /** The columns that are features; null: all but the target and the label. */
  readonly features: readonly string[] | null;
  readonly target: string | null;
  readonly label: string | null;
  /** Columns that are categories although they hold numbers. */
  readonly categories: readonly string[];
}

/** What a table tells the compiler. */
export type TableFacts = Pick<CsvInfo, "columns" | "target" | "label">;

/** More values than this are names or numbers that were mistyped, not a category. */
const MOST_VALUES = 256;

const MISSING = new Set(["", "na", "nan", "null", "?"]);
const isMissing = (cell: string): boolean => MISSING.has(cell.trim().toLowerCase());

/** The number that a cell says; null when it says none. */
function numberOf(cell: string): number | null {
  const text = cell.trim();
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) return null;
  const value = Number(text);
  return Math.abs(value) <= F32_MAX ? value : null;
}

/** `line 7 of prices.csv, column "area"` */
const placeOf = ({ line, where }: CsvRow, name: string): string =>
  `line ${line} of ${where}, column ${JSON.stringify(name)}`;

/** A column by its name: its place, and its cells with their rows. */
interface CsvCells {
  readonly name: string;
  readonly place: number;
  readonly rows: readonly CsvRow[];
}

function columnOf({ header, rows }: CsvTable, name: string): CsvCells {
  const place = header.indexOf(name);
  if (place >= 0) return { name, place, rows };
  const where = rows[0] ? ` of ${rows[0].where}` : "";
  throw new DataError(`there is no column ${JSON.stringify(name)}${where}`, `there are ${header.join(", ")}`);
}

const cellOf = ({ place }: CsvCells, row: CsvRow): string => mustAt(row.cells, place);

/** Whether a column holds numbers; an error where some of its cells do and others do not. */
function holdsNumbers(column: CsvCells): boolean {
  const filled = column.rows.filter((row) => !isMissing(cellOf(column, row)));
  const odd = filled.find((row) => numberOf(cellOf(column, row)) === null);
  if (!odd) return true;
  if (filled.every((row) => numberOf(cellOf(column, row)) === null)) return false;
  throw new DataError(
    `${placeOf(odd, column.name)} has ${JSON.stringify(cellOf(column, odd))}, and other rows have numbers there`,
    `write a number, leave it empty, or make it a category: \`categories = "${column.name}"\``,
  );
}

/** The mean and the deviation of numbers; the deviation is 1 when all are the same. */
function spreadOf(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) || 1 };
}

/** Numbers before texts, numbers by size, texts by code unit. */
function sortedValues(values: Iterable<string>): string[] {
  const list = [...new Set(values)];
  const areNumbers = list.every((value) => numberOf(value) !== null);
  return list.sort((a, b) => (areNumbers ? Number(a) - Number(b) : a < b ? -1 : 1));
}

/** What the rows that are trained on say of a column of features. */
function featureOf(column: CsvCells, held: Uint8Array, { fill, categories }: TableRequest): CsvColumn {
  const { name, rows } = column;
  const absent = fill ? undefined : rows.find((row) => isMissing(cellOf(column, row)));
  if (absent) throw missingAt(absent, name);
  const known = rows.filter((row, i) => held[i] === 0 && !isMissing(cellOf(column, row)));
  if (known.length === 0) throw new DataError(`column ${JSON.stringify(name)} is empty`, "leave it out of `features`");
  if (!categories.includes(name) && holdsNumbers(column))
    return { kind: "number", name, ...spreadOf(known.map((row) => numberOf(cellOf(column, row)) ?? 0)) };
  const values = sortedValues(rows.map((row) => cellOf(column, row)).filter((cell) => !isMissing(cell)));
  if (values.length > MOST_VALUES)
    throw new DataError(
      `column ${JSON.stringify(name)} has ${values.length} different texts, and a category at most ${MOST_VALUES}`,
      "leave it out of `features`",
    );
  const shares = values.map((value) => known.filter((row) => cellOf(column, row) === value).length / known.length);
  return { kind: "category", name, values, shares };
}

const missingAt = (row: CsvRow, name: string): DataError =>
  new DataError(
    `${placeOf(row, name)} has no value`,
    "fill it in, take the row out, or write `missing = mean` where it is a feature",
  );

/** What a table tells the compiler. Throws DataError for columns that are not there, and cells that say nothing. */
export function tableFacts(table: CsvTable, request: TableRequest): TableFacts {
  const { name, target, label } = request;
  const held = heldOut(request, table.rows.length, "rows");
  const isOutcome = (column: string): boolean => column === target || column === label;
  const features = request.features ?? table.header.filter((column) => !isOutcome(column));
  if (features.length === 0)
    throw new DataError(`\`${name}\` has no column that is a feature`, "name some in `features`");
  const outcome = features.find(isOutcome);
  if (outcome !== undefined)
    throw new DataError(
      `column ${JSON.stringify(outcome)} of \`${name}\` is a feature and what is to be predicted`,
      "take it out of `features`",
    );
  for (const category of request.categories)
    if (!features.includes(category))
      throw new DataError(
        `${JSON.stringify(category)} of \`categories\` is not a feature of \`${name}\``,
        `features are ${features.join(", ")}`,
      );
  return {
    columns: features.map((feature) => featureOf(columnOf(table, feature), held, request)),
    target: target === null ? null : { name: target, ...targetSpread(columnOf(table, target), held) },
    label: label === null ? null : { name: label, classes: classesOf(columnOf(table, label)) },
  };
}

function targetSpread(column: CsvCells, held: Uint8Array): ReturnType<typeof spreadOf> {
  const values = column.rows.map((row) => targetAt(column, row));
  return spreadOf(values.filter((_, i) => held[i] === 0));
}

function targetAt(column: CsvCells, row: CsvRow): number {
  const cell = cellOf(column, row);
  if (isMissing(cell)) throw missingAt(row, column.name);
  const value = numberOf(cell);
  if (value !== null) return value;
  throw new DataError(
    `${placeOf(row, column.name)} has ${JSON.stringify(cell)}, and a number is expected`,
    `a column of classes is named by \`label = "${column.name}"\``,
  );
}

function classesOf(column: CsvCells): string[] {
  const absent = column.rows.find((row) => isMissing(cellOf(column, row)));
  if (absent) throw missingAt(absent, column.name);
  return sortedValues(column.rows.map((row) => cellOf(column, row)));
}

/** How many numbers the features of a row are. */
export const featuresOf = (columns: readonly CsvColumn[]): number =>
  columns.reduce((sum, column) => sum + (column.kind === "number" ? 1 : column.values.length), 0);

/** What the features of a row are called: `area`, and `town=Bern` for a value of a category. */
export const featureNames = (columns: readonly CsvColumn[]): string[] =>
  columns.flatMap((column) =>
    column.kind === "number" ? [column.name] : column.values.map((value) => `${column.name}=${value}`),
  );

/**
 * The features of the rows of a table as a model of this data takes them, row-major [rows, features]: standardised,
 * one-hot and filled as its page says. A target or a label need not be in the table. Throws DataError for a column that
 * is not there, a value that is missing or is none.
 */
export function csvValues(info: CsvInfo, text: string | CsvTable): Float32Array {
  const table = asTable(info, text);
  const columns = info.columns.map((known) => ({ known, column: columnOf(table, known.name) }));
  const values = new Float32Array(table.rows.length * featuresOf(info.columns));
  let at = 0;
  for (const row of table.rows)
    for (const { known, column } of columns)
      for (const value of numbersOfCell(info, known, row, cellOf(column, row))) values[at++] = value;
  return values;
}

function numbersOfCell({ fill, standard }: CsvInfo, known: CsvColumn, row: CsvRow, cell: string): readonly number[] {
  const missing = isMissing(cell);
  if (missing && !fill) throw missingAt(row, known.name);
  if (known.kind === "number") {
    const value = missing ? known.mean : numberOf(cell);
    if (value === null)
      throw new DataError(`${placeOf(row, known.name)} has ${JSON.stringify(cell)}, and a number is expected`);
    return [standard ? (value - known.mean) / known.deviation : value];
  }
  if (missing) return known.shares;
  const place = known.values.indexOf(cell);
  if (place < 0)
    throw new DataError(
      `${placeOf(row, known.name)} has ${JSON.stringify(cell)}, which the data of the model does not have`,
      `there are ${known.values.join(", ")}`,
    );
  return known.values.map((_, i) => (i === place ? 1 : 0));
}

const asTable = (info: CsvInfo, text: string | CsvTable): CsvTable => {
  if (typeof text === "string") return parseCsv([["the text", text]], info.separator);
  if (isObject(text) && Array.isArray(text["header"]) && Array.isArray(text["rows"])) return text;
  throw new DataError(`the table of \`${info.name}\` is ${describe(text)}, and the text of a CSV file is expected`);
};

/**
 * Batches of `NAME.value`, [batch, features], and of `NAME.target` or `NAME.label`, [batch], of a table or the text of
 * one. Throws DataError as `csvValues` does, and for a class that the model does not have.
 */
export function csvSource(info: CsvInfo, text: string | CsvTable): Source {
  const table = asTable(info, text);
  const { target, label, standard } = info;
  const fields: RowsField[] = [{ name: "value", size: featuresOf(info.columns), values: csvValues(info, table) }];
  if (target) {
    const column = columnOf(table, target.name);
    const values = table.rows.map((row) => targetAt(column, row));
    const scaled = values.map((value) => (standard ? (value - target.mean) / target.deviation : value));
    fields.push({ name: "target", size: 1, values: Float32Array.from(scaled) });
  }
  if (label) fields.push({ name: "label", size: 1, values: labelsOf(columnOf(table, label.name), label.classes) });
  return rowsSource(info, table.rows.length, fields, "rows");
}

function labelsOf(column: CsvCells, classes: readonly string[]): Uint32Array {
  const places = new Map(classes.map((name, i) => [name, i]));
  return Uint32Array.from(column.rows, (row) => {
    const cell = cellOf(column, row);
    const place = places.get(cell);
    if (place !== undefined) return place;
    throw new DataError(
      `${placeOf(row, column.name)} has ${JSON.stringify(cell)}, which is no class of the model`,
      `there are ${classes.join(", ")}`,
    );
  });
}
