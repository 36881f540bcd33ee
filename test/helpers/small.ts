/** A text of a few words, and the small network over it that many tests train, with any connection and optimizer. */

/** Text to train on: 1,080 characters of a small vocabulary. */
export const text = "the sea was calm, and the whale went down. all hands! ".repeat(20);

/** What compiling a page over `corpus` needs to know of the text. */
export const facts = { corpus: { vocabulary: [...new Set(text)].sort() } };

export const connections = ["residual", "hc", "identity", "mhc(Mixing)"] as const;

/** AdamW at a rate that warms up, with weight decay. */
export const ADAMW = "adamw(rate = cosine(3e-3, 1e-4, warmup = 3), betas = (0.9, 0.99), decay = 0.1)";

export interface SmallOptions {
  readonly optimizer: string;
  /** Sequences a step; 5. */
  readonly batch?: number;
  /** Iterations of Sinkhorn; 20. */
  readonly iterations?: number;
  /** More of what `train` says, such as `precision = f16`. */
  readonly training?: string;
}

/** Two layers of attention and an mlp behind a connection, in four lanes unless it is `residual`. */
export function smallPage(
  connection: (typeof connections)[number],
  { optimizer, batch = 5, iterations = 20, training }: SmallOptions,
): string {
  const plain = connection === "residual";
  const start = "embed(corpus.token) + positions()";
  return `model Small {
  dim context = 13, width = 24, heads = 3, layers = 2, lanes = 4
  data corpus = characters("text", window = context)
  manifold Mixing = birkhoff(iterations = ${iterations})
  stream ${plain ? `x[context, width] = ${start}` : `x[lanes, context, width] = copies(${start})`}
  repeat layers {
    x through attention(heads) via ${connection}
    x through mlp(hidden = 2 * width) via ${connection}
  }
  loss = cross_entropy(unembed(norm(${plain ? "x" : "total(x)"})), corpus.next)
  train {
    batch = ${batch}, steps = 50, seed = 3, clip = 1.0${training ? `, ${training}` : ""}
    optimizer = ${optimizer}
  }
}`;
}
