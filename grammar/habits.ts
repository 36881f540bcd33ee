/**
 * Habits of people who write, as rows that are tried in order on a syntax error: the first that fits says where the
 * slip is and what to write.
 */
import type { IToken, TokenType } from "chevrotain";
import { mustAt } from "../runtime/lookup.js";
import { nearest } from "../src/diagnostics/suggest.js";
import { FOREIGN, INSIDE } from "./foreign.js";
import * as t from "./lexer.js";
import { MEASURED } from "./measured.js";
import {
  COMPARISONS,
  OPERATORS,
  CLOSES,
  ENDS,
  BEGINS,
  isKeyword,
  sameLine,
  opening,
  closing,
  wordNear,
  cut,
  type Seen,
  type HabitRow,
} from "./seen.js";

/** The first place in the item, from its second token on, where two tokens stand side by side like this. */
function beside({ tokens, from, at }: Seen, like: (a: IToken, b: IToken) => boolean): readonly [IToken, IToken] | null {
  for (let i = from + 1; i <= Math.min(at, tokens.length - 1); i++) {
    const [a, b] = [mustAt(tokens, i - 1), mustAt(tokens, i)];
    if (like(a, b)) return [a, b];
  }
  return null;
}

/** Words: what begins an item, and what is spelt otherwise. */
const WORDS: readonly HabitRow[] = [
  ({ expected, before }) =>
    expected === "`..`" || before?.tokenType === t.word.in
      ? { fix: "a range is written with two dots: `in 0 .. 1`" }
      : null,
  // `let y = 2`, `for i in …`, `def f(x)`
  ({ first, second, token }) => {
    const named = !second || second.tokenType === t.Equals || second.tokenType === t.LeftBracket;
    const fix = first?.tokenType === t.Name && !named ? FOREIGN.get(first.image.toLowerCase()) : undefined;
    return first && fix && token.startOffset >= first.startOffset
      ? { message: `\`${first.image}\` is not a word of the language`, fix, place: [first, first] }
      : null;
  },
  // `strem x[t] = …`, `Model M {`, `DIM a = 1`
  ({ first, second, token, expected }) => {
    const heads =
      second &&
      (second.tokenType === t.Name ||
        second.tokenType === t.LeftBrace ||
        second.tokenType === t.Equals ||
        second.tokenType === t.Colon);
    if (first?.tokenType !== t.Name || !heads || (token !== first && token !== second)) return null;
    const meant = first.image.length > 2 ? wordNear(first.image) : null;
    const message =
      token === first
        ? `expected ${expected}, found \`${first.image}\``
        : `\`${first.image}\` is not a word of the language`;
    return meant ? { meant, message, fix: `did you mean \`${meant}\`?`, place: [first, first] } : null;
  },
  // `x thru f`, `x Through f`
  ({ first, second, tokens, from }) => {
    const after = tokens[from + 2];
    if (first?.tokenType !== t.Name || second?.tokenType !== t.Name || after?.tokenType !== t.Name) return null;
    const through = wordNear(second.image) === "through" || ["thru", "into", "to", "thorugh"].includes(second.image);
    return through
      ? {
          message: `\`${second.image}\` is not a word of the language`,
          fix: "did you mean `through`?",
          place: [second, second],
        }
      : null;
  },
  // `Return [t, w] = …` is a definition, until the block ends.
  ({ token, expected, tokens, at }) => {
    if (token.tokenType !== t.RightBrace || !expected.endsWith("`return`")) return null;
    for (let i = at - 1; i > 0; i--) {
      const word = mustAt(tokens, i);
      if (word.tokenType === t.LeftBrace) break;
      if (word.tokenType !== t.Name || sameLine(tokens[i - 1], word)) continue;
      if (/^ret$|^returns?$|^result$/i.test(word.image))
        return {
          message: `\`${word.image}\` is not a word of the language`,
          fix: "did you mean `return`?",
          place: [word, word],
        };
      break;
    }
    return { fix: "a block ends with what it gives: `return [t, w] = …`" };
  },
  ({ token, rules, expected }) => {
    if (token.tokenType === t.word.output && rules.at(-1) === "block")
      return { meant: "return", fix: "a block gives its result with `return`: `return [t, w] = …`" };
    if (token.tokenType === t.word.return && rules.at(-1) === "model")
      return { fix: "a model has outputs: `output y[t, w] = …`" };
    if (token.tokenType === t.word.on && expected === "an expression") return { fix: "write `true` or `false`" };
    return null;
  },
  // `s WHERE u <= t`
  ({ token }) => {
    const word =
      token.tokenType === t.Name ? t.keywords.find((keyword) => keyword === token.image.toLowerCase()) : undefined;
    return word ? { fix: `write \`${word}\`: words of the language are in small letters` } : null;
  },
  ({ token, before }) => {
    for (const word of [before, token]) {
      const isItem = word?.tokenType === t.word.if || word?.tokenType === t.word.else;
      const isInside = isItem && word === token && sameLine(before, word) && before?.tokenType !== t.RightBrace;
      const fix = word?.tokenType === t.Name || isInside ? INSIDE.get(word.image) : undefined;
      if (word && fix) {
        const what = isInside ? "does not stand in an expression" : "is not a word of the language";
        return { message: `\`${word.image}\` ${what}`, fix, place: [word, word] };
      }
    }
    return null;
  },
  // `repeat layers { param w[t] ~ zeros … }`
  ({ token, expected }) =>
    token.tokenType === t.word.param && expected.includes("`x through …`")
      ? { fix: "write it in a block, which each layer uses by itself, or above: then all layers share it" }
      : null,
];

/** Brackets, commas and what stands behind what. */
const SHAPES: readonly HabitRow[] = [
  // `rms[w](a)[t]`
  ({ token, before, tokens, at, text }) => {
    if (
      token.tokenType !== t.LeftBracket ||
      (before?.tokenType !== t.RightParen && before?.tokenType !== t.RightBracket)
    )
      return null;
    const end = mustAt(tokens, closing(tokens, at));
    const indices = cut(text, token, end);
    if (before.tokenType === t.RightBracket)
      return {
        message: `\`${indices}\` stands behind other indices`,
        fix: "write all of them in one pair of brackets, with commas: `x[t, w]`",
        place: [token, end],
      };
    const typeBefore = (i: number): TokenType | undefined => tokens[i - 1]?.tokenType;
    let start = opening(tokens, at - 1);
    while (typeBefore(start) === t.RightBracket || typeBefore(start) === t.RightParen)
      start = opening(tokens, start - 1);
    while (typeBefore(start) === t.Name || typeBefore(start) === t.Dot) start--;
    const result = cut(text, mustAt(tokens, start), before);
    const fix = `name the result first, \`r${indices} = ${result}\`, and write \`r${indices}\` here`;
    return {
      message: `\`${indices}\` stands behind a result, and only what has a name is indexed`,
      fix,
      place: [token, end],
    };
  },
  // `steps = 1,000`
  ({ tokens, at, text }) => {
    for (let i = Math.max(2, at - 2); i <= at; i++) {
      const [a, comma, b] = [tokens[i - 2], tokens[i - 1], tokens[i]];
      if (a?.tokenType !== t.NumberToken || comma?.tokenType !== t.Comma || b?.tokenType !== t.NumberToken) continue;
      const areJoined = t.endOf(comma) === b.startOffset && t.endOf(a) === comma.startOffset;
      if (!/^\d{3}$/.test(b.image) || !areJoined) continue;
      return {
        message: `\`${cut(text, a, b)}\` is two numbers: a comma separates`,
        fix: `write \`${a.image}${b.image}\``,
        place: [a, b],
      };
    }
    return null;
  },
  // `input u[w], v[w]`
  ({ token, first, after, before, expected }) => {
    if (token.tokenType !== t.Comma) return null;
    const single =
      first && [t.word.input, t.word.output, t.word.stream, t.word.data, t.word.manifold].includes(first.tokenType);
    if (before?.tokenType === t.Comma) return { fix: "take one of the commas out" };
    if (after?.tokenType === t.word.via || after?.tokenType === t.word.as)
      return { fix: `take the comma out: \`${after.image}\` belongs to it` };
    if (single && after?.startLine === token.startLine)
      return {
        message: `\`${first.image}\` declares one thing, and no list`,
        fix: `begin a new line with \`${first.image}\` for the next`,
      };
    return after && t.isBelow(after, token) && expected.includes(" or ")
      ? { fix: "take the comma out: an item ends where the next one begins" }
      : null;
  },
  // `dim a = 8 b = 8, c = 8`
  (seen) => {
    const list = seen.first?.tokenType === t.word.dim || seen.first?.tokenType === t.word.param;
    const gap = list ? beside(seen, (a, b) => ENDS.has(a.tokenType) && b.tokenType === t.Name && sameLine(a, b)) : null;
    return gap
      ? {
          message: `expected a comma after \`${gap[0].image}\`, found \`${gap[1].image}\``,
          fix: `write \`${gap[0].image}, ${gap[1].image} …\``,
          place: [gap[1], gap[1]],
        }
      : null;
  },
  // `y[t, w] y[u, w]`, `y[t, w] *` at the end of a line: what follows is read as the next definition.
  (seen) => {
    if (seen.first?.tokenType !== t.Name || (seen.expected !== "`=`" && seen.token.tokenType !== t.Equals)) return null;
    const gap = beside(
      seen,
      (a, b) =>
        (a.tokenType === t.RightBracket || a.tokenType === t.RightParen || a.tokenType === t.NumberToken) &&
        b.tokenType === t.Name &&
        sameLine(a, b),
    );
    if (gap)
      return {
        message: `expected an operator after \`${gap[0].image}\`, found \`${gap[1].image}\``,
        fix: "a product is written with `*`",
        place: [gap[1], gap[1]],
      };
    const end = beside(seen, (a, b) => OPERATORS.has(a.tokenType) && t.isBelow(b, a));
    return end && seen.token.tokenType === t.Equals
      ? {
          message: `expected an expression after \`${end[0].image}\``,
          fix: "write what comes next, or take it out",
          place: [end[0], end[0]],
        }
      : null;
  },
  // `2 width`, `f(a b)`
  ({ token, before, after, expected }) => {
    const inside = expected === "`)`" || expected === "`]`";
    if (!before || !sameLine(before, token) || !ENDS.has(before.tokenType) || !BEGINS.has(token.tokenType)) return null;
    if (
      before.tokenType === t.NumberToken &&
      /^(?:bytes?|[kmgt]i?b?|(?:kilo|mega|giga|tera|kibi|mebi|gibi)bytes?)$/i.test(token.image)
    )
      return { fix: "units of memory are KiB, MiB, GiB, kB, MB and GB" };
    if (before.tokenType === t.NumberToken && token.tokenType === t.Name && after?.tokenType !== t.Equals)
      return { fix: `write \`${before.image} * ${token.image}\`` };
    return inside ? { fix: `a comma stands between them: \`${before.image}, ${token.image}\`` } : null;
  },
  ({ token, expected }) => {
    if (expected === "`]`" && token.tokenType === t.RightParen) return { fix: "write `]`" };
    if (expected === "`)`" && token.tokenType === t.RightBracket) return { fix: "write `)`" };
    if (expected === "`]`" && token.tokenType === t.Colon)
      return { fix: "axes are written out by their names: `x[t, w]`" };
    return CLOSES.has(token.tokenType) && expected.includes(" or ")
      ? { fix: "take it out: nothing is open that it would close" }
      : null;
  },
];

/** Signs: one for another. */
const SIGNS: readonly HabitRow[] = [
  ({ token, first, before }) => {
    if (token.tokenType !== t.Equals) return null;
    if (first?.tokenType === t.word.param) return { fix: "a parameter starts with `~`: `param w[t] ~ normal(0.02)`" };
    if (first?.tokenType === t.word.return) return { fix: "a result has axes and no name: `return [t, w] = …`" };
    if (before?.tokenType === t.StringToken)
      return { fix: `a name stands without quotes: \`${before.image.slice(1, -1)} = …\`` };
    if (!before || !isKeyword(before)) return null;
    const axes = before.tokenType === t.word.dim || before.tokenType === t.word.data ? "" : "[t, w]";
    return { fix: `give it a name: \`${before.image} a${axes} = …\`` };
  },
  ({ token, expected, first }) => {
    if (expected !== "`[`") return null;
    if (token.tokenType === t.LeftParen) return { fix: "axes stand in brackets: write `[t, w]`" };
    const start =
      first?.tokenType === t.word.param ? " ~ normal(0.02)" : first?.tokenType === t.word.input ? "" : " = …";
    const one = first?.tokenType === t.word.param ? `, or for one number \`param y[]${start}\`` : "";
    return first && isKeyword(first) ? { fix: `say its axes: \`${first.image} y[t, w]${start}\`${one}` } : null;
  },
  // `where u = t`
  ({ token, tokens, from, at }) => {
    const condition =
      token.tokenType === t.Equals &&
      tokens.slice(from, at).some(({ tokenType }) => tokenType === t.word.where || tokenType === t.word.if);
    return condition ? { fix: "write `==`: `=` defines" } : null;
  },
  // `batch 4`
  ({ token, first, second, expected }) => {
    const setting =
      token.tokenType === t.Equals &&
      expected.startsWith("a clause") &&
      first?.tokenType === t.Name &&
      second?.tokenType === t.NumberToken;
    return setting
      ? {
          message: `expected \`=\` after \`${first.image}\`, found \`${second.image}\``,
          fix: `write \`${first.image} = ${second.image}\``,
          place: [second, second],
        }
      : null;
  },
  // `group { rate = 10% }`
  ({ token, after, expected }) =>
    token.image === "group" && after?.tokenType === t.LeftBrace && expected.startsWith("a clause")
      ? { fix: 'say whose settings these are: `group embed, "*.bias" { … }`' }
      : null,
  ({ token, expected }) =>
    token.tokenType === t.Equals && expected.startsWith("a clause")
      ? { fix: "a setting is `name = value`, and a comma stands between two on a line" }
      : null,
  // `model M:`, `batch: 4`
  ({ token, after, expected, rules, first }) => {
    const colon = token.tokenType === t.Colon ? token : after?.tokenType === t.Colon ? after : null;
    if (!colon) return null;
    if (expected === "`{`") return { fix: "write `{`, and `}` at the end" };
    if (first?.tokenType === t.word.param)
      return { fix: "a parameter starts with `~`: `param w[t] ~ normal(0.02)`", place: [colon, colon] };
    const sets =
      expected.includes("`=`") ||
      rules.some((rule) => ["args", "clause", "section", "let", "model", "block"].includes(rule));
    return sets ? { message: "`:` does not define anything", fix: "write `=`", place: [colon, colon] } : null;
  },
  ({ token, expected, rules }) => {
    if (token.tokenType === t.EqualEqual && (expected === "`=`" || expected === "`<=`" || rules.includes("clause")))
      return { fix: "write `=`: `==` compares" };
    if (expected === "`<=`" && COMPARISONS.has(token.tokenType)) return { fix: "a bound is written with `<=`" };
    return COMPARISONS.has(token.tokenType) ? { fix: "a comparison has two sides: `1 < t and t < 3`" } : null;
  },
  ({ token, first, before, expected }) => {
    if (token.tokenType === t.Tilde && first?.tokenType !== t.word.param)
      return { fix: "write `=`: `~` says how a `param` starts" };
    if (token.tokenType === t.word.through && before === first && expected === "`=`")
      return { fix: `a block has no streams: write \`y = other(${first?.image ?? "x"})\`` };
    if (token.tokenType === t.word.via && first?.tokenType === t.Name && !expected.startsWith("a name"))
      return {
        fix: `\`via\` is for a stream that goes through a block: \`${first.image} through mlp(8) via hc\``,
      };
    if (token.tokenType === t.Plus && expected === "an expression") return { fix: "take the `+` out" };
    if (token.tokenType === t.LeftBracket && before?.tokenType === t.Colon)
      return { fix: "axes follow the name: `y[t, w]`" };
    if (token.tokenType === t.NumberToken && before?.tokenType === t.Tilde)
      return { fix: `say how it starts: \`~ constant(${token.image})\` or \`~ normal(${token.image})\`` };
    return null;
  },
];

/** Advice for errors of no known habit. */
const OTHERWISE: readonly HabitRow[] = [
  ({ token, expected }) => {
    if (!expected.startsWith("a name")) return null;
    if (isKeyword(token)) return { fix: `\`${token.image}\` is a word of the language: choose another name` };
    return token.tokenType === t.StringToken ? { fix: "a name stands without quotes" } : null;
  },
  ({ token }) => {
    const guess = token.tokenType === t.Name && token.image.length > 2 ? nearest(token.image, t.keywords) : null;
    return guess ? { fix: `did you mean \`${guess}\`?` } : null;
  },
  ({ token, before, first, expected }) => {
    if (expected === "`{`")
      return { fix: `what belongs to it stands in braces: \`${first?.image ?? "model"} … { … }\`` };
    if (expected === "`(`" && first?.tokenType === t.word.block)
      return { fix: "what it takes stands in parentheses: `block own(y[t, w]) { … }`" };
    if (expected === "`=`" && sameLine(before, token)) return { fix: `write \`=\` before \`${token.image}\`` };
    return /^`[\])]`$/.test(expected) ? { fix: `write ${expected}` } : null;
  },
];

/** All habits, in the order in which they are tried. */
export const ROWS: readonly HabitRow[] = [...MEASURED, ...WORDS, ...SHAPES, ...SIGNS, ...OTHERWISE];
