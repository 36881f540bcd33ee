/**
 * Continuing a text: a window of the last characters, the scores of what may come next, and a draw by Threefry, so that
 * a seed gives the same text on every device.
 */
import { describe, optionsOf, signalOf, U32_MAX, whole } from "./check.js";
import { decodeTokens, encodeText } from "./data.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";
import type { DataInfo } from "./plan.js";
import { siteHash, threefry2x32, unit } from "./threefry.js";

/** How a text is continued. */
export interface GenerateOptions {
  /** How many characters; 200 when not given. */
  readonly tokens?: number | undefined;
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
  readonly prompt: string;
  /** Of the prompt. */
  readonly promptTokens: readonly number[];
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

type Text = Extract<DataInfo, { readonly kind: "characters" }>;

/** Checks what a call of `generate` was given. Throws DataError for what is of another type, or out of range. */
export function continuationOf(
  { vocabulary }: Text,
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
  return {
    prompt,
    promptTokens: [...encodeText(prompt, vocabulary)],
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
  { vocabulary, window: length }: Text,
  { prompt, promptTokens, tokens, temperature, topK, seed, signal }: Continuation,
  logitsOf: (window: Uint32Array) => Promise<Float32Array>,
  broken: () => Promise<Error>,
): Promise<string> {
  const vocab = vocabulary.length;
  const sequence = [...promptTokens];
  const start = sequence.length;
  // Without a prompt the text begins after a newline, or after the first character there is.
  if (sequence.length === 0) sequence.push(Math.max(0, vocabulary.indexOf("\n")));
  const begin = sequence.length;
  for (let i = 0; i < tokens; i++) {
    if (signal?.aborted) throw signal.reason;
    const recent = sequence.slice(-length);
    const window = new Uint32Array(length);
    window.set(recent);
    const logits = (await logitsOf(window)).subarray((recent.length - 1) * vocab, recent.length * vocab);
    if (!areScores(logits)) throw await broken();
    sequence.push(pick(logits, temperature, topK, unit(...threefry2x32([seed >>> 0, siteHash("generate")], [0, i]))));
  }
  return prompt + decodeTokens(sequence.slice(start === 0 ? begin : start), vocabulary);
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
