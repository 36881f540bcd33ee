/** Explanations of the 2xx that are about axes, sizes and indices. */
import { explained, model } from "./explanation.js";

/** What is said of each code. */
export const axes = {
  MHC203: explained(
    "Two sizes must be the same here and are not. Axes are told apart by their places in the brackets: the first one " +
      "named is the first of the tensor.",
    "docs/language.md#tensors-and-axes",
    model(`
  dim t = 3, w = 4
  input u[t, w]
  output y[t, w] = u[w, t]
`),
    ["u[w, t]", "u[t, w]"],
  ),
  MHC204: explained(
    "An axis that the left side does not name is summed where it stands in two factors. One that stands once is more " +
      "often forgotten than meant, so its sum is written out.",
    "docs/language.md#einsteins-rule",
    model(`
  dim t = 3, w = 4
  input u[t, w]
  output y[t] = u[t, w]
`),
    ["= u[t, w]", "= sum[w](u)"],
  ),
  MHC205: explained(
    "An axis is named that neither the tensors of this definition nor its left side have, and that is no dim.",
    "docs/language.md#tensors-and-axes",
    model(`
  dim t = 3, w = 4
  input u[t, w]
  output y[t, w] = u[t, q]
`),
    ["u[t, q]", "u[t, w]"],
  ),
  MHC206: explained(
    "A tensor is read, given or defined with another number of axes than it has, or with an axis twice.",
    "docs/language.md#tensors-and-axes",
    model(`
  dim t = 3, w = 4
  input u[t, w]
  output y[t, w] = u[t, w, w]
`),
    ["u[t, w, w]", "u[t, w]"],
  ),
  MHC208: explained(
    "A block takes the sizes of its axes from what it is given, and from where its result goes. Neither says this one.",
    "docs/language.md#blocks",
    `${model(`
  dim w = 4
  input u[w]
  output y[w] = wide(u)
`)}
block wide(y[w]) {
  param m[w, hidden] ~ normal(0.02)
  return [w] = y[w] * sum[hidden](m[w, hidden])
}
`,
    ["wide(u)", "wide(8)(u)"],
    ["wide(y[w])", "wide(hidden)(y[w])"],
  ),
  MHC209: explained(
    "A size is divided by another, and something is left over: heads share a width evenly or not at all.",
    "docs/language.md#dims",
    model(`
  dim width = 6, heads = 4, part = width / heads
  input u[part]
  output y[part] = tanh(u)
`),
    ["heads = 4", "heads = 3"],
  ),
  MHC212: explained(
    "`where` without `else` leaves values out, and only a function along an axis knows what to do without a value: a " +
      "sum adds nothing. Anywhere else, say what the value is otherwise.",
    "docs/language.md#where-and-else",
    model(`
  dim t = 3
  input x[t]
  output y[t] = x[t] where t <= 1
`),
    ["t <= 1", "t <= 1 else 0"],
  ),
  MHC215: explained(
    "A dim is a positive whole number; a number of layers may be 0.",
    "docs/language.md#dims",
    model(`
  dim width = 2.5
  input u[width]
  output y[width] = tanh(u)
`),
    ["2.5", "3"],
  ),
  MHC219: explained(
    "In a value, the bare name of an axis may be its size or the position along it, so it says which: `size(t)` or " +
      "`index(t)`. In a condition and in an index it is the position.",
    "docs/language.md#size-and-index",
    model(`
  dim t = 8
  input u[t]
  output y[t] = u[t] / t
`),
    ["/ t", "/ size(t)"],
  ),
  MHC224: explained(
    "A tensor has at most 2^32 elements, and a page at most 4,096 statements when its layers are written out.",
    "docs/language.md#dims",
    model(`
  dim width = 4000000000, rows = 2
  input u[width]
  param p[rows, width] ~ ones
  output y[rows] = p[rows, width] * u[width]
`),
    ["4000000000", "4000"],
  ),
  MHC227: explained(
    "The axis is summed over the smallest product that holds all of its places. Here each part of that product could " +
      "sum it by itself as well, which is something else. Name the parts first, or write the sum that is meant.",
    "docs/language.md#einsteins-rule",
    model(`
  dim t = 8, w = 4, h = 3
  input x[t, w]
  param gate[w, h], up[w, h] ~ normal(0.5)
  output y[t, h] = silu(x[t, w] * gate[w, h]) * (x[t, w] * up[w, h])
`),
    [
      "  output y[t, h] = silu(x[t, w] * gate[w, h]) * (x[t, w] * up[w, h])",
      "  a[t, h] = silu(x[t, w] * gate[w, h])\n  b[t, h] = x[t, w] * up[w, h]\n  output y[t, h] = a[t, h] * b[t, h]",
    ],
  ),
  MHC230: explained(
    "An index is a sum of positions times whole numbers, so that it can be turned around for the derivative. What " +
      "chooses places by another rule is a sum under a condition.",
    "docs/language.md#indices",
    model(`
  dim t = 4
  input s[t]
  output y[t] = s[t * t] else 0
`),
    ["s[t * t] else 0", "s[2 * t] else 0"],
  ),
  MHC231: explained(
    "The index may lie outside of the tensor. Under a sum such places count for nothing; anywhere else, say what is " +
      "there: `else`.",
    "docs/language.md#indices",
    model(`
  dim t = 4
  input s[t]
  output y[t] = s[t - 1]
`),
    ["s[t - 1]", "s[t - 1] else 0"],
  ),
  MHC232: explained(
    "The index lies outside of its axis at every place, so that it reads nothing. Places count from 0.",
    "docs/language.md#indices",
    model(`
  dim t = 4
  input s[t]
  output y[t] = s[t + 4] else 0
`),
    ["s[t + 4]", "s[t + 3]"],
  ),
  MHC233: explained(
    "A recurrence goes along one axis, one way, place by place: a definition reads itself only at places that are " +
      "computed already.",
    "docs/language.md#recurrences",
    model(`
  dim t = 4
  input s[t]
  c[t] = s[t] + c[t - 1] + c[t + 1]
  output y[t] = c
`),
    [" + c[t + 1]", ""],
  ),
};
