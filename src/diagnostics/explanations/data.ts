/** Explanations of 4xx: data. */
import { explained, outside, training } from "./explanation.js";

const DECODER = `
  stream x[context, width] = embed(corpus.token)
  x through mlp(32)
  loss = cross_entropy(unembed(x), corpus.next)
`;

/** What is said of each code. */
export const data = {
  MHC401: explained(
    "There is no source of this name; a source says how data is read.",
    "docs/data.md",
    training(DECODER).replace("= characters(", "= text("),
    ["= text(", "= characters("],
  ),
  MHC402: explained(
    "The source does not have this option, lacks one that it needs, or has one with a value that it cannot have.",
    "docs/data.md",
    training(DECODER).replace("window = context", "window = context, holdout = 120%"),
    ["120%", "10%"],
  ),
  MHC403: outside(
    "The data and the page disagree about a size: how many classes there are, or how many numbers an example has.",
    "docs/data.md",
    "A command reads the data, which `mhc check` does not, and finds other sizes than the page states.",
  ),
};
