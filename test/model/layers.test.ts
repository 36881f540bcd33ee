/**
 * Layers that are not alike: the number of a layer in numbers, starts and arguments, branches that only some layers
 * have, layers that share their parameters, several `repeat`s over one dim, and none at all. Each is held against the
 * same page written out, or against numbers worked out by hand.
 */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check, compile } from "../../src/compile/compile.js";
import { printModel } from "../../src/model/print.js";
import { entriesOfText, outputsOf } from "../helpers/outputs.js";

const blocks = `
block scale(by)(y[w]) { return [w] = by * y[w] }
block weigh(y[w], start: start = ones) {
  param m[w] ~ start
  return [w] = m[w] * y[w]
}
block add(y[w]) {
  param b[w] ~ zeros
  return [w] = y[w] + b[w]
}
connection plain(x[w], f) { return [w] = f(x) }
connection grow(by)(x[w], f) {
  y[w] = f(x)
  return [w] = by * x[w] + y[w]
}
`;
const page = (body: string, more = ""): string => `model Layers {
  dim width = 2, layers = 4
  input u[width]
  stream x[width] = u
  ${body}
  output y[width] = x
  ${more}
}
${blocks}`;
const u = [1, -2];
const y = (body: string, values: Readonly<Record<string, readonly number[]>> = {}): readonly number[] =>
  outputsOf(page(body), { u, ...values }).get("y")!;
const names = (body: string): readonly string[] => entriesOfText(page(body)).lowered.parameters.map(({ name }) => name);
const errors = (text: string): readonly string[] =>
  check(text, { file: "layers.mhc" })
    .diagnostics.filter(({ severity }) => severity === "error")
    .map(({ message }) => message);

describe("the number of a layer", () => {
  it("counts from 0, in values", () => {
    expect(y("repeat layers as l { x = x * (l + 1) + l }")).toEqual(
      u.map((x) => [0, 1, 2, 3].reduce((value, l) => value * (l + 1) + l, x)),
    );
  });

  it("is that of its own repeat, where one stands in another", () => {
    expect(y("repeat 2 as i { repeat 3 as j { x = 2 * x + 10 * i + j } }")).toEqual(
      u.map((x) => [0, 1, 2, 10, 11, 12].reduce((value, number) => 2 * value + number, x)),
    );
  });

  it("is an argument of a block, and of a connection", () => {
    expect(y("repeat layers as l { x through scale(1 / (l + 1)) via plain }")[0]).toBeCloseTo(1 / 24, 12);
    expect(y("repeat layers as l { x through scale(0) via grow(l % 2 + 1) }")).toEqual(u.map((x) => x * 4));
  });

  it("says how a parameter starts", async () => {
    const text = page("repeat layers as l { x through weigh(start = normal(0.02 / sqrt(l + 1))) via plain }");
    const { plan } = await compile(text, { file: "page.mhc", devices: ["javascript"] });
    expect(plan!.parameters.map(({ name, start }) => [name, start])).toEqual(
      [0, 1, 2, 3].map((l) => [`layers.${l}.weigh.m`, { kind: "normal", deviation: 0.02 / Math.sqrt(l + 1) }]),
    );
  });

  it.each([
    ["x through weigh() via plain\n x = x + size(l)", "`l` depends on the layer, and a size is the same in all layers"],
    ["x = x + y[l]", "`y` is not defined here"],
  ])("is no size: %s", (body, message) => {
    expect(errors(page(`repeat layers as l { ${body} }`))).toEqual([message]);
  });

  it("is to be used, unless it tells the layers from those of another repeat", () => {
    const warnings = (body: string): readonly string[] =>
      check(page(body), { file: "page.mhc" })
        .diagnostics.map(({ message }) => message)
        .filter((message) => message.includes("number"));
    expect(warnings("repeat layers as l { x = 2 * x }")).toEqual(["nothing uses the number `l` of this `repeat`"]);
    expect(warnings("repeat layers { x = 2 * x }\n repeat layers as l { x = 2 * x }")).toEqual([]);
    expect(warnings("repeat layers as l { repeat 2 { if l > 1 { x = 2 * x } } }")).toEqual([]);
  });

  it("means nothing after its repeat, and hides nothing", () => {
    expect(errors(page("repeat layers as l { x = x * l }\n x = x + l"))).toEqual([
      "`l` is defined inside a `repeat`, and means nothing after it",
    ]);
    expect(errors(page("repeat layers as x { x = x * 2 }"))[0]).toBe(
      "`x` is defined outside of this `repeat`, and only a stream changes from layer to layer",
    );
  });
});

describe("an if", () => {
  const body = `repeat layers as l {
    if l % 2 == 1 { x through weigh() via plain }
    else if l == 0 { x through add() via plain }
    else {
      h = x * x
      x = x + h
    }
  }`;
  const values = { "layers.0.add.b": [1, 3], "layers.1.weigh.m": [2, 5], "layers.3.weigh.m": [-1, 7] };

  it("gives each layer the branch that it takes, and no other", () => {
    const [a, b] = [(u[0]! + 1) * 2, (u[1]! + 3) * 5];
    expect(y(body, values)).toEqual([-(a + a * a), 7 * (b + b * b)]);
  });

  it("leaves the parameters of other branches out, of the model and of its plan", async () => {
    expect([...names(body)].sort()).toEqual(Object.keys(values).sort());
    const { plan } = await compile(page(body), { file: "page.mhc", devices: ["javascript"] });
    expect(plan!.parameters.map(({ name }) => name).sort()).toEqual(Object.keys(values).sort());
  });

  it("stands in a model too, and is decided by dims and numbers, from outside as well", () => {
    const text = page("if layers > 4 or 2 * width == 5 { x = 2 * x } else { x through weigh() via plain }");
    const m = [3, 4];
    expect(outputsOf(text, { u, "weigh.m": m }).get("y")).toEqual([3, -8]);
    expect(outputsOf(text, { u }, { set: { layers: "5" } }).get("y")).toEqual([2, -4]);
    expect(entriesOfText(text, { set: { layers: "5" } }).lowered.parameters).toEqual([]);
  });

  it("follows a stream through both branches: what either needs is needed", () => {
    const text = page("x through weigh() via plain\n if layers > 2 { x = u } else { x = 2 * x }");
    const { diagnostics } = check(text, { file: "page.mhc" });
    expect(diagnostics.map(({ message }) => message).filter((message) => /thrown away/.test(message))).toEqual([]);
    const always = page("x through weigh() via plain\n if layers > 2 { x = u } else { x = 2 * u }");
    expect(check(always, { file: "page.mhc" }).diagnostics.map(({ message }) => message)).toContain(
      "this value of `x` is thrown away: nothing reads it before it is replaced, nor at the end",
    );
  });

  it("chooses the items of a block for each use of it", () => {
    const chosen = `block chosen(kind)(y[w]) {
  if kind == 1 {
    param m[w] ~ ones
    h[w] = m[w] * y[w]
  } else if kind == 2 { h[w] = y[w] * y[w] }
  else {
    dim v = w
    h[v] = y[v] + 1
  }
  return [w] = h[w]
}`;
    const uses = [1, 2, 3].map((kind) => `x through chosen(${kind}) via plain as ${"-abc"[kind]}`);
    const text = `${page(uses.join("\n"))}${chosen}`;
    expect(outputsOf(text, { u, "a.m": [3, 0.5] }).get("y")).toEqual([10, 2]);
    expect(entriesOfText(text).lowered.parameters.map(({ name }) => name)).toEqual(["a.m"]);
  });

  it.each([
    ["if x > 0 { x = 2 * x }", "`x` is computed while the page runs, and an `if` is decided when the page is compiled"],
    ["if layers { x = 2 * x }", "a condition compares two numbers"],
    ["if layers > 2 { h = 2 * x }\n x = h", "`h` is defined inside an `if`, and means nothing after it"],
    [
      "h = 2 * x\n if layers > 2 { h = 3 * x }\n x = h",
      "`h` is defined outside of this `if`, and only a stream changes in it",
    ],
    [
      "repeat layers as l { x through chosen(l) via plain }",
      "`l == 1` depends on the layer, and an `if` of a block is decided once for all layers",
    ],
    [
      "if layers > 2 { x through weigh() via plain } else { x through weigh() via plain }",
      "`weigh` is used a second time here, and its parameters need a name of their own",
    ],
    [
      "if layers > 2 { x = weigh(x) }\n x = x + weigh.m",
      "`weigh.m` stands inside an `if`, and is not there without it",
    ],
  ])("%s is refused", (body, message) => {
    const chosen =
      "block chosen(kind)(y[w]) { if kind == 1 { h[w] = y[w] } else { h[w] = 2 * y[w] }\n return [w] = h[w] }";
    expect(errors(page(body) + chosen)).toEqual([message]);
  });
});

describe("layers that share their parameters", () => {
  const text = `model Shared {
  dim width = 2
  input u[width]
  input v[width]
  stream x[width] = u
  repeat 3 as l shared { x through weigh() via grow(l) }
  loss = sum[width]((x - v) ^ 2)
  train { batch = 1, steps = 2, optimizer = sgd(rate = 0.1) }
}
${blocks}`;

  it("have one of each, and its gradient is the sum over the layers", () => {
    const entries = entriesOfText(text);
    expect(entries.lowered.parameters.map(({ name }) => name)).toEqual(["repeat.weigh.m"]);
    const [m, v] = [0.5, 0.25];
    const values = { u: [1, 2], v: [v, v], "repeat.weigh.m": [m, m] };
    const gradient = outputsOf(text, values, { entry: "gradients" }).get("gradient:repeat.weigh.m")!;
    // x = u m (1 + m) (2 + m), of which the derivative by m is u ((1 + m) (2 + m) + m (2 + m) + m (1 + m)).
    const slope = (1 + m) * (2 + m) + m * (2 + m) + m * (1 + m);
    [1, 2].forEach((start, i) => {
      const x = start * m * (1 + m) * (2 + m);
      expect(gradient[i]).toBeCloseTo(2 * (x - v) * start * slope, 12);
    });
  });

  it("start alike", () => {
    expect(errors(page("repeat layers as l shared { x through weigh(start = constant(l)) via plain }"))).toEqual([
      "this start depends on the layer, and all layers of `repeat layers shared` have one parameter",
    ]);
    expect(
      errors(page("repeat layers as l { repeat 2 shared { x through weigh(start = constant(l)) via plain } }")),
    ).toEqual([]);
  });

  it("stand in layers that do not, and hold some", () => {
    const body =
      "repeat 2 { repeat layers shared { x through add() via plain\n repeat 2 as k { x through weigh() via plain } } }";
    expect(names(body)).toEqual([
      "repeat.0.layers.add.b",
      "repeat.0.layers.repeat.0.weigh.m",
      "repeat.0.layers.repeat.1.weigh.m",
      "repeat.1.layers.add.b",
      "repeat.1.layers.repeat.0.weigh.m",
      "repeat.1.layers.repeat.1.weigh.m",
    ]);
  });

  it("has the parameters of a branch that some of them take", () => {
    expect(
      names("repeat layers as l shared { if l > 2 { x through add() via plain } else if l > 7 { x = weigh(x) } }"),
    ).toEqual(["layers.add.b"]);
  });
});

describe("several repeats over one dim", () => {
  it("are told apart by the name of a layer's number", () => {
    const body = "repeat layers { x through add() via plain }\n repeat layers as k { x through weigh() via plain }";
    expect(names(body)).toEqual([
      ...[0, 1, 2, 3].map((l) => `layers.${l}.add.b`),
      ...[0, 1, 2, 3].map((k) => `k.${k}.weigh.m`),
    ]);
    const claimed = page(body, "constrain {\n k.weigh.m on box\n }");
    const { model } = check(claimed, { file: "page.mhc" });
    expect(model?.parameters.map(({ name, on }) => [name, on !== null])).toEqual([
      ["layers.*.add.b", false],
      ["k.*.weigh.m", true],
    ]);
    const same = body.replaceAll("add()", "weigh()");
    expect(errors(page(same, "constrain { norm[w](weigh.m) <= 1 monitored }"))).toEqual([
      "`weigh.m` may be `layers.weigh.m` or `k.weigh.m`",
    ]);
  });

  it("without a name are refused, and say how to name one", () => {
    const text = page("repeat layers { x through add() via plain }\n repeat layers { x through weigh() via plain }");
    const [error] = check(text, { file: "page.mhc" }).diagnostics;
    expect(error!.code).toBe("MHC211");
    expect(error!.fix).toContain("repeat layers as other");
  });
});

describe("no layers", () => {
  it("leave the streams as they are, and make no parameters", () => {
    const text = page("repeat layers { x through weigh() via plain }");
    expect(outputsOf(text, { u }, { set: { layers: "0" } }).get("y")).toEqual(u);
    expect(entriesOfText(text, { set: { layers: "0" } }).lowered.parameters).toEqual([]);
  });

  it("are no axis", () => {
    const { diagnostics } = check(page("x through weigh() via plain"), { file: "page.mhc", set: { width: "0" } });
    expect(diagnostics[0]!.message).toBe("`width` is 0, and a dim that is an axis is at least 1");
    expect(errors(page("").replace("layers = 4", "layers = 1 - width"))).toEqual([
      "`layers` is -1, and a dim is not negative",
    ]);
  });
});

describe("what is known of such layers", () => {
  it("a gain is proved layer by layer", () => {
    const proof = (body: string, bound: number): readonly string[] | null | undefined =>
      check(page(body, `constrain { gain(x) <= ${bound} }`), { file: "page.mhc" }).model?.claims[0]?.proof;
    // Factors 1, 2, 3, 4.
    expect(proof("repeat layers as l { x through add() via grow(l + 1) }", 24)?.at(-1)).toBe(
      "gain(x) is at most the product of these, 24",
    );
    expect(proof("repeat layers as l { x through add() via grow(l + 1) }", 23.9)).toBeUndefined();
    const some = "repeat layers as l { if l == 3 { x through add() via grow(3) } else { x = x } }";
    expect(proof(some, 3)?.some((step) => step.includes("of layer 3"))).toBe(true);
    expect(proof(some, 2.9)).toBeUndefined();
  });

  it("a claim is of no layers where a repeat stands in a branch that is not taken, or has none", async () => {
    const body =
      "if layers > 9 { repeat layers { x = wide(x) } }\n repeat layers as l { x through add() via grow(l + 1) }";
    const text = page(body, "constrain { norm(wide.m) <= 1 monitored\n gain(x) <= 24 }").replace(
      "block add",
      "block wide(y[w]) { param m[w, v] ~ ones\n return [v] = m[w, v] * y[w] }\nblock add",
    );
    const { plan, diagnostics } = await compile(text, { file: "p.mhc", devices: ["javascript"], monitors: "all" });
    expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(plan!.parameters.map(({ name }) => name)).toEqual([0, 1, 2, 3].map((l) => `l.${l}.add.b`));
    expect(check(text, { file: "p.mhc", set: { layers: "0" } }).model).not.toBeNull();
  });

  it("what not every layer has cannot be shrunk, nor claimed over the layers", () => {
    const blocksOf = (more: string): string => `model Unlike {
  dim width = 4, layers = 3
  input u[width]
  stream x[width] = u
  repeat layers as l { if l > 0 { x through wide(8) via plain } }
  repeat layers as k shared { x through wide(6) via plain as narrow }
  loss = sum[width](x ^ 2)
  ${more}
  train { batch = 1, steps = 2, optimizer = sgd(rate = 0.1) }
}
block wide(hidden)(y[w]) {
  param up[w, hidden] ~ normal(0.1)
  h[hidden] = y[w] * up[w, hidden]
  return [w] = h[hidden] * up[w, hidden]
}
${blocks}`;
    const shrunk = (what: string): readonly string[] =>
      errors(blocksOf(`cost { device laptop\n flops <= 50%\n shrink ${what} }`));
    expect(shrunk("layers")).toEqual(["`layers` cannot be shrunk: its layers are not alike: there is an `if` in them"]);
    expect(shrunk("wide")).toEqual(["`wide` cannot be shrunk: it stands in an `if`, and not every layer has it"]);
    expect(shrunk("wide.hidden")).toEqual(["`wide.hidden` cannot be shrunk: `wide.up` has it and stands in an `if`"]);
    expect(shrunk("k")).toEqual(["`k` cannot be shrunk: the layers of `repeat k shared` have one set of parameters"]);
    expect(errors(blocksOf("constrain { product[layers](norm(wide.up)) <= 8 monitored }"))).toEqual([
      "`wide.up` stands in an `if`, and not every layer has it",
    ]);
    expect(errors(blocksOf("constrain { norm(wide.up) <= 8 monitored }"))).toEqual([]);
  });
});

describe("the text of such layers", () => {
  it("is printed and formatted as it is meant", () => {
    const text = `model M {
  repeat layers as l shared {
    if l % 2 == 1 { // odd
      x = 2 * x
    } else if l == 0 {
      // nothing else
      x = 3 * x
    } else {
      repeat 2 {
        x = x
      }
    }
    // behind
  }
}

block f(k)(y[w]) {
  if k == 1 {
    dim a = 2, b = 3
    param m[w] ~ ones
  }
  return [w] = y
}
`;
    expect(format(text, "m.mhc").text).toBe(text);
    const { model } = check(page("repeat layers as l shared { if l > 0 { x = x * l } else { x = x } }"), {
      file: "m.mhc",
    });
    expect(printModel(model!)).toContain(`  repeat layers = 4 as l shared {
    if l > 0 {
      x[width] <- (x[width] * l)
    } else {
      x[width] <- x[width]
    }
  }`);
  });
});
