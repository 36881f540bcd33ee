/**
 * PNG images as bytes of their channels (W3C, Portable Network Graphics, third edition). What is read: grey, grey with
 * alpha, RGB and RGBA of 8 bits, and palettes and grey of 1, 2, 4 and 8 bits, not interlaced. Sixteen bits and
 * interlaced images are refused. Colour profiles and gamma are not applied: numbers are those that the file has.
 */
import { crc32, inflateSync } from "node:zlib";
import { DataError, messageOf } from "../errors.js";
import { mustAt } from "../lookup.js";

/** An image: bytes, row-major [height, width, channels]. */
export interface Pixels {
  readonly height: number;
  readonly width: number;
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. */
  readonly channels: number;
  readonly bytes: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Samples of a pixel, by the colour type. A palette has one, the place of a colour. */
const SAMPLES: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [2, 3],
  [3, 1],
  [4, 2],
  [6, 4],
]);
const PALETTE = 3;

interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly type: number;
  readonly samples: number;
}

/** Decodes a PNG file, which errors call `file`. Throws DataError for what is no PNG, and kinds that are not read. */
export function decodePng(data: Uint8Array, file: string): Pixels {
  const refuse = (what: string, fix = "write it as a PNG of 8 bits that is not interlaced"): DataError =>
    new DataError(`${file} ${what}`, fix);
  if (data.length < 8 || SIGNATURE.some((byte, i) => data[i] !== byte)) throw refuse("is not a PNG image");
  const chunks = chunksOf(data, refuse);
  const header = headerOf(chunks, refuse);
  const stored = chunks.filter(({ name }) => name === "IDAT").map((chunk) => chunk.data);
  let raw: Uint8Array;
  try {
    raw = inflateSync(Buffer.concat(stored));
  } catch (error) {
    throw refuse(`cannot be decoded: ${messageOf(error)}`, "write the image anew");
  }
  const { width, height, depth, samples, type } = header;
  const stride = Math.ceil((width * samples * depth) / 8);
  if (raw.length < height * (stride + 1)) throw refuse("breaks off before its last row", "write the image anew");
  const rows = unfiltered(raw, height, stride, Math.max(1, (samples * depth) >> 3), refuse);
  const values = depth === 8 ? rows : unpacked(rows, header, stride);
  if (type === PALETTE) return coloured(values, header, chunks, refuse);
  return { width, height, channels: samples, bytes: values };
}

type Refuse = (what: string, fix?: string) => DataError;

interface Chunk {
  readonly name: string;
  readonly data: Uint8Array;
}

function chunksOf(data: Uint8Array, refuse: Refuse): Chunk[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const chunks: Chunk[] = [];
  let at = SIGNATURE.length;
  while (chunks.at(-1)?.name !== "IEND") {
    if (at + 12 > data.length) throw refuse("breaks off before its end", "write the image anew");
    const length = view.getUint32(at);
    if (at + 12 + length > data.length) throw refuse("breaks off within a chunk", "write the image anew");
    const named = data.subarray(at + 4, at + 8 + length);
    if (crc32(named) !== view.getUint32(at + 8 + length))
      throw refuse("is damaged: a checksum does not agree", "write the image anew");
    chunks.push({ name: String.fromCharCode(...named.subarray(0, 4)), data: named.subarray(4) });
    at += 12 + length;
  }
  return chunks;
}

function headerOf(chunks: readonly Chunk[], refuse: Refuse): PngHeader {
  const [first] = chunks;
  if (first?.name !== "IHDR" || first.data.length !== 13) throw refuse("does not begin with a header");
  const view = new DataView(first.data.buffer, first.data.byteOffset, 13);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, type, , , interlaced] = Array.from({ length: 5 }, (_, i) => view.getUint8(8 + i));
  const samples = SAMPLES.get(type ?? -1);
  if (width === 0 || height === 0 || depth === undefined || type === undefined || samples === undefined)
    throw refuse("has a header that says no image");
  if (interlaced !== 0) throw refuse("is interlaced, which is not read");
  const isRead = depth === 8 || ((type === 0 || type === PALETTE) && [1, 2, 4].includes(depth));
  if (!isRead) throw refuse(`has ${depth} bits a sample, which are not read`);
  return { width, height, depth, type, samples };
}

/** The value that is nearest to left + above - corner. */
function paeth(left: number, above: number, corner: number): number {
  const estimate = left + above - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - above), Math.abs(estimate - corner)];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

/** Rows without their filters. `step`: bytes to the same sample of the pixel before. */
function unfiltered(raw: Uint8Array, height: number, stride: number, step: number, refuse: Refuse): Uint8Array {
  const rows = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = mustAt(raw, y * (stride + 1));
    if (filter > 4) throw refuse(`has a filter ${filter}, which is none`, "write the image anew");
    const at = y * stride;
    for (let x = 0; x < stride; x++) {
      const left = x >= step ? mustAt(rows, at + x - step) : 0;
      const above = y > 0 ? mustAt(rows, at + x - stride) : 0;
      const corner = x >= step && y > 0 ? mustAt(rows, at + x - stride - step) : 0;
      const predicted = [0, left, above, (left + above) >> 1, paeth(left, above, corner)];
      rows[at + x] = mustAt(raw, y * (stride + 1) + 1 + x) + mustAt(predicted, filter);
    }
  }
  return rows;
}

/** Samples of less than 8 bits, a byte each: a grey one from 0 to 255, that of a palette as it is. */
function unpacked(rows: Uint8Array, { width, height, depth, type }: PngHeader, stride: number): Uint8Array {
  const most = (1 << depth) - 1;
  const scale = type === PALETTE ? 1 : 255 / most;
  const bytes = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      const byte = mustAt(rows, y * stride + (bit >> 3));
      bytes[y * width + x] = ((byte >> (8 - depth - (bit & 7))) & most) * scale;
    }
  return bytes;
}

/** The colours of a palette: RGB, or RGBA where it has transparent ones. */
function coloured(places: Uint8Array, header: PngHeader, chunks: readonly Chunk[], refuse: Refuse): Pixels {
  const palette = chunks.find(({ name }) => name === "PLTE")?.data;
  if (!palette) throw refuse("has no palette", "write the image anew");
  const alpha = chunks.find(({ name }) => name === "tRNS")?.data;
  const channels = alpha ? 4 : 3;
  const bytes = new Uint8Array(places.length * channels);
  for (const [i, place] of places.entries()) {
    if (3 * place + 2 >= palette.length) throw refuse(`has a pixel of colour ${place}, and its palette has none`);
    bytes.set(palette.subarray(3 * place, 3 * place + 3), i * channels);
    if (alpha) bytes[i * channels + 3] = alpha[place] ?? 255;
  }
  return { width: header.width, height: header.height, channels, bytes };
}
