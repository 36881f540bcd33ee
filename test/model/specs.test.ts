/** The example pages: each is right as it is and formatted, and what they claim is proved or watched as they say. */
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { readSpec } from "../helpers/specs.js";

const names = readdirSync(new URL("../../specs", import.meta.url))
  .filter((file) => file.endsWith(".mhc"))
  .map((file) => file.slice(0, -".mhc".length));

test.each(names)("specs/%s.mhc is right and formatted", (name) => {
  const text = readSpec(name);
  expect(check(text, { file: `${name}.mhc` }).diagnostics).toEqual([]);
  expect(format(text, `${name}.mhc`)).toMatchObject({ text, diagnostics: [] });
});

test(
  "deep-narrow.mhc proves its gain over 96 mixes; Sinkhorn's projection as published does not, unless it is " +
    "monitored",
  () => {
    const exact = readSpec("deep-narrow");
    const [claim] = check(exact, { file: "deep-narrow.mhc" }).model!.claims;
    expect(claim).toMatchObject({ text: "gain(x) <= 1.01", monitored: false });
    expect(claim!.proof!.at(-1)).toBe("gain(x) is at most the product of these, 1.00096");
    const free = exact.replace("iterations = 20)", "iterations = 20, truncated)");
    expect(check(free, { file: "free.mhc" }).diagnostics.map(({ code }) => code)).toEqual(["MHC305"]);
    expect(check(free.replace("<= 1.01", "<= 1.01 monitored"), { file: "free.mhc" }).diagnostics).toEqual([]);
  },
);

test("hyper-connections cannot claim a gain", () => {
  expect(
    check(readSpec("hc").replace(" monitored", ""), { file: "hc.mhc" }).diagnostics.map(({ code }) => code),
  ).toEqual(["MHC305"]);
});
