/**
 * Text as tokens: for each character (code point) its place in a vocabulary, in a byte where the vocabulary fits in
 * bytes. A file comes in pieces and is never one string, since a string ends at half a gigabyte and takes up to eight
 * bytes a character on the way; so what a text takes is little more than its tokens. UTF-8 is decoded here rather than
 * by TextDecoder, which does not say where a text is none.
 */

/** Places in a vocabulary, as small as it allows. */
export type TokenArray = Uint8Array | Uint16Array | Uint32Array;

/** The tokens of all characters of a text, with the characters, each once, by code point. */
export interface Tokenized {
  readonly tokens: TokenArray;
  readonly vocabulary: readonly string[];
}

/** Room for `count` tokens below `size`. */
export function roomFor(count: number, size: number): TokenArray {
  return size <= 0x100 ? new Uint8Array(count) : size <= 0x10000 ? new Uint16Array(count) : new Uint32Array(count);
}

/** Bytes that are no UTF-8: place and line of the first, and that byte; null when the text ends within a character. */
export interface Malformed {
  readonly at: number;
  readonly line: number;
  readonly byte: number | null;
}

/** A decoder that text goes into piece by piece. */
export interface Utf8 {
  /** Takes the next bytes. Says where they are not UTF-8, after which no more may be taken; null where they are. */
  push(bytes: Uint8Array): Malformed | null;
  /** Says whether the text ended within a character. */
  end(): Malformed | null;
}

/** The code point of a line feed. */
export const NEWLINE = 0x0a;

/** Decodes UTF-8 (The Unicode Standard, table 3-7) in pieces; a byte order mark at its beginning is no character. */
export function createUtf8(take: (code: number) => void): Utf8 {
  let place = 0;
  /** Where the character under way began, and with which byte. */
  let start = 0;
  let lead = 0;
  let line = 1;
  let code = 0;
  let wanted = 0;
  // What the next byte may be: the second of a sequence decides whether it is too long, a surrogate, or beyond Unicode.
  let least = 0x80;
  let most = 0xbf;
  let first = true;
  const emit = (): void => {
    if (!first || code !== 0xfeff) take(code);
    first = false;
  };
  return {
    push(bytes) {
      for (let i = 0; i < bytes.length; i++) {
        const byte = bytes[i]!;
        if (wanted === 0) {
          if (byte < 0x80) {
            first = false;
            if (byte === NEWLINE) line++;
            take(byte);
            continue;
          }
          start = place + i;
          lead = byte;
          if (byte < 0xc2 || byte > 0xf4) return { at: start, line, byte };
          wanted = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
          code = byte & (0x3f >> wanted);
          least = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
          most = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
          continue;
        }
        if (byte < least || byte > most) return { at: start, line, byte: lead };
        [least, most] = [0x80, 0xbf];
        code = (code << 6) | (byte & 0x3f);
        if (--wanted === 0) emit();
      }
      place += bytes.length;
      return null;
    },
    end: () => (wanted === 0 ? null : { at: start, line, byte: null }),
  };
}

const CODES = 0x110000;

/** Collects the characters of a text. */
export interface Tokenizer {
  /** Takes the next character, by its code point. */
  readonly take: (code: number) => void;
  /** Characters so far. */
  readonly count: () => number;
  /** All of them. Nothing may be taken after it. */
  end(): Tokenized;
}

/** Collects characters, of which `expected` may come; more is slower and not wrong. */
export function createTokenizer(expected: number): Tokenizer {
  // Characters are numbered as they come, and renumbered by code point at the end.
  const numbers = new Int32Array(CODES).fill(-1);
  const codes: number[] = [];
  let tokens: TokenArray = new Uint8Array(Math.max(1, expected));
  let count = 0;
  const grow = (length: number, size: number): void => {
    const before = tokens;
    tokens = roomFor(length, size);
    tokens.set(before.subarray(0, count));
  };
  return {
    take(code) {
      let number = numbers[code]!;
      if (number < 0) {
        number = codes.length;
        numbers[code] = number;
        codes.push(code);
        if (number === 0x100 || number === 0x10000) grow(tokens.length, number + 1);
      }
      if (count === tokens.length) grow(2 * count, codes.length);
      tokens[count++] = number;
    },
    count: () => count,
    end() {
      const sorted = codes.map((code, number) => ({ code, number })).sort((a, b) => a.code - b.code);
      const places = new Uint32Array(codes.length);
      sorted.forEach(({ number }, place) => (places[number] = place));
      // Room that was not needed goes back where it is worth a copy.
      const kept = 2 * count < tokens.length ? tokens.slice(0, count) : tokens.subarray(0, count);
      for (let i = 0; i < count; i++) kept[i] = places[kept[i]!]!;
      return { tokens: kept, vocabulary: sorted.map(({ code }) => String.fromCodePoint(code)) };
    },
  };
}
