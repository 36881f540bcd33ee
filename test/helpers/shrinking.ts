/**
 * A page that shrinks in every way: layers, heads, neurons, a bottleneck (a rank), and lanes; with a parameter on
 * spheres.
 */
import type { Facts } from "../../src/compile/compile.js";

export const text = "the sea was calm, and the whale went down. all hands! ".repeat(20);
export const facts: Facts = { corpus: { vocabulary: [...new Set(text)].sort() } };

export interface PageOptions {
  /** Declares the manifold M, if the connection takes one. */
  readonly manifold?: string;
  readonly connection?: string;
  readonly cost?: string;
  readonly optimizer?: string;
  /** One stream, whose width may shrink too, in place of lanes. */
  readonly width?: boolean;
}

export const SHRINK = "shrink heads, mlp.hidden, squeeze.rank, layers, attention, squeeze, lanes";

export const shrinkingPage = ({
  manifold = "manifold M = birkhoff(iterations = 6)",
  connection = "mhc(M)",
  cost = `device cpu\n    energy <= 50%\n    ${SHRINK}`,
  optimizer = "sgd(rate = 0.05, momentum = 0.5)",
  width = false,
}: PageOptions = {}): string =>
  (width ? narrow : (page: string) => page)(`
block squeeze(rank)(y[t, w]) {
  dim v = w
  param down[w, rank], up[rank, v] ~ normal(0.3)
  h[t, w] = norm(y)
  return [t, v] = h[t, w] * down[w, rank] * up[rank, v]
}

model Small {
  dim context = 6, width = 12, heads = 3, layers = 2, lanes = 3
  data corpus = characters("text.txt", window = context)
  dim letters = corpus.vocab
  ${manifold}
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  repeat layers {
    x through attention(heads) via ${connection}
    x through mlp(hidden = 20) via ${connection}
    x through squeeze(rank = 5) via ${connection}
  }
  scores[context, letters] = unembed(norm(total(x)))
  loss = cross_entropy(scores, corpus.next)
  output logits[context, letters] = scores
  constrain { mlp.up each hidden on sphere }
  ${cost && `cost {\n    ${cost}\n  }`}
  train {
    batch = 3, steps = 500, seed = 5
    optimizer = ${optimizer}
  }
}`);

/** The page with one stream, whose width may shrink. */
const narrow = (page: string): string =>
  page
    .replace(/manifold M = .*/, "")
    .replaceAll("via mhc(M)", "")
    .replace(
      "x[lanes, context, width] = copies(embed(corpus.token) + positions())",
      "x[context, width] = embed(corpus.token) + positions()",
    )
    .replace("total(x)", "x")
    .replace(", lanes = 3", "")
    .replace("constrain { mlp.up each hidden on sphere }", "")
    .replace(`${SHRINK}`, `${SHRINK.replace("lanes", "width")}`);
