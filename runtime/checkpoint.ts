/**
 * Checkpoints are safetensors: eight bytes with the length of a JSON header, the header (name -> dtype, shape, offsets), the data.
 * Parameters go by name with the axes in the order of the text, whatever the physical layout; optimizer state as `state:NAME`;
 * the step and the seed in the metadata. Reading checks everything, since files come from anywhere.
 */
import { DataError } from "./errors.js";
import { recordOf } from "./records.js";

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Header {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

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

export function decode(bytes: Uint8Array): Checkpoint {
  const bad = (what: string): never => {
    throw new DataError(`this is not a whole safetensors file: ${what}`, "the file may have been cut off or be of another kind");
  };
  if (bytes.length < 8) return bad(`it has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) return bad("its header is longer than the file");
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch {
    return bad("its header cannot be read");
  }
  if (!isRecord(parsed)) return bad("its header is not an object");
  const header = parsed;
  const data = bytes.subarray(8 + length);
  const ranges: (readonly [number, number])[] = [];
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  let metadata: Readonly<Record<string, string>> = recordOf([]);
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (!isRecord(entry)) return bad("its metadata is not an object");
      metadata = recordOf(Object.entries(entry).map(([key, value]) => [key, String(value)]));
      continue;
    }
    if (!isRecord(entry)) return bad(`\`${name}\` is not described by an object`);
    const { dtype, shape, data_offsets: offsets } = entry as Partial<Header>;
    if (dtype !== "F32") return bad(`\`${name}\` has the dtype ${String(dtype)}, and F32 is expected`);
    if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n >= 0)) return bad(`\`${name}\` has no shape`);
    if (!Array.isArray(offsets) || offsets.length !== 2) return bad(`\`${name}\` has no offsets`);
    const [from, to] = offsets as [number, number];
    const size = (shape as readonly number[]).reduce((product, n) => product * n, 1);
    if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to - from !== 4 * size || to > data.length) return bad(`\`${name}\` lies outside the file`);
    ranges.push([from, to]);
    tensors.set(name, { shape: shape as readonly number[], data: new Float32Array(new Uint8Array(data.subarray(from, to)).buffer) });
  }
  // The format allows neither overlaps nor holes, so that a file has one reading only.
  let end = 0;
  for (const [from, to] of ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (from !== end) return bad("its tensors overlap or leave holes");
    end = to;
  }
  if (end !== data.length) return bad(`it has ${data.length} bytes of data, and its tensors take ${end}`);
  return { tensors, metadata };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
