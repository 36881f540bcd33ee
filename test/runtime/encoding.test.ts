/**
 * Text in other encodings, compressed or no text at all is one error that names what it is and what to do; UTF-8 is
 * read as it is.
 */
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { DataError } from "../../runtime/errors.js";
import { decodeText } from "../../runtime/node/encoding.js";

const bytesOf = (text: string, encoding: BufferEncoding = "utf8"): Uint8Array =>
  new Uint8Array(Buffer.from(text, encoding));
const swapped = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.from(bytes).swap16());

describe("what is not UTF-8 is named", () => {
  it.each([
    ["UTF-16 with its mark", bytesOf("\ufeffmodel M {}\n", "utf16le"), "UTF-16 text"],
    ["its other order", swapped(bytesOf("\ufeffmodel M {}\n", "utf16le")), "UTF-16 text"],
    ["UTF-16 without a mark", bytesOf("model M {}\n", "utf16le"), "UTF-16 text"],
    ["its other order, without", swapped(bytesOf("model M {}\n", "utf16le")), "UTF-16 text"],
    [
      "Windows-1252",
      bytesOf("a\nO\u00f9?\n", "latin1"),
      "in line 2 stands the byte 0xF9, which is `ù` in Windows-1252",
    ],
    ["gzip", new Uint8Array(gzipSync("text")), "compressed (gzip)"],
    ["a zip", bytesOf("PK\u0003\u0004..."), "compressed (zip)"],
    ["bytes", new Uint8Array([7, 0, 0, 1, 0, 2, 9]), "not text"],
    ["a text cut short", bytesOf("caf\u00e9").subarray(0, 4), "breaks off"],
  ])("%s", (_, bytes, what) => {
    const error = ((): unknown => {
      try {
        return decodeText(bytes, "page.mhc");
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(DataError);
    expect((error as DataError).message).toContain(what);
    expect((error as DataError).message.startsWith("page.mhc ")).toBe(true);
    expect((error as DataError).fix).toBeTruthy();
  });

  it("and any wrong byte is found where it stands", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 0x80, max: 0xff }),
        fc.string({ unit: "grapheme", minLength: 1 }),
        (before, byte, after) => {
          fc.pre(!`${before}${after}`.includes("\0") && !before.startsWith("\ufeff"));
          const bytes = new Uint8Array([...bytesOf(`#${before}`), byte, ...bytesOf(`.${after}`)]);
          expect(() => decodeText(bytes, "f")).toThrow(
            `line ${before.split("\n").length} stands the byte 0x${byte.toString(16).toUpperCase()},`,
          );
        },
      ),
    );
  });
});

it("UTF-8 is read as it is; a byte order mark stays when it is asked for", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!/\0|^\ufeff/.test(text) && !/\p{Cs}/u.test(text));
      const bytes = bytesOf(`.${text}`);
      expect(decodeText(bytes, "f")).toBe(`.${text}`);
    }),
  );
  expect([decodeText(bytesOf("\ufeffa"), "f"), decodeText(bytesOf("\ufeffa"), "f", { mark: true })]).toEqual([
    "a",
    "\ufeffa",
  ]);
});
