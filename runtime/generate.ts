/**
 * Continuing a text: a window of the last characters, the scores of what may come next, and a draw by Threefry, so that
 * a seed gives the same text on every device.
 */
import { describe, optionsOf, signalOf, U32_MAX, whole } from "./check.js";
import { decodeTokens, encodeText } from "./data.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";
import { LINE_FEED } from "./lines.js";
import type { TextForm } from "./sources.js";
import { siteHash, threefry2x32, unit } from "./threefry.js";

/** Text to tokens and back, by something of the caller's own. */
export interface TextTokenizer {
  encode(text: string): ArrayLike<number>;
  decode(tokens: readonly number[]): string;
}

/** How a text is continued. */
export interface GenerateOptions {
  /** Most characters, or tokens of a tokenizer; 200 when not given. A model of lines ends with its line. */
  readonly tokens?: number | undefined;
  /** What the text was made tokens by; needed by a page whose data is `tokens`, and by no other. */
  readonly tokenizer?: TextTokenizer | undefined;
  /** 0 takes the likeliest token; 0.8 when not given. */
  readonly temperature?: number | undefined;
  /** Only the k likeliest tokens. */
  readonly topK?: number | undefined;
  /** Of the draws; the model's when not given. */
  readonly seed?: number | undefined;
  /**
   * Which scores to draw from, where a loss has several against next tokens: the name of the block or definition that
   * makes them.
   */
  readonly head?: string | undefined;
  /** Ends the call after the token under way: it is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The head that a model is sampled from: its only one, or the one that was asked for; null when it has none. Throws
 * DataError where it is not said which.
 */
export function headOf(model: string, heads: readonly string[], asked: string | undefined): string | null {
  const [only, ...others] = heads;
  if (only === undefined) return null;
  if (!others.length) {
    if (asked === undefined) return only;
    throw new DataError(`${model} has one head, and \`${asked}\` is asked for`, "leave the head out");
  }
  const which = `say which: ${heads.map((name) => `\`head: "${name}"\``).join(" or ")} (\`--head\` of \`mhc sample\`)`;
  if (asked === undefined)
    throw new DataError(`${model} has ${heads.length} heads that can be sampled: ${heads.join(", ")}`, which);
  if (!heads.includes(asked))
    throw new DataError(`${model} has no head \`${asked}\`; it has ${heads.join(", ")}`, which);
  return asked;
}

/** A prompt and options that were checked. */
export interface Continuation {
  readonly codec: Codec;
  readonly prompt: string;
  /** Of the prompt. */
  readonly promptTokens: readonly number[];
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** How texts of a page's data are written as tokens. */
interface Codec {
  readonly encode: (text: string) => number[];
  /** What tokens that follow others are as text. */
  readonly after: (before: readonly number[], tokens: readonly number[]) => string;
  /** What a text begins after, where it has no prompt. */
  readonly begin: number;
  /** The token that ends a text; null where none does. */
  readonly end: number | null;
}

function codecOf({ vocabulary, isWhole }: TextForm, tokenizer: TextTokenizer | undefined): Codec {
  if (!vocabulary) return tokenizing(tokenizer);
  if (tokenizer !== undefined)
    throw new DataError("a tokenizer is given, and the data of this model is characters", "leave the tokenizer out");
  // Without a prompt the text begins after a newline, or after the first character there is.
  const begin = Math.max(0, vocabulary.indexOf(LINE_FEED));
  return {
    encode: (text) => [...encodeText(text, vocabulary)],
    after: (_, tokens) => decodeTokens(tokens, vocabulary),
    begin,
    end: isWhole ? begin : null,
  };
}

function tokenizing(tokenizer: TextTokenizer | undefined): Codec {
  if (typeof tokenizer?.encode !== "function" || typeof tokenizer.decode !== "function")
    throw new DataError(
      "this model was trained on the tokens of a tokenizer, and none is given",
      "pass `tokenizer`, with the functions `encode` and `decode`",
    );
  return {
    encode: (text) => Array.from(tokenizer.encode(text)),
    // A decoder may put a space between two tokens: so what comes is decoded behind what was there.
    after(before, tokens) {
      const [head, all] = [tokenizer.decode(before), tokenizer.decode([...before, ...tokens])];
      return all.startsWith(head) ? all.slice(head.length) : tokenizer.decode(tokens);
    },
    begin: tokenizer.encode(LINE_FEED)[0] ?? 0,
    end: null,
  };
}

/** Checks what a call of `generate` was given. Throws DataError for what is of another type, or out of range. */
export function continuationOf(
  text: TextForm,
  prompt: unknown,
  options: GenerateOptions | undefined,
  ownSeed: number,
): Continuation {
  if (typeof prompt !== "string") throw new DataError(`the prompt is ${describe(prompt)}, and text is expected`);
  const checked = optionsOf("generate", options);
  const { temperature = 0.8 } = checked;
  if (typeof temperature !== "number" || !(temperature >= 0) || !Number.isFinite(temperature)) {
    throw new DataError(`\`temperature\` is ${describe(temperature)}, and a finite number of at least 0 is expected`);
  }
  const codec = codecOf(text, checked.tokenizer);
  if (text.isWhole && prompt.includes(LINE_FEED))
    throw new DataError("the prompt has a line feed, and this model makes one line", "give the beginning of a line");
  const promptTokens = codec.encode(prompt);
  if (text.isWhole && promptTokens.length >= text.window)
    throw new DataError(
      `the prompt has ${promptTokens.length} characters, and a line of this model has at most ${text.window - 1}`,
      "give a shorter prompt",
    );
  return {
    codec,
    prompt,
    promptTokens,
    temperature,
    tokens: whole("tokens", checked.tokens) ?? 200,
    topK: whole("topK", checked.topK, 1),
    seed: whole("seed", checked.seed, 0, U32_MAX) ?? ownSeed,
    signal: signalOf(checked.signal),
  };
}

/**
 * `logitsOf`: scores [window, vocabulary] for a window of tokens, of which the later ones may mean nothing; `broken`
 * is the error of scores that say nothing.
 */
export async function continued(
  { window: length, isWhole }: TextForm,
  { codec, prompt, promptTokens, tokens, temperature, topK, seed, signal }: Continuation,
  logitsOf: (window: Uint32Array) => Promise<Float32Array>,
  broken: () => Promise<Error>,
): Promise<string> {
  // A text that is a whole begins where all begin; others begin with their prompt.
  const sequence = isWhole || promptTokens.length === 0 ? [codec.begin, ...promptTokens] : [...promptTokens];
  const begin = sequence.length;
  // A window that is full has one more score: that of what ends the text.
  const most = isWhole ? Math.min(tokens, length + 1 - begin) : tokens;
  for (let i = 0; i < most; i++) {
    if (signal?.aborted) throw signal.reason;
    const recent = sequence.slice(-length);
    const window = new Uint32Array(length);
    window.set(recent);
    const scores = await logitsOf(window);
    const vocab = scores.length / length;
    const logits = scores.subarray((recent.length - 1) * vocab, recent.length * vocab);
    if (!areScores(logits)) throw await broken();
    const token = pick(logits, temperature, topK, unit(...threefry2x32([seed >>> 0, siteHash("generate")], [0, i])));
    if (token === codec.end) break;
    sequence.push(token);
  }
  return prompt + codec.after(sequence.slice(0, begin), sequence.slice(begin));
}

/**
 * Whether a token can be drawn by them: the largest is finite, and none is NaN. One that is minus infinity is never
 * drawn.
 */
export function areScores(logits: Float32Array): boolean {
  let largest = Number.NEGATIVE_INFINITY;
  for (const score of logits) {
    // A comparison with NaN is false.
    if (!(score < Number.POSITIVE_INFINITY)) return false;
    if (score > largest) largest = score;
  }
  return largest !== Number.NEGATIVE_INFINITY;
}

/** Draws a token: softmax at a temperature over the k likeliest, by one uniform number. */
export function pick(logits: Float32Array, temperature: number, topK: number | undefined, uniform: number): number {
  const order = Array.from(logits.keys()).sort((a, b) => mustAt(logits, b) - mustAt(logits, a) || a - b);
  const likeliest = mustAt(order, 0);
  if (temperature === 0) return likeliest;
  const largest = mustAt(logits, likeliest);
  const kept = order
    .slice(0, topK ?? order.length)
    .map((token) => ({ token, weight: Math.exp((mustAt(logits, token) - largest) / temperature) }));
  let remaining = uniform * kept.reduce((sum, { weight }) => sum + weight, 0);
  for (const { token, weight } of kept) {
    remaining -= weight;
    if (remaining < 0) return token;
  }
  return mustAt(kept, kept.length - 1).token;
}
