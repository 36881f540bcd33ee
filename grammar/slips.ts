/**
 * Slips of the pen: what people write out of habit from other languages, word processors and keyboards, and what
 * .mhc has instead. A slip is read as what it stands for, so that the text around it is read as if it were right
 * and one slip is one error, at its place. Characters that look like one of ours (a dash for a minus, full-width
 * forms) are exchanged before the lexer sees the text, one for one, which keeps every offset; all else is a token
 * of its own. Strings and comments are left as they are.
 */
import { createToken, type CustomPatternMatcherFunc, type TokenType } from "chevrotain";
import { mustGet } from "../runtime/lookup.js";
import type { Code } from "../src/diagnostics/table.js";
import * as t from "./lexer.js";
import { valueAt } from "../runtime/records.js";

/** What to say of a slip, and what to do. */
export interface Says {
  readonly message: string;
  readonly fix: string;
}

/** One kind of slip. */
interface Slip {
  /** Sticky. */
  readonly pattern: RegExp;
  /** The token that it stands for; null for nothing. */
  readonly as: TokenType | null;
  /** The text of that token, where it has one of its own. */
  readonly image?: (image: string) => string;
  readonly says: (image: string) => Says;
  /** MHC106 when there is none of its own. */
  readonly code?: Code;
  /** Whether it is a slip where it stands. */
  readonly where?: (text: string, offset: number) => boolean;
}

const NUMBER = new RegExp(t.numberPattern, "y");
const QUOTES = "“”„‟«»‹›‘’‚‛＂＇「」『』〝〞〟`´'";

/** `U+200B`, for characters that cannot be seen or told apart. */
export const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

const quoted = (text: string): string => `"${text.replace(/[\\"]/g, "\\$&")}"`;
const within = (image: string): string => image.replace(new RegExp(`^[${QUOTES}]+|[${QUOTES}"]+$`, "g"), "");

/** Advice for a number with letters behind it. */
function numberMeant(image: string): string {
  if (/^0x[0-9a-f]+$/i.test(image)) return `write \`${Number(image)}\``;
  const [, digits = "", letters = ""] = /^([\d_.]*(?:[eE][+-]?\d+)?)(.*)$/.exec(image) ?? [];
  const plain = digits.replaceAll("_", "").replace(/\.$/, "").replace(/^\./, "0.");
  const power = valueAt({ k: 1e3, K: 1e3, M: 1e6, m: 1e6, G: 1e9, B: 1e9, T: 1e12 }, letters);
  if (power) {
    const memory = /[KMGT]/.test(letters) ? `, or for memory \`${plain} ${letters}iB\`` : "";
    return `write \`${Number(plain) * power}\`${memory}`;
  }
  if (/^[fFdDlLuUjn]+\d*$/.test(letters)) return `write \`${plain}\`: a number says nothing of its type`;
  if (/^(?:percent|pct|pc)$/.test(letters)) return `write \`${plain}%\``;
  if (/^[eE]$/.test(letters)) return `an exponent has digits: \`${plain}e-3\``;
  if (letters.startsWith("_")) return `write \`${image.replace(/\D/g, "")}\``;
  return `\`*\` multiplies, \`${plain} * ${letters}\`, and units of memory are KiB, MiB, GiB, kB, MB and GB`;
}

/** The letters and digits of other scripts in what would be a name. */
function foreignLetters(image: string): Says {
  const letter = [...image].find((character) => character > "\u007f") ?? "";
  return {
    message: `\`${image}\` is not a name: \`${letter}\` (${codePoint(letter)}) is not a letter of the language`,
    fix: "names are made of the letters a to z and A to Z, digits and `_`",
  };
}

const operator = (pattern: RegExp, as: TokenType | null, ours: string, more = ""): Slip => ({
  pattern,
  as,
  says: (image) => ({ message: `\`${image}\` is written otherwise here`, fix: `write \`${ours}\`${more}` }),
});

const comment = (pattern: RegExp, where?: Slip["where"]): Slip => ({
  pattern,
  as: null,
  ...(where ? { where } : {}),
  says: (image) => ({
    message: "a comment begins with `//` and ends with its line",
    fix: `write \`// ${image
      .replace(/^(?:#|--|\/\*|"""|'''|<!--)+|\*\/$|"""$|'''$|-->$/g, "")
      .trim()
      .replace(/\n[^]*$/, "")
      .slice(0, 40)}\``,
  }),
});

/** Whether only blanks stand before an offset on its line. */
const first = (text: string, offset: number): boolean =>
  /(?:^|\n)[ \t]*$/.test(text.slice(Math.max(0, offset - 200), offset));

const SLIPS = {
  docstring: comment(/(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|<!--[\s\S]*?(?:-->|$))/y),
  quotes: {
    pattern: new RegExp(`[${QUOTES}]+[^\\n"${QUOTES}]*[${QUOTES}"]+`, "y"),
    as: t.StringToken,
    image: (image) => quoted(within(image)),
    // After a name, `'` is a prime.
    where: (text, offset) => !/[\w\])]/.test(text[offset - 1] ?? ""),
    says: (image) => ({
      message: "text stands between straight double quotes",
      fix: `write \`${quoted(within(image))}\``,
    }),
  },
  prime: {
    pattern: /['’′]+/y,
    as: null,
    where: (text, offset) => /[\w\])]/.test(text[offset - 1] ?? ""),
    says: (image) => ({
      message: `\`${image}\` is not a part of a name`,
      fix: "write it out, as in `other`; axes are turned by their order: `x[w, t]`",
    }),
  },
  block: comment(/\/\*[\s\S]*?(?:\*\/|$)/y),
  hash: comment(/#[^\n]*/y),
  dashes: comment(
    /--+(?:[ \t][^\n]*|[^\n]*)/y,
    (text, offset) => first(text, offset) || /--+(?:[ \t]|\r?\n|$)/y.test(text.slice(offset, offset + 8)),
  ),
  semicolon: {
    pattern: /;+/y,
    as: null,
    says: () => ({
      message: "nothing ends with `;` here",
      fix: "take it out: an item ends where the next one begins",
    }),
  },
  range: {
    pattern: /\.\.\.+|…/y,
    as: t.Range,
    says: () => ({
      message: "three dots mean nothing here",
      fix: "a range is written with two, `0 .. 1`, and axes are written out: `x[t, w]`",
    }),
  },
  power: operator(/\*\*/y, t.Caret, "^"),
  superscript: {
    pattern: /[⁰¹²³⁴-⁹⁻ᵀ]+/y,
    as: null,
    says: (image) =>
      image === "ᵀ"
        ? {
            message: "nothing is transposed: axes have names",
            fix: "name them in the order that is meant: `x[w, t]`",
          }
        : { message: `\`${image}\` is not a power here`, fix: `write \`^ ${image.normalize("NFKC")}\`` },
  },
  matmul: operator(
    /@/y,
    t.Star,
    "*",
    " and name the axes: what both sides have and the result has not is summed, `a[t, w] * b[w, v]`",
  ),
  compound: {
    pattern: /(?:[+\-*/^]|:|\?\?|\|\||&&)=(?!=)/y,
    as: t.Equals,
    says: (image) =>
      image === ":="
        ? { message: "`:=` is written otherwise here", fix: "write `=`" }
        : { message: `\`${image}\` is written out here`, fix: `write \`x = x ${image.slice(0, -1)} …\`` },
  },
  equal: operator(/===/y, t.EqualEqual, "=="),
  unequal: operator(/!==|<>|≠/y, t.NotEqual, "!="),
  least: operator(/≤|⩽|=</y, t.LessEqual, "<="),
  most: operator(/≥|⩾/y, t.GreaterEqual, ">="),
  arrow: {
    pattern: /-+>|=>|→|⟶|⇒|\|>|↦/y,
    as: t.word.through,
    says: (image) => ({
      message: `\`${image}\` means nothing here`,
      fix: "write `=` to define, and `through` for a stream that goes through a block: `x through mlp(8)`",
    }),
  },
  and: operator(/&&?/y, t.word.and, "and"),
  or: operator(/\|\|?/y, t.word.or, "or"),
  not: {
    pattern: /!(?!=)|¬/y,
    as: null,
    says: (image) => ({
      message: `\`${image}\` means nothing here: there is no \`not\``,
      fix: "turn the comparison round: `<` for `>=`, `!=` for `==`",
    }),
  },
  percent: {
    pattern: /%(?![ \t]*[\w(.])/y,
    as: null,
    says: () => ({
      message: "`%` stands right behind a number, and means hundredths",
      fix: "write `20%`; what is left of a division stands between two numbers, `l % 4`",
    }),
  },
  backslash: {
    pattern: /\\/y,
    as: null,
    says: () => ({
      message: "`\\` means nothing here",
      fix: "take it out: an expression goes on in the next line by itself",
    }),
  },
  number: {
    pattern: new RegExp(`(?:${t.numberPattern})\\w+`, "y"),
    as: t.NumberToken,
    image: () => "1",
    where: (text, offset) => {
      NUMBER.lastIndex = offset;
      return /^\w/.test(text.slice(offset + (NUMBER.exec(text)?.[0].length ?? text.length)));
    },
    says: (image) => ({ message: `\`${image}\` is not a number`, fix: numberMeant(image) }),
  },
  open: {
    pattern: /"(?:[^"\\\n]|\\[^\n])*\\?(?=\n|$)/y,
    as: t.StringToken,
    image: (image) => quoted(image.slice(1)),
    code: "MHC102",
    says: (image) => ({
      message: "this string does not end",
      fix: /[“”„‟«»]/.test(image)
        ? 'close it with a straight `"`'
        : /\\"/.test(image)
          ? 'a path has `/`: `\\"` is a quote within the text'
          : 'close it with `"` on the same line; `\\"` stands for a quote',
    }),
  },
  name: { pattern: /\w*(?![\0-\x7f])[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}_]*/uy, as: t.Name, says: foreignLetters },
} as const satisfies Readonly<Record<string, Slip>>;

const matcher =
  ({ pattern, where }: Slip): CustomPatternMatcherFunc =>
  (text, offset) => {
    if (where && !where(text, offset)) return null;
    pattern.lastIndex = offset;
    return pattern.exec(text);
  };

/** The kinds of slips: of each, one is reported. */
export type SlipKind = keyof typeof SLIPS | "look-alike";

const DIGITS = "0123456789";
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
/** What a slip can begin with, beside what is not ASCII: the lexer looks at no other. */
const STARTS: Readonly<Record<keyof typeof SLIPS, string>> = {
  docstring: "\"'<",
  quotes: "`'",
  prime: "'",
  block: "/",
  hash: "#",
  dashes: "-",
  semicolon: ";",
  range: ".",
  power: "*",
  superscript: "",
  matmul: "@",
  compound: "+-*/^:?|&",
  equal: "=",
  unequal: "!<",
  least: "=",
  most: "",
  arrow: "-=|",
  and: "&",
  or: "|",
  not: "!",
  percent: "%",
  backslash: "\\",
  number: `${DIGITS}.`,
  open: '"',
  name: `${LETTERS}${LETTERS.toUpperCase()}${DIGITS}_`,
};
/** One character of every class that the lexer puts those in that are not ASCII. */
const BEYOND: readonly number[] = [
  ...Array.from({ length: 128 }, (_, i) => 128 + i),
  ...Array.from({ length: 257 }, (_, i) => Math.min(0xffff, 255 * (i + 1) + 1)),
];

/** The slips as tokens, each before what it would otherwise be read as. */
export const slipTokens: ReadonlyMap<TokenType, { readonly kind: SlipKind } & Slip> = new Map(
  (Object.entries(SLIPS) as [keyof typeof SLIPS, Slip][]).map(([kind, slip]) => {
    const starts = [...[...STARTS[kind]].map((character) => character.charCodeAt(0)), ...BEYOND];
    const token = createToken({
      name: `Slip-${kind}`,
      pattern: matcher(slip),
      line_breaks: true,
      start_chars_hint: starts,
    });
    return [token, { kind, ...slip }] as const;
  }),
);

/** Characters that look like one of ours, by what they look like. */
const ALIKE: Readonly<Record<string, string>> = {
  "-": "−–—‐‑‒―﹣",
  "*": "×∗⋅·•",
  "/": "÷∕⁄",
  ",": "、،",
  ".": "。",
  "[": "【〔",
  "]": "】〕",
  "~": "∼˜",
  "<": "〈",
  ">": "〉",
};
const alike: ReadonlyMap<string, string> = new Map([
  ...Object.entries(ALIKE).flatMap(([ours, others]) => [...others].map((other) => [other, ours] as const)),
  // Full-width forms, but for the quotes, which are read with those of other languages.
  ...Array.from(
    { length: 94 },
    (_, i) => [String.fromCharCode(0xff01 + i), String.fromCharCode(0x21 + i)] as const,
  ).filter(([, ours]) => !/["'`]/.test(ours)),
]);

/** A run of characters that were exchanged. */
export interface Exchanged {
  readonly start: number;
  readonly end: number;
  readonly says: Says;
}

const outside = new RegExp(
  [
    '"(?:[^"\\\\\\n]|\\\\.)*"',
    "//[^\\n]*",
    "/\\*[\\s\\S]*?\\*/",
    `[${QUOTES}]+[^\\n"${QUOTES}]*[${QUOTES}"]+`,
    `[${[...alike.keys()].join("")}]+`,
  ].join("|"),
  "g",
);

/** The text with what only looks like a character of the language exchanged for it; every offset stays. */
export function plainly(text: string): { readonly plain: string; readonly exchanged: readonly Exchanged[] } {
  const exchanged: Exchanged[] = [];
  const plain = text.replace(outside, (image: string, start: number) => {
    const [character = ""] = image;
    if (!alike.has(character)) return image;
    const ours = Array.from(image, (other) => mustGet(alike, other)).join("");
    const what = /[\uff01-\uff5e]/.test(character)
      ? "full-width"
      : `not the \`${ours[0]}\` of the language, but ${codePoint(character)}`;
    exchanged.push({
      start,
      end: start + image.length,
      says: { message: `\`${image}\` is ${what}`, fix: `write \`${ours}\`` },
    });
    return ours;
  });
  return { plain, exchanged };
}
