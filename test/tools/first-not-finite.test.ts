/**
 * The first operation that was not finite: found on the path to the loss, named by the page's own text, with advice
 * that fits what went wrong.
 */
import { expect, it } from "vitest";
import { textSource, vocabularyOf } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import { compile } from "../../src/compile/compile.js";
import { firstNotFinite, inWords } from "../../src/tools/first-not-finite.js";
import { pattern } from "../helpers/pattern.js";

const TEXT = "the sea was calm, and the whale went down. ".repeat(8);
const facts = { corpus: { vocabulary: vocabularyOf(TEXT) } };

/**
 * A page with an operation in its layers, beside one that is infinite on its way to a finite result: that is no fault.
 */
const pageOf = (expression: string, more = ""): string => `model Page {
  dim context = 4, width = 4
  data corpus = characters("text.txt", window = context, holdout = 20%)
  stream x[context, width] = embed(corpus.token)
  repeat 2 {
    x through step
  }
  loss = cross_entropy(unembed(x), corpus.next)${more}
  train { batch = 3, steps = 5, seed = 1, optimizer = adamw(rate = 1e-2) }
}

block step(y[t, w]) {
  z[t, w] = 0 * y[t, w]
  masked[t] = exp(-1 * max(1 / index(t), 1))
  return [t, w] = ${expression} + 0 * masked[t]
}
`;

async function foundIn(expression: string, more = ""): Promise<Awaited<ReturnType<typeof firstNotFinite>>> {
  const text = pageOf(expression, more);
  const options = { file: "page.mhc", facts };
  const { plan, diagnostics } = await compile(text, { ...options, devices: ["wasm"] });
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  const info = plan!.data[0]!;
  if (info.kind !== "characters") throw new Error(info.kind);
  const model = await load(plan!, { device: "wasm", threads: 1 });
  try {
    return await firstNotFinite({
      text,
      options,
      model,
      batch: textSource(info, TEXT).batch(3, model.seed, 0),
      calmer: "calm down",
    });
  } finally {
    await model.close();
  }
}

it.each<readonly [expression: string, op: string, phase: string, words: RegExp, fix: RegExp]>([
  [
    "y[t, w] * sqrt(z[t, w] - 1)",
    "sqrt",
    "forward",
    pattern(
      /^first not finite: `sqrt\(z\[t, w\] - 1\)` of `repeat\.0\.step` \(page\.mhc:15:\d+\): /,
      /the square root of a negative number: its argument is -1$/,
    ),
    /^keep what stands under the root/,
  ],
  [
    "log(z[t, w])",
    "log",
    "forward",
    /`log\(z\[t, w\]\)` .*: the logarithm of a number that is not positive: its argument is 0$/,
    /^keep the argument above 0/,
  ],
  [
    "y[t, w] / z[t, w]",
    "div",
    "forward",
    /`y\[t, w\] \/ z\[t, w\]` .*: a division by zero: the divisor is 0$/,
    /^keep the divisor from 0/,
  ],
  [
    "exp(z[t, w] + 100)",
    "exp",
    "forward",
    /: an exponential that is too large for f32: its argument is 100$/,
    /^keep the argument below 88/,
  ],
  [
    "y[t, w] + sqrt(z[t, w])",
    "div",
    "backward",
    /^first not finite: the derivative of `sqrt\(z\[t, w\]\)` .*: a division by zero/,
    /^keep the divisor from 0/,
  ],
  [
    "1e30 * (1e30 * exp(z[t, w]))",
    "mul",
    "forward",
    /: the result is too large for f32, or undefined: its inputs are 1\.0e\+30 and 1\.0e\+30$/,
    /^calm down$/,
  ],
])("%s", async (expression, op, phase, words, fix) => {
  const found = (await foundIn(expression))!;
  expect([found.op, found.phase, inWords(found), found.fix]).toEqual([
    op,
    phase,
    expect.stringMatching(words),
    expect.stringMatching(fix),
  ]);
});

it("nothing is named where everything is finite", async () => expect(await foundIn("y[t, w]")).toBe(null));

it("is not that of what is measured alone, whose numbers break nothing", async () => {
  const idle = "  loss idle = sum[context, width](log(0 * x))\n  metric broken = sum[context, width](log(0 * x))";
  expect(await foundIn("y[t, w]", `\n${idle}`)).toBeNull();
  // It is computed before the loss, which breaks by itself.
  expect(await foundIn("y[t, w]", ` + sqrt(0 * sum[context, width](x) - 1)\n${idle}`)).toMatchObject({
    op: "sqrt",
    block: "",
  });
});
