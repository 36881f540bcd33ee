/** Continuing a text: a window of the last characters, the scores of what may come next, and a draw by Threefry, so that a seed gives the same text on every device. */
import { decodeTokens, encodeText } from "./data.js";
import { DataError } from "./errors.js";
import type { DataInfo } from "./plan.js";
import { siteHash, threefry2x32, unit } from "./threefry.js";

export interface GenerateOptions {
  readonly tokens?: number | undefined;
  /** 0 takes the likeliest token. */
  readonly temperature?: number | undefined;
  /** Only the k likeliest tokens. */
  readonly topK?: number | undefined;
  readonly seed?: number | undefined;
}

/** `logitsOf`: scores [window, vocabulary] for a window of tokens, of which the later ones may mean nothing. */
export async function continued(
  prompt: string,
  { vocabulary, window: length }: Extract<DataInfo, { readonly kind: "characters" }>,
  { tokens = 200, temperature = 0.8, topK, seed }: GenerateOptions & { readonly seed: number },
  logitsOf: (window: Uint32Array) => Promise<Float32Array>,
): Promise<string> {
  if (!(temperature >= 0)) throw new DataError(`a temperature is at least 0, and is ${temperature}`);
  if (topK !== undefined && !(topK >= 1)) throw new DataError(`at least one token must be kept to draw from, and topK is ${topK}`);
  const vocab = vocabulary.length;
  const known = [...encodeText(prompt, vocabulary)];
  const start = known.length;
  // Without a prompt the text begins after a newline, or after the first character there is.
  if (known.length === 0) known.push(Math.max(0, vocabulary.indexOf("\n")));
  const begin = known.length;
  for (let i = 0; i < tokens; i++) {
    const recent = known.slice(-length);
    const window = new Uint32Array(length);
    window.set(recent);
    const logits = (await logitsOf(window)).subarray((recent.length - 1) * vocab, recent.length * vocab);
    known.push(pick(logits, temperature, topK, unit(threefry2x32([seed >>> 0, siteHash("generate")], [0, i]))));
  }
  return prompt + decodeTokens(known.slice(start === 0 ? begin : start), vocabulary);
}

/** Draws a token: softmax at a temperature over the k likeliest, by one uniform number. */
export function pick(logits: Float32Array, temperature: number, topK: number | undefined, uniform: number): number {
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (temperature === 0) return order[0]!;
  const kept = order.slice(0, topK ?? order.length);
  const weights = kept.map((token) => Math.exp((logits[token]! - logits[kept[0]!]!) / temperature));
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return kept[i]!;
  }
  return kept[kept.length - 1]!;
}
