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
  metadata: { format: "mhc 1", step: "12", ünïcode: "ナ" },
};

/** A safetensors file of this header and this much data. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const tensor = (shape: readonly unknown[], from: unknown, to: unknown, dtype = "F32"): unknown => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

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
    const names = string({ minLength: 1, maxLength: 12, unit: "grapheme" }).filter(
      (name) => name !== "__metadata__" && name !== "__proto__",
    );
    assert(
      property(
        dictionary(names, array(float({ noNaN: false }), { maxLength: 9 }), { noNullPrototype: true }),
        (given) => {
          const tensors = new Map(
            Object.entries(given).map(([name, values]) => [
              name,
              { shape: [values.length], data: Float32Array.from(values) },
            ]),
          );
          const found = decode(encode({ tensors, metadata: {} }));
          expect([...found.tensors].map(([name, { data }]) => [name, [...data]])).toEqual(
            [...tensors].map(([name, { data }]) => [name, [...data]]),
          );
        },
      ),
    );
  });

  it("that were cut off anywhere are refused", () => {
    const bytes = encode(small);
    for (let length = 0; length < bytes.length; length++)
      expect(() => decode(bytes.subarray(0, length)), `${length} bytes`).toThrow(DataError);
  });

  it("that were damaged are read or refused, never anything else", () => {
    const bytes = encode(small);
    assert(
      property(integer({ min: 0, max: bytes.length - 1 }), integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = bytes.slice();
        damaged[at] = damaged[at]! ^ flip;
        readOrRefuse(damaged);
      }),
      { numRuns: 2000 },
    );
  });

  it("that are not checkpoints at all are refused", () => {
    assert(property(uint8Array({ maxLength: 64 }), readOrRefuse), { numRuns: 500 });
    assert(
      property(double(), (value) => readOrRefuse(file(value, 0))),
      { numRuns: 50 },
    );
  });

  it.each([
    ["nothing in it", new Uint8Array(0), "0 bytes"],
    ["a header that is longer than the file", file("{}", 0).subarray(0, 9), "longer than the file"],
    ["a header that is no JSON", file("{", 0), "cannot be read"],
    ["a header that is a list", file([], 0), "not an object"],
    ["a header that is null", file("null", 0), "not an object"],
    ["null metadata", file({ __metadata__: null }, 0), "metadata"],
    ["a tensor that is null", file({ a: null }, 0), "`a`"],
    [
      "whole numbers",
      file({ a: tensor([2], 0, 8, "I32") }, 8),
      "`a` has the dtype I32; F64, F32, BF16, F16 can be read",
    ],
    ["half of what its dtype takes", file({ a: tensor([2], 0, 4, "F64") }, 4), "outside"],
    ["no dtype", file({ a: { shape: [1], data_offsets: [0, 4] } }, 4), "`a` has no dtype"],
    [
      "a key that it says twice",
      file(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
          '"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        4,
      ),
      "says `a` twice",
    ],
    [
      "a shape that it says twice",
      file('{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', 4),
      "says `shape` twice",
    ],
    ["metadata that are no text", file({ __metadata__: { step: { of: 3 } } }, 0), "metadata says `step` by an object"],
    [
      "a header as long as a number can be",
      Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 1),
      "longer than the file",
    ],
    ["a negative size", file({ a: tensor([-1], 0, 4) }, 4), "shape"],
    ["offsets in words", file({ a: tensor([1], "0", "4") }, 4), "no offsets"],
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

describe("dtypes", () => {
  const bits = (words: Uint16Array | Uint32Array | Float64Array): Uint8Array => new Uint8Array(words.buffer);
  const read = (dtype: string, data: Uint8Array, count: number): number[] => {
    const header = file({ a: tensor([count], 0, data.length, dtype) }, data.length);
    header.set(data, header.length - data.length);
    return [...decode(header).tensors.get("a")!.data];
  };

  it("of other widths are converted, bit by bit", () => {
    expect(read("F64", bits(Float64Array.of(1 / 3, -1e-300, Number.POSITIVE_INFINITY)), 3)).toEqual([
      Math.fround(1 / 3),
      -0,
      Number.POSITIVE_INFINITY,
    ]);
    expect(read("BF16", bits(Uint16Array.of(0x3f80, 0xc049, 0x7f80, 1)), 4)).toEqual([
      1,
      -3.140625,
      Number.POSITIVE_INFINITY,
      2 ** -133,
    ]);
    const halves = [1, -2, 65504, 2 ** -14, 2 ** -24, -(2 ** -24) * 1023, 1 / 3];
    const words = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x3555];
    expect(read("F16", bits(Uint16Array.from(words)), 7)).toEqual(
      halves.map((half, i) => (i === 6 ? 0.333251953125 : half)),
    );
    expect(read("F16", bits(Uint16Array.of(0x8000, 0xfc00, 0x7e00)), 3)).toEqual([
      -0,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
    ]);
    expect(() => read("F64", bits(Float64Array.of(0, 1e39)), 2)).toThrow(
      "`a` holds 1e+39 at place 1, which is beyond the floats of 32 bits",
    );
  });

  it("a Uint8Array of another memory is read, and what is none is named", () => {
    const bytes = encode(small);
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 3), 3);
    shared.set(bytes);
    for (const view of [Buffer.from(bytes), shared]) expect(decode(view)).toEqual(decode(bytes));
    expect(() => decode(bytes.buffer as unknown as Uint8Array)).toThrow("this is an ArrayBuffer");
  });
});

function readOrRefuse(bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
  }
}
