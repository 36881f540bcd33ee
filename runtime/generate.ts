/**
 * Continuing a text: a window of the last characters, the scores of what may come next, and a draw by Threefry, so that
 * a seed gives the same text on every device.
 */
import { describe, optionsOf, signalOf, U32_MAX, whole } from "./check.js";
import { decodeTokens, encodeText } from "./data.js";
import type { Words } from "./device.js";
import { DataError } from "./errors.js";
import { textOf } from "./instance.js";
import { mustAt } from "./lookup.js";
import { encodeSource, END, LINE_FEED, PADDING, START } from "./lines.js";
import { isOfTheRun, type Plan } from "./plan.js";
import { valueAt } from "./records.js";
import type { SequencesInfo, TextForm, TokensInfo } from "./sources.js";
import { siteHash, threefry2x32, unit } from "./threefry.js";

/** Text to tokens and back, by something of the caller's own. */
export interface TextTokenizer {
  /** The tokens of a text, each a whole number below the vocabulary's size. */
  encode(text: string): ArrayLike<number>;
  /** The text that tokens stand for. */
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

/** Tensors of a source, beside the tokens, that are known while text is made. */
const KNOWN: Readonly<Record<TextForm["info"]["kind"], readonly string[]>> = {
  characters: [],
  tokens: [],
  lines: ["present"],
  sequences: ["source", "source_present", "present"],
};

/** The text that a model goes on with, or why it makes none. */
export function textMadeBy({ name, data, roles, devices }: Plan): TextForm | DataError {
  const error = (why: string, fix: string | null = null): DataError =>
    new DataError(`${name} does not generate text: ${why}`, fix);
  const text = textOf({ data });
  if (!text) return error("what it is trained on is none");
  const outputs = Object.values(valueAt(roles.entries, "forward")?.outputs ?? {});
  if (!outputs.some(({ kind }) => kind === "logits"))
    return error(
      "no loss of its page is a `cross_entropy`, whose scores say what comes next",
      "write the loss with `cross_entropy(scores, target)`, and train again",
    );
  const known = new Set([text.field, ...KNOWN[text.info.kind].map((field) => `${text.info.name}.${field}`)]);
  const [device] = Object.values(devices);
  const inputs = Object.entries(valueAt(device?.entries ?? {}, "forward")?.inputs ?? {});
  const unknown = inputs.find(([input, ref]) => !isOfTheRun(input, ref) && !known.has(input))?.[0];
  return unknown === undefined
    ? text
    : error(
        `its scores are computed from \`${unknown}\`, which is not known while text is made`,
        `compute them from \`${text.field}\` alone`,
      );
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
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** Inputs beside the tokens, when so many of these are there. */
type GivenInputs = (count: number) => readonly (readonly [name: string, values: Words])[];

/** A prompt as tokens, and tokens as text. */
interface Codec {
  /** The tokens that are gone on with: what begins every text, where something does, and the prompt. */
  readonly begin: readonly number[];
  /** What tokens that follow these are as text, with the prompt where it is a part of it. */
  readonly decode: (tokens: readonly number[]) => string;
  /** The token that ends a text; null where none does. */
  readonly end: number | null;
  /** What stands behind the text. */
  readonly padding: number;
  readonly given: GivenInputs;
}

const NOTHING: GivenInputs = () => [];

function codecOf({ info, window }: TextForm, prompt: string, tokenizer: TextTokenizer | undefined): Codec {
  if (info.kind === "tokens") return tokenized(info, prompt, tokenizer);
  if (tokenizer !== undefined)
    throw new DataError("a tokenizer is given, and the data of this model is characters", "leave the tokenizer out");
  if (info.kind === "sequences") return madeFrom(info, prompt);
  const { vocabulary } = info;
  const tokens = [...encodeText(prompt, vocabulary)];
  const decode = (others: readonly number[]): string => prompt + decodeTokens(others, vocabulary);
  // Without a prompt the text begins after a newline, or after the first character there is.
  const first = Math.max(0, vocabulary.indexOf(LINE_FEED));
  if (info.kind === "characters")
    return { begin: tokens.length === 0 ? [first] : tokens, decode, end: null, padding: 0, given: NOTHING };
  if (prompt.includes(LINE_FEED))
    throw new DataError("the prompt has a line feed, and this model makes one line", "give the beginning of a line");
  if (tokens.length >= window)
    throw new DataError(
      `the prompt has ${tokens.length} characters, and a line of this model has at most ${window - 1}`,
      "give a shorter prompt",
    );
  const given: GivenInputs = (count) => [[`${info.name}.present`, new Float32Array(window).fill(1, 0, count)]];
  return { begin: [first, ...tokens], decode, end: first, padding: first, given };
}

/** The target of a source, which is the prompt. */
function madeFrom(info: SequencesInfo, prompt: string): Codec {
  const { name, target, vocabulary } = info;
  if (prompt === "")
    throw new DataError(
      "this model makes a target from a source, and none is given",
      "give the source as the prompt (`--prompt` of `mhc sample`)",
    );
  const { tokens, present } = encodeSource(info, prompt);
  return {
    begin: [START],
    decode: (made) => decodeTokens(made, vocabulary),
    end: END,
    padding: PADDING,
    given: (count) => [
      [`${name}.source`, tokens],
      [`${name}.source_present`, present],
      [`${name}.present`, new Float32Array(target).fill(1, 0, count)],
    ],
  };
}

function tokenized({ vocab }: TokensInfo, prompt: string, tokenizer: TextTokenizer | undefined): Codec {
  if (typeof tokenizer?.encode !== "function" || typeof tokenizer.decode !== "function")
    throw new DataError(
      "this model was trained on the tokens of a tokenizer, and none is given",
      "pass `tokenizer`, with the functions `encode` and `decode`",
    );
  const before = Array.from(tokenizer.encode(prompt));
  const begin = before.length === 0 ? [tokenizer.encode(LINE_FEED)[0] ?? 0] : before;
  const wrong = begin.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocab));
  if (wrong !== undefined)
    throw new DataError(
      `the tokenizer makes the token ${wrong} of the prompt, and the model was trained on ${vocab}, 0 to ${vocab - 1}`,
      "use the tokenizer that it was trained with",
    );
  return {
    begin,
    // A decoder may put a space between two tokens: so what comes is decoded behind what was there.
    decode(tokens) {
      const [head, all] = [tokenizer.decode(before), tokenizer.decode([...before, ...tokens])];
      return prompt + (all.startsWith(head) ? all.slice(head.length) : tokenizer.decode(tokens));
    },
    end: null,
    padding: 0,
    given: NOTHING,
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
  return {
    codec: codecOf(text, prompt, checked.tokenizer),
    temperature,
    tokens: whole("tokens", checked.tokens) ?? 200,
    topK: whole("topK", checked.topK, 1),
    seed: whole("seed", checked.seed, 0, U32_MAX) ?? ownSeed,
    signal: signalOf(checked.signal),
  };
}

/** What the scores of next tokens are computed from, by input. */
export type Inputs = ReadonlyMap<string, Words>;

/**
 * `logitsOf`: scores [window, vocabulary] for a window of tokens, of which the later ones may mean nothing; `broken`
 * is the error of scores that say nothing.
 */
export async function continued(
  { field, window: length }: TextForm,
  { codec, tokens, temperature, topK, seed, signal }: Continuation,
  logitsOf: (inputs: Inputs) => Promise<Float32Array>,
  broken: () => Promise<Error>,
): Promise<string> {
  const { begin, end, padding, given } = codec;
  const sequence = [...begin];
  // A text that ends fills its window at most, and a window that is full has one more score: that of what ends it.
  const most = end === null ? tokens : Math.min(tokens, length + 1 - begin.length);
  for (let i = 0; i < most; i++) {
    if (signal?.aborted) throw signal.reason;
    const recent = sequence.slice(-length);
    const window = new Uint32Array(length).fill(padding);
    window.set(recent);
    const scores = await logitsOf(new Map<string, Words>([...given(recent.length), [field, window]]));
    const vocab = scores.length / length;
    const logits = scores.subarray((recent.length - 1) * vocab, recent.length * vocab);
    if (!areScores(logits)) throw await broken();
    const token = pick(logits, temperature, topK, unit(...threefry2x32([seed >>> 0, siteHash("generate")], [0, i])));
    if (token === end) break;
    sequence.push(token);
  }
  return codec.decode(sequence.slice(begin.length));
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
