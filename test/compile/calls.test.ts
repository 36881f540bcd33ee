/** Calls of `check` and `compile` from plain JavaScript, which no types have looked at. */
import { describe, expect, it } from "vitest";
import { javascript } from "../../codegen/javascript/printer.js";
import { check, compile, type CompileOptions } from "../../src/compile/compile.js";
import { targetsOf } from "../../src/compile/targets.js";

const PAGE = "model Tiny { param w[2] = ones }";
const untyped = compile as (text: unknown, options?: unknown) => Promise<unknown>;

describe("a call that lacks what it needs", () => {
  it.each<[string, unknown, unknown, string]>([
    ["no text", undefined, { file: "a.mhc" }, "the text of a page is expected, as a string"],
    ["no options", PAGE, undefined, "the options of a page are expected, with its name as `file`"],
    ["no file", PAGE, { devices: ["wasm"] }, "the options of a page are expected, with its name as `file`"],
    ["options that are none", PAGE, "a.mhc", "the options of a page are expected, with its name as `file`"],
  ])("%s", async (_, text, options, message) => {
    expect(() => check(text as string, options as CompileOptions)).toThrow(new TypeError(message));
    await expect(untyped(text, options)).rejects.toThrow(new TypeError(message));
  });
});

it("two devices of one name are refused", () => {
  const mine = { ...javascript, name: "wasm" };
  expect(() => targetsOf({ devices: [mine, "wasm"] }, true)).toThrow(
    "two devices of a compilation are called wasm: give each its own name",
  );
});
