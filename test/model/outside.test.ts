/** Settings from outside: whatever can be written in `train` can be set, and what is wrong stands in the flag. */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import type { TrainSettings } from "../../src/model/typed.js";

type Settings = Readonly<Record<string, string>>;

const page = (optimizer: string, more = ""): string => `model M {
  dim context = 8, width = 8, hidden = 16
  data corpus = characters("text.txt", window = context)
  manifold Space = birkhoff
  stream x[context, width] = embed(corpus.token)
  x through mlp(hidden)
  loss = cross_entropy(unembed(x), corpus.next)
  train {
    batch = 4, steps = 100, optimizer = ${optimizer}${more}
  }
}
`;

const train = (text: string, set: Settings = {}): TrainSettings => {
  const { model, diagnostics } = check(text, { file: "m.mhc", set });
  if (!model?.train) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return model.train;
};

/** Settings without their places. */
const plain = ({ precision, memory, ...rest }: TrainSettings): unknown => ({
  ...rest,
  precision: precision?.word ?? null,
  memory: memory?.bytes ?? null,
});

describe("what is set is what would be written", () => {
  const muon = "muon(rate = 1e-2)";
  it.each<readonly [set: Settings, written: string]>([
    [{ "train.rate": "3e-3" }, page("muon(rate = 3e-3)")],
    [{ "train.rate": ".003" }, page("muon(rate = 3e-3)")],
    [{ "train.rate": "cosine(1e-3, 1e-4, warmup = 10)" }, page("muon(rate = cosine(1e-3, 1e-4, warmup = 10))")],
    [{ "train.rate": "wsd(1e-3, 0, decay = 30%)" }, page("muon(rate = wsd(1e-3, 0, decay = 30%))")],
    [{ "train.rate": "pieces((0%, 0), (10, 1e-3))" }, page("muon(rate = pieces((0%, 0), (10, 1e-3)))")],
    [
      { "train.betas": "(0.8, 0.9)", "train.epsilon": "1e-6", "train.decay": "10%" },
      page("muon(rate = 1e-2, betas = (0.8, 0.9), epsilon = 1e-6, decay = 0.1)"),
    ],
    [
      { "train.momentum": "0.5", "train.nesterov": "false" },
      page("muon(rate = 1e-2, momentum = 0.5, nesterov = false)"),
    ],
    [{ "train.optimizer": "sgd(rate = 0.1, momentum = 0.9)" }, page("sgd(rate = 0.1, momentum = 0.9)")],
    [{ "train.optimizer": "sgd(0.1)", "train.rate": "0.2" }, page("sgd(0.2)")],
    [{ "train.optimizer": "radam", "train.rate": "0.2" }, page("radam(0.2)")],
    [
      { "train.clip": "0.5", "train.seed": "7", "train.precision": "f16" },
      page(muon, ", clip = 0.5, seed = 7, precision = f16"),
    ],
    [{ "train.memory": "2 GiB", "train.recompute": "every 3" }, page(muon, ", recompute = every 3, memory <= 2 GiB")],
    [
      { "train.batch": "width", "train.steps": "2 * 50", "train.recompute": "auto" },
      page(muon.replace("muon", "muon"), ", recompute = auto").replace("batch = 4", "batch = 8"),
    ],
  ])("%j", (set, written) => {
    expect(plain(train(page(muon), set))).toEqual(plain(train(written)));
  });

  it("also where the page says something else, and of dims and manifolds", () => {
    const text = page("adamw(rate = 1, betas = (0.5, 0.5))", ", clip = 3, recompute = off, memory <= 1 GiB");
    const set = {
      "train.rate": "2",
      "train.betas": "(0.1, 0.2)",
      "train.clip": "1",
      "train.recompute": "every 2",
      "train.memory": "4 kB",
    };
    expect(plain(train(text, set))).toEqual(
      plain(train(page("adamw(rate = 2, betas = (0.1, 0.2))", ", clip = 1, recompute = every 2, memory <= 4 kB"))),
    );
    const { model } = check(text, { file: "m.mhc", set: { hidden: "4 * width", Space: "sphere" } });
    expect([
      model!.dims.find(({ name }) => name === "hidden")!.size,
      model!.manifolds[0]!.manifold.set.name,
    ]).toMatchObject([{ value: 32 }, "sphere"]);
    const { diagnostics } = check(text, { file: "m.mhc", set: { Space: "birkhoff(iterations = 5, truncated)" } });
    expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  });
});

describe("what is wrong is said of the flag, at the place in it", () => {
  it.each([
    ["train.rate", "-1", "-1", "`rate` must be above 0"],
    ["train.rate", "fast", "fast", "there is no dim `fast` here"],
    ["train.rate", "cosine(1, 2", " ", "expected `)`"],
    ["train.rate", "“1”", "“1”", "straight"],
    ["train.rate", "1e-3f", "1e-3f", "not a number"],
    ["train.betas", "0.9", "0.9", "two numbers"],
    ["train.betas", "(0.9, 2)", "2", "below 1"],
    ["train.nesterov", "true", "true", "`sgd` has no `nesterov`"],
    ["train.optimizer", "adamx(1)", "adamx(1)", "not an optimizer"],
    ["train.optimizer", "sgd(lr = 1)", "lr", "not a setting of `sgd`"],
    ["train.precision", "f8", "f8", "not a precision"],
    ["train.memory", "2", "2", "a size above 0"],
    ["train.recompute", "some", "some", "recompute"],
    ["train.clip", "every 2", "every 2", "for `recompute`"],
    ["train.batch", "1.5", "1.5", "whole number"],
    ["train.steps", "", " ", "expected an expression"],
    ["train.rat", "1", "train.rat", "no dim, manifold or setting"],
    ["rate", "1", "rate", "no dim, manifold or setting"],
    ["width", "0", "0", "at least 1"],
    ["width", "8.5", "8.5", "whole number"],
    ["width", "wide", "wide", "no dim `wide`"],
    ["Space", "flat", "flat", "not a manifold"],
    ["Space", "3", "3", "not a manifold"],
  ])("%s=%s", (name, value, place, message) => {
    const set = { [name]: value };
    const { model, diagnostics, sources } = check(page(name === "train.nesterov" ? "sgd(0.1)" : "adamw(0.1)"), {
      file: "m.mhc",
      set,
    });
    expect(model).toBeNull();
    expect(diagnostics).toHaveLength(1);
    const { span } = diagnostics[0]!;
    expect(span.file).toBe(`--set ${name}`);
    expect(`${sources(span.file)!} `.slice(span.start, span.end)).toBe(place);
    const shown = render(diagnostics[0]!, sources);
    expect(shown).toContain(message);
    expect(shown).toContain(`1 | ${name}=${value}`);
  });

  it("and a page without `train` has none of its settings", () => {
    const text = "model M {\n  dim n = 3\n  input u[n]\n  output y[n] = u\n}\n";
    expect(check(text, { file: "m.mhc", set: { "train.rate": "1" } }).diagnostics).toMatchObject([
      { code: "MHC501", span: { file: "--set train.rate" } },
    ]);
  });
});
