/**
 * Bytes to text, or one error that says what they are: texts in other encodings, compressed files and files that
 * are no text at all are told apart by their first bytes (the signatures of the formats), by zero bytes, and by
 * where UTF-8 breaks off.
 */
import { DataError } from "../errors.js";
import { createUtf8, type Malformed } from "../tokens.js";

/** What a file begins with; null stands for any byte. */
const SIGNATURES: readonly (readonly [bytes: readonly (number | null)[], what: string, fix: string])[] = [
  [[0xff, 0xfe, 0, 0], "UTF-32 text", "UTF-32"],
  [[0xff, 0xfe], "UTF-16 text", "UTF-16"],
  [[0xfe, 0xff], "UTF-16 text", "UTF-16"],
  [[0x1f, 0x8b], "compressed (gzip)", "gunzip -k"],
  [[0x50, 0x4b, 3, 4], "compressed (zip)", "unzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "compressed (zstd)", "unzstd"],
  [[0x42, 0x5a, 0x68, null, 0x31, 0x41], "compressed (bzip2)", "bunzip2 -k"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed (xz)", "unxz -k"],
  [[0x25, 0x50, 0x44, 0x46], "a PDF, and no text", ""],
];

/** How many bytes are looked at for zeros. */
const SAMPLE = 4096;

/** Throws a DataError that says what a file is, when it does not begin as text does. */
export function refuseOthers(file: string, begin: Uint8Array): void {
  const signature = SIGNATURES.find(([start]) => start.every((byte, i) => byte === null || begin[i] === byte));
  if (signature) throw new DataError(`${file} is ${signature[1]}`, adviceFor(file, signature));
  const sample = begin.subarray(0, SAMPLE);
  const zeros = [...sample].flatMap((byte, i) => (byte === 0 ? [i % 2] : []));
  if (zeros.length > sample.length / 8 && new Set(zeros).size === 1)
    throw new DataError(`${file} is UTF-16 text`, utf8From(file, zeros[0] === 1 ? "UTF-16LE" : "UTF-16BE"));
  if (zeros.length) throw new DataError(`${file} is not text: it has bytes that are zero`, "text is read as UTF-8");
}

/** The error of a file that begins as text, and has bytes that are no UTF-8. */
export function notUtf8(file: string, { at, line, byte }: Malformed): DataError {
  if (byte === null) return new DataError(`${file} breaks off within a character`, "was it cut? text is read as UTF-8");
  const other = new TextDecoder("windows-1252").decode(Uint8Array.of(byte));
  const code = `0x${byte.toString(16).toUpperCase()}`;
  const what = `in line ${line} stands the byte ${code}, which is \`${other}\` in Windows-1252`;
  return new DataError(`${file} is not UTF-8: ${what} (byte ${at} of the file)`, utf8From(file, "WINDOWS-1252"));
}

/**
 * The text of a file in UTF-8. A byte order mark stays where `mark` says so. Throws a DataError that names what
 * else it is.
 */
export function decodeText(
  bytes: Uint8Array,
  file: string,
  { mark = false }: { readonly mark?: boolean } = {},
): string {
  refuseOthers(file, bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: mark }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  const utf8 = createUtf8(() => undefined);
  const malformed = utf8.push(bytes) ?? utf8.end();
  throw malformed ? notUtf8(file, malformed) : new DataError(`${file} cannot be decoded`, "text is read as UTF-8");
}

/** A path as a shell takes it. */
const quoted = (path: string): string => (/^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

const utf8From = (file: string, from: string): string =>
  `save it as UTF-8, in an editor or with \`iconv -f ${from} -t UTF-8 ${quoted(file)} > NEW\``;

function adviceFor(file: string, [, what, how]: (typeof SIGNATURES)[number]): string {
  if (what.startsWith("compressed")) return `unpack it first: \`${how} ${quoted(file)}\``;
  return what.startsWith("UTF") ? utf8From(file, what.replace(/ .*$/, "")) : "text is read as UTF-8";
}
