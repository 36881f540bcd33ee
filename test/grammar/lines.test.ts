/** The formatter keeps what is not layout: how lines end, and a byte order mark. */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { parse } from "../../grammar/parse.js";
import { readSpec } from "../helpers/specs.js";

const windows = (text: string): string => text.replaceAll("\n", "\r\n");

describe.each(["moby-dick", "lean", "sublayer"])("%s", (name) => {
  const page = readSpec(name);

  it("with CRLF keeps CRLF, with LF LF, and either its byte order mark", () => {
    for (const text of [page, windows(page), `\ufeff${page}`, `\ufeff${windows(page)}`])
      expect(format(text, "p.mhc").text).toBe(text);
  });

  it("of other layout is laid out alike with both", () => {
    const other = page.replaceAll(" = ", "   =  ").replaceAll("\n", "\n\n\n");
    expect(format(windows(other), "p.mhc").text).toBe(windows(format(other, "p.mhc").text!));
    expect(parse(windows(other), "p.mhc").file.items.map(({ kind }) => kind)).toEqual(
      parse(other, "p.mhc").file.items.map(({ kind }) => kind),
    );
  });

  it("with both kinds of lines has those of most, and says how many", () => {
    const lines = page.split("\n").length - 1;
    const mixed = page.replace("\n", "\r\n");
    expect(format(mixed, "p.mhc")).toMatchObject({ text: page, ends: { lf: lines - 1, crlf: 1 } });
    expect(format(windows(page).replace("\r\n", "\n"), "p.mhc").text).toBe(windows(page));
  });
});
