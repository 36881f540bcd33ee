/** Explanations of 3xx: sets and claims. */
import { explained, model, outside, training } from "./explanation.js";

/** A page of lanes that a set mixes. `rest`: what stands before the loss. */
const lanes = (manifold: string, rest = ""): string =>
  training(`
  dim lanes = 2
  manifold Mixing = ${manifold}
  stream x[lanes, context, width] = copies(embed(corpus.token))
  x through mlp(32) via mhc(Mixing)
${rest}  loss = cross_entropy(unembed(total(x)), corpus.next)
`);

/** What is said of each code. */
export const sets = {
  MHC301: explained(
    "There is no set of this name. The registry of sets has it, or a module of one's own that the page uses.",
    "docs/language.md#sets",
    lanes("birkhof"),
    ["birkhof\n", "birkhoff\n"],
  ),
  MHC302: explained(
    "The set does not have this option, or not with this value, or the option has no effect beside the others.",
    "docs/language.md#sets",
    lanes("birkhoff(iterations = 0)"),
    ["iterations = 0", "iterations = 20"],
  ),
  MHC303: explained(
    "A set has points of one shape: numbers, vectors, matrices or square matrices. This tensor is none of them.",
    "docs/manifolds.md",
    model(`
  dim rows = 2, columns = 3
  input u[rows]
  param w[rows, columns] ~ normal(0.1) on birkhoff
  output y[columns] = u[rows] * w[rows, columns]
`),
    ["columns = 3", "columns = 2"],
  ),
  MHC304: explained(
    "A parameter stays on one set. What must hold beside that is a claim, or a set that has both.",
    "docs/language.md#constrain",
    training(`
  dim heads = 2
  stream x[context, width] = embed(corpus.token)
  x through attention(heads)
  constrain {
    attention.out each heads on stiefel, out each heads on sphere
  }
  loss = cross_entropy(unembed(x), corpus.next)
`),
    [", out each heads on sphere", ""],
  ),
  MHC305: explained(
    "The bound does not follow from the sets that the page puts its parts on. Claim what follows, put the parts on " +
      "smaller sets, or write `monitored`: then it is measured while training, and reported when it breaks.",
    "docs/manifolds.md",
    lanes("birkhoff", "  constrain {\n    gain(x) <= 0.5\n  }\n"),
    ["0.5", "1.001"],
  ),
  MHC306: explained(
    "The temperature divides free logits, which reach the same by growing. To learn it adds nothing; to schedule it " +
      "does.",
    "docs/manifolds.md",
    lanes("birkhoff(by = permutations) adapt temperature in 0.5 .. 2"),
    ["adapt temperature in 0.5 .. 2", "adapt temperature = cosine(4, 1)"],
  ),
  MHC307: outside(
    "A set of one's own is a module whose default export has everything that the compiler asks of a set. " +
      "`checkSet` of `mhc-lang/manifolds` tests one by itself.",
    "docs/manifolds.md#a-set-of-your-own",
    "A page uses a module whose export is no set, or lacks a part of one.",
  ),
  MHC308: explained(
    "Behind `on` a start is that of the free coordinates, which the set's map takes to the matrix: the identity as " +
      "logits is a matrix near the average. `M.start` is the set's own start, near the identity where it can be.",
    "docs/language.md#sets",
    lanes("birkhoff", "").replace("via mhc(Mixing)", "via mixed(Mixing)") +
      `
connection mixed(M: manifold)(x[n, t, w], f) {
  dim m = n
  param mix[m, n] ~ identity(1) on M
  y[t, w] = f(mean[n](x))
  return [m, t, w] = mix[m, n] * x[n, t, w] + y[t, w]
}
`,
    ["identity(1)", "M.start"],
  ),
};
