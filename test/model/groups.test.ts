/** `group` and `freeze`: which parameters a target stands for, what is warned of, and how both are laid out. */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { printModel } from "../../src/model/print.js";

interface Parts {
  readonly clauses?: string;
  readonly items?: string;
  readonly loss?: string;
}

const page = ({ clauses = "", items = "", loss = "" }: Parts): string => `model M {
  dim context = 4, width = 4, layers = 2
  data corpus = characters("t.txt", window = context)
  param scale[width] ~ normal(1)
  stream x[context, width] = embed(corpus.token)
  repeat layers {
    x through own
    x through mlp(8)
  }
  ${items}
  y[context, width] = x[context, width] * scale[width]
  loss = cross_entropy(unembed(y), corpus.next)${loss}
  train {
    batch = 2, steps = 30, optimizer = adamw(rate = 1e-2, betas = (0.8, 0.9), decay = 0.5)
    ${clauses}
  }
}

block own(y[t, w]) {
  dim v = w
  param up[w, v], bias[v] ~ zeros
  return [t, v] = y[t, w] * up[w, v] + bias[v]
}
`;

function modelOf(text: string, set: Readonly<Record<string, string>> = {}) {
  const { model, diagnostics } = check(text, { file: "m.mhc", set });
  if (!model) throw new Error(diagnostics.map(({ message, fix }) => `${message} (${fix})`).join("\n"));
  return { model, warnings: diagnostics.map(({ code, message }) => `${code} ${message}`) };
}

const frozen = (targets: string, set: Readonly<Record<string, string>> = {}): readonly string[] =>
  [...modelOf(page({ clauses: targets && `freeze ${targets}` }), set).model.train!.frozen].sort();

const OWN = ["layers.0.own.bias", "layers.0.own.up", "layers.1.own.bias", "layers.1.own.up"];

describe("a target stands for", () => {
  it.each<readonly [target: string, names: readonly string[]]>([
    ["embed", ["embed.table"]],
    ["embed.table", ["embed.table"]],
    ["scale", ["scale"]],
    ["own", OWN],
    ["own.bias", ["layers.0.own.bias", "layers.1.own.bias"]],
    ["layers.1.own", ["layers.1.own.bias", "layers.1.own.up"]],
    // A part is whole: `up` is no part of another word.
    ["own.up, embed", ["embed.table", "layers.0.own.up", "layers.1.own.up"]],
    ['"*.bias"', ["layers.0.own.bias", "layers.1.own.bias"]],
    ['"layers.*.own"', OWN],
    ['"layers.0.*.up"', ["layers.0.mlp.up", "layers.0.own.up"]],
    ['"em*"', ["embed.table"]],
    ['"scale"', ["scale"]],
    ['"*e*.t*e"', ["embed.table"]],
    ['"layers.*.*.*.gain"', ["layers.0.mlp.norm.gain", "layers.1.mlp.norm.gain"]],
    // A pattern is held against whole names.
    ['"layers.1.own.b*"', ["layers.1.own.bias"]],
    ["embeddings", ["embed.table"]],
    [
      "vectors",
      ["layers.0.mlp.norm.gain", "layers.0.own.bias", "layers.1.mlp.norm.gain", "layers.1.own.bias", "scale"],
    ],
  ])("%s", (target, names) => expect(frozen(target)).toEqual(names));

  it("matrices: what has two axes or more", () => {
    const matrices = frozen("matrices");
    expect(matrices).toContain("embed.table");
    expect(matrices).toContain("layers.0.own.up");
    expect([...matrices, ...frozen("vectors")].sort()).toEqual(frozen('"*"'));
  });

  it("embeddings: what is read by an index, under whatever names it is handed on", () => {
    const tied = page({ items: "h[context, width] = read(scales, corpus.token)" })
      .replace("param scale[width]", "dim letters = corpus.vocab\n  param scales[letters, width], scale[width]")
      .replace("unembed(y)", "unembed(y + h)");
    const reading = "block read(table[v, w], token[t]) {\n  return [t, w] = table[token[t], w]\n}\n";
    const text = `${tied}\n${reading}`.replace("batch = 2", "freeze embeddings\n    batch = 2");
    expect([...modelOf(text).model.train!.frozen].sort()).toEqual(["embed.table", "scales"]);
  });

  it("what a flag says, in place of the page", () => {
    expect(frozen("", { "train.freeze": "own.bias, layers.0.own" })).toEqual(OWN.filter((name) => name !== OWN[3]));
    expect(frozen("embed", { "train.freeze": '"scale"' })).toEqual(["scale"]);
    expect(frozen("embed", { "train.freeze": "(scale, layers.0.own.up)" })).toEqual(["layers.0.own.up", "scale"]);
    expect(() => frozen("embed", { "train.freeze": "(scale, embed" })).toThrow("expected");
    expect(frozen("embed", { "train.freeze": "none" })).toEqual([]);
  });
});

describe("a group", () => {
  const groups = (clauses: string, set: Readonly<Record<string, string>> = {}) =>
    modelOf(page({ clauses }), set).model.train!.groups.map(({ optimizer, decaysAll, members }) => ({
      optimizer,
      decaysAll,
      members: [...members].sort(),
    }));
  const adamw = { kind: "adamw", riemannian: false, betas: [0.8, 0.9], epsilon: 1e-8 } as const;

  it("has what the page says where it says nothing", () => {
    expect(
      groups('group embed, scale { rate = 10% }\n group "*.bias" { decay = 0, betas = (0.5, 0.6), rate = 3e-3 }'),
    ).toEqual([
      {
        optimizer: { ...adamw, rate: { kind: "constant", value: 1e-3 }, decay: 0.5 },
        decaysAll: false,
        members: ["embed.table", "scale"],
      },
      {
        optimizer: { ...adamw, rate: { kind: "constant", value: 3e-3 }, decay: 0, betas: [0.5, 0.6] },
        decaysAll: true,
        members: ["layers.0.own.bias", "layers.1.own.bias"],
      },
    ]);
  });

  it("follows the rate of the page where it has a part of it, also one from outside", () => {
    const rate = { "train.rate": "wsd(1, 0.1, warmup = 3)", "train.decay": "0.25" };
    expect(groups("group embed { rate = 50% }", rate)[0]!.optimizer).toMatchObject({
      rate: { kind: "wsd", from: 0.5, to: 0.05, warmup: 3, decay: { kind: "share", share: 0.2 }, shape: "linear" },
      decay: 0.25,
    });
  });

  it("along manifolds is told what its optimizer has by the optimizer's own name", () => {
    const text = page({ clauses: "group embed { momentum = 0.9 }" }).replace("adamw(", "radam(");
    expect(() => modelOf(text)).toThrow("`radam` has no `momentum` (it has `rate`, `betas`, `epsilon`, `decay`)");
  });

  it("may have another optimizer, with the page's rate and decay and its own defaults", () => {
    const [plain, all] = groups(
      "group embed { optimizer = muon }\n group own { optimizer = sgd(0.3, decay = 0.1), momentum = 0.7 }",
    );
    expect(plain).toMatchObject({
      optimizer: {
        kind: "muon",
        rate: { kind: "constant", value: 1e-2 },
        decay: 0.5,
        momentum: 0.95,
        nesterov: true,
        betas: [0.9, 0.95],
      },
      decaysAll: false,
    });
    expect(all).toMatchObject({
      optimizer: { kind: "sgd", rate: { kind: "constant", value: 0.3 }, decay: 0.1, momentum: 0.7 },
      decaysAll: true,
    });
  });
});

describe("frozen", () => {
  it("behind a parameter is of all that share the start, stands in the printed model, and is laid out", () => {
    const text = page({}).replace("bias[v] ~ zeros", "bias[v]~zeros   frozen");
    const { model } = modelOf(text);
    expect(model.parameters.filter((parameter) => parameter.frozen).map(({ name }) => name)).toEqual([
      "layers.*.own.up",
      "layers.*.own.bias",
    ]);
    expect(printModel(model)).toContain("param layers.*.own.bias[v: width = 4] ~ constant(0) frozen\n");
    const { text: laidOut } = format(text, "m.mhc");
    expect(laidOut).toContain("  param up[w, v], bias[v] ~ zeros frozen\n");
    expect(format(laidOut!, "m.mhc").text).toBe(laidOut);
  });

  it("behind a set is of that parameter alone", () => {
    const text = page({}).replace(
      "up[w, v], bias[v] ~ zeros",
      "up[w, v] ~ normal(1) on sphere frozen, bias[v] ~ zeros",
    );
    const { model } = modelOf(text);
    expect(model.parameters.flatMap(({ name, frozen: is, on }) => (is ? [[name, on?.manifold.set.name]] : []))).toEqual(
      [["layers.*.own.up", "sphere"]],
    );
    expect(format(text, "m.mhc").text).toContain("up[w, v] ~ normal(1) on sphere frozen, bias[v] ~ zeros\n");
  });

  it("is a name like any other elsewhere", () =>
    expect(modelOf(page({ items: "dim frozen = 3, freeze = frozen\n  allow MHC220" })).model.dims).toHaveLength(5));
});

describe("what is warned of", () => {
  const still = "  param still[width] ~ zeros STILL\n  z[context, width] = y[context, width] + 0 * still[width]";
  const unreached = (word: string, clauses = ""): readonly string[] =>
    modelOf(
      page({ clauses })
        .replace("  loss =", `${still.replace("STILL", word)}\n  loss =`)
        .replace("unembed(y)", "unembed(z)"),
    ).warnings;

  it("is a parameter that no gradient reaches, unless it is frozen", () => {
    expect(unreached("")).toEqual(["MHC221 no gradient reaches `still`: training leaves it as it starts"]);
    expect(unreached("frozen")).toEqual([]);
    expect(unreached("", "freeze still")).toEqual([]);
  });

  const ALL = "MHC506 everything that could learn is frozen: training changes nothing";
  const GROUP = "MHC506 everything in this group is frozen: its settings change nothing";
  it.each([
    ['freeze "*"', [ALL]],
    ["freeze vectors, matrices", [ALL]],
    ["freeze vectors", []],
    ["freeze embed, layers.0\n    group embed, layers.0 { rate = 10% }", [GROUP]],
    ["freeze embed\n    group embed, layers.0 { rate = 10% }", []],
    ['freeze "*"\n    group embed { rate = 10% }', [ALL, GROUP]],
  ])("%j", (clauses, warnings) => expect(modelOf(page({ clauses })).warnings).toEqual(warnings));
});

describe("clauses are laid out", () => {
  it.each([
    ['freeze   embed,layers.0 ,"*.bias",steps2.x', '    freeze embed, layers.0, "*.bias", steps2.x\n'],
    ["clip = 1, freeze embed,layers.0, seed=3", "    clip = 1, freeze embed, layers.0, seed = 3\n"],
    ["freeze embed,\n      scale\n    seed = 3", "    freeze embed, scale\n    seed = 3\n"],
    ['group "*.bias",embed{rate=10%,decay = 0}', '    group "*.bias", embed { rate = 10%, decay = 0 }\n'],
    [
      "group embed { // why\n rate = 10% // a tenth\n\n// and\ndecay=0, betas=(0.5,0.6)\n}",
      "    group embed { // why\n      rate = 10% // a tenth\n\n" +
        "      // and\n      decay = 0, betas = (0.5, 0.6)\n    }\n",
    ],
    [
      "group embed { rate = 1 }, group scale { rate = 2 } seed = 3",
      "    group embed { rate = 1 }\n    group scale { rate = 2 }\n    seed = 3\n",
    ],
    ["freeze embed, group scale { rate = 2 }", "    freeze embed\n    group scale { rate = 2 }\n"],
  ])("%j", (clauses, laidOut) => {
    const { text, diagnostics } = format(page({ clauses }), "m.mhc");
    expect(diagnostics).toEqual([]);
    expect(text).toContain(laidOut);
    expect(format(text!, "m.mhc").text).toBe(text);
  });

  it("and words that begin them are settings' names elsewhere", () => {
    const { diagnostics } = check(page({ clauses: "group = 3, freeze = 4" }), { file: "m.mhc" });
    expect(diagnostics.map(({ message }) => message)).toEqual([
      "`group` is not a setting of `train`",
      "`freeze` is not a setting of `train`",
    ]);
  });
});
