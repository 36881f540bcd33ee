/** Syntax errors in the user's words: what was expected, what stands there. Token classes are named by their labels. */
import { EOF, type IParserErrorMessageProvider, type IToken, type TokenType } from "chevrotain";

const shown = (token: IToken): string => (token.tokenType === EOF ? "the end of the file" : `\`${token.image}\``);
const TOP = "`model`, `block`, `connection` or `use`";
const label = (type: TokenType): string => (type === EOF ? "the end of the file" : (type.LABEL ?? type.name));

export const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual, previous }) =>
    expected === EOF ? `expected ${TOP}, found ${shown(actual)}` : `expected ${label(expected)}${previous.image ? ` after \`${previous.image}\`` : ""}, found ${shown(actual)}`,
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `expected ${TOP}, found ${shown(firstRedundant)}`,
  buildNoViableAltMessage: ({ actual, previous, customUserDescription, expectedPathsPerAlt }) => {
    const options = [...new Set(expectedPathsPerAlt.flat().flatMap((path) => (path[0] ? [label(path[0])] : [])))];
    const expected = customUserDescription ?? options.join(", ");
    return `expected ${expected}${previous.image ? ` after \`${previous.image}\`` : ""}, found ${shown(actual[0]!)}`;
  },
  buildEarlyExitMessage: ({ actual, previous, customUserDescription }) =>
    `expected ${customUserDescription ?? "more"}${previous.image ? ` after \`${previous.image}\`` : ""}, found ${shown(actual[0]!)}`,
};
