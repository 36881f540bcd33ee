/**
 * What is sampled: the only scores of next tokens, or those that are asked for; where it is not said which, the heads
 * are named.
 */
import { describe, expect, it } from "vitest";
import { load } from "../../runtime/index.js";
import { headOf } from "../../runtime/generate.js";
import { planOf } from "../helpers/specs.js";

const page = (loss: string, lines = ""): string => `model Heads {
  dim context = 3, width = 4
  data corpus = characters("t.txt", window = context)
  x[context, width] = embed(corpus.token)
  ${lines}
  loss = ${loss}
  train { batch = 2, steps = 1, optimizer = adamw(rate = 1e-2) }
}`;
const main = "cross_entropy(unembed(x), corpus.next)";
const facts = { corpus: { vocabulary: ["a", "b", "c"] } };
const outputsOf = async (of: string): Promise<string[]> =>
  Object.keys((await planOf(of, ["javascript"], { facts })).devices["javascript"]!.entries["forward"]?.outputs ?? {});

describe("heads of a page", () => {
  it("are the scores of each cross entropy against next tokens, by the name of what makes them", async () => {
    expect(await outputsOf(page(main))).toEqual(["logits"]);
    expect(await outputsOf(page(`${main} + 0.3 * cross_entropy(unembed(x) as second, corpus.next)`))).toEqual([
      "logits:unembed",
      "logits:second",
    ]);
    expect(
      await outputsOf(
        page(
          "cross_entropy(s, corpus.next) + 2 * cross_entropy(s, corpus.next)",
          "dim v = corpus.vocab\n  s[context, v] = unembed(x)",
        ),
      ),
    ).toEqual(["logits"]);
    // Scores of other targets are no head, wherever they stand in the loss.
    expect(await outputsOf(page(`${main} + cross_entropy(unembed(x) as again, corpus.token)`))).toEqual(["logits"]);
    expect(await outputsOf(page("cross_entropy(unembed(x), corpus.token)"))).toEqual([]);
  });

  it("are chosen by name", async () => {
    const model = await load(
      await planOf(page(`${main} + 0.3 * cross_entropy(unembed(x) as second, corpus.next)`), ["javascript"], { facts }),
      { device: "javascript" },
    );
    await expect(model.generate("a", { tokens: 2 })).rejects.toThrow(
      "Heads has 2 heads that can be sampled: unembed, second",
    );
    await expect(model.generate("a", { tokens: 2, head: "third" })).rejects.toThrow("no head `third`");
    const scores = model.parameters()["second.weight"]!;
    // The second head says b, whatever the first says.
    scores.set(Float32Array.from(await scores.get(), () => 0));
    const table = model.parameters()["embed.table"]!;
    table.set(Float32Array.from(await table.get(), () => 1));
    scores.set(Float32Array.from(await scores.get(), (_, i) => (i % 3 === 1 ? 5 : 0)));
    expect(await model.generate("a", { tokens: 4, head: "second", temperature: 0 })).toBe("abbbb");
    await model.close();
  });

  it("none is asked for where there is one, or none", () => {
    expect(headOf("M", ["first"], undefined)).toBe("first");
    expect(headOf("M", [], undefined)).toBeNull();
    expect(() => headOf("M", ["first"], "a")).toThrow("one head");
  });
});
