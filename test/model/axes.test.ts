/** Errors about axes and functions: the place is the term or the name that is wrong, and the axis is the right one. */
import { expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { FUNCTIONS_ELSEWHERE } from "../../src/model/elaborate/elsewhere.js";

const PAGE = `model M {
  dim lanes = 4, context = 5, width = 8, heads = 2
  input v[lanes, context, width]
  stream x[lanes, context, width] = v
  x through own(heads) via con()
  output y[lanes, context, width] = x
}
block own(heads)(y[t, w]) {
  dim d = w / heads, u = t
  param wq[w, heads, d], wk[w, heads, d], wv[w, heads, d], out[heads, d, w] ~ normal(0.02)
  q[t, heads, d] = y[t, w] * wq[w, heads, d]
  k[u, heads, d] = y[u, w] * wk[w, heads, d]
  c[u, heads, d] = y[u, w] * wv[w, heads, d]
  s[heads, t, u] = q[t, heads, d] * k[u, heads, d] / sqrt(d)
  p[heads, t, u] = softmax[u](s where u <= t)
  return [t, w] = p[heads, t, u] * c[u, heads, d] * out[heads, d, w]
}
connection con(x[n, t, w], f) {
  dim m = n
  param phi[n, w], mix[n, m] ~ normal(0.02)
  r[t] = rms[n, w](x)
  read[t, n] = sigmoid(x[n, t, w] * phi[n, w] / r[t])
  z[t, w] = read[t, n] * x[n, t, w]
  y[t, w] = f(z)
  return [n, t, w] = mix[n, m] * x[m, t, w] + read[t, n] * y[t, w]
}
`;

it.each<readonly [right: string, wrong: string, place: string, says: RegExp]>([
  // An axis that is not declared: the second name that it was to be.
  [", u = t", "", "u", /dim u = t/],
  ["softmax[u](s where u", "softmax[j](s where j", "j", /dim j = t/],
  ["where u <= t", "where j <= t", "j", /dim j = t/],
  ["q[t, heads, d] = y", "q[t, heads, e] = y", "e", /the axes here are/],
  // A term with an axis that nothing sums.
  ["s[heads, t, u] =", "s[heads, t] =", "k[u, heads, d]", /`u` stands only once.*\(\[heads, t\]\)/],
  ["q[t, heads, d] =", "q[t, heads] =", "wq[w, heads, d]", /`d` stands only once.*\(\[t, heads\]\)/],
  ["= y[t, w] * wq", "= y[u, w] * wq", "y[u, w]", /`u` stands only once.*\(\[t, heads, d\]\)/],
  ["return [t, w] = p", "return [t] = p", "out[heads, d, w]", /`w` stands only once.*\(\[t\]\)/],
  ["* out[heads, d, w]", "", "c[u, heads, d]", /`d` stands only once.*\(\[t, w\]\)/],
  ["p[heads, t, u] * c[u, heads, d] *", "tanh(c[u, heads, d]) *", "c[u, heads, d]", /sum\[u\]/],
  ["rms[n, w](x)\n", "rms[w](x)\n", "x", /`n` stands only once.*rms\[w, n\]/],
  ["rms[n, w](x)\n", "x / rms[n, w](x)\n", "x", /the axes `n` and `w` stand only once.*sum\[n, w\]/],
  ["z[t, w] = read[t, n] * x", "z[t, w] = x", "x[n, t, w]", /`n` stands only once/],
  ["x[m, t, w] +", "x[n, t, w] +", "mix[n, m]", /`m` stands only once/],
  // A reducer along an axis that is not there, a term with too few or in another order.
  ["softmax[u](s where u <= t)", "softmax[d](s)", "d", /works along `d`/],
  ["q[t, heads, d] * k", "q[t, heads] * k", "q[t, heads]", /has 3 axes.* 2 are named/],
  ["/ r[t])", "/ r[n])", "n", /axis `t` of `r`/],
  ["read[t, n] * x", "read[n, t] * x", "n", /axis `t` of `read`/],
  // A block whose result or argument does not fit.
  ["return [t, w] =", "return [w, t] =", "f(z)", /`own` gives `w` of size width = 8, and `t` here is context = 5/],
  ["y[t, w] = f(z)", "y[w, t] = f(z)", "f(z)", /`own` gives `t`/],
  ["y[t, w] = f(z)", "y[t, w] = f(x)", "x", /`own` takes `y\[t, w\]`/],
  ["return [n, t, w] =", "return [n, m, w] =", "x through own(heads) via con()", /`con` gives `m`/],
  // Nothing is transposed, and functions of elsewhere are written otherwise.
  ["k[u, heads, d] / sqrt", "k.T / sqrt", "T", /name them where/],
  ["k[u, heads, d] / sqrt", "k^T / sqrt", "T", /name them where/],
  [
    "sigmoid(x",
    "sigmoyd(x",
    "sigmoyd",
    /did you mean `sigmoid`\?.*functions of one number: exp.*mod\(x, y\).*sum\[w\]/,
  ],
  ["rms[n, w](x)\n", "norm2[n, w](x)\n", "norm2", /sqrt\(sum/],
  ["q[t, heads, d] * k[u, heads, d]", "matmul(q, k)", "matmul", /named axes/],
])("%j for %j", (right, wrong, place, says) => {
  expect(PAGE.split(right), right).toHaveLength(2);
  const text = PAGE.replace(right, () => wrong);
  const errors = check(text, { file: "p.mhc" }).diagnostics.filter(({ severity }) => severity === "error");
  const [{ span, message, fix, notes }] = errors as [(typeof errors)[number]];
  expect(errors.map((error) => error.message)).toHaveLength(1);
  expect(text.slice(span.start, span.end)).toBe(place);
  expect(`${message} ${fix} ${notes.map((note) => note.message).join(" ")}`).toMatch(says);
});

it("what is offered for a function of elsewhere is right", () => {
  const forms = [...new Set(FUNCTIONS_ELSEWHERE.values())].flatMap(
    (says) => /^(?:write|of what .* it is) `([^`]*\b[xy]\b[^`]*)`/.exec(says)?.[1] ?? [],
  );
  expect(forms.length).toBeGreaterThan(30);
  for (const form of forms) {
    const left =
      form.includes("[w](") && !/^(?:rms\[w\]\(x - mean\[w\]\(x\)\) \^|cumsum|exp\(cumsum|log_softmax)/.test(form)
        ? "output o[t] ="
        : form.includes("norm(")
          ? "output o[t, w] ="
          : form.includes("[w]") && !/cumsum|log_softmax/.test(form)
            ? "output o[t] ="
            : "output o[t, w] =";
    const text =
      `model M {\n  dim t = 3, w = 4\n  input x[t, w]\n  input y[t, w]\n  output unused[t, w] = y\n  ${left} ` +
      `${form}\n}\n`;
    expect(check(text, { file: "p.mhc" }).diagnostics.map(({ message }) => `${form}: ${message}`)).toEqual([]);
  }
});
