/** Reads files, whole or in pieces. Errors say what a folder, or a file that is no text, is instead (`encoding.ts`). */
import { open, readFile, stat } from "node:fs/promises";
import { constants } from "node:buffer";
import { DataError, reasonOf } from "../errors.js";
import { createTokenizer, createUtf8, NEWLINE, type Tokenized } from "../tokens.js";
import { decodeText, notUtf8, refuseOthers } from "./encoding.js";

/** Bytes that are read at once. */
const PIECE = 1 << 20;

/** A file as it is. Throws DataError when it is a folder or cannot be read. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw await unreadable(path, "a file in it", error);
  }
}

/** `instead`: what to name in place of a folder. */
async function unreadable(path: string, instead: string, error: unknown): Promise<DataError> {
  const folder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (folder) return new DataError(`${path} is a folder, and a file is expected`, `name ${instead}`);
  return new DataError(`${path} cannot be read: ${reasonOf(error)}`);
}

/** Calls `take` with the pieces of a file. Pipes have pieces too. */
async function forPieces(path: string, take: (piece: Uint8Array) => void): Promise<void> {
  const refuse = async (error: unknown): Promise<never> => {
    throw await unreadable(path, `its files: ${path}/*.txt`, error);
  };
  const handle = await open(path, "r").catch(refuse);
  try {
    const buffer = new Uint8Array(PIECE);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, PIECE).catch(refuse);
      if (bytesRead === 0) return;
      take(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** The characters of files, one behind the other with a newline between them, as tokens of their own vocabulary. */
export async function readTokens(paths: readonly string[]): Promise<Tokenized> {
  const sizes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  // A character takes at least a byte.
  const tokenizer = createTokenizer(sizes.reduce((sum, size) => sum + size, paths.length));
  for (const [i, path] of paths.entries()) {
    if (i > 0) tokenizer.take(NEWLINE);
    const utf8 = createUtf8(tokenizer.take);
    let begun = false;
    await forPieces(path, (piece) => {
      if (!begun) refuseOthers(path, piece);
      begun = true;
      const malformed = utf8.push(piece);
      if (malformed) throw notUtf8(path, malformed);
    });
    const malformed = utf8.end();
    if (malformed) throw notUtf8(path, malformed);
  }
  return tokenizer.end();
}

/** A file of text as one string. Throws DataError, also when it is longer than a string may be. */
export async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    const size = (length: number): string => `${Math.round(length / 1e6)} MB`;
    const limit = `a file of this kind may have ${size(constants.MAX_STRING_LENGTH)}`;
    throw new DataError(
      `${path} has ${size(bytes.length)}, and ${limit}`,
      "split it into several files, and name them by a pattern",
    );
  }
  return decodeText(bytes, path);
}
