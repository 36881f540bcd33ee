/** Syntax errors in the user's words: what was expected, what stands there. Token classes are named by their labels. */
import { EOF, type IParserErrorMessageProvider, type IToken, type TokenType } from "chevrotain";
import { mustAt } from "../runtime/lookup.js";
import { RightBrace, word } from "./lexer.js";
import { valueAt } from "../runtime/records.js";

const shown = (token: IToken): string => (token.tokenType === EOF ? "the end of the file" : `\`${token.image}\``);
/** What stands before, if there is anything. */
const behind = ({ image }: IToken): string => (image ? ` after \`${image}\`` : "");

const TOP = "`model`, `block`, `connection` or `use`";
/** What may stand where a body could also end, by the rule. */
const BODIES: Readonly<Partial<Record<string, string>>> = {
  model: "an item of a model (`dim`, `data`, `manifold`, `stream`, `repeat`, `loss`, `train`, …) or `}`",
  section: "a clause or `}`",
  statements: "`x through …`, a definition, `repeat`, `if` or `}`",
  bracedItems: "`dim`, `param`, a definition, `loss` or `}`",
  block: "`dim`, `param`, a definition, `loss` or `return`",
};
const label = (type: TokenType): string => (type === EOF ? "the end of the file" : (type.LABEL ?? type.name));

/** What the parser says of an error. */
export const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual, previous, ruleName }) => {
    if (expected === EOF) return `expected ${TOP}, found ${shown(actual)}`;
    const wanted =
      (expected === RightBrace || expected === word.return) && actual.tokenType !== EOF
        ? (valueAt(BODIES, ruleName) ?? label(expected))
        : label(expected);
    return `expected ${wanted}${behind(previous)}, found ${shown(actual)}`;
  },
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `expected ${TOP}, found ${shown(firstRedundant)}`,
  buildNoViableAltMessage: ({ actual, previous, customUserDescription, expectedPathsPerAlt }) => {
    const options = [...new Set(expectedPathsPerAlt.flat().flatMap((path) => (path[0] ? [label(path[0])] : [])))];
    const expected = customUserDescription ?? options.join(", ");
    return `expected ${expected}${behind(previous)}, found ${shown(mustAt(actual, 0))}`;
  },
  buildEarlyExitMessage: ({ actual, previous, customUserDescription }) =>
    `expected ${customUserDescription ?? "more"}${behind(previous)}, found ${shown(mustAt(actual, 0))}`,
};
