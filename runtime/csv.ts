/**
 * Tables as text: RFC 4180, with a line feed or CRLF behind a row, quotes around what holds a separator, a quote or a
 * line end, and a byte order mark that is passed over. The first row names the columns.
 */
import { describe } from "./check.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";

/** A row of a table: its cells without the spaces around them, and the line that it begins in. */
export interface CsvRow {
  readonly cells: readonly string[];
  /** From 1. */
  readonly line: number;
  /** What errors call the text that it is of. */
  readonly where: string;
}

/** A table: the names of its columns, and its rows, each of as many cells. */
export interface CsvTable {
  readonly header: readonly string[];
  readonly rows: readonly CsvRow[];
}

/** A text, and what errors call it. */
export type NamedText = readonly [where: string, text: string];

/**
 * The table of some texts, one behind the other, which all begin with the same names of columns. Throws DataError for
 * a quote that is not closed, a row of another length, and names that differ or are given twice.
 */
export function parseCsv(texts: readonly NamedText[], separator = ","): CsvTable {
  const tables = texts.map((named) => tableOf(named, separator));
  const [first] = tables;
  if (!first) throw new DataError("there is no table");
  for (const [i, { header }] of tables.entries()) {
    if (header.length === first.header.length && header.every((name, k) => name === first.header[k])) continue;
    const [where] = mustAt(texts, i);
    throw new DataError(
      `${where} has the columns ${header.join(", ")}, and ${mustAt(texts, 0)[0]} has ${first.header.join(", ")}`,
      "files of one table begin with the same line of names",
    );
  }
  return { header: first.header, rows: tables.flatMap(({ rows }) => rows) };
}

function tableOf([where, text]: NamedText, separator: string): CsvTable {
  if (typeof text !== "string") throw new DataError(`the table is ${describe(text)}, and text is expected`);
  const [names, ...rows] = rowsOf(text.startsWith("\uFEFF") ? text.slice(1) : text, separator, where);
  if (!names) throw new DataError(`${where} is empty`, "its first line names the columns");
  const header = names.cells;
  const twice = header.find((name, i) => header.indexOf(name) !== i);
  if (twice !== undefined)
    throw new DataError(`${where} has two columns named ${JSON.stringify(twice)}`, "give each a name of its own");
  const ragged = rows.find(({ cells }) => cells.length !== header.length);
  if (ragged)
    throw new DataError(
      `line ${ragged.line} of ${where} has ${ragged.cells.length} cells, ` +
        `and the first line names ${header.length} columns`,
      `put quotes around a cell that holds ${JSON.stringify(separator)}, or say another \`separator\``,
    );
  return { header, rows };
}

/** The rows of a text; lines with nothing in them are passed over. */
function rowsOf(text: string, separator: string, where: string): CsvRow[] {
  const rows: CsvRow[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const begun = line;
    const cells: string[] = [];
    for (;;) {
      const cell =
        text[skipSpaces(text, at)] === '"'
          ? quoted(text, at, separator, `line ${line} of ${where}`)
          : bare(text, at, separator);
      cells.push(cell.value);
      line += cell.lines;
      at = cell.end;
      if (text[at] !== separator) break;
      at++;
    }
    // What ends a row: \n, \r\n, or the end of the text.
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
    line++;
    if (cells.length > 1 || cells[0] !== "") rows.push({ cells, line: begun, where });
  }
  return rows;
}

interface CsvCell {
  readonly value: string;
  /** Where it ends: at a separator, a line end, or the end of the text. */
  readonly end: number;
  /** Line ends within it. */
  readonly lines: number;
}

function skipSpaces(text: string, from: number): number {
  let at = from;
  while (text[at] === " ") at++;
  return at;
}

function bare(text: string, from: number, separator: string): CsvCell {
  let end = from;
  while (end < text.length && text[end] !== separator && text[end] !== "\n" && !isCrlf(text, end)) end++;
  return { value: text.slice(from, end).trim(), end, lines: 0 };
}

const isCrlf = (text: string, at: number): boolean =>
  text[at] === "\r" && (text[at + 1] === "\n" || at + 1 === text.length);

function quoted(text: string, from: number, separator: string, place: string): CsvCell {
  let value = "";
  let at = skipSpaces(text, from) + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0)
      throw new DataError(`${place} has a quote that is not closed`, 'a quote within quotes is written ""');
    value += text.slice(at, quote);
    at = quote + 1;
    if (text[at] !== '"') break;
    value += '"';
    at++;
  }
  const end = skipSpaces(text, at);
  const behind = text[end];
  if (behind !== undefined && behind !== separator && behind !== "\n" && !isCrlf(text, end))
    throw new DataError(
      `${place} has ${JSON.stringify(behind)} behind a closing quote`,
      `a separator or the end of the line is expected; a quote within quotes is written ""`,
    );
  return { value, end, lines: value.split("\n").length - 1 };
}
