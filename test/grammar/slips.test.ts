/**
 * Slips of the pen: what people write out of habit from other languages, word processors and keyboards. Each is one
 * error, at the slip, that says what to write; or it is harmless, and the formatter writes the one form.
 */
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { format } from "../../grammar/format.js";
import { parse } from "../../grammar/parse.js";
import { check } from "../../src/compile/compile.js";

const PAGE = `/// A decoder.
model Tiny {
  dim context = 8, width = 8, heads = 2, layers = 1, lanes = 2
  data corpus = characters("corpus.txt", window = context, holdout = 20%)
  manifold Mixing = birkhoff(iterations = 20) adapt relax in 0 .. 1
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  repeat layers {
    x through attention(heads) via mhc(Mixing)
    x through mlp(hidden = 2 * width) via mhc(Mixing)
  }
  x through own() via hc
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train {
    batch = 4, steps = 20, seed = 1
    optimizer = muon(rate = 1e-2, nesterov = true)
    memory <= 2 GiB
  }
}

block own(y[t, w]) {
  dim u = t
  param a[w] ~ normal(0.02)
  s[t, u] = y[t, w] * y[u, w]
  z[t, w] = softmax[u](s where u <= t) * y[u, w]
  return [t, w] = z[t, w] * a[w] ^ 2
}
`;

/** The page with a slip; the slip must stand in it once. */
function slipped(right: string, wrong: string): string {
  expect(PAGE.split(right).length, right).toBe(2);
  return PAGE.replace(right, () => wrong);
}

/** What is written, what was meant, what is underlined, and a part of the fix. */
const SLIPS: readonly (readonly [wrong: string, right: string, place: string, fix: string])[] = [
  // Text.
  ['"C:\\data\\new.txt"', '"corpus.txt"', "\\d", '`"C:/data/new.txt"`'],
  ['"data\\new.txt"', '"corpus.txt"', "\\n", '`"data/new.txt"`'],
  ['"C:\\data\\"', '"corpus.txt"', '"C:\\data\\", window = context, holdout = 20%)', "`/`"],
  ['"corpus.txt”', '"corpus.txt"', '"corpus.txt”, window = context, holdout = 20%)', 'straight `"`'],
  ...[
    "“corpus.txt”",
    "„corpus.txt“",
    "«corpus.txt»",
    "»corpus.txt«",
    "‹corpus.txt›",
    "「corpus.txt」",
    "『corpus.txt』",
    "＂corpus.txt＂",
    "‘corpus.txt’",
    "'corpus.txt'",
    "`corpus.txt`",
    "``corpus.txt''",
    '“corpus.txt"',
  ].map((text) => [text, '"corpus.txt"', text, '`"corpus.txt"`'] as const),
  // Numbers.
  ["rate = 1e-2f", "rate = 1e-2", "1e-2f", "`1e-2`"],
  ["rate = 1e", "rate = 1e-2", "1e", "`1e-3`"],
  ["rate = 0x10", "rate = 1e-2", "0x10", "`16`"],
  ["steps = 2k", "steps = 20", "2k", "`2000`"],
  ["steps = 1,000", "steps = 20", "1,000", "`1000`"],
  ["memory <= 2G", "memory <= 2 GiB", "2G", "`2 GiB`"],
  ["memory <= 2Gib", "memory <= 2 GiB", "2Gib", "`GiB`"],
  ["memory <= 2 gigabytes", "memory <= 2 GiB", "gigabytes", "GiB"],
  ["holdout = 20)", "holdout = 20%)", "20", "`20%`"],
  ["20 %", "20%", "%", "`20%`"],
  ["20percent", "20%", "20percent", "`20%`"],
  ["２０％", "20%", "２０％", "`20%`"],
  ["１e-2", "1e-2", "１", "`1`"],
  ["1e–2", "1e-2", "–", "`-`"],
  ["1e−2", "1e-2", "−", "`-`"],
  ["2 × width", "2 * width", "×", "`*`"],
  ["2·width", "2 * width", "·", "`*`"],
  ["2 width", "2 * width", "width", "`2 * width`"],
  ["2width", "2 * width", "2width", "`2 * width`"],
  ["+2 * width", "2 * width", "+", "out"],
  // Comments.
  ["# A decoder.", "/// A decoder.", "# A decoder.", "`// A decoder.`"],
  ["-- A decoder.", "/// A decoder.", "-- A decoder.", "`// A decoder.`"],
  ["/* A decoder. */", "/// A decoder.", "/* A decoder. */", "`// A decoder.`"],
  ["/* A\n decoder. */", "/// A decoder.", "/* A", "`// A`"],
  ['""" A decoder. """', "/// A decoder.", '""" A decoder. """', "`// A decoder.`"],
  ["<!-- A decoder. -->", "/// A decoder.", "<!-- A decoder. -->", "`// A decoder.`"],
  ["seed = 1 # fixed", "seed = 1", "# fixed", "`// fixed`"],
  ["20%) -- held out", "20%)", "-- held out", "`// held out`"],
  // Lists, lines and brackets.
  ["seed = 1;", "seed = 1", ";", "out"],
  ["dim context = 8 width = 8,", "dim context = 8, width = 8,", "width", "`8, width …`"],
  ["lanes = 2 t = 2", "lanes = 2", "t", "comma"],
  ["context = 8,, width", "context = 8, width", ",", "one of the commas"],
  ["x[lanes context, width]", "x[lanes, context, width]", "context", "`lanes, context`"],
  ["x[lanes][context][width]", "x[lanes, context, width]", "[context]", "one pair"],
  ["x(lanes, context, width)", "x[lanes, context, width]", "(", "brackets"],
  ["x[lanes, context, width)", "x[lanes, context, width]", ")", "`]`"],
  ["x[lanes, ..., width]", "x[lanes, context, width]", "...", "written out"],
  ["x（lanes， context， width）", "x[lanes, context, width]", "（", "`(`"],
  ["rate = 1e-2 nesterov", "rate = 1e-2, nesterov", "nesterov", "`1e-2, nesterov`"],
  ["attention(heads) via mhc(Mixing),", "attention(heads) via mhc(Mixing)", ",", "out"],
  ["attention(heads), via", "attention(heads) via", ",", "out"],
  ["y[u, w])\n  z", "y[u, w]\n  z", ")", "nothing is open"],
  ["y[u, w\n  z", "y[u, w]\n  z", "\n", "`]`"],
  ["stream x =", "stream x[lanes, context, width] =", "=", "`stream y[t, w] = …`"],
  ["input i[width], j[width]\n  loss", "loss", ",", "new line"],
  ["softmax[u](s where u <= t)[t]", "softmax[u](s where u <= t)", "[t]", "`r[t] = softmax[u](s where u <= t)`"],
  ["y[t, w] y[u, w]", "y[t, w] * y[u, w]", "y", "`*`"],
  ["y[t, w] * y[u, w] *", "y[t, w] * y[u, w]", "*", "next"],
  ["y[t, w] \\\n    * y[u, w]", "y[t, w] * y[u, w]", "\\", "next line"],
  // Signs.
  ["rate := 1e-2", "rate = 1e-2", ":=", "`=`"],
  ["rate: 1e-2", "rate = 1e-2", ":", "`=`"],
  ["batch: 4", "batch = 4", ":", "`=`"],
  ["batch == 4", "batch = 4", "==", "`=`"],
  ["batch 4", "batch = 4", "4", "`batch = 4`"],
  ["dim context: 8", "dim context = 8", ":", "`=`"],
  ["dim context == 8", "dim context = 8", "==", "`=`"],
  ["loss: cross", "loss = cross", ":", "`=`"],
  ["loss == cross", "loss = cross", "==", "`=`"],
  ["a[w] = normal", "a[w] ~ normal", "=", "`~`"],
  ["a[w]: normal", "a[w] ~ normal", ":", "`~`"],
  ["a[w] ～ normal", "a[w] ~ normal", "～", "`~`"],
  ["a[w] ~ 0.02", "a[w] ~ normal(0.02)", "0.02", "`~ normal(0.02)`"],
  ["0 ... 1", "0 .. 1", "...", "`0 .. 1`"],
  ["0…1", "0 .. 1", "…", "`0 .. 1`"],
  ["0 to 1", "0 .. 1", "to", "`in 0 .. 1`"],
  ["in [0, 1]", "in 0 .. 1", "[", "`in 0 .. 1`"],
  ["a[w] ** 2", "a[w] ^ 2", "**", "`^`"],
  ["a[w]²", "a[w] ^ 2", "²", "`^ 2`"],
  ["y[t, w] @ y", "y[t, w] * y", "@", "`*`"],
  ["y'[t, w] * y", "y[t, w] * y", "'", "`x[w, t]`"],
  ["memory ≤ 2", "memory <= 2", "≤", "`<=`"],
  ["memory =< 2", "memory <= 2", "=<", "`<=`"],
  ["memory < 2", "memory <= 2", "<", "`<=`"],
  ["u ≤ t", "u <= t", "≤", "`<=`"],
  ["u = t)", "u <= t)", "=", "`==`"],
  ["u <> t", "u <= t", "<>", "`!=`"],
  ["u === t", "u <= t", "===", "`==`"],
  ["u <= t && t > 0", "u <= t", "&&", "`and`"],
  ["u <= t || t > 0", "u <= t", "||", "`or`"],
  ["u <= t & t > 0", "u <= t", "&", "`and`"],
  ["0 <= u <= t", "u <= t", "<=", "two sides"],
  ["!(u > t)", "u <= t", "!", "turn"],
  ["not u > t", "u <= t", "not", "turn"],
  ["x -> own()", "x through own()", "->", "`through`"],
  ["x => own()", "x through own()", "=>", "`through`"],
  ["x |> own()", "x through own()", "|>", "`through`"],
  ["x += own(x)\n", "x through own() via hc\n", "+=", "`x = x + …`"],
  // Words.
  ["Model Tiny", "model Tiny", "Model", "`model`"],
  ["MODEL Tiny", "model Tiny", "MODEL", "`model`"],
  ["class Tiny", "model Tiny", "class", "`model Name { … }`"],
  ["model Tiny:", "model Tiny {", ":", "`{`"],
  ["model Tiny()", "model Tiny", "(", "braces"],
  ['model "Tiny"', "model Tiny", '"Tiny"', "without quotes"],
  ["Dim context", "dim context", "Dim", "`dim`"],
  ["let context = 8,", "dim context = 8,", "let", "`dim`"],
  ["const context = 8,", "dim context = 8,", "const", "`dim`"],
  ["strem x[", "stream x[", "strem", "`stream`"],
  ["for i in range(layers) {", "repeat layers {", "for", "`repeat layers { … }`"],
  ["Repeat layers", "repeat layers", "Repeat", "`repeat`"],
  ["repeat layers:", "repeat layers {", ":", "`{`"],
  ["x thru own()", "x through own()", "thru", "`through`"],
  ["x Through own()", "x through own()", "Through", "`through`"],
  ["x through own() with hc", "x through own() via hc", "with", "`via`"],
  ["x = own(x) via hc", "x through own() via hc", "via", "through"],
  ["Train {", "train {", "Train", "`train`"],
  ["training {", "train {", "training", "`train"],
  ["def own(", "block own(", "def", "`block"],
  ["function own(", "block own(", "function", "`block"],
  ["fn own(y[t, w]) -> [t, w] {", "block own(y[t, w]) {", "->", "`=`"],
  ["parameter a[w]", "param a[w]", "parameter", "`param`"],
  ["Return [t, w]", "return [t, w]", "Return", "`return`"],
  ["output [t, w] = z", "return [t, w] = z", "output", "`return`"],
  ["return y[t, w] =", "return [t, w] =", "=", "no name"],
  ["s WHERE u", "s where u", "WHERE", "`where`"],
  ["s if u <= t", "s where u <= t", "if", "condition"],
  ["u <= t ? s : 0", "s where u <= t", "?", "condition"],
  ["nesterov = on", "nesterov = true", "on", "`true`"],
  ["model Größe", "model Tiny", "Größe", "a to z"],
  ["dim lаyers", "dim context", "lаyers", "a to z"],
  ["dim\u200b u", "dim u", "\u200b", "cannot be seen"],
];

describe("a slip is one error, at the slip, that says what to write", () => {
  it.each(SLIPS)("%j for %j", (wrong, right, place, fix) => {
    const text = slipped(right, wrong);
    const { diagnostics } = check(text, { file: "p.mhc" });
    expect(diagnostics.map(({ message }) => message)).toHaveLength(1);
    const [{ span, fix: advice }] = diagnostics as [(typeof diagnostics)[number]];
    expect(text.slice(span.start, span.end)).toBe(place);
    expect(advice).toContain(fix);
  });

  it("also where it stands many times: the other lines are a note", () => {
    const { diagnostics } = check(PAGE.replaceAll(/(\d)\n/g, "$1;\n"), { file: "p.mhc" });
    expect(diagnostics).toMatchObject([{ code: "MHC106", notes: [{ message: "the same in lines 5, 14, 25" }] }]);
  });

  it("and slips of several kinds, or in several items, are all told", () => {
    const page = slipped('"corpus.txt"', "'corpus.txt'")
      .replace("seed = 1", "seed = 1;")
      .replace("stream x[", "strem x[")
      .replace("dim u = t", "dim u: t");
    expect(check(page, { file: "p.mhc" }).diagnostics.map(({ code }) => code)).toEqual([
      "MHC106",
      "MHC103",
      "MHC106",
      "MHC103",
    ]);
  });
});

describe("what is harmless is allowed, and the formatter writes the one form", () => {
  it.each([
    ["rate = .01", "rate = 1e-2", "rate = 0.01"],
    ["rate = 1.", "rate = 1e-2", "rate = 1.0"],
    ["steps = 1_000", "steps = 20", "steps = 1000"],
    ["lanes = 2,", "lanes = 2", "lanes = 2"],
    ["nesterov = true,)", "nesterov = true)", "nesterov = true)"],
    ["seed = 1,", "seed = 1", "seed = 1"],
    ["x[lanes, context, width,]", "x[lanes, context, width]", "x[lanes, context, width]"],
    ["2\u00a0GiB", "2 GiB", "2 GiB"],
    ["dim\u00a0u", "dim u", "dim u"],
    ["0..1", "0 .. 1", "0 .. 1"],
    ['"C:\\\\data.txt"', '"corpus.txt"', '"C:\\\\data.txt"'],
    ["lanes = 2 // “two”, 1e−2; # \\", "lanes = 2", "lanes = 2 // “two”, 1e−2; # \\"],
    ["via hc,", "via hc", "via hc\n"],
  ])("%j for %j", (written, right, formatted) => {
    const text = slipped(right, written);
    expect(check(text, { file: "p.mhc" }).diagnostics).toEqual([]);
    const { text: once } = format(text, "p.mhc");
    expect(once).toContain(formatted);
    expect(format(once!, "p.mhc").text).toBe(once);
  });
});

describe("strings", () => {
  it("are what is written, whatever it is, or an error", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("\\", '\\"', "\\\\", "n", "t", "/", "é", " ") }), (path) => {
        const text = `use "${path}"\n`;
        const { file, diagnostics } = parse(text, "p.mhc");
        const valid = /^(?:[^"\\]|\\["\\])*$/.test(path);
        // What is behind the end of a text may be a comment.
        expect(diagnostics.length === 0).toBe(valid || (diagnostics.length === 0 && path.includes("//")));
        if (!valid) return;
        const [item] = file.items;
        if (diagnostics.length || item?.kind !== "use") return;
        expect(item.path.value).toBe(path.replace(/\\(["\\])/g, "$1"));
        expect(format(text, "p.mhc").text).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});
