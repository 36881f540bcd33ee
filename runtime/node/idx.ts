/**
 * IDX files, the form of MNIST and its relatives: a magic number that says the type and the number of axes, the size of
 * each axis, and the values. Bytes without a sign are read; files that end in `.gz` are unpacked first.
 */
import { gunzipSync } from "node:zlib";
import { DataError, messageOf } from "../errors.js";
import { readBytes } from "./reading.js";

/** An array of bytes, row-major. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const UNSIGNED_BYTES = 0x08;

/** Reads an IDX file. Throws DataError for what is none, for another type, and for one that breaks off. */
export async function readIdx(path: string): Promise<IdxArray> {
  const stored = await readBytes(path);
  let data = stored;
  if (stored[0] === 0x1f && stored[1] === 0x8b) {
    try {
      data = gunzipSync(stored);
    } catch (error) {
      throw new DataError(`${path} cannot be unpacked: ${messageOf(error)}`, "download it again");
    }
  }
  if (data.length < 4 || data[0] !== 0 || data[1] !== 0 || !data[3])
    throw new DataError(`${path} is not an IDX file`, "a location of images is an IDX file or a folder of PNG files");
  if (data[2] !== UNSIGNED_BYTES)
    throw new DataError(`${path} holds values of the IDX type ${data[2]}, and bytes (type 8) are expected`);
  const axes = data[3];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const begin = 4 + 4 * axes;
  const shape = Array.from({ length: axes }, (_, i) => (begin <= data.length ? view.getUint32(4 + 4 * i) : 0));
  const size = shape.reduce((product, length) => product * length, 1);
  if (data.length !== begin + size)
    throw new DataError(
      `${path} says that it holds [${shape.join(", ")}], which is ${size} bytes, ` +
        `and it has ${Math.max(0, data.length - begin)}`,
      "download it again",
    );
  return { shape, bytes: data.subarray(begin) };
}
