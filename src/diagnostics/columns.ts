/**
 * A line of a page as a terminal shows it, so that what is drawn under it stands under it: tabs are blanks,
 * characters that cannot be seen go by their numbers, wide characters (East Asian, emoji) take two columns and
 * combining marks none (Unicode, UAX #11 and #29). A very long line is cut around the place. Small, and without
 * tables of its own, since the compiler runs in browsers too.
 */

/** What a tab is shown as. */
const TAB = "    ";
/** Columns of a line that are shown at most, and how many stay before the place. */
const WIDEST = 120;
const BEFORE = 50;

/** East Asian wide and full-width characters, by block. */
const WIDE = new RegExp(
  "^[" +
    String.raw`\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf` +
    String.raw`\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60` +
    String.raw`\uffe0-\uffe6\u{16fe0}-\u{18d8f}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}` +
    String.raw`\u{20000}-\u{3fffd}` +
    "]",
  "u",
);
const EMOJI = /^\p{Emoji_Presentation}|^\p{Regional_Indicator}|\ufe0f/u;
const UNSEEN = /^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/u;

/** A character as it is shown. */
interface Cell {
  readonly text: string;
  readonly columns: number;
  /** Offsets of the line. */
  readonly start: number;
  readonly end: number;
}

/** The characters of a line as people see them: with their marks, and emoji with what joins them. */
function clusters(line: string): { readonly segment: string; readonly index: number }[] {
  if (typeof Intl.Segmenter === "function")
    return [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(line)];
  let index = 0;
  return [...line].map((segment) => ({ segment, index: (index += segment.length) - segment.length }));
}

function cellsOf(line: string): Cell[] {
  return clusters(line).map(({ segment, index: start }) => {
    const end = start + segment.length;
    if (segment === "\t") return { text: TAB, columns: TAB.length, start, end };
    if (UNSEEN.test(segment)) {
      const text = `<U+${(segment.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}>`;
      return { text, columns: text.length, start, end };
    }
    return {
      text: segment,
      columns: EMOJI.test(segment) || WIDE.test(segment) ? 2 : /^\p{M}/u.test(segment) ? 0 : 1,
      start,
      end,
    };
  });
}

/**
 * A line as it is shown, and what is drawn under it: `^` under the characters from `start` to `end`, which are
 * offsets of the line.
 */
export function underlined(
  line: string,
  start: number,
  end: number,
): { readonly line: string; readonly under: string; readonly marks: string } {
  const cells = cellsOf(line);
  const total = cells.reduce((sum, { columns }) => sum + columns, 0);
  const columnOf = (offset: number): number =>
    cells.reduce((sum, cell) => (cell.end <= offset ? sum + cell.columns : sum), 0) + (offset > line.length ? 1 : 0);
  const from = columnOf(start);
  const to = Math.max(from + 1, columnOf(Math.max(end, start + 1)));
  if (total <= WIDEST)
    return { line: cells.map(({ text }) => text).join(""), under: " ".repeat(from), marks: "^".repeat(to - from) };
  const first = Math.max(0, Math.min(from - BEFORE, total - WIDEST));
  const kept: Cell[] = [];
  let column = 0;
  let skipped = 0;
  for (const cell of cells) {
    if (column >= first && column + cell.columns <= first + WIDEST) kept.push(cell);
    else if (kept.length === 0) skipped += cell.columns;
    column += cell.columns;
  }
  const [left, right] = [skipped > 0 ? "… " : "", (kept.at(-1)?.end ?? 0) < line.length ? " …" : ""];
  const shown = kept.reduce((sum, { columns }) => sum + columns, 0);
  const under = left.length + Math.max(0, from - skipped);
  return {
    line: `${left}${kept.map(({ text }) => text).join("")}${right}`,
    under: " ".repeat(under),
    marks: "^".repeat(Math.max(1, Math.min(to - from, left.length + shown - under))),
  };
}
