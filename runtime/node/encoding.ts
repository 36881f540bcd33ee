/**
 * Bytes to text, or one error that says what they are: texts in other encodings, compressed files and files that
 * are no text at all are told apart by their first bytes (the signatures of the formats), by zero bytes, and by
 * where UTF-8 breaks off.
 */
import { DataError } from "../errors.js";

const SIGNATURES: readonly (readonly [bytes: readonly number[], what: string, fix: string])[] = [
  [[0xff, 0xfe, 0, 0], "UTF-32 text", ""],
  [[0xff, 0xfe], "UTF-16 text", "UTF-16"],
  [[0xfe, 0xff], "UTF-16 text", "UTF-16"],
  [[0x1f, 0x8b], "compressed (gzip)", "gunzip -k"],
  [[0x50, 0x4b, 3, 4], "compressed (zip)", "unzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "compressed (zstd)", "unzstd"],
  [[0x42, 0x5a, 0x68], "compressed (bzip2)", "bunzip2 -k"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed (xz)", "unxz -k"],
  [[0x25, 0x50, 0x44, 0x46], "a PDF, and no text", ""],
];

/** How many bytes are looked at for zeros. */
const SAMPLE = 4096;

/**
 * The text of a file in UTF-8. A byte order mark stays where `mark` says so. Throws a DataError that names what
 * else it is.
 */
export function decodeText(
  bytes: Uint8Array,
  file: string,
  { mark = false }: { readonly mark?: boolean } = {},
): string {
  const signature = SIGNATURES.find(([start]) => start.every((byte, i) => bytes[i] === byte));
  if (signature) throw new DataError(`${file} is ${signature[1]}`, adviceFor(file, signature));
  const sample = bytes.subarray(0, SAMPLE);
  const zeros = [...sample].flatMap((byte, i) => (byte === 0 ? [i % 2] : []));
  if (zeros.length > sample.length / 8 && new Set(zeros).size === 1)
    throw new DataError(`${file} is UTF-16 text`, utf8From(file, zeros[0] === 1 ? "UTF-16LE" : "UTF-16BE"));
  if (zeros.length) throw new DataError(`${file} is not text: it has bytes that are zero`, "text is read as UTF-8");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: mark }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  const at = endOfUtf8(bytes);
  const line = bytes.subarray(0, at).reduce((count, byte) => count + Number(byte === 0x0a), 1);
  const byte = bytes[at];
  if (byte === undefined)
    throw new DataError(`${file} breaks off within a character`, "was it cut? text is read as UTF-8");
  const other = new TextDecoder("windows-1252").decode(bytes.subarray(at, at + 1));
  throw new DataError(
    `${file} is not UTF-8: in line ${line} stands the byte 0x${byte.toString(16).toUpperCase()}, which is \`${other}\` in Windows-1252`,
    utf8From(file, "WINDOWS-1252"),
  );
}

const utf8From = (file: string, from: string): string =>
  `save it as UTF-8, in an editor or with \`iconv -f ${from} -t UTF-8 ${file} > NEW\``;

function adviceFor(file: string, [, what, how]: (typeof SIGNATURES)[number]): string {
  if (what.startsWith("compressed")) return `unpack it first: \`${how} ${file}\``;
  return what.startsWith("UTF") ? utf8From(file, what.split(" ")[0]!) : "text is read as UTF-8";
}

/** Where the first character begins that is no UTF-8; the length where the last is not whole. */
function endOfUtf8(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!;
    const length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 0;
    if (length === 0) return at;
    if (at + length > bytes.length && [...bytes.subarray(at + 1)].every(isContinuation)) return bytes.length;
    const [second = 0x80] = bytes.subarray(at + 1, at + length);
    if (![...bytes.subarray(at + 1, at + length)].every(isContinuation) || !follows(byte, second)) return at;
    at += length;
  }
  return bytes.length;
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

/**
 * Whether a second byte is one that a first allows: no longer form than needed, no surrogate, nothing above
 * U+10FFFF (RFC 3629, section 4).
 */
function follows(first: number, second: number): boolean {
  if (first === 0xe0) return second >= 0xa0;
  if (first === 0xed) return second <= 0x9f;
  if (first === 0xf0) return second >= 0x90;
  return first < 0xf4 || (first === 0xf4 && second <= 0x8f);
}
