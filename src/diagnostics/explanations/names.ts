/** Explanations of the 2xx that are about names, blocks and files. */
import { explained, model, outside, training } from "./explanation.js";

/** What is said of each code. */
export const names = {
  MHC201: explained(
    "Nothing of this name can be seen from here: it is misspelt, or defined further down, or inside of a block. A " +
      "definition is read only by what stands below it.",
    "docs/language.md#names",
    model(`
  dim width = 4
  input signal[width]
  output y[width] = tanh(signl)
`),
    ["signl", "signal"],
  ),
  MHC202: explained(
    "A name is defined once, so that it means one thing wherever it stands. Only a stream takes new values.",
    "docs/language.md#names",
    model(`
  dim width = 4
  input u[width]
  h[width] = tanh(u)
  h[width] = 2 * h[width]
  output y[width] = h
`),
    ["h[width] = 2 * h[width]", "twice[width] = 2 * h[width]"],
    ["= h\n", "= twice\n"],
  ),
  MHC207: explained(
    "A function, block, set or source is called with an argument that it does not take, or without one that it needs.",
    "docs/language.md#blocks",
    model(`
  dim width = 4
  input u[width]
  output y[width] = min(u)
`),
    ["min(u)", "min(u, 1)"],
  ),
  MHC210: explained(
    "Something has the wrong kind for its place: a condition where a value is needed, a block in place of a " +
      "connection, a number of the page in place of a size.",
    "docs/language.md#values",
    model(`
  dim width = 4
  input u[width]
  output y[width] = u > 0
`),
    ["u > 0", "1 where u[width] > 0 else 0"],
  ),
  MHC211: explained(
    "The parameters of a block are called after it. A second use has parameters of its own, so it needs a name of " +
      "its own: `as`.",
    "docs/language.md#instances",
    training(`
  stream x[context, width] = embed(corpus.token)
  x through mlp(32)
  x through mlp(32)
  loss = cross_entropy(unembed(x), corpus.next)
`),
    ["mlp(32)\n  x through mlp(32)", "mlp(32)\n  x through mlp(32) as second"],
  ),
  MHC213: explained(
    "A model has a loss that it trains on, or an output that it computes, or both.",
    "docs/language.md#a-page",
    model(`
  dim width = 4
  input u[width]
`),
    ["input u[width]\n", "input u[width]\n  output y[width] = tanh(u)\n"],
  ),
  MHC216: explained(
    "A file that is compiled holds exactly one model. Further files hold blocks, and a page takes them by `use`.",
    "docs/language.md#files",
    `${model(`
  dim width = 4
  input u[width]
  output y[width] = tanh(u)
`)}
model Second {
  dim width = 4
  input u[width]
  output y[width] = exp(u)
}
`,
    ["\nmodel Second {\n  dim width = 4\n  input u[width]\n  output y[width] = exp(u)\n}\n", ""],
  ),
  MHC217: explained(
    "The file that `use` names is not there or cannot be read. A path is relative to the file that names it.",
    "docs/language.md#files",
    `use "./no-such-file.mhc"

${model(`
  dim width = 4
  input u[width]
  output y[width] = tanh(u)
`)}`,
    ['use "./no-such-file.mhc"\n\n', ""],
  ),
  MHC218: explained(
    "A block that contained itself, by itself or by way of another, would never end. Use `repeat` for layers, and a " +
      "recurrence for steps along an axis.",
    "docs/language.md#blocks",
    `${model(`
  dim width = 4
  input u[width]
  output y[width] = again(u)
`)}
block again(y[w]) {
  return [w] = again(y)
}
`,
    ["= again(y)", "= tanh(y)"],
  ),
  MHC220: explained(
    "What is defined here changes neither the loss nor an output nor a metric. Take it out, or use it.",
    "docs/language.md#warnings",
    model(`
  dim width = 4
  input u[width]
  h[width] = tanh(u)
  output y[width] = 2 * u[width]
`),
    ["2 * u[width]", "2 * h[width]"],
  ),
  MHC221: explained(
    "A parameter is read, and no gradient of the loss comes back to it: it stays as it starts. The usual causes are " +
      "`stop` and functions with steps, such as `floor`.",
    "docs/language.md#warnings",
    training(`
  param scale[width] ~ ones
  stream x[context, width] = embed(corpus.token)
  x = x * stop(scale[width])
  loss = cross_entropy(unembed(x), corpus.next)
`),
    ["stop(scale[width])", "scale[width]"],
  ),
  MHC222: explained(
    "A stream is what layers change one after the other. One that nothing changes is a plain definition, or a layer " +
      "was forgotten.",
    "docs/language.md#streams",
    training(`
  stream x[context, width] = embed(corpus.token)
  loss = cross_entropy(unembed(x), corpus.next)
`),
    ["embed(corpus.token)\n", "embed(corpus.token)\n  x through mlp(32)\n"],
  ),
  MHC223: outside(
    "Blocks stand inside of each other up to a depth of 64.",
    "docs/language.md#blocks",
    "A block uses a block that uses a block, and so on, more than 64 deep. Pages that a program writes come to this.",
  ),
  MHC225: explained(
    "A page that allows a warning says so on purpose. When nothing raises the warning any more, the line is stale.",
    "docs/language.md#warnings",
    model(`
  dim width = 4
  input u[width]
  allow MHC220
  output y[width] = tanh(u)
`),
    ["  allow MHC220\n", ""],
  ),
  MHC226: explained(
    "An `if` decides what the network is, so its condition is known when the page is compiled: dims, numbers and the " +
      "number of the layer. A choice between values is `a where c else b`.",
    "docs/language.md#if",
    model(`
  dim width = 4
  input u[width]
  stream x[width] = u
  if u > 0 {
    x = 2 * x
  }
  output y[width] = x
`),
    ["  if u > 0 {\n    x = 2 * x\n  }\n", "  x = 2 * x where u[width] > 0 else x\n"],
  ),
};
