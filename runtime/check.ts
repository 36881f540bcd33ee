/**
 * What comes in from outside, looked at before it is used: callers may be plain JavaScript, forms and files, so that a
 * type of TypeScript promises nothing here. Each check says what was given and what is taken. None changes anything,
 * so that whoever checks first leaves a model as it was.
 */
import { DataError } from "./errors.js";

/** The largest number of a float of 32 bits. */
export const F32_MAX = 3.4028234663852886e38;

/** The largest number of 32 bits without a sign: seeds and steps are written as such. */
export const U32_MAX = 4294967295;

const ARTICLE = /^[AEIOU](?!int)/i;

/** What a value is, for a sentence: `a Uint32Array`, `an ArrayBuffer`, `null`, `the number 1.5`, `text`. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "nothing";
    case "number":
      return `the number ${Object.is(value, -0) ? "-0" : value}`;
    case "bigint":
      return `the BigInt ${value}n`;
    case "string":
      return value.length > 20 ? `text ("${value.slice(0, 20)}…")` : `text (${JSON.stringify(value)})`;
    case "boolean":
      return `${value}`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      break;
    default:
      return "of an unknown type";
  }
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  // The name that the language gives to its own objects, in every realm: [object ArrayBuffer].
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  return tag === "Object" ? "an object" : `${ARTICLE.test(tag) ? "an" : "a"} ${tag}`;
}

/** Whether a value is an object that is no array: a record, for whoever reads it. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The options of a call; none when nothing was given. */
export function optionsOf<T extends object>(call: string, options: T | undefined): Partial<T> {
  if (options === undefined) return {};
  if (isObject(options) && !ArrayBuffer.isView(options)) return options;
  throw new DataError(`the options of \`${call}\` are ${describe(options)}, and an object is expected`);
}

/** A whole number of `least` or more; nothing stays nothing. `what`: `tokens`, `seed`. */
export function whole<T extends number | undefined>(
  what: string,
  value: T,
  least = 0,
  most = Number.MAX_SAFE_INTEGER,
): T {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new DataError(`\`${what}\` is ${describe(value)}, and a whole number ${range} is expected`);
}

/** A signal that ends a call; nothing stays nothing. */
export function signalOf(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return signal;
  const { aborted, addEventListener } = isObject(signal) ? signal : {};
  if (typeof aborted === "boolean" && typeof addEventListener === "function") return signal;
  const why = `\`signal\` is ${describe(signal)}, and an AbortSignal is expected`;
  throw new DataError(why, "pass `controller.signal` of an AbortController");
}

const FLAT = "give numbers one after the other, row by row, as an array or a typed array";

/** Numbers of an array or a typed array. A hole, a numeral in quotes, a BigInt or a list within the list is none. */
export function numbersOf(name: string, values: unknown): ArrayLike<number> {
  if (isNumbers(values)) return values;
  if (!Array.isArray(values)) {
    throw new DataError(`\`${name}\` is ${describe(values)}, and an array of numbers is expected`, FLAT);
  }
  // A loop over places, since holes are passed over by every other walk.
  for (let i = 0; i < values.length; i++) {
    const value: unknown = values[i];
    if (typeof value !== "number") {
      const what = i in values ? describe(value) : "a hole";
      throw new DataError(`\`${name}\` holds ${what} at place ${i}, and numbers are expected`, FLAT);
    }
  }
  return values as number[];
}

/** Typed arrays of numbers: all but those of BigInts. */
const isNumbers = (values: unknown): values is ArrayLike<number> & ArrayBufferView =>
  ArrayBuffer.isView(values) && !/ (DataView|Big\w+)\]$/.test(Object.prototype.toString.call(values));

/**
 * The floats of 32 bits nearest to numbers; a finite one that is too large for them is an error. NaN and infinities
 * stay what they are. `room`, of the same length, is written over.
 */
export function floatsOf(name: string, values: ArrayLike<number>, room?: Float32Array): Float32Array {
  const floats = room ?? new Float32Array(values.length);
  floats.set(values);
  if (values instanceof Float32Array) return floats;
  for (let i = 0; i < floats.length; i++) {
    if (!Number.isFinite(floats[i]!) && Number.isFinite(values[i]!)) {
      const what = `\`${name}\` holds ${values[i]!} at place ${i}`;
      throw new DataError(`${what}, which is beyond the floats of 32 bits (up to ${F32_MAX})`, "scale the numbers");
    }
  }
  return floats;
}
