/** Explanations of 1xx: the text of a page. */
import { explained, model, outside } from "./explanation.js";

/** What is said of each code. */
export const syntax = {
  MHC101: explained(
    "The text has a character that begins no word, number, string or sign of the language.",
    "docs/language.md#a-page",
    model(`
  dim width = 4 $
  input u[width]
  output y[width] = tanh(u)
`),
    ["4 $", "4"],
  ),
  MHC102: explained(
    'A string ends with `"` on the line that it begins on.',
    "docs/language.md#a-page",
    model(`
  dim window = 8, width = 4
  data corpus = characters("text.txt, window = window)
  output y[window, width] = embed(corpus.token)
`),
    ["text.txt,", 'text.txt",'],
  ),
  MHC103: explained(
    "Here the grammar expects something else; the message says what. A frequent cause is one line above: a missing " +
      "bracket, comma or `=`.",
    "docs/language.md#a-page",
    model(`
  dim width = 4
  input u[width]
  output y[width] = scaled(u)
}

block scaled(y[w]) {
  return [w] = 2 * (y[w] + 1
`),
    ["+ 1\n", "+ 1)\n"],
  ),
  MHC104: explained(
    "Every parameter says how it starts, since a network that starts elsewhere trains otherwise.",
    "docs/language.md#parameters",
    model(`
  dim width = 4
  input u[width]
  param gain[width]
  output y[width] = gain[width] * u[width]
`),
    ["param gain[width]", "param gain[width] ~ ones"],
  ),
  MHC105: outside(
    "Pages have one layout, so that nobody discusses it and changes stay small.",
    "docs/language.md#a-page",
    "`mhc fmt --check` finds a page that `mhc fmt` would write differently.",
  ),
  MHC106: explained(
    "The language can say this, and writes it differently than other languages do; the fix shows how.",
    "docs/language.md#a-page",
    model(`
  dim width = 4
  input u[width]
  output y[width] = u ** 2
`),
    ["**", "^"],
  ),
  MHC107: explained(
    'A string knows two escapes, `\\"` and `\\\\`. Paths are written with `/` on every system.',
    "docs/language.md#a-page",
    model(`
  dim window = 8, width = 4
  data corpus = characters("books\\melville.txt", window = window)
  output y[window, width] = embed(corpus.token)
`),
    ["\\", "/"],
  ),
  MHC108: outside(
    "A page is text in UTF-8 whose lines end with LF or CRLF.",
    "docs/language.md#a-page",
    "The file has zero bytes, as UTF-16 has, or lines that end with CR alone.",
  ),
  MHC109: outside(
    "Brackets and operators nest up to a limit, so that no page exhausts the compiler. Name an inner part.",
    "docs/language.md#a-page",
    "More than 64 brackets are open at one place, or an expression has a very long row of operators. Pages that a " +
      "program writes come to this.",
  ),
};
