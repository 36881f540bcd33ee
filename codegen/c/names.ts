/** Names of C for the names of a page, and numbers and texts as C writes them. */

/** Words of C that no function of a model may be called. */
const TAKEN: ReadonlySet<string> = new Set(
  (
    "auto break case char const continue default do double else enum extern float for goto if inline int long " +
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while " +
    "bool true false asm typeof main"
  ).split(" "),
);

/** The words of a name: letters and digits, lower case, with `_` between what was apart or began with a capital. */
export function snakeCase(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
  const safe = /^[a-z]/.test(words) ? words : `m_${words}`;
  return TAKEN.has(safe) ? `${safe}_` : safe;
}

/** Names of C for some names, each another: what has become alike is numbered. */
export function distinct(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const plain = snakeCase(name);
    const count = (seen.get(plain) ?? 0) + 1;
    seen.set(plain, count);
    return count === 1 ? plain : `${plain}_${count}`;
  });
}

/** A text as a literal of C, in UTF-8: bytes that are no plain letters are octal. */
export function literal(text: string): string {
  const bytes = [...new TextEncoder().encode(text)].map((byte) => {
    const character = String.fromCharCode(byte);
    return byte >= 32 && byte < 127 && !'"\\?'.includes(character)
      ? character
      : `\\${byte.toString(8).padStart(3, "0")}`;
  });
  return `"${bytes.join("")}"`;
}

/** A text that stands in a comment of C. */
export const comment = (text: string): string => text.replaceAll("*/", "* /").replaceAll("/*", "/ *");

/** Items in lines of at most 110 characters. */
export function lines(items: readonly string[], indent: string): string {
  const rows: string[] = [];
  let row = "";
  for (const item of items) {
    if (row !== "" && indent.length + row.length + item.length + 2 > 110) {
      rows.push(row);
      row = "";
    }
    row += `${row === "" ? "" : " "}${item},`;
  }
  if (row !== "") rows.push(row);
  return rows.map((line) => `${indent}${line}`).join("\n");
}
