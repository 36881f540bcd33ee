/** Checkpoints come back bit for bit, and no damaged file gives anything but a DataError: fast-check damages them. */
import { array, assert, dictionary, double, float, integer, property, string, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, encode, type Checkpoint } from "../../runtime/checkpoint.js";
import { DataError } from "../../runtime/errors.js";

const small: Checkpoint = {
  tensors: new Map([
    ["layers.0.up", { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, -0, 1e-40) }],
    ["state:momentum", { shape: [], data: Float32Array.of(7) }],
    ["empty", { shape: [0, 4], data: new Float32Array(0) }],
  ]),
  metadata: { format: "mhc 1", step: "12", "ünïcode": "ナ" },
};

/** A safetensors file of this header and this much data. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const tensor = (shape: readonly unknown[], from: unknown, to: unknown, dtype = "F32"): unknown => ({ dtype, shape, data_offsets: [from, to] });

describe("checkpoints", () => {
  it("come back whole, metadata and signs of zero included", () => {
    const { tensors, metadata } = decode(encode(small));
    expect(metadata).toEqual(small.metadata);
    expect([...tensors.keys()]).toEqual([...small.tensors.keys()]);
    for (const [name, { shape, data }] of small.tensors) {
      expect(tensors.get(name)!.shape).toEqual(shape);
      expect(new Uint8Array(tensors.get(name)!.data.buffer)).toEqual(new Uint8Array(data.buffer));
    }
  });

  it("have the layout of the format: a length, an aligned JSON header, little-endian data", () => {
    const bytes = encode(small);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect((8 + length) % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
    expect(header["layers.0.up"]).toEqual({ dtype: "F32", shape: [2, 3], data_offsets: [0, 24] });
    expect(new DataView(bytes.buffer).getFloat32(8 + length + 8, true)).toBe(3.5);
  });

  it("come back whatever the names and the values", () => {
    const names = string({ minLength: 1, maxLength: 12, unit: "grapheme" }).filter((name) => name !== "__metadata__" && name !== "__proto__");
    assert(property(dictionary(names, array(float({ noNaN: false }), { maxLength: 9 }), { noNullPrototype: true }), (given) => {
      const tensors = new Map(Object.entries(given).map(([name, values]) => [name, { shape: [values.length], data: Float32Array.from(values) }]));
      const found = decode(encode({ tensors, metadata: {} }));
      expect([...found.tensors].map(([name, { data }]) => [name, [...data]])).toEqual([...tensors].map(([name, { data }]) => [name, [...data]]));
    }));
  });

  it("that were cut off anywhere are refused", () => {
    const bytes = encode(small);
    for (let length = 0; length < bytes.length; length++) expect(() => decode(bytes.subarray(0, length)), `${length} bytes`).toThrow(DataError);
  });

  it("that were damaged are read or refused, never anything else", () => {
    const bytes = encode(small);
    assert(property(integer({ min: 0, max: bytes.length - 1 }), integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = bytes.slice();
      damaged[at] = damaged[at]! ^ flip;
      readOrRefuse(damaged);
    }), { numRuns: 2000 });
  });

  it("that are not checkpoints at all are refused", () => {
    assert(property(uint8Array({ maxLength: 64 }), readOrRefuse), { numRuns: 500 });
    assert(property(double(), (value) => readOrRefuse(file(value, 0))), { numRuns: 50 });
  });

  it.each([
    ["nothing in it", new Uint8Array(0), "0 bytes"],
    ["a header that is longer than the file", file("{}", 0).subarray(0, 9), "longer than the file"],
    ["a header that is no JSON", file("{", 0), "cannot be read"],
    ["a header that is a list", file([], 0), "not an object"],
    ["a header that is null", file("null", 0), "not an object"],
    ["null metadata", file({ __metadata__: null }, 0), "metadata"],
    ["a tensor that is null", file({ a: null }, 0), "`a`"],
    ["halves", file({ a: tensor([2], 0, 4, "F16") }, 4), "F16"],
    ["a negative size", file({ a: tensor([-1], 0, 4) }, 4), "shape"],
    ["offsets in words", file({ a: tensor([1], "0", "4") }, 4), "outside"],
    ["a tensor past the end", file({ a: tensor([2], 0, 8) }, 4), "outside"],
    ["a size that is not its shape's", file({ a: tensor([3], 0, 8) }, 8), "outside"],
    ["overlapping tensors", file({ a: tensor([1], 0, 4), b: tensor([1], 0, 4) }, 4), "overlap"],
    ["a hole", file({ a: tensor([1], 4, 8) }, 8), "holes"],
    ["something after the end", file({ a: tensor([1], 0, 4) }, 8), "8 bytes of data"],
  ])("with %s are refused with the reason", (_, bytes, reason) => {
    expect(() => decode(bytes)).toThrow(DataError);
    expect(() => decode(bytes)).toThrow(reason);
  });
});

function readOrRefuse(bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
  }
}
