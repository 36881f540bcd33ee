/**
 * A Hugging Face tokenizer.json as what makes text tokens. The package that reads it is loaded when a page asks for it,
 * and only then.
 */
import { DataError, messageOf } from "../errors.js";
import type { TextTokenizer } from "../generate.js";
import { readText } from "./reading.js";

/** A tokenizer of a file. */
export interface FileTokenizer extends TextTokenizer {
  /** Tokens are below it: the vocabulary with what was added to it. */
  readonly size: number;
  /** The text of its file. */
  readonly text: string;
}

/** Opens the tokenizer of a file. */
export type OpenTokenizer = (path: string) => Promise<FileTokenizer>;

/** Not a literal, so that a build without the package is one. */
const PACKAGE: string = "@huggingface/tokenizers";

/** What the package has that is used here. */
interface TokenizerPackage {
  readonly Tokenizer: new (
    file: unknown,
    config: unknown,
  ) => {
    encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
    decode(tokens: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
  };
}

async function loaded(): Promise<TokenizerPackage> {
  try {
    return (await import(PACKAGE)) as TokenizerPackage;
  } catch (error) {
    throw new DataError(
      `the npm package ${PACKAGE}, which reads tokenizer.json, cannot be loaded: ${messageOf(error)}`,
      `run \`npm install ${PACKAGE}\``,
    );
  }
}

/** The numbers of all tokens that a file names: of its model, and those that were added to it. */
function numbersIn(file: unknown): number[] {
  const { model, added_tokens: added } = (file ?? {}) as { readonly model?: unknown; readonly added_tokens?: unknown };
  const { vocab } = (model ?? {}) as { readonly vocab?: unknown };
  // A unigram model has a list of tokens with their scores; others have tokens with their numbers.
  const own = Array.isArray(vocab) ? [vocab.length - 1] : Object.values((vocab ?? {}) as Record<string, unknown>);
  const more = Array.isArray(added)
    ? added.map((token: unknown) => (token as { readonly id?: unknown } | null)?.id)
    : [];
  return [...own, ...more].filter((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0);
}

/** Kinds of models that are read. */
const KINDS = ["BPE", "WordPiece", "Unigram"];

/** Opens a tokenizer.json. Throws DataError for a file that is none, and where the package is not installed. */
export async function openTokenizer(path: string): Promise<FileTokenizer> {
  const text = await readText(path);
  const fix = "a tokenizer is the tokenizer.json of a model of Hugging Face";
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new DataError(`${path} is not JSON`, fix);
  }
  const numbers = numbersIn(file);
  if (numbers.length === 0) throw new DataError(`${path} names no tokens`, fix);
  const type = (file as { readonly model?: { readonly type?: unknown } }).model?.type ?? null;
  // The package takes a kind that it does not know for a table of whole words. Old files of byte pairs say none.
  if (type !== null && !KINDS.some((kind) => kind === type))
    throw new DataError(`${path} has a model of the kind ${String(type)}`, `those of ${KINDS.join(", ")} are read`);
  const { Tokenizer } = await loaded();
  try {
    const tokenizer = new Tokenizer(file, { clean_up_tokenization_spaces: false });
    return {
      text,
      size: numbers.reduce((most, number) => Math.max(most, number), 0) + 1,
      encode: (part) => tokenizer.encode(part, { add_special_tokens: false }).ids,
      decode: (tokens) => (tokens.length === 0 ? "" : tokenizer.decode(tokens, { skip_special_tokens: false })),
    };
  } catch (error) {
    throw new DataError(`${path} cannot be used as a tokenizer: ${messageOf(error)}`, fix);
  }
}
