/**
 * Checkpoints are safetensors: eight bytes with the length of a JSON header, the header (name -> dtype, shape,
 * offsets), the data. Parameters go by name with the axes in the order of the text, whatever the physical layout;
 * optimizer state as `state:NAME`; the step and the seed in the metadata. Reading checks everything, since files come
 * from anywhere.
 */
import { describe, floatsOf } from "./check.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";
import { recordOf, valueAt } from "./records.js";

/** A safetensors file, read. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a checkpoint calls a state of the optimizer. A parameter has its own name there. */
export const stateTensor = ({ name }: { readonly name: string }): string => `state:${name}`;

interface Header {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The bytes of a safetensors file. */
export function encode({ tensors, metadata }: Checkpoint): Uint8Array<ArrayBuffer> {
  const header = new Map<string, Header | Readonly<Record<string, string>>>([["__metadata__", metadata]]);
  let at = 0;
  for (const [name, { shape, data }] of tensors) {
    header.set(name, { dtype: "F32", shape, data_offsets: [at, at + data.byteLength] });
    at += data.byteLength;
  }
  const text = JSON.stringify(recordOf(header));
  // The data begins at a multiple of eight bytes; the header is padded with spaces.
  const bytes = new TextEncoder().encode(text + " ".repeat((8 - (new TextEncoder().encode(text).length % 8)) % 8));
  const out = new Uint8Array(8 + bytes.length + at);
  new DataView(out.buffer).setBigUint64(0, BigInt(bytes.length), true);
  out.set(bytes, 8);
  let offset = 8 + bytes.length;
  for (const { data } of tensors.values()) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return out;
}

/** Bytes of a number of the dtypes that are read. */
const BYTES = { F64: 8, F32: 4, BF16: 2, F16: 2 } as const;

type Dtype = keyof typeof BYTES;

/**
 * Reads a safetensors file, and checks all of it: one reading only, with no key said twice, no overlap and no hole.
 * Numbers of F16, BF16 and F64 become those of F32. Throws DataError.
 */
export function decode(bytes: Uint8Array): Checkpoint {
  if (Object.prototype.toString.call(bytes) !== "[object Uint8Array]") {
    const what = `a checkpoint is the path of a file or a Uint8Array, and this is ${describe(bytes)}`;
    throw new DataError(what, "wrap a buffer: `new Uint8Array(buffer)`");
  }
  if (bytes.length < 8) return bad(`it has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) return bad(`its header is longer than the file: ${length} bytes of ${bytes.length}`);
  const header = headerOf(bytes.subarray(8, 8 + length));
  const data = bytes.subarray(8 + length);
  const ranges: (readonly [number, number])[] = [];
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, offsets } = describedBy(name, entry);
    const [from, to] = offsets;
    const size = shape.reduce((product, n) => product * n, 1);
    if (to - from !== BYTES[dtype] * size || to > data.length) return bad(`\`${name}\` lies outside the file`);
    ranges.push([from, to]);
    tensors.set(name, { shape, data: numbersAt(name, dtype, data.subarray(from, to)) });
  }
  // The format allows neither overlaps nor holes, so that a file has one reading only.
  let end = 0;
  for (const [from, to] of ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (from !== end) return bad("its tensors overlap or leave holes");
    end = to;
  }
  if (end !== data.length) return bad(`it has ${data.length} bytes of data, and its tensors take ${end}`);
  return { tensors, metadata: metadataOf(header) };
}

function bad(what: string): never {
  throw new DataError(
    `this is not a whole safetensors file: ${what}`,
    "the file may have been cut off or be of another kind",
  );
}

function headerOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let text: string;
  let parsed: unknown;
  try {
    // A copy, since a decoder takes no memory that is shared.
    text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes));
    parsed = JSON.parse(text);
  } catch {
    return bad("its header cannot be read");
  }
  if (!isRecord(parsed)) return bad("its header is not an object");
  const twice = keyTwice(text);
  return twice === null ? parsed : bad(`its header says \`${twice}\` twice`);
}

/**
 * A key that stands twice in one object of a JSON text; null when none does. JSON.parse silently takes the last.
 */
function keyTwice(text: string): string | null {
  const open: Set<string>[] = [];
  for (const [token, key] of text.matchAll(/[{}[\]]|("(?:[^"\\]|\\.)*")(?:\s*:)?/gs)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (key !== undefined && token.endsWith(":")) {
      const name = JSON.parse(key) as string;
      const keys = mustAt(open, open.length - 1);
      if (keys.has(name)) return name;
      keys.add(name);
    }
  }
  return null;
}

function metadataOf(header: Readonly<Record<string, unknown>>): Checkpoint["metadata"] {
  const metadata = valueAt(header, "__metadata__");
  if (metadata === undefined) return recordOf([]);
  if (!isRecord(metadata)) return bad("its metadata is not an object");
  return recordOf(
    Object.entries(metadata).map(([key, value]) => {
      if (typeof value === "string") return [key, value] as const;
      return bad(`its metadata says \`${key}\` by ${describe(value)}, and text is expected`);
    }),
  );
}

interface Described {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly offsets: readonly [number, number];
}

function describedBy(name: string, entry: unknown): Described {
  if (!isRecord(entry)) return bad(`\`${name}\` is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") return bad(`\`${name}\` has no dtype`);
  if (!Object.hasOwn(BYTES, dtype)) {
    const what = `\`${name}\` has the dtype ${dtype}; ${Object.keys(BYTES).join(", ")} can be read`;
    throw new DataError(what, "convert it to F32 where the file was made");
  }
  if (!isWholes(shape)) return bad(`\`${name}\` has no shape`);
  const [from, to, ...others] = isWholes(offsets) ? offsets : [];
  if (from === undefined || to === undefined || others.length)
    return bad(`\`${name}\` has no offsets: two whole numbers of bytes`);
  return { dtype: dtype as Dtype, shape, offsets: [from, to] };
}

const isWholes = (list: unknown): list is readonly number[] =>
  Array.isArray(list) && list.every((n) => Number.isInteger(n) && n >= 0);

/** Little-endian numbers, as F32. */
function numbersAt(name: string, dtype: Dtype, bytes: Uint8Array): Float32Array {
  // A copy, that begins where its words may.
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "BF16":
      return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (word) => word << 16).buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), halfOf);
    case "F64":
      return floatsOf(name, new Float64Array(buffer));
    default:
      return dtype satisfies never;
  }
}

/** The number of an f16 (IEEE 754 binary16): a sign, five bits of exponent, ten of fraction. */
function halfOf(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 0x1f;
  const fraction = word & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
